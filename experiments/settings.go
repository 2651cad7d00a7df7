package experiments

import "math"

// Settings is how cells are trained, searched and pruned. The JSON names are the keys of the experiment file.
type Settings struct {
	Data   Data   `json:"data"`
	Train  Train  `json:"train"`
	Search Search `json:"search"`
	Prune  Prune  `json:"prune"`
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
// constant within an epoch.
type Train struct {
	Epochs          int     `json:"epochs"`
	Batch           int     `json:"batch"` // images per step
	LearningRate    float64 `json:"learning_rate"`
	MinLearningRate float64 `json:"min_learning_rate"` // where the cosine ends
	Momentum        float64 `json:"momentum"`
	WeightDecay     float64 `json:"weight_decay"`    // of all parameters
	LabelSmoothing  float64 `json:"label_smoothing"` // share of the target spread over all classes
	Augment         string  `json:"augment"`         // "pad-crop-flip", "pad-crop" or "none"
}

// Search is how network adjustment searches. Its trainings follow [Train] but for their Epochs.
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
}

// Prune is how pruners make the network that they start from. Its training follows [Train] but for its Epochs.
type Prune struct {
	StartFLOPs float64 `json:"start_flops"` // FLOPs of the start network, relative to the budget
	Epochs     int     `json:"epochs"`      // of the start network's training; 0: as Train.Epochs
}

// Defaults returns the settings of an empty experiment file. The recipe is that of the paper's code for CIFAR. In Data
// three zeros stand for a split that depends on the dataset: without Train and Validation 90 % of the training images
// are for training and the others for validation, without Train alone it is what Validation leaves, without Validation
// alone there is none; without Test it is the whole test set.
func Defaults() Settings {
	return Settings{
		Train: Train{
			Epochs:          200,
			Batch:           128,
			LearningRate:    0.15,
			MinLearningRate: 1e-3,
			Momentum:        0.9,
			WeightDecay:     3e-4,
			LabelSmoothing:  0,
			Augment:         "pad-crop-flip",
		},
		Search: searchPresets["default"],
		Prune:  Prune{StartFLOPs: 2, Epochs: 0},
	}
}

// searchPresets are the values of search.preset. "default" has the defaults of the paper's code.
var searchPresets = map[string]Search{
	"default": {
		Epochs:          20,
		Iterations:      10,
		LayersPerUpdate: 3,
		LayersDecay:     0,
		Rate:            0.1,
		RateDecay:       0,
		DropRate:        0.1,
		Repeats:         5,
	},
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
		scalar(t, "epochs", &s.Train.Epochs, integer(atLeast(1, most)))
		scalar(t, "batch", &s.Train.Batch, integer(atLeast(2, most)))
		scalar(t, "learning_rate", &s.Train.LearningRate, number(moreThan(0, 100)))
		scalar(t, "min_learning_rate", &s.Train.MinLearningRate, number(atLeast(0, 100)))
		scalar(t, "momentum", &s.Train.Momentum, number(atLeastBelow(0, 1)))
		scalar(t, "weight_decay", &s.Train.WeightDecay, number(atLeast(0, 1)))
		scalar(t, "label_smoothing", &s.Train.LabelSmoothing, number(atLeastBelow(0, 1)))
		scalar(t, "augment", &s.Train.Augment, oneOf("pad-crop-flip", "pad-crop", "none"))
	})
	t.section("search", func(t *table) {
		var preset string
		scalar(t, "preset", &preset, oneOf(sortedKeys(searchPresets)...))
		if preset != "" {
			s.Search = searchPresets[preset]
		}
		scalar(t, "epochs", &s.Search.Epochs, integer(atLeast(1, most)))
		scalar(t, "iterations", &s.Search.Iterations, integer(atLeast(1, most)))
		scalar(t, "layers_per_update", &s.Search.LayersPerUpdate, integer(atLeast(1, most)))
		scalar(t, "layers_decay", &s.Search.LayersDecay, number(atLeast(0, most)))
		scalar(t, "rate", &s.Search.Rate, number(moreThan(0, 1)))
		scalar(t, "rate_decay", &s.Search.RateDecay, number(atLeast(0, 1)))
		scalar(t, "drop_rate", &s.Search.DropRate, number(moreThan(0, 0.5)))
		scalar(t, "repeats", &s.Search.Repeats, integer(atLeast(1, most)))
		scalar(t, "reference", &s.Search.Reference, boolean)
	})
	t.section("prune", func(t *table) {
		scalar(t, "start_flops", &s.Prune.StartFLOPs, number(moreThan(1, 16)))
		scalar(t, "epochs", &s.Prune.Epochs, integer(atLeast(0, most)))
	})
}

// resolve replaces what stands for a default by the number of images it means for dataset.
func (d Data) resolve(dataset Dataset) Data {
	switch {
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
