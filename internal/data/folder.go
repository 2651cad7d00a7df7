package data

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"image"
	"image/draw"
	_ "image/jpeg" // for image.Decode
	_ "image/png"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// folder is a folder of images, train/CLASS/FILE and val/CLASS/FILE. The classes are the folders in train, sorted by
// name.
type folder struct {
	dir     string
	classes []string
	images  []imageFile // those of train, then those of val, both spread
	train   int         // how many are of train
	held    int         // the last of these are held out for validation
	others  []string    // files that are no images by their names
}

// imageFile is one file of a folder of images.
type imageFile struct {
	path  string // below the folder, with slashes
	label int
	stamp string            // size and time of change
	key   [sha256.Size]byte // of the path, to order files by
}

// extensions are those of image files, in lower case. What a file holds is told from its content.
var extensions = []string{".jpg", ".jpeg", ".png"}

// listFolder finds the images of a folder. It opens none of them.
func listFolder(dir string) (*folder, error) {
	f := &folder{dir: dir}
	var err error
	if f.classes, err = f.folders("train"); err != nil {
		return nil, err
	}
	tested, err := f.folders("val")
	if err != nil {
		return nil, err
	}
	if len(f.classes) < 2 {
		return nil, fmt.Errorf("%s has %d folders, want one for each of two classes or more",
			filepath.Join(dir, "train"), len(f.classes))
	}
	for _, class := range tested {
		if !slices.Contains(f.classes, class) {
			return nil, fmt.Errorf("%s is no class: there is no %s",
				filepath.Join(dir, "val", class), filepath.Join(dir, "train", class))
		}
	}
	train, err := f.files("train", f.classes)
	if err != nil {
		return nil, err
	}
	test, err := f.files("val", tested)
	if err != nil {
		return nil, err
	}
	shuffle(train)
	shuffle(test)
	held := holdOut(train)
	f.images = slices.Concat(spread(train), spread(held))
	f.train, f.held = len(f.images), len(slices.Concat(held...))
	f.images = append(f.images, spread(test)...)
	return f, nil
}

// folders lists the folders in a split, by name.
func (f *folder) folders(split string) ([]string, error) {
	dir := filepath.Join(f.dir, split)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is missing: a folder of images has train/CLASS/FILE and val/CLASS/FILE", dir)
	}
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		info, err := os.Stat(filepath.Join(dir, e.Name())) // where a link leads to
		switch {
		case err != nil:
			return nil, err
		case info.IsDir():
			names = append(names, e.Name())
		case slices.Contains(extensions, strings.ToLower(filepath.Ext(e.Name()))):
			return nil, fmt.Errorf("%s is in no folder of a class: want %s/CLASS/%s",
				filepath.Join(dir, e.Name()), dir, e.Name())
		default:
			f.others = append(f.others, path.Join(split, e.Name()))
		}
	}
	return names, nil
}

// files lists the images of some classes by class.
func (f *folder) files(split string, classes []string) ([][]imageFile, error) {
	lists := make([][]imageFile, len(f.classes))
	for _, class := range classes {
		dir := filepath.Join(f.dir, split, class)
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		label := slices.Index(f.classes, class)
		for _, e := range entries {
			name := path.Join(split, class, e.Name())
			if strings.HasPrefix(e.Name(), ".") {
				continue
			}
			if !slices.Contains(extensions, strings.ToLower(filepath.Ext(name))) {
				f.others = append(f.others, name)
				continue
			}
			info, err := os.Stat(filepath.Join(dir, e.Name()))
			if err != nil {
				return nil, err
			}
			if !info.Mode().IsRegular() {
				return nil, fmt.Errorf("%s is not a regular file", filepath.Join(dir, e.Name()))
			}
			lists[label] = append(lists[label], imageFile{
				path: name, label: label, key: sha256.Sum256([]byte(name)),
				stamp: fmt.Sprint(info.Size(), info.ModTime().UnixNano()),
			})
		}
		if len(lists[label]) == 0 {
			return nil, fmt.Errorf("%s has no image: want files named *.jpg, *.jpeg or *.png", dir)
		}
	}
	return lists, nil
}

// heldOut is how many images of a class are held out for validation: a tenth, but no more than 50, which is what
// method comparisons on ImageNet hold out of its training set.
func heldOut(images int) int { return min(50, (images+5)/10) }

// shuffle puts the images of each class into an order that only their paths decide.
func shuffle(classes [][]imageFile) {
	for _, images := range classes {
		slices.SortFunc(images, func(a, b imageFile) int { return bytes.Compare(a.key[:], b.key[:]) })
	}
}

// holdOut takes the last shuffled images of each class away, to be held out.
func holdOut(classes [][]imageFile) (held [][]imageFile) {
	for label, images := range classes {
		cut := len(images) - heldOut(len(images))
		classes[label] = images[:cut]
		held = append(held, images[cut:])
	}
	return held
}

// spread puts the shuffled images of all classes into one order. Subsets of a dataset are its first images, so these
// must not be all of the first classes: every run of images has each class in about its share.
func spread(classes [][]imageFile) []imageFile {
	all := slices.Concat(classes...)
	at := map[[sha256.Size]byte]float64{} // place in the class, from 0 to 1
	for _, images := range classes {
		for i, image := range images {
			at[image.key] = (float64(i) + 0.5) / float64(len(images))
		}
	}
	slices.SortFunc(all, func(a, b imageFile) int {
		return cmp.Or(cmp.Compare(at[a.key], at[b.key]), bytes.Compare(a.key[:], b.key[:]))
	})
	return all
}

// state identifies the files of the folder as they are now: packing goes on where it was stopped only if none changed.
func (f *folder) state(settings string) string {
	h := sha256.New()
	fmt.Fprintln(h, settings)
	for _, image := range f.images {
		fmt.Fprintln(h, image.path, image.label, image.stamp)
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// mostPixels bounds the images that are decoded, so that a few bytes cannot ask for all memory.
const mostPixels = 1 << 28

// decode reads an image file as planar red, green and blue bytes, scaled down so that the short side has at most side
// pixels. Gray, CMYK and 16-bit images become 8-bit colours, and what is transparent becomes black.
func (f *folder) decode(name string, side int) (pixels []byte, height, width int, err error) {
	content, err := os.ReadFile(filepath.Join(f.dir, filepath.FromSlash(name)))
	if err != nil {
		return nil, 0, 0, err
	}
	config, format, err := image.DecodeConfig(bytes.NewReader(content))
	if err != nil {
		return nil, 0, 0, &corrupt{err}
	}
	if format != "jpeg" && format != "png" { // of which other packages of the program know more
		return nil, 0, 0, &corrupt{fmt.Errorf("it is a %s image, want JPEG or PNG", format)}
	}
	if config.Width < 1 || config.Height < 1 || config.Width > mostPixels/config.Height {
		return nil, 0, 0, &corrupt{fmt.Errorf("it has %d x %d pixels", config.Width, config.Height)}
	}
	decoded, _, err := image.Decode(bytes.NewReader(content))
	if err != nil {
		return nil, 0, 0, &corrupt{err}
	}
	pixels, height, width = planar(decoded)
	if short := min(height, width); short > side {
		h, w := height*side/short, width*side/short
		small := make([]byte, 3*h*w)
		resample(pixels, height, width, Box{Height: height, Width: width}, small, h, w, 3)
		pixels, height, width = small, h, w
	}
	return pixels, height, width, nil
}

// corrupt is the error of a file that is no image or not a whole one.
type corrupt struct{ error }

func (c *corrupt) Unwrap() error { return c.error }

// planar returns the red, green and blue planes of an image.
func planar(from image.Image) (pixels []byte, height, width int) {
	size := from.Bounds().Size()
	rgba := image.NewRGBA(image.Rectangle{Max: size})
	draw.Draw(rgba, rgba.Bounds(), from, from.Bounds().Min, draw.Src)
	area := size.X * size.Y
	pixels = make([]byte, 3*area)
	for i := range area {
		pixels[i], pixels[area+i], pixels[2*area+i] = rgba.Pix[4*i], rgba.Pix[4*i+1], rgba.Pix[4*i+2]
	}
	return pixels, size.Y, size.X
}
