package experiments

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
)

// Cell is the smallest unit that is run and resumed: one search and one final training. It holds everything in an
// experiment file that decides the cell's numbers, and nothing else.
type Cell struct {
	Network string  `json:"network"`
	Width   float64 `json:"width"`   // multiplier of the network's own widths
	Padding string  `json:"padding"` // residual width rule, "max" or "local"
	Dataset string  `json:"dataset"`
	Method  string  `json:"method"`
	Budget  Budget  `json:"budget"`
	Seed    uint64  `json:"seed"`
	Data    Data    `json:"data"` // resolved for Dataset: no field stands for a default
	Train   Train   `json:"train"`
	Search  *Search `json:"search,omitempty"` // nil if Method does not read [search]
	Prune   *Prune  `json:"prune,omitempty"`  // nil if Method does not read [prune]; Epochs is resolved
}

// Canonical returns the cell as compact JSON with a fixed order of fields. Cells are equal exactly if these bytes are.
func (c Cell) Canonical() []byte {
	text, err := json.Marshal(c)
	if err != nil {
		panic(err) // only a NaN or an infinity could do this, and Parse lets none through
	}
	return text
}

var unsafeInID = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// ID names the cell for people and folders, such as resnet20-w0.5-fashion-mnist-adjust-b0.5-s1-3fa94c01d2e8: its
// coordinates (the padding only if it is not "max") and the first 12 hexadecimal digits of the SHA-256 of
// [Cell.Canonical], which also tells cells apart that differ in a setting only.
func (c Cell) ID() string {
	width := "w" + strconv.FormatFloat(c.Width, 'g', -1, 64)
	if c.Padding != "max" {
		width += "-" + c.Padding
	}
	id := fmt.Sprintf("%s-%s-%s-%s-%s-s%d-%.6x", c.Network, width, c.Dataset, c.Method, c.Budget, c.Seed,
		sha256.Sum256(c.Canonical()))
	return unsafeInID.ReplaceAllString(id, "-")
}

// fill gives the cell the settings that its method reads, with defaults resolved, and reports those that cannot hold.
func (c *Cell) fill(s Settings, catalog Catalog, report func(key string, err error)) {
	method, dataset := catalog.method(c.Method), catalog.dataset(c.Dataset)
	c.Data, c.Train = s.Data.resolve(dataset), s.Train
	if method.Searches {
		c.Search = &s.Search
	}
	if method.Prunes {
		if s.Prune.Epochs == 0 {
			s.Prune.Epochs = s.Train.Epochs
		}
		c.Prune = &s.Prune
	}
	d, t := c.Data, c.Train
	switch {
	case d.Train < 1:
		report("data.validation", fmt.Errorf("must be less than the %d training images of %s, not %d",
			dataset.Train, dataset.Name, d.Validation))
	case d.Train+d.Validation > dataset.Train:
		report("data.train", fmt.Errorf("train (%d) and validation (%d) together must be at most the %d training images "+
			"of %s", d.Train, d.Validation, dataset.Train, dataset.Name))
	case d.Validation < 1 && (method.Searches || method.Prunes):
		report("data.validation", fmt.Errorf("missing; method %q needs held-out images", method.Name))
	case t.Batch > d.Train:
		report("train.batch", fmt.Errorf("must be at most the %d images of data.train, not %d", d.Train, t.Batch))
	}
	if d.Test > dataset.Test {
		report("data.test", fmt.Errorf("must be at most the %d test images of %s, not %d",
			dataset.Test, dataset.Name, d.Test))
	}
	if t.MinLearningRate > t.LearningRate {
		report("train.min_learning_rate", fmt.Errorf("must be at most train.learning_rate (%v), not %v",
			t.LearningRate, t.MinLearningRate))
	}
}
