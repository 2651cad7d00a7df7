package harness

import (
	"fmt"
	"sync"

	"netadjust/experiments"
	"netadjust/internal/data"
	"netadjust/internal/train"
)

// images are the parts of a dataset that a cell uses. The test set is not among them: it is opened when a network is
// finished, and only then.
type images struct {
	dataset    *data.Dataset
	checksum   string
	norm       train.Normalization // of the whole training set
	train      *data.Images        // for searching
	validation *data.Images        // held out while searching
	both       *data.Images        // for the final training
	test       int                 // how many test images count
}

// openTest reads the test images.
func (i *images) openTest() (*data.Images, error) {
	test, err := i.dataset.Test()
	if err != nil {
		return nil, err
	}
	return test.Slice(0, i.test)
}

// library opens each dataset once.
type library struct {
	dir  string
	mu   sync.Mutex
	open map[string]*openDataset
	sums map[string]string // checksums
}

type openDataset struct {
	dataset *data.Dataset
	train   *data.Images
	norm    train.Normalization
}

func newLibrary(dir string) *library {
	return &library{dir: dir, open: map[string]*openDataset{}, sums: map[string]string{}}
}

func (l *library) dataset(name string) (*openDataset, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if d := l.open[name]; d != nil {
		return d, nil
	}
	d := &openDataset{}
	var err error
	if d.dataset, err = data.Open(name, l.dir); err != nil {
		return nil, err
	}
	if d.train, err = d.dataset.Train(); err != nil {
		return nil, err
	}
	if d.norm, err = train.NormalizationOf(d.train); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	l.open[name] = d
	return d, nil
}

// checksum returns the checksum of a dataset, "" if it is not there.
func (l *library) checksum(name string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.sums[name]; !ok {
		if d, err := data.Open(name, l.dir); err == nil {
			l.sums[name] = d.Checksum
		} else {
			l.sums[name] = ""
		}
	}
	return l.sums[name]
}

// images cuts a dataset as a cell asks.
func (l *library) images(name string, want experiments.Data) (*images, error) {
	d, err := l.dataset(name)
	if err != nil {
		return nil, err
	}
	i := &images{dataset: d.dataset, checksum: d.dataset.Checksum, norm: d.norm, test: want.Test}
	if i.train, err = d.train.Slice(0, want.Train); err != nil {
		return nil, err
	}
	if i.both, err = d.train.Slice(0, want.Train+want.Validation); err != nil {
		return nil, err
	}
	if want.Validation > 0 {
		i.validation, err = d.train.Slice(want.Train, want.Train+want.Validation)
	}
	return i, err
}
