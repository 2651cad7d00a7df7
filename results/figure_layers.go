package results

import (
	"math"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
)

// layerCurve draws moments over the layer number, with smaller marks if there are many layers.
func layerCurve(sty style, m []moments) curve {
	sty.size = min(markSize, 80/vg.Length(len(m)))
	s := curve{style: sty}
	for l, v := range m {
		s.x = append(s.x, float64(l))
		s.y = append(s.y, v.mean)
		s.err = append(s.err, v.std)
	}
	return s
}

// layerAxis labels the x axis with layer numbers, with room for the marks at both ends.
func layerAxis(p *plot.Plot, layers int) {
	room := max(0.5, 0.015*float64(layers))
	p.X.Min, p.X.Max = -room, float64(layers-1)+room
	p.X.Tick.Marker = roundTicks{max: 10, integer: true}
}

// seeds writes a number of seeds.
func seeds(n int) string {
	if n == 1 {
		return "1 seed"
	}
	return strconv.Itoa(n) + " seeds"
}

// number writes a number for CSV in full precision, and nothing if there is none.
func number(v float64) string {
	if math.IsNaN(v) {
		return ""
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}
