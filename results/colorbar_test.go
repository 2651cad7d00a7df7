package results

import (
	"image/color"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Larger magnitudes are darker in grey too, on both sides of 0, and the two sides differ in hue.
func TestShades(t *testing.T) {
	lightness := func(position float64) int { return int(color.GrayModel.Convert(shade(position)).(color.Gray).Y) }
	for _, side := range []float64{-1, 1} {
		for i := range 20 {
			near, far := side*float64(i)/20, side*float64(i+1)/20
			if lightness(far) >= lightness(near) {
				t.Errorf("%g is not darker than %g", far, near)
			}
		}
	}
	blue, _, red, _ := shade(-0.6).RGBA()
	if red <= blue {
		t.Error("numbers below 0 are not blue")
	}
	if red, _, blue, _ := shade(0.6).RGBA(); red <= blue {
		t.Error("numbers above 0 are not warm")
	}
	if diff := cmp.Diff(shade(1), shade(1.5)); diff != "" {
		t.Errorf("a position beyond the scale:\n%s", diff)
	}
}

func TestRootScale(t *testing.T) {
	s := rootScale{largest: 4}
	for v, want := range map[float64]float64{0: 0, 4: 1, -4: -1, 1: 0.5, -1: -0.5} {
		if got := s.position(v); got != want {
			t.Errorf("position of %g is %g, want %g", v, got, want)
		}
	}
	if got := (rootScale{}).position(0); got != 0 {
		t.Errorf("position where all is 0: %g", got)
	}
}

// Boxes below 0 carry a dash, so that they are told from those above 0 in grey.
func TestHeatMapDashes(t *testing.T) {
	l := newLayout()
	p := newPlot("", "")
	p.X.Min, p.X.Max = -0.5, 2.5
	updateAxis(&p.Y, 2)
	heatMap{[][]float64{{1, -1, 0}, {-0.5, -0.1, 2}}, rootScale{2}}.Plot(draw.NewCanvas(l, 90, 40), p)
	if l.lines != 3 || l.areas != 6 {
		t.Errorf("%d dashes in %d boxes, want 3 in 6", l.lines, l.areas)
	}
}

// The label of each tick stands at its place, and the ends of the bar and 0 always have one.
func TestColorBarTicks(t *testing.T) {
	for name, c := range map[string]struct {
		low, high float64
		want      []string
	}{
		"both signs": {-0.09, 0.36, []string{"0", "0.36", "-0.09", "0.2", "0.1", "0.05", "0.02", "-0.02"}},
		"positive":   {0, 0.5, []string{"0", "0.5", "0.2", "0.1", "0.05", "0.02", "0.005"}},
		"negative":   {-2e-5, 0, []string{"0", "-2e-05", "-1e-05", "-5e-06", "-2e-06", "-5e-07"}},
		"nothing":    {0, 0, []string{"0"}},
	} {
		l := newLayout()
		b := colorBar{scale: rootScale{max(-c.low, c.high)}, low: c.low, high: c.high}
		b.draw(draw.NewCanvas(l, columnWidth, 100))
		var got []string
		for _, text := range l.texts {
			if text.text != "" {
				got = append(got, text.text)
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: labels\n%s", name, diff)
		}
	}
	if height := (*colorBar)(nil).height(); height != vg.Length(0) {
		t.Errorf("no bar is %g high", height)
	}
}
