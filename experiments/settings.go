package experiments

import (
	"fmt"
	"maps"
	"math"
	"path/filepath"
)

// Settings is how cells are trained, searched and pruned. The JSON names are the keys of the experiment file. A tag
// "zero" is how the zero value of a setting is written there.
type Settings struct {
	Data   Data   `json:"data"`
	Train  Train  `json:"train"`
	Search Search `json:"search"`
	Prune  Prune  `json:"prune"`

	searchTrain map[string]any // the keys of [search.train], checked; see [Search]
	initFrom    string         // path of the cell that search.init names, if it does
}

// Data says which images of a dataset are used. A search trains on the first Train images of the training set and
// validates on the next Validation ones, in file order; a final training uses both. The finished network is tested on
// the first Test images of the test set. See [Defaults] for 0.
type Data struct {
	Train      int `json:"train"`
	Validation int `json:"validation"`
	Test       int `json:"test"`
}

// Train is the one recipe of every final training: SGD with momentum, and a learning rate that falls along a cosine,
// constant within an epoch. What is left out of the JSON is zero where the cell does not use it.
type Train struct {
	Epochs          int     `json:"epochs"`
	Batch           int     `json:"batch"` // images per step
	LearningRate    float64 `json:"learning_rate"`
	MinLearningRate float64 `json:"min_learning_rate"` // where the cosine ends
	Momentum        float64 `json:"momentum"`
	WeightDecay     float64 `json:"weight_decay"`    // of all parameters
	LabelSmoothing  float64 `json:"label_smoothing"` // share of the target spread over all classes
	Augment         string  `json:"augment"`         // "pad-crop-flip", "pad-crop", "resized-crop-flip" or "none"

	WarmupEpochs       int     `json:"warmup_epochs,omitempty"`         // before the cosine takes over
	WarmupLearningRate float64 `json:"warmup_learning_rate,omitempty"`  // of the first of them
	DropRate           float64 `json:"drop_rate,omitempty"`             // of channel dropout in all trainings
	DropGrowsWithEpoch bool    `json:"drop_grows_with_epoch,omitempty"` // from 0 in the first epoch
	DropGrowsWithDepth bool    `json:"drop_grows_with_depth,omitempty"` // up to DropRate in the last layer
}

// Search is how network adjustment searches. Its trainings follow [Train] but for their Epochs, and but for the keys of
// [search.train] if the file has them: the paper's code trains ImageNet networks otherwise while it searches.
type Search struct {
	Epochs          int     `json:"epochs"`            // of each of the trainings
	Iterations      int     `json:"iterations"`        // trainings, each followed by one update of the widths
	LayersPerUpdate int     `json:"layers_per_update"` // layers that grow, and layers that shrink, in the first update
	LayersDecay     float64 `json:"layers_decay"`      // how much LayersPerUpdate falls per iteration
	Rate            float64 `json:"rate"`              // step of a layer, relative to its start width
	RateDecay       float64 `json:"rate_decay"`        // how much Rate falls per rank
	DropRate        float64 `json:"drop_rate"`         // mean channel dropout rate of the FLOPs utilization ratio
	Repeats         int     `json:"repeats"`           // dropout draws per layer
	// Reference asks for the rules of the paper's code instead of the corrected ones. It is left out of the JSON where it
	// is false, so that cells keep the ids that they had before there was such a key.
	Reference bool `json:"reference,omitempty"`
	// FUR is what the ratio is measured by: "" for the loss, or "accuracy". FURImages is what it is measured on: "" for
	// the held-out images, or "training" for as many of those trained on.
	FUR       string `json:"fur,omitempty" zero:"loss"`
	FURImages string `json:"fur_images,omitempty" zero:"validation"`
	// Init are the widths that the search starts from, scaled to the budget, nil for those of the network. A file can also
	// name the cell that has ended with them; what counts are the widths.
	Init     []int `json:"init,omitempty" zero:"uniform"`
	EarlyEnd bool  `json:"early_end,omitempty"` // stop when widths repeat or ratios differ by their standard errors only
	// Train is the whole recipe of the trainings, nil where it is that of the cell but for Epochs.
	Train *Train `json:"train,omitempty"`
}

// Prune is how pruners make the network that they start from. Its training follows [Train] but for its Epochs.
type Prune struct {
	StartFLOPs float64 `json:"start_flops"` // FLOPs of the start network, relative to the budget
	Epochs     int     `json:"epochs"`      // of the start network's training; 0: as Train.Epochs
}

// Defaults returns the settings of an empty experiment file. The recipe is that of the paper's code for CIFAR. In Data
// three zeros stand for a split that depends on the dataset: without Train and Validation 90 % of the training images
// are for training and the others for validation, or as the dataset says, without Train alone it is what Validation
// leaves, without Validation alone there is none; without Test it is the whole test set.
func Defaults() Settings {
	s := Settings{Prune: Prune{StartFLOPs: 2, Epochs: 0}}
	s.presetTrain("default")
	s.presetSearch("default")
	return s
}

// most is the largest count that is believed; it keeps products of two counts within 64 bits.
const most = 1e9

// read overwrites the settings that t has keys for, and reports values that are not allowed.
func (s *Settings) read(t *table) {
	t.section("data", func(t *table) {
		scalar(t, "train", &s.Data.Train, integer(atLeast(1, most)))
		scalar(t, "validation", &s.Data.Validation, integer(atLeast(1, most)))
		scalar(t, "test", &s.Data.Test, integer(atLeast(0, most)))
	})
	t.section("train", func(t *table) {
		preset(t, trainPresets, s.presetTrain)
		scalar(t, "epochs", &s.Train.Epochs, integer(atLeast(1, most)))
		s.Train.read(t)
	})
	t.section("search", func(t *table) {
		preset(t, searchPresets, s.presetSearch)
		scalar(t, "epochs", &s.Search.Epochs, integer(atLeast(1, most)))
		scalar(t, "iterations", &s.Search.Iterations, integer(atLeast(1, most)))
		scalar(t, "layers_per_update", &s.Search.LayersPerUpdate, integer(atLeast(1, most)))
		scalar(t, "layers_decay", &s.Search.LayersDecay, number(atLeast(0, most)))
		scalar(t, "rate", &s.Search.Rate, number(moreThan(0, 1)))
		scalar(t, "rate_decay", &s.Search.RateDecay, number(atLeast(0, 1)))
		scalar(t, "drop_rate", &s.Search.DropRate, number(moreThan(0, 0.5)))
		scalar(t, "repeats", &s.Search.Repeats, integer(atLeast(1, most)))
		scalar(t, "reference", &s.Search.Reference, boolean)
		scalar(t, "fur", &s.Search.FUR, oneOfOr("loss", "accuracy"))
		scalar(t, "fur_images", &s.Search.FURImages, oneOfOr("validation", "training"))
		s.readInit(t)
		scalar(t, "early_end", &s.Search.EarlyEnd, boolean)
		t.section("train", func(t *table) {
			var recipe Train
			recipe.read(t)
			s.searchTrain = maps.Clone(s.searchTrain)
			maps.Copy(s.searchTrain, t.keys)
		})
	})
	t.section("prune", func(t *table) {
		scalar(t, "start_flops", &s.Prune.StartFLOPs, number(moreThan(1, 16)))
		scalar(t, "epochs", &s.Prune.Epochs, integer(atLeast(0, most)))
	})
}

// readInit reads search.init: "uniform", a list of widths, or the path of a cell relative to the file.
func (s *Settings) readInit(t *table) {
	v, ok := t.lookup("init")
	if !ok {
		return
	}
	s.Search.Init, s.initFrom = nil, ""
	path, isText := v.(string)
	switch items, isList := v.([]any); {
	case isText && path != "" && path != "uniform":
		if s.initFrom = path; !filepath.IsAbs(path) {
			s.initFrom = filepath.Join(filepath.Dir(t.file), path)
		}
	case isList && len(items) > 0:
		width := integer(atLeast(1, most))
		for i, item := range items {
			w, err := width(item)
			if err != nil {
				t.add(fmt.Sprintf("%s[%d]", t.at("init"), i+1), err)
			}
			s.Search.Init = append(s.Search.Init, w)
		}
	case path != "uniform":
		t.add(t.at("init"), fmt.Errorf("must be \"uniform\", a list with the channels of each adjustable layer, or the "+
			"folder of a finished cell, not %s", describe(v)))
	}
}

// preset calls use with the name at key preset, if there is one. It has to come before the keys that override it.
func preset[T any](t *table, presets map[string]T, use func(name string)) {
	var name string
	scalar(t, "preset", &name, oneOf(sortedKeys(presets)...))
	if name != "" {
		use(name)
	}
}

// read overwrites what t has keys for: all of a recipe but its length.
func (r *Train) read(t *table) {
	scalar(t, "batch", &r.Batch, integer(atLeast(2, most)))
	scalar(t, "learning_rate", &r.LearningRate, number(moreThan(0, 100)))
	scalar(t, "min_learning_rate", &r.MinLearningRate, number(atLeast(0, 100)))
	scalar(t, "momentum", &r.Momentum, number(atLeastBelow(0, 1)))
	scalar(t, "weight_decay", &r.WeightDecay, number(atLeast(0, 1)))
	scalar(t, "label_smoothing", &r.LabelSmoothing, number(atLeastBelow(0, 1)))
	scalar(t, "augment", &r.Augment, oneOf("pad-crop-flip", "pad-crop", "resized-crop-flip", "none"))
	scalar(t, "warmup_epochs", &r.WarmupEpochs, integer(atLeast(0, most)))
	scalar(t, "warmup_learning_rate", &r.WarmupLearningRate, number(atLeast(0, 100)))
	scalar(t, "drop_rate", &r.DropRate, number(atLeastBelow(0, 1)))
	scalar(t, "drop_grows_with_epoch", &r.DropGrowsWithEpoch, boolean)
	scalar(t, "drop_grows_with_depth", &r.DropGrowsWithDepth, boolean)
}

// used returns the recipe without what it does not use.
func (r Train) used() Train {
	if r.WarmupEpochs == 0 {
		r.WarmupLearningRate = 0
	}
	if r.DropRate == 0 {
		r.DropGrowsWithEpoch, r.DropGrowsWithDepth = false, false
	}
	return r
}

// searchRecipe returns the recipe of a search's trainings.
func (s Settings) searchRecipe() Train {
	r := s.Train
	r.read(&table{keys: s.searchTrain, problems: &problems{}}) // checked when it was read
	r.Epochs = s.Search.Epochs
	return r
}

// resolve replaces what stands for a default by the number of images it means for dataset.
func (d Data) resolve(dataset Dataset) Data {
	switch {
	case d.Train == 0 && d.Validation == 0 && dataset.HeldOut > 0:
		d.Train, d.Validation = dataset.Train-dataset.HeldOut, dataset.HeldOut
	case d.Train == 0 && d.Validation == 0:
		d.Train = int(math.RoundToEven(0.9 * float64(dataset.Train)))
		d.Validation = dataset.Train - d.Train
	case d.Train == 0:
		d.Train = dataset.Train - d.Validation
	}
	if d.Test == 0 {
		d.Test = dataset.Test
	}
	return d
}
