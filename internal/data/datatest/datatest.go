// Package datatest makes folders of images for tests.
package datatest

import (
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// Folder writes a folder of JPEG images of several sizes, train/CLASS/FILE and val/CLASS/FILE, with so many training
// images and a third as many test images for each class, and returns its path. The classes a, b and so on differ in how
// their stripes run, which is easy to learn.
func Folder(t testing.TB, classes, perClass int) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "stripes")
	for split, n := range map[string]int{"train": perClass, "val": (perClass + 2) / 3} {
		for label := range classes {
			folder := filepath.Join(dir, split, string(rune('a'+label)))
			if err := os.MkdirAll(folder, 0o755); err != nil {
				t.Fatal(err)
			}
			for i := range n {
				name := filepath.Join(folder, fmt.Sprintf("%s-%d.JPEG", split, i))
				if err := write(name, stripes(label, rand.New(rand.NewPCG(uint64(label), uint64(len(split)*1000+i))))); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	return dir
}

// stripes draws an image of a class: red stripes across, then up, then both.
func stripes(label int, r *rand.Rand) image.Image {
	im := image.NewRGBA(image.Rect(0, 0, 40+r.IntN(60), 40+r.IntN(60)))
	size := im.Bounds().Size()
	period, shift := 8+r.IntN(4), r.IntN(8)
	for y := range size.Y {
		for x := range size.X {
			at := []int{y, x, x + y}[label%3]
			c := color.RGBA{uint8(60 + r.IntN(30)), uint8(60 + r.IntN(30)), uint8(40 * (label / 3)), 255}
			if (at+shift)/(period/2)%2 == 0 {
				c.R += 120
			}
			im.SetRGBA(x, y, c)
		}
	}
	return im
}

func write(name string, im image.Image) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	if err := jpeg.Encode(f, im, nil); err != nil {
		return err
	}
	return f.Close()
}
