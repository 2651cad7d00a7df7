package experiments

import (
	"maps"
	"reflect"
	"slices"
)

// The presets of [train] and [search] have the same names: "default" is the paper's code without options, "readme" its
// README's commands for CIFAR, "readme-imagenet" those for ImageNet. A search and a final training of one name belong
// together.

// trainPresets are the values of train.preset. The code's own default of 20 epochs is meant for searches, so "default"
// has the epochs of the README's final CIFAR training.
var trainPresets = map[string]Train{
	"default": {
		Epochs: 200, Batch: 128, LearningRate: 0.15, MinLearningRate: 1e-3, Momentum: 0.9, WeightDecay: 3e-4,
		Augment: "pad-crop-flip", WarmupLearningRate: 1e-3, DropGrowsWithEpoch: true, DropGrowsWithDepth: true,
	},
	"readme": {
		Epochs: 200, Batch: 128, LearningRate: 0.15, MinLearningRate: 1e-3, Momentum: 0.9, WeightDecay: 3e-4,
		Augment: "pad-crop-flip", WarmupLearningRate: 1e-3,
		DropRate: 0.05, DropGrowsWithEpoch: true, DropGrowsWithDepth: true,
	},
	"readme-imagenet": {
		Epochs: 90, Batch: 1024, LearningRate: 0.4, MinLearningRate: 1e-3, Momentum: 0.9, WeightDecay: 4e-5,
		LabelSmoothing: 0.1, Augment: "resized-crop-flip", WarmupEpochs: 5, WarmupLearningRate: 1e-3,
		DropGrowsWithEpoch: true, DropGrowsWithDepth: true,
	},
}

// searchPreset is a value of search.preset: settings, and the keys of [search.train] as in a file.
type searchPreset struct {
	Search
	train map[string]any
}

// searchPresets are the values of search.preset.
var searchPresets = map[string]searchPreset{
	"default": {Search{
		Epochs: 20, Iterations: 10, LayersPerUpdate: 3, LayersDecay: 0, Rate: 0.1, RateDecay: 0, DropRate: 0.1, Repeats: 5,
	}, nil},
	"readme": {Search{
		Epochs: 200, Iterations: 10, LayersPerUpdate: 6, LayersDecay: 0.5, Rate: 0.15, RateDecay: 0.01, DropRate: 0.05,
		Repeats: 5,
	}, map[string]any{"drop_rate": 0.05}},
	"readme-imagenet": {Search{
		Epochs: 10, Iterations: 10, LayersPerUpdate: 6, LayersDecay: 0, Rate: 0.1, RateDecay: 0, DropRate: 0.2, Repeats: 5,
	}, map[string]any{
		"batch": int64(512), "learning_rate": 0.2, "weight_decay": 4e-5, "warmup_epochs": int64(0), "label_smoothing": 0.0,
		"drop_rate": 0.05, "drop_grows_with_depth": false,
	}},
}

// inNoPreset are the keys of [train] and [search] that belong to no preset, which leaves them as they are.
var inNoPreset = []string{
	"train.init", "train.zero_gamma", "train.no_bias_decay", "search.train.init", "search.train.zero_gamma",
	"search.train.no_bias_decay", "search.reference", "search.fur", "search.fur_images", "search.init", "search.early_end",
}

func (s *Settings) presetTrain(name string) {
	own := s.Train
	s.Train = trainPresets[name]
	s.Train.Init, s.Train.ZeroGamma, s.Train.NoBiasDecay = own.Init, own.ZeroGamma, own.NoBiasDecay
}

func (s *Settings) presetSearch(name string) {
	p, own, keys := searchPresets[name], s.Search, s.searchTrain
	s.Search, s.searchTrain = p.Search, map[string]any{}
	s.Search.Reference, s.Search.FUR, s.Search.FURImages = own.Reference, own.FUR, own.FURImages
	s.Search.Init, s.Search.EarlyEnd = own.Init, own.EarlyEnd
	maps.Copy(s.searchTrain, p.train)
	for key, value := range keys {
		if slices.Contains(inNoPreset, "search.train."+key) {
			s.searchTrain[key] = value
		}
	}
}

// publications are what the authors of the paper published, by key: the defaults of their code and the commands of its
// README. The paper's own text names no other values, and leaves open which of these made its tables.
var publications = []struct {
	source string
	values map[string]any
}{
	{"code default", publication("default", func(s *Settings) { s.Train.Epochs = 20 })},
	{"README for CIFAR", publication("readme", func(*Settings) {})},
	{"README for ImageNet", publication("readme-imagenet", func(s *Settings) {
		s.Data = Data{Train: 1281167, Validation: 50000, Test: 50000} // these two are the same images
	})},
}

// publication returns the values of a preset by key, with what a file cannot say put right.
func publication(preset string, correct func(*Settings)) map[string]any {
	s := Settings{Data: Data{Train: 45000, Validation: 5000, Test: 10000}}
	s.presetTrain(preset)
	s.presetSearch(preset)
	s.Search.Reference = allRules
	correct(&s)
	values := map[string]any{}
	for _, f := range slices.Concat(fields("data", s.Data), fields("train", s.Train), fields("search", s.Search),
		fields("search.train", s.searchRecipe())[1:]) {
		values[f.Key] = f.Value
	}
	values["width.round_to"] = 1
	return values
}

// published returns what the authors used for a key, each different value once.
func published(key string) []Published {
	var list []Published
	for _, p := range publications {
		value, ok := p.values[key]
		if !ok {
			continue
		}
		same := slices.IndexFunc(list, func(q Published) bool { return reflect.DeepEqual(q.Value, value) })
		if same < 0 {
			list = append(list, Published{p.source, value})
		} else {
			list[same].Source += ", " + p.source
		}
	}
	return list
}
