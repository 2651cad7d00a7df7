package data

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/png"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"netadjust/internal/data/datatest"
)

// packVariable makes the test program pack a folder and end: "FOLDER to DIR".
const packVariable = "NETADJUST_TEST_PACK"

func TestMain(m *testing.M) {
	if from, to, ok := strings.Cut(os.Getenv(packVariable), " to "); ok {
		if err := Pack(context.Background(), stripes(from, to)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// stripes are the options that tests pack with.
func stripes(folder, dir string) PackOptions {
	return PackOptions{Folder: folder, Dir: dir, Name: "stripes", Size: 32, Side: 36, Log: func(string, ...any) {}}
}

// packedStripes packs a folder and opens the dataset.
func packedStripes(t *testing.T, o PackOptions) *Dataset {
	t.Helper()
	if err := Pack(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	d, err := Open(o.Name, o.Dir)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func splits(t *testing.T, d *Dataset) (train, test *Images) {
	t.Helper()
	train, err := d.Train()
	if err != nil {
		t.Fatal(err)
	}
	if test, err = d.Test(); err != nil {
		t.Fatal(err)
	}
	return train, test
}

// TestPack packs images of all kinds and compares what is in the pack with what the files decode to.
func TestPack(t *testing.T) {
	folder, dir := datatest.Folder(t, 2, 20), t.TempDir()
	encode := func(im image.Image) []byte {
		var b bytes.Buffer
		if err := png.Encode(&b, im); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	gray := image.NewGray(image.Rect(0, 0, 30, 34))
	deep := image.NewRGBA64(image.Rect(5, 5, 35, 39))
	glass := image.NewNRGBA(image.Rect(0, 0, 30, 34))
	for i := range gray.Pix {
		gray.Pix[i] = byte(i)
	}
	for y := range 34 {
		for x := range 30 {
			deep.SetRGBA64(5+x, 5+y, color.RGBA64{uint16(x) << 8, uint16(y)<<8 | 0xff, 0x1234, 0xffff})
			glass.SetNRGBA(x, y, color.NRGBA{200, 100, 50, byte(x % 2 * 255)})
		}
	}
	cmyk, err := os.ReadFile("testdata/cmyk.jpg")
	if err != nil {
		t.Fatal(err)
	}
	fill(t, filepath.Join(folder, "train", "b"), map[string][]byte{
		"gray.png": encode(gray), "deep.PNG": encode(deep), "glass.jpeg": encode(glass), "cmyk.jpg": cmyk,
		"notes.txt": []byte("no image"), ".hidden.png": []byte("no image"),
	})
	var log []string
	o := stripes(folder, dir)
	o.Log = func(format string, args ...any) { log = append(log, fmt.Sprintf(format, args...)) }
	d := packedStripes(t, o)
	want := Info{Name: "stripes", Title: "stripes", Classes: 2, Channels: 3, Height: 32, Width: 32, TrainImages: 44,
		TestImages: 14, HeldOut: 4, Checksum: d.Checksum}
	if diff := cmp.Diff(want, d.Info); diff != "" || len(d.Checksum) != 64 {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if said := strings.Join(log, "\n"); !strings.Contains(said, "1 files are left out") ||
		!strings.Contains(said, "train/b/notes.txt") {
		t.Errorf("log:\n%s", said)
	}

	f, err := listFolder(folder)
	if err != nil {
		t.Fatal(err)
	}
	train, test := splits(t, d)
	if diff := cmp.Diff([][]int{{20, 24}, {7, 7}}, [][]int{train.Count(2), test.Count(2)}); diff != "" {
		t.Errorf("images per class (-want +got):\n%s", diff)
	}
	at := map[string]int{}
	for i, file := range f.images {
		at[file.path] = i
		im, j := train, i
		if i >= train.Len() {
			im, j = test, i-train.Len()
		}
		pixels, height, width, err := f.decode(file.path, 36)
		if err != nil {
			t.Fatal(err)
		}
		if h, w := im.Size(j); h != height || w != width || min(h, w) > 36 || im.Labels[j] != int32(file.label) {
			t.Errorf("%s is %d x %d of class %d", file.path, w, h, im.Labels[j])
		}
		if !bytes.Equal(im.pixels(j), pixels) {
			t.Errorf("%s has other pixels in the pack", file.path)
		}
	}
	// Pixel (x, y) = (3, 2) of the images that are small enough not to be resized, and of the CMYK image, whose left half
	// is green.
	for name, want := range map[string][3]int{
		"train/b/gray.png": {63, 63, 63}, "train/b/deep.PNG": {3, 2, 0x12}, "train/b/glass.jpeg": {200, 100, 50},
		"train/b/cmyk.jpg": {0, 255, 0},
	} {
		i, ok := at[name]
		if !ok {
			t.Fatalf("%s is not in the pack", name)
		}
		h, w := train.Size(i)
		pixels := train.pixels(i)
		for c := range 3 {
			if got := int(pixels[(c*h+2)*w+3]); got > want[c]+4 || got < want[c]-4 {
				t.Errorf("channel %d of %s is %d, want %d", c, name, got, want[c])
			}
		}
	}
	plain := &Images{Channels: 3, Height: 1, Labels: make([]int32, 1)}
	for c := range 3 {
		for i := range train.Len() {
			h, w := train.Size(i)
			plain.Pixels = append(plain.Pixels, train.pixels(i)[c*h*w:(c+1)*h*w]...)
		}
	}
	plain.Width = len(plain.Pixels) / 3
	mean, std := train.Statistics()
	wantMean, wantStd := plain.Statistics()
	diff := cmp.Diff([][]float64{wantMean, wantStd}, [][]float64{mean, std}, cmpopts.EquateApprox(1e-12, 0))
	if diff != "" {
		t.Errorf("statistics (-of the bytes +of the pack):\n%s", diff)
	}
	if err := Verify("stripes", dir); err != nil {
		t.Error(err)
	}
	if infos := List(dir); len(infos) != 5 || infos[4].Name != "stripes" || infos[4].TrainImages != 44 {
		t.Errorf("list: %+v", infos)
	}
	if _, err := Open("stripe", dir); err == nil || !strings.Contains(err.Error(), `did you mean "stripes"?`) {
		t.Errorf("error %v for an unknown name", err)
	}

	again := packedStripes(t, o)
	if said := log[len(log)-1]; again.Checksum != d.Checksum || !strings.Contains(said, "is complete; delete it") {
		t.Errorf("packing again: %s", said)
	}
	o.Size = 24
	wantError(t, Pack(t.Context(), o), "stripes.pack is there already and is something else")
	// Files that were copied have another time but the same content.
	copied := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(copied, os.DirFS(folder)); err != nil {
		t.Fatal(err)
	}
	if other := packedStripes(t, stripes(copied, t.TempDir())); other.Checksum != d.Checksum {
		t.Error("a copy of the folder gives another pack")
	}
}

// TestPackOrder checks that the classes are spread over the training images in their shares, that as many of each as
// the rule says come last, and that other files change nothing in the order of a class.
func TestPackOrder(t *testing.T) {
	classes := func(sizes ...int) (lists [][]imageFile) {
		for label, n := range sizes {
			var list []imageFile
			for i := range n {
				path := fmt.Sprintf("train/%d/%d.png", label, i)
				list = append(list, imageFile{path: path, label: label, key: [32]byte([]byte(hexSum([]byte(path)))[:32])})
			}
			lists = append(lists, list)
		}
		return lists
	}
	order := func(lists [][]imageFile) (front, back []imageFile) {
		shuffle(lists)
		held := holdOut(lists)
		return spread(lists), spread(held)
	}
	front, back := order(classes(600, 300, 6, 3))
	if len(front) != 550+270+5+3 || len(back) != 50+30+1+0 {
		t.Fatalf("%d images and %d held out", len(front), len(back))
	}
	count := make([]int, 4)
	seen := map[string]bool{}
	for i, image := range front {
		count[image.label]++
		seen[image.path] = true
		for label, n := range []int{550, 270, 5, 3} {
			if share := float64(n*(i+1)) / float64(len(front)); math.Abs(float64(count[label])-share) > 1.5 {
				t.Fatalf("%d images of class %d among the first %d, want about %.1f", count[label], label, i+1, share)
			}
		}
	}
	for _, image := range back {
		seen[image.path] = true
	}
	if len(seen) != 909 {
		t.Errorf("%d different images of 909", len(seen))
	}
	if strings.HasSuffix(front[0].path, "/0.png") && strings.HasSuffix(front[1].path, "/0.png") {
		t.Error("images come in the order of their names")
	}
	paths := func(images []imageFile, label int) (list []string) {
		for _, image := range images {
			if image.label == label {
				list = append(list, image.path)
			}
		}
		return list
	}
	other, _ := order(classes(500, 300, 6, 3))
	if diff := cmp.Diff(paths(front, 1), paths(other, 1)); diff != "" {
		t.Errorf("another class changes the order of a class:\n%s", diff)
	}
}

// TestPackCorrupt checks that all corrupt files are named, that what has been packed is kept, and that they are left
// out if asked for.
func TestPackCorrupt(t *testing.T) {
	folder, dir := datatest.Folder(t, 2, 6), t.TempDir()
	whole, err := os.ReadFile(filepath.Join(folder, "train", "a", "train-0.JPEG"))
	if err != nil {
		t.Fatal(err)
	}
	huge := []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x7f\xff\x00\x00\x7f\xff\x08\x02\x00\x00\x00")
	huge = binary.BigEndian.AppendUint32(huge, crc32.ChecksumIEEE(huge[12:]))
	var moving bytes.Buffer
	if err := gif.Encode(&moving, image.NewGray(image.Rect(0, 0, 40, 40)), nil); err != nil {
		t.Fatal(err)
	}
	fill(t, filepath.Join(folder, "train", "a"), map[string][]byte{
		"cut.jpg": whole[:len(whole)/2], "empty.png": nil, "page.jpg": []byte("<html>"), "huge.png": huge,
		"moving.png": moving.Bytes(),
	})
	fill(t, filepath.Join(folder, "val", "b"), map[string][]byte{"cut.jpg": whole[:20]})
	o := stripes(folder, dir)
	for range 2 {
		err = Pack(t.Context(), o)
		wantError(t, err, "6 files cannot be decoded", "train/a/cut.jpg: ", "train/a/empty.png: ", "train/a/page.jpg: ",
			"train/a/huge.png: it has 32767 x 32767 pixels", "train/a/moving.png: it is a gif image",
			"val/b/cut.jpg: ")
		if corrupt := (*CorruptError)(nil); !errors.As(err, &corrupt) || len(corrupt.Files) != 6 {
			t.Errorf("error %v, want *CorruptError with 6 files", err)
		}
	}
	if _, err := Open("stripes", dir); err == nil {
		t.Error("there is a pack in spite of corrupt files")
	}
	var log []string
	o.SkipCorrupt, o.Log = true, func(format string, args ...any) { log = append(log, fmt.Sprintf(format, args...)) }
	d := packedStripes(t, o)
	if d.TrainImages != 12 || d.TestImages != 4 {
		t.Errorf("%d training and %d test images, want 12 and 4", d.TrainImages, d.TestImages)
	}
	if err := Verify("stripes", dir); err != nil {
		t.Error(err)
	}
	// What is left is what a folder without these files has.
	for _, name := range []string{
		"train/a/cut.jpg", "train/a/empty.png", "train/a/page.jpg", "train/a/huge.png", "train/a/moving.png", "val/b/cut.jpg",
	} {
		if err := os.Remove(filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	sums := func(d *Dataset) (sums []string) {
		train, test := splits(t, d)
		for _, im := range []*Images{train, test} {
			for i := range im.Len() {
				sums = append(sums, fmt.Sprint(im.Labels[i], hexSum(im.pixels(i))))
			}
		}
		slices.Sort(sums)
		return sums
	}
	if diff := cmp.Diff(sums(packedStripes(t, stripes(folder, t.TempDir()))), sums(d)); diff != "" {
		t.Errorf("images (-without the corrupt files +leaving them out):\n%s", diff)
	}
	if said := strings.Join(log, "\n"); !strings.Contains(said, "going on after 22 of 22 images") ||
		!strings.Contains(said, "left out train/a/cut.jpg, which is corrupt") {
		t.Errorf("log:\n%s", said)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestPackSurvivesKills ends a real process that packs, at moments at which its file has grown further, and compares
// the result with that of a process that nobody disturbed.
func TestPackSurvivesKills(t *testing.T) {
	folder, dir := datatest.Folder(t, 3, 60), t.TempDir()
	packing := func(dir string) *exec.Cmd {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), packVariable+"="+folder+" to "+dir)
		cmd.Stderr = os.Stderr
		return cmd
	}
	calm := t.TempDir()
	if err := packing(calm).Run(); err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(filepath.Join(calm, "stripes.pack"))
	if err != nil {
		t.Fatal(err)
	}
	grown := func() int {
		parts, _ := filepath.Glob(filepath.Join(dir, ".stripes.pack.*.part"))
		if len(parts) == 0 {
			return 0
		}
		info, err := os.Stat(parts[0])
		if err != nil {
			return 0
		}
		return int(info.Size())
	}
	kills := 0
	for i := range 5 {
		cmd := packing(dir)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		for over := false; !over; {
			select {
			case err := <-ended:
				if over = true; err != nil {
					t.Fatalf("packing failed: %v", err)
				}
			case <-time.After(200 * time.Microsecond):
				if grown() > (2*i+1)*len(want)/12 {
					_ = cmd.Process.Kill()
					if <-ended != nil {
						kills++
					}
					over = true
				}
			}
		}
		// What a machine that loses its power leaves behind may end anywhere, and in zeros.
		if parts, _ := filepath.Glob(filepath.Join(dir, ".stripes.pack.*.part")); len(parts) == 1 && i%2 == 1 {
			if err := os.Truncate(parts[0], int64(grown()-1000)); err == nil {
				_ = os.Truncate(parts[0], int64(grown()+5000))
			}
		}
	}
	if kills < 2 {
		t.Fatalf("only %d of 5 processes were killed before they were through", kills)
	}
	if err := packing(dir).Run(); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(dir, "stripes.pack"))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("the pack differs from one that was made at once: %d and %d bytes, %v", len(got), len(want), err)
	}
}

// TestPackStopped stops packing by its context, and then changes the folder.
func TestPackStopped(t *testing.T) {
	folder, dir := datatest.Folder(t, 2, 30), t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	o := stripes(folder, dir)
	if err := Pack(ctx, o); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if err := os.Remove(filepath.Join(folder, "val", "a", "val-0.JPEG")); err != nil {
		t.Fatal(err)
	}
	var log []string
	o.Log = func(format string, args ...any) { log = append(log, fmt.Sprintf(format, args...)) }
	d := packedStripes(t, o)
	if d.TestImages != 19 || !strings.Contains(log[0], "the folder or the settings have changed") {
		t.Errorf("%d test images, log:\n%s", d.TestImages, strings.Join(log, "\n"))
	}
}

// TestPackDamaged changes a pack wherever it hurts.
func TestPackDamaged(t *testing.T) {
	folder, dir := datatest.Folder(t, 2, 5), t.TempDir()
	d := packedStripes(t, stripes(folder, dir))
	path := filepath.Join(dir, "stripes.pack")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	p := d.pack
	for name, tt := range map[string]struct {
		at, cut int
		want    string
	}{
		"cut":     {-1, 1, "it does not end as a pack does"},
		"shorter": {-1, len(whole) - 10, "it has only 10 bytes"},
		"front":   {0, 0, ""},
		"image":   {entrySize + 5, 0, "the image at byte 96 does not have its SHA-256"},
		"index":   {int(p.index) + 3, 0, "its index has SHA-256"},
		"header":  {len(whole) - footerSize - 3, 0, "its header does not have its SHA-256"},
		"magic":   {len(whole) - 3, 0, "it does not end as a pack does"},
		"length":  {len(whole) - footerSize + 6, 0, "its header has"},
	} {
		broken := bytes.Clone(whole[:len(whole)-tt.cut])
		if tt.at >= 0 {
			broken[tt.at] ^= 1
		}
		fill(t, dir, map[string][]byte{"stripes.pack": broken})
		err := Verify("stripes", dir)
		switch {
		case tt.want != "":
			wantError(t, err, path, tt.want, "netadjust data pack")
		case err != nil:
			t.Errorf("%s: %v, but an entry before an image is only there to go on after a kill", name, err)
		}
	}
	// What is in memory already is not what counts: the file is read again.
	broken := bytes.Clone(whole)
	broken[entrySize+5] ^= 1
	fill(t, dir, map[string][]byte{"stripes.pack": broken})
	damaged, err := Open("stripes", dir)
	if err != nil {
		t.Fatal(err)
	}
	train, err := damaged.Train()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := train.Fetch([]int{1, 2}, nil); err != nil {
		t.Error(err)
	}
	_, err = train.Fetch([]int{1, 0}, nil)
	wantError(t, err, path+" is damaged: the image at byte 96")
}

// TestPackOptions checks what is wrong with options and folders.
func TestPackOptions(t *testing.T) {
	good := stripes(datatest.Folder(t, 2, 2), t.TempDir())
	folder := func(change func(dir string) error) PackOptions {
		o := good
		o.Folder = datatest.Folder(t, 2, 2)
		if err := change(o.Folder); err != nil {
			t.Fatal(err)
		}
		return o
	}
	with := func(change func(o *PackOptions)) PackOptions {
		o := good
		change(&o)
		return o
	}
	for _, tt := range []struct {
		o    PackOptions
		want string
	}{
		{with(func(o *PackOptions) { o.Name = "mnist" }), "mnist is the name of a dataset that is known already"},
		{with(func(o *PackOptions) { o.Name = "../x" }), `name "../x": want letters`},
		{with(func(o *PackOptions) { o.Size = 4 }), "size 4 and side 36: want a size of 8 or more"},
		{with(func(o *PackOptions) { o.Side = 31 }), "size 32 and side 31: want"},
		{with(func(o *PackOptions) { o.Folder = t.TempDir() }), "train is missing: a folder of images has train/CLASS/FILE"},
		{folder(func(dir string) error { return os.RemoveAll(filepath.Join(dir, "val")) }), "val is missing"},
		{folder(func(dir string) error { return os.RemoveAll(filepath.Join(dir, "train", "b")) }), "train has 1 folders"},
		{folder(func(dir string) error { return os.Mkdir(filepath.Join(dir, "val", "c"), 0o755) }), "c is no class"},
		{folder(func(dir string) error { return os.Mkdir(filepath.Join(dir, "train", "c"), 0o755) }), "c has no image"},
		{folder(func(dir string) error { return os.Mkdir(filepath.Join(dir, "val", "a", "x.png"), 0o755) }),
			"x.png is not a regular file"},
		{folder(func(dir string) error { return os.WriteFile(filepath.Join(dir, "val", "x.png"), nil, 0o644) }),
			"x.png is in no folder of a class"},
	} {
		wantError(t, Pack(t.Context(), tt.o), tt.want)
	}
	if err := os.CopyFS(filepath.Join(good.Dir, "raw"), os.DirFS(good.Folder)); err != nil {
		t.Fatal(err)
	}
	_, err := Open("raw", good.Dir)
	raw := filepath.Join(good.Dir, "raw")
	wantError(t, err, raw+" is a folder of images that is not packed; run `netadjust data pack "+raw+"`")
	if infos := List(good.Dir); len(infos) != 5 || infos[4].Name != "raw" || infos[4].TrainImages != 0 {
		t.Errorf("list: %+v", infos)
	}
}

func TestCenter(t *testing.T) {
	im := &Images{Channels: 3, Height: 224, Width: 224, Labels: make([]int32, 3), packed: &packed{
		side: 256, entries: []entry{{Height: 256, Width: 341}, {Height: 200, Width: 100}, {Height: 1, Width: 3}},
	}}
	for i, want := range []Box{{16, 58, 224, 224}, {56, 6, 88, 88}, {0, 1, 1, 1}} {
		if got := im.Center(i); got != want {
			t.Errorf("image %d: %v, want %v", i, got, want)
		}
	}
}
