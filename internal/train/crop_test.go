package train

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	"netadjust/internal/data"
	"netadjust/internal/data/datatest"
	"netadjust/internal/rng"
	"netadjust/networks"
)

// TestResizedCrop checks area, ratio and place of crops, in a square so large that rounding does not matter.
func TestResizedCrop(t *testing.T) {
	const n, side = 20000, 10000
	key := rng.NewKey(1, "augment", 2)
	var areas [4]float64 // below 0.3, 0.52 and 0.74, and above
	var wide, left, again float64
	for i := range n {
		box := resizedCrop(key, i, side, side)
		if box.Top < 0 || box.Left < 0 || box.Top+box.Height > side || box.Left+box.Width > side {
			t.Fatalf("%v is not in the image", box)
		}
		area := float64(box.Height) * float64(box.Width) / side / side
		ratio := float64(box.Width) / float64(box.Height)
		if area < 0.0799 || ratio < 0.7499 || ratio > 1.3334 {
			t.Fatalf("%v has a share of %v and a ratio of %v", box, area, ratio)
		}
		areas[min(int((area-0.08)/0.22), 3)]++
		if ratio > 1 {
			wide++
		}
		if room := side - box.Width; room > 0 && box.Left < room/2 {
			left++
		}
		if box == resizedCrop(rng.NewKey(1, "augment", 3), i, side, side) {
			again++
		}
	}
	// Every box with a share of up to 3/4 fits, so these shares are uniform. Standard deviations are below 80.
	if math.Abs(areas[0]-areas[1]) > 400 || math.Abs(areas[1]-areas[2]) > 400 || areas[3] > areas[2] {
		t.Errorf("areas below 0.3, 0.52, 0.74 and above: %v", areas)
	}
	if math.Abs(wide-n/2) > 400 || math.Abs(left-n/2) > 400 || again > 0 {
		t.Errorf("of %d boxes %v are wide, %v on the left, and %v the same in another epoch", n, wide, left, again)
	}
	for _, tt := range []struct {
		height, width int
		want          data.Box
	}{
		{10, 1000, data.Box{Left: 493, Height: 10, Width: 13}},
		{1000, 10, data.Box{Top: 493, Height: 13, Width: 10}},
		{1, 1, data.Box{Height: 1, Width: 1}},
	} {
		if got := resizedCrop(key, 7, tt.height, tt.width); got != tt.want {
			t.Errorf("%d x %d: %v, want %v", tt.width, tt.height, got, tt.want)
		}
	}
}

// TestPackedBits trains on packed images with random resized crops: with any number of workers the weights are the same
// to the last bit, they depend on the crops, and a damaged image ends the training.
func TestPackedBits(t *testing.T) {
	dir := t.TempDir()
	if err := data.Pack(t.Context(), data.PackOptions{
		Folder: datatest.Folder(t, 2, 30), Dir: dir, Name: "stripes", Size: 16, Side: 20, Log: func(string, ...any) {},
	}); err != nil {
		t.Fatal(err)
	}
	d, err := data.Open("stripes", dir)
	if err != nil {
		t.Fatal(err)
	}
	images, err := d.Train()
	if err != nil {
		t.Fatal(err)
	}
	norm, err := NormalizationOf(images)
	if err != nil {
		t.Fatal(err)
	}
	n, err := networks.New(networks.Spec{Name: "resnet8", Width: 0.125, Input: [3]int{3, 16, 16}, Classes: 2})
	if err != nil {
		t.Fatal(err)
	}
	train := func(threads int, r Recipe) ([]Epoch, Evaluation) {
		dev := processor(t, threads)
		m, epochs, err := Train(t.Context(), dev, n, n.Start(), images, norm, r, Stream{7, "final"}, quiet)
		if err != nil {
			t.Fatal(err)
		}
		e, err := NewEvaluator(dev, m, images, false)
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		return epochs, evaluate(t, e)
	}
	r := short
	r.CropPad, r.ResizedCrop = 0, true
	epochs, tested := train(1, r)
	for _, threads := range []int{2, 3} {
		if e, other := train(threads, r); e[1] != epochs[1] || other != tested {
			t.Errorf("%d threads differ from one: %+v %+v, not %+v %+v", threads, e[1], other, epochs[1], tested)
		}
	}
	r.ResizedCrop = false
	if e, other := train(2, r); e[1] == epochs[1] || other == tested {
		t.Error("training with and without random resized crops gives the same")
	}

	file, err := os.OpenFile(filepath.Join(dir, "stripes.pack"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteAt(make([]byte, 200), 300); err != nil {
		t.Fatal(err)
	}
	_, _, err = Train(t.Context(), processor(t, 2), n, n.Start(), images, norm, r, Stream{7, "final"}, quiet)
	checkError(t, "damaged image", err, "stripes.pack is damaged: the image at byte 96 ")
}
