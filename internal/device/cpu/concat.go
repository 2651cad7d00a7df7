package cpu

import "netadjust/internal/ops"

// concat copies the channels of its inputs behind each other, pixel by pixel.
func (e *executable) concat(s instruction) step {
	ly := &e.layouts[s.out[0]]
	return eachImage(func(w *worker, n int) {
		y, at := e.at(w, s.out[0], n), 0
		for _, v := range s.in {
			lx := &e.layouts[v]
			copyChannels(e.at(w, v, n), lx, 0, y, ly, at, lx.c)
			at += lx.c
		}
		clearChannels(y, ly, at, ly.pitch)
	})
}

// channelWindow copies the channels that the window meets and zeroes the others.
func (e *executable) channelWindow(s instruction, k ops.ChannelWindow) step {
	lx, ly := &e.layouts[s.in[0]], &e.layouts[s.out[0]]
	lo, hi := max(0, -k.Offset), min(k.Count, lx.c-k.Offset) // channels of y that exist in x
	return eachImage(func(w *worker, n int) {
		y := e.at(w, s.out[0], n)
		copyChannels(e.at(w, s.in[0], n), lx, lo+k.Offset, y, ly, lo, hi-lo)
		clearChannels(y, ly, 0, lo)
		clearChannels(y, ly, hi, ly.pitch)
	})
}

// copyChannels copies channels of an image, from channel from of x on to channel to of y on.
func copyChannels(x []float32, lx *layout, from int, y []float32, ly *layout, to, channels int) {
	for r := range ly.h {
		a, b := lx.first()+r*lx.line()+from, ly.first()+r*ly.line()+to
		for range ly.w {
			copy(y[b:b+channels], x[a:a+channels])
			a += lx.pitch
			b += ly.pitch
		}
	}
}

// clearChannels zeroes channels [lo, hi) of an image, padding included.
func clearChannels(y []float32, l *layout, lo, hi int) {
	if lo >= hi {
		return
	}
	for r := range l.h {
		at := l.first() + r*l.line()
		for range l.w {
			clear(y[at+lo : at+hi])
			at += l.pitch
		}
	}
}
