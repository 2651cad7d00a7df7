package experiments

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Cell is the smallest unit that is run and resumed: one search and one final training. It holds everything in an
// experiment file that decides the cell's numbers, and nothing else.
type Cell struct {
	Network string `json:"network"`
	// Description is what the file says that Network was read from, "" for a network of a known family.
	Description string  `json:"description,omitempty"`
	Width       float64 `json:"width"`   // multiplier of the network's own widths
	Padding     string  `json:"padding"` // residual width rule, "max" or "local"
	Dataset     string  `json:"dataset"`
	Method      string  `json:"method"`
	Variant     string  `json:"variant,omitempty"` // name of the settings, where an experiment has several for one method
	Budget      Budget  `json:"budget"`
	Seed        uint64  `json:"seed"`
	Data        Data    `json:"data"` // resolved for Dataset: no field stands for a default
	Train       Train   `json:"train"`
	Search      *Search `json:"search,omitempty"` // nil if Method does not read [search]
	Prune       *Prune  `json:"prune,omitempty"`  // nil if Method does not read [prune]; Epochs is resolved
	// Checksum is that of a dataset whose content can change under its name: with other images it is another cell.
	Checksum string `json:"dataset_checksum,omitempty"`
	// Finetune is how the final training goes on with the weights that Method leaves, nil where it starts from scratch.
	Finetune *Finetune `json:"finetune,omitempty"`
	Channels []int     `json:"channels,omitempty"` // widths that are given to Method, nil if it reads none
	RoundTo  int       `json:"round_to,omitempty"` // of widths; 0 for 1
}

// The values of the axis "final".
const (
	scratch  = "scratch"
	finetune = "finetune"
)

// final is the cell's value of that axis.
func (c Cell) final() string {
	if c.Finetune != nil {
		return finetune
	}
	return scratch
}

// FullVariant names what tells the cell from others of its method in results: its variant, and whether it is finetuned.
func (c Cell) FullVariant() string {
	if c.Finetune == nil {
		return c.Variant
	}
	return strings.TrimPrefix(c.Variant+", "+finetune, ", ")
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
// coordinates (the padding only if it is not "max", the variant only if there is one) and the first 12 hexadecimal
// digits of the SHA-256 of [Cell.Canonical], which also tells cells apart that differ in a setting only.
func (c Cell) ID() string {
	width := "w" + strconv.FormatFloat(c.Width, 'g', -1, 64)
	if c.Padding != "max" {
		width += "-" + c.Padding
	}
	method := c.Method
	if c.Variant != "" {
		method += "-" + c.Variant
	}
	if c.Finetune != nil {
		method += "-" + finetune
	}
	id := fmt.Sprintf("%s-%s-%s-%s-%s-s%d-%.6x", c.Network, width, c.Dataset, method, c.Budget, c.Seed,
		sha256.Sum256(c.Canonical()))
	return unsafeInID.ReplaceAllString(id, "-")
}

// fill gives the cell the settings that its method reads, with defaults resolved, and reports those that cannot hold.
func (c *Cell) fill(s Settings, catalog Catalog, report func(key string, err error)) {
	method, dataset := catalog.method(c.Method), catalog.dataset(c.Dataset)
	c.Data, c.Train, c.Checksum = s.Data.resolve(dataset), s.Train.used(), dataset.Checksum
	if method.Searches {
		if s.initFrom != "" {
			var err error
			if s.Search.Init, err = catalog.Widths(s.initFrom); err != nil {
				report("search.init", err)
			}
		}
		same := c.Train
		same.Epochs = s.Search.Epochs
		if recipe := s.searchRecipe().used(); recipe != same {
			s.Search.Train = &recipe
		}
		c.Search = &s.Search
	}
	if method.Prunes {
		if s.Prune.Epochs == 0 {
			s.Prune.Epochs = s.Train.Epochs
		}
		s.Prune = s.Prune.only(method.pruneKeys())
		c.Prune = &s.Prune
	}
	if c.Finetune != nil {
		c.Finetune = &s.Finetune
	}
	if method.Given {
		c.Channels = s.Width.channels(catalog, s.channelsFrom, report)
	}
	if s.Width.RoundTo > 1 {
		c.RoundTo = s.Width.RoundTo
		if c.Finetune != nil {
			report("width.round_to", fmt.Errorf("must be 1 with final = %q: there are no weights for channels that "+
				"rounding adds, not %d", finetune, c.RoundTo))
		}
	}
	d := c.Data
	switch {
	case d.Train < 1:
		report("data.validation", fmt.Errorf("must be less than the %d training images of %s, not %d",
			dataset.Train, dataset.Name, d.Validation))
	case d.Train+d.Validation > dataset.Train:
		report("data.train", fmt.Errorf("train (%d) and validation (%d) together must be at most the %d training images "+
			"of %s", d.Train, d.Validation, dataset.Train, dataset.Name))
	case d.Validation < 1 && (method.Searches || method.Prunes):
		report("data.validation", fmt.Errorf("missing; method %q needs held-out images", method.Name))
	}
	if d.Test > dataset.Test {
		report("data.test", fmt.Errorf("must be at most the %d test images of %s, not %d",
			dataset.Test, dataset.Name, d.Test))
	}
	c.Train.check("train", "train.epochs", d.Train, report)
	if c.Search != nil {
		at := "train"
		if c.Search.Train != nil {
			at = "search.train"
		}
		c.SearchRecipe().check(at, "search.epochs", d.Train, report)
	}
	if c.Prune != nil && c.Prune.Epochs > 0 {
		start := c.Train
		start.Epochs = c.Prune.Epochs
		start.check("train", "prune.epochs", d.Train, report)
	}
}

// SearchRecipe returns the recipe of the trainings of a cell that searches.
func (c Cell) SearchRecipe() Train {
	if c.Search.Train != nil {
		return *c.Search.Train
	}
	recipe := c.Train
	recipe.Epochs = c.Search.Epochs
	return recipe
}

// check reports values of the recipe at a path that do not fit together or to the number of images. epochs is the key
// that sets its length.
func (r Train) check(at, epochs string, images int, report func(key string, err error)) {
	if images > 0 && r.Batch > images {
		report(at+".batch", fmt.Errorf("must be at most the %d images of data.train, not %d", images, r.Batch))
	}
	for _, rate := range []struct {
		key   string
		value float64
	}{{"min_learning_rate", r.MinLearningRate}, {"warmup_learning_rate", r.WarmupLearningRate}} {
		if rate.value > r.LearningRate {
			report(at+"."+rate.key, fmt.Errorf("must be at most %s.learning_rate (%v), not %v",
				at, r.LearningRate, rate.value))
		}
	}
	if r.WarmupEpochs > 0 && r.WarmupEpochs >= r.Epochs {
		report(at+".warmup_epochs", fmt.Errorf("must be less than %s (%d), not %d", epochs, r.Epochs, r.WarmupEpochs))
	}
}
