// Package search is what methods that choose channel widths have in common: the interface between a method and the lab
// that trains for it, and the rules that bring widths to a budget.
package search

import (
	"context"

	"netadjust/networks"
)

// Method chooses channel widths.
type Method interface {
	// Search returns widths of p.Network whose FLOPs should be WithinBudget of p.Budget; a cell whose are not fails.
	Search(ctx context.Context, lab Lab, p Problem) (*Outcome, error)
	// Plan tells what a search will ask of the lab, as far as that is known before.
	Plan(p Problem) ([]Work, error)
}

// Work is one training of a search and the evaluations of what it gives.
type Work struct {
	Training        Training // Channels is nil where only their FLOPs are known
	FLOPs           int64    // of the network for one image
	Validations     int      // runs of each validation image, through the network or a part of it
	ValidationFLOPs int64    // of all these runs for one image
}

// Problem is what a method has to solve.
type Problem struct {
	Network *networks.Network
	Budget  int64 // FLOPs that the widths may need
}

// Start returns the network's own widths fitted to a budget, and the least width of each layer.
func (p Problem) Start(budget int64) (start, minimum []int, err error) {
	minimum = Minimum(p.Network.Start())
	start, err = FitToBudget(p.Network, p.Network.Start(), budget, minimum)
	return start, minimum, err
}

// Lab trains networks for a method. It never shows it the test set. The same training is run once, whoever asks for it.
type Lab interface {
	Train(ctx context.Context, t Training) (Trained, error)
	// Report tells what the search has found so far, for people who watch.
	Report(format string, args ...any)
}

// Training is a network to be trained from scratch on the training images by the recipe of the experiment.
type Training struct {
	Network  *networks.Network
	Channels []int
	Epochs   int
	Purpose  string // names its random numbers, see train.Stream; equal trainings have equal purposes
}

// Trained is a trained network. Its evaluations are on held-out validation images.
type Trained interface {
	Validate(ctx context.Context) (Evaluation, error)
	// ValidateDropout validates without channel dropout, and with dropout in one adjustable layer after the other, each
	// at its rate. Other repeats draw other channels.
	ValidateDropout(ctx context.Context, rates []float64, repeats int) (*Dropout, error)
	// Filters returns the weights of adjustable layer i, filter after filter, [width, inputs * kernel * kernel].
	Filters(i int) []float32
}

// Evaluation is what a network does on images.
type Evaluation struct {
	Loss float64 // mean cross entropy in nats
	Top1 float64 // share of images classified right
}

// Dropout is what channel dropout in single layers does to a network.
type Dropout struct {
	Clean   Evaluation     // without dropout
	Dropped [][]Evaluation // by layer, then repeat
}

// Outcome is what a method found.
type Outcome struct {
	Channels []int
	Start    []int         // widths where the search began, if it did
	Network  *StartNetwork // the trained network that was pruned, if there is one
	Updates  []Update      // of network adjustment
}

// StartNetwork is the trained network that a pruner starts from.
type StartNetwork struct {
	Channels   []int
	Validation Evaluation
}

// Update is one update of network adjustment. Slices have one element per adjustable layer.
type Update struct {
	Channels        []int // before the update
	Validation      Evaluation
	FLOPsPerChannel []float64
	DropRates       []float64
	FUR             []float64 // FLOPs utilization ratio: rise of the validation loss, scaled where the rate was cut
	FURStdErr       []float64 // standard error of FUR over the repeats; 0 with one repeat
	Grown, Shrunk   []int     // layers, by index
	Next            []int     // widths after the update, fitted to the budget
}
