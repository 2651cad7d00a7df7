package train

import (
	"math"

	"netadjust/internal/data"
	"netadjust/internal/rng"
)

// Random resized crops are those of torchvision's RandomResizedCrop with its defaults: the share of the image's area is
// uniform, the ratio of width to height is so on a logarithmic scale, and so is the place. A box that does not fit is
// drawn again, cropTries times in all; then it is the largest one in the middle whose ratio is allowed.
const (
	leastArea, mostArea   = 0.08, 1.0
	leastRatio, mostRatio = 3. / 4, 4. / 3
	cropTries             = 10
)

// resizedCrop draws the box of an image of the given size. It depends on the key and the image's number alone.
func resizedCrop(key rng.Key, image, height, width int) data.Box {
	for try := range cropTries {
		// The words of counter (image, 0) are those of the move.
		words := rng.Philox(key, [4]uint32{uint32(image), uint32(1 + try)})
		area := float64(height) * float64(width) * between(leastArea, mostArea, words[0])
		ratio := math.Exp(between(math.Log(leastRatio), math.Log(mostRatio), words[1]))
		w, h := nearest(math.Sqrt(area*ratio)), nearest(math.Sqrt(area/ratio))
		if w > 0 && w <= width && h > 0 && h <= height {
			return data.Box{
				Top: below(height-h+1, words[2]), Left: below(width-w+1, words[3]), Height: h, Width: w,
			}
		}
	}
	h, w := height, width
	switch ratio := float64(width) / float64(height); {
	case ratio < leastRatio:
		h = min(nearest(float64(w)/leastRatio), height)
	case ratio > mostRatio:
		w = min(nearest(float64(h)*mostRatio), width)
	}
	return data.Box{Top: (height - h) / 2, Left: (width - w) / 2, Height: h, Width: w}
}

// between maps a random word to a number from low up to high.
func between(low, high float64, word uint32) float64 {
	return low + float64((high-low)*float64(word)*0x1p-32)
}

// below maps a random word to 0, 1, … n - 1.
func below(n int, word uint32) int { return int(uint64(word) * uint64(n) >> 32) }

// nearest rounds halves to even, as Python does.
func nearest(x float64) int { return int(math.RoundToEven(x)) }
