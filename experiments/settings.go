package experiments

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
)

// Settings is how cells are trained, searched and pruned. The JSON names are the keys of the experiment file. A tag
// "zero" is how the zero value of a setting is written there.
type Settings struct {
	Data   Data   `json:"data"`
	Train  Train  `json:"train"`
	Search Search `json:"search"`
	Prune  Prune  `json:"prune"`
	// Finetune is read where a final training goes on with inherited weights.
	Finetune Finetune `json:"finetune"`
	Width    Width    `json:"width"`

	searchTrain  map[string]any // the keys of [search.train], checked; see [Search]
	initFrom     string         // path of the cell that search.init names, if it does
	channelsFrom string         // path of the cell that width.channels names, if it does
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
	WeightDecay     float64 `json:"weight_decay"`    // of all parameters but for NoBiasDecay
	LabelSmoothing  float64 `json:"label_smoothing"` // share of the target spread over all classes
	Augment         string  `json:"augment"`         // "pad-crop-flip", "pad-crop", "resized-crop-flip" or "none"

	WarmupEpochs       int     `json:"warmup_epochs,omitempty"`         // before the cosine takes over
	WarmupLearningRate float64 `json:"warmup_learning_rate,omitempty"`  // of the first of them
	DropRate           float64 `json:"drop_rate,omitempty"`             // of channel dropout in all trainings
	DropGrowsWithEpoch bool    `json:"drop_grows_with_epoch,omitempty"` // from 0 in the first epoch
	DropGrowsWithDepth bool    `json:"drop_grows_with_depth,omitempty"` // up to DropRate in the last layer

	Init        string `json:"init,omitempty" zero:"network"` // of convolutions: "" for the network's own, or "he"
	ZeroGamma   bool   `json:"zero_gamma,omitempty"`          // the last batch norm of a residual branch starts with 0
	NoBiasDecay bool   `json:"no_bias_decay,omitempty"`       // biases and batch norm have no weight decay
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
	// Reference names the rules of the paper's code that replace the corrected ones. It is left out of the JSON where there
	// are none, so that cells keep the ids that they had before there was such a key.
	Reference Rules `json:"reference,omitempty" zero:"false"`
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

// Prune is how pruners make the network that they start from, and their own settings. Its training follows [Train] but
// for its Epochs. In a cell, what its method does not read is zero.
type Prune struct {
	StartFLOPs float64 `json:"start_flops,omitempty"`         // FLOPs of the start network, relative to the budget
	Epochs     int     `json:"epochs,omitempty"`              // of the start network's training; 0: as Train.Epochs
	Scope      string  `json:"scope,omitempty" zero:"global"` // filters compete in all layers, "global", or each "layer"; "" in cells is global
	// GradientBatches are the minibatches that Taylor scores are averaged over: 30 in Molchanov et al. 2019.
	GradientBatches int `json:"gradient_batches,omitempty"`
	// SlimmingPenalty is the factor of the L1 norm of batch norm scales: 1e-4 in Liu et al. 2017 for VGG, 1e-5 for others.
	SlimmingPenalty float64 `json:"slimming_penalty,omitempty"`
	// MorphNetPenalty is the factor of the FLOPs, as a share of the start network's, in the loss.
	MorphNetPenalty float64 `json:"morphnet_penalty,omitempty"`
	Candidates      int     `json:"candidates,omitempty"`   // networks with random ratios
	LeastRatio      float64 `json:"least_ratio,omitempty"`  // of a layer's filters that such a network keeps
	NormBatches     int     `json:"norm_batches,omitempty"` // that its batch norm statistics are estimated on
	Rounds          int     `json:"rounds,omitempty"`       // of SynFlow: 100 in Tanaka et al. 2020
	// SlimmableSteps are the widths that a layer of AutoSlim's slimmable network can have, and Random those of them that a
	// training step draws besides the largest and the smallest network.
	SlimmableSteps  int `json:"slimmable_steps,omitempty"`
	SlimmableRandom int `json:"slimmable_random,omitempty"`
}

// only returns p without what a method does not read, given the keys of what it does.
func (p Prune) only(keys []string) Prune {
	v := reflect.ValueOf(&p).Elem()
	for i, f := range fields("", p) {
		if !slices.Contains(keys, strings.TrimPrefix(f.Key, ".")) {
			v.Field(i).SetZero()
		}
	}
	if p.Scope == "global" {
		p.Scope = "" // as in cells from before there was a choice
	}
	return p
}

// Finetune is a final training that goes on with inherited weights, relative to one from scratch. Its learning rate falls
// along a cosine without warm-up.
type Finetune struct {
	Epochs       float64 `json:"epochs"`        // share of those of a training from scratch, rounded; at least one
	LearningRate float64 `json:"learning_rate"` // share of that at the start
}

// Width is what concerns the widths of all methods.
type Width struct {
	Channels []int `json:"channels,omitempty"` // of the method that takes given widths
	RoundTo  int   `json:"round_to"`           // widths are multiples of this number
}

// channels returns the given widths.
func (w Width) channels(catalog Catalog, from string, report func(key string, err error)) []int {
	var err error
	if from != "" {
		w.Channels, err = catalog.Widths(from)
	} else if w.Channels == nil {
		err = errors.New("missing; it is a list with the channels of each adjustable layer, or the folder of a finished cell")
	}
	if err != nil {
		report("width.channels", err)
	}
	return w.Channels
}

// Defaults returns the settings of an empty experiment file. The recipe is that of the paper's code for CIFAR. In Data
// three zeros stand for a split that depends on the dataset: without Train and Validation 90 % of the training images
// are for training and the others for validation, or as the dataset says, without Train alone it is what Validation
// leaves, without Validation alone there is none; without Test it is the whole test set.
func Defaults() Settings {
	s := Settings{
		Prune: Prune{
			StartFLOPs: 2, Epochs: 0, Scope: "global", GradientBatches: 30, SlimmingPenalty: 1e-4, MorphNetPenalty: 0.3,
			Candidates: 50, LeastRatio: 0.3, NormBatches: 50, Rounds: 100, SlimmableSteps: 12, SlimmableRandom: 2,
		},
		Finetune: Finetune{Epochs: 0.2, LearningRate: 0.1},
		Width:    Width{RoundTo: 1},
	}
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
		scalar(t, "reference", &s.Search.Reference, readRules)
		scalar(t, "fur", &s.Search.FUR, oneOfOr("loss", "accuracy"))
		scalar(t, "fur_images", &s.Search.FURImages, oneOfOr("validation", "training"))
		widths(t, "init", "uniform", &s.Search.Init, &s.initFrom)
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
		scalar(t, "scope", &s.Prune.Scope, oneOf("global", "layer"))
		scalar(t, "gradient_batches", &s.Prune.GradientBatches, integer(atLeast(1, most)))
		scalar(t, "slimming_penalty", &s.Prune.SlimmingPenalty, number(moreThan(0, 1)))
		scalar(t, "morphnet_penalty", &s.Prune.MorphNetPenalty, number(moreThan(0, 1000)))
		scalar(t, "candidates", &s.Prune.Candidates, integer(atLeast(1, most)))
		scalar(t, "least_ratio", &s.Prune.LeastRatio, number(moreThan(0, 1)))
		scalar(t, "norm_batches", &s.Prune.NormBatches, integer(atLeast(1, most)))
		scalar(t, "rounds", &s.Prune.Rounds, integer(atLeast(1, 10000)))
		scalar(t, "slimmable_steps", &s.Prune.SlimmableSteps, integer(atLeast(2, 100)))
		scalar(t, "slimmable_random", &s.Prune.SlimmableRandom, integer(atLeast(1, 100)))
	})
	t.section("finetune", func(t *table) {
		scalar(t, "epochs", &s.Finetune.Epochs, number(moreThan(0, 1)))
		scalar(t, "learning_rate", &s.Finetune.LearningRate, number(moreThan(0, 1)))
	})
	t.section("width", func(t *table) {
		widths(t, "channels", "", &s.Width.Channels, &s.channelsFrom)
		scalar(t, "round_to", &s.Width.RoundTo, integer(atLeast(1, 1024)))
	})
}

// widths reads a list of widths, or the path of a cell relative to the file, or the word that stands for none of both.
func widths(t *table, key, none string, list *[]int, from *string) {
	v, ok := t.lookup(key)
	if !ok {
		return
	}
	*list, *from = nil, ""
	path, isText := v.(string)
	switch items, isList := v.([]any); {
	case isText && path != "" && path != none:
		if *from = path; !filepath.IsAbs(path) {
			*from = filepath.Join(filepath.Dir(t.file), path)
		}
	case isList && len(items) > 0:
		width := integer(atLeast(1, most))
		for i, item := range items {
			w, err := width(item)
			if err != nil {
				t.add(fmt.Sprintf("%s[%d]", t.at(key), i+1), err)
			}
			*list = append(*list, w)
		}
	case path != none || none == "":
		allowed := "a list with the channels of each adjustable layer, or the folder of a finished cell"
		if none != "" {
			allowed = fmt.Sprintf("%q, %s", none, allowed)
		}
		t.add(t.at(key), fmt.Errorf("must be %s, not %s", allowed, describe(v)))
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
	scalar(t, "init", &r.Init, oneOfOr("network", "he"))
	scalar(t, "zero_gamma", &r.ZeroGamma, boolean)
	scalar(t, "no_bias_decay", &r.NoBiasDecay, boolean)
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
