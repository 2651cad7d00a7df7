// Package search is what methods that choose channel widths have in common: the interface between a method and the lab
// that trains for it, and the rules that bring widths to a budget.
package search

import (
	"context"
	"slices"

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
	Forward         int      // further batches of training images, forward only
	ForwardFLOPs    int64    // of all these for one image of each
	Backward        int      // further batches of training images whose gradient is computed
	Images          int      // further images whose gradient is computed
}

// Problem is what a method has to solve.
type Problem struct {
	Network *networks.Network
	Budget  int64  // FLOPs that the widths may need
	Seed    uint64 // of the numbers that a method draws itself, see package rng
	Fitted  []int  // the network's own widths fitted to the budget, if they are known
}

// Start returns the network's own widths fitted to a budget, and the least width of each layer.
func (p Problem) Start(budget int64) (start, minimum []int, err error) {
	minimum = Minimum(p.Network.Start())
	if budget == p.Budget && p.Fitted != nil {
		return slices.Clone(p.Fitted), minimum, nil
	}
	start, err = FitToBudget(p.Network, p.Network.Start(), budget, minimum)
	return start, minimum, err
}

// Lab trains networks for a method. It never shows it the test set. The same training is run once, whoever asks for it.
type Lab interface {
	Train(ctx context.Context, t Training) (Trained, error)
	// Cost is what trainings and evaluations have cost so far, those that another search has done included.
	Cost() Cost
	// Recall puts into value, a pointer to what can be written as JSON, what compute puts there, or what it has put there
	// under this name before the search was interrupted. It is for what a method computes itself for long.
	Recall(ctx context.Context, name string, value any, compute func() error) error
	// Charge adds to it the gradients of so many images, which a method has computed itself.
	Charge(flops int64, images int)
	// Report tells what the search has found so far, for people who watch, and Updated of an update.
	Report(format string, args ...any)
	Updated(index int, u *Update)
}

// Cost counts computation. FLOPs weigh a backward pass as two forward passes of the same network.
type Cost struct {
	ForwardImages  int64 // images sent through a network or a part of it, in training and in evaluation
	BackwardImages int64 // images whose gradient was computed
	FLOPs          int64
}

// Training is a network to be trained from scratch on the training images by the recipe of the experiment.
type Training struct {
	Network  *networks.Network
	Channels []int
	Epochs   int    // 0: the network stays as it is initialised
	Purpose  string // names its random numbers, see train.Stream; equal trainings have equal purposes
	Constant bool   // the learning rate does not fall
	// Hook, if there is one, takes part. Hooks whose JSON is the same do the same.
	Hook networks.Hook
	// Slimmable, if it is there, makes the network one that is evaluated with the statistics of each batch, as are those
	// that inherit its channels.
	Slimmable *networks.Slimmable
}

// Trained is a trained network.
type Trained interface {
	// Validate evaluates on the held-out validation images.
	Validate(ctx context.Context) (Evaluation, error)
	// EvaluateDropout evaluates without channel dropout, and with dropout in one adjustable layer after the other, each
	// at its rate. Other repeats draw other channels.
	EvaluateDropout(ctx context.Context, on Images, rates []float64, repeats int) (*Dropout, error)
	// Tensor returns a parameter by its name, see networks.Tensors. It must not be changed.
	Tensor(name string) []float32
	// Gradients computes the gradients of the loss of so many batches of training images, in training mode, and shows
	// those of each batch to visit, by the names of the parameters. What visit adds up has to be in sums, a pointer to
	// what can be written as JSON, since it is kept for another search with the same purpose.
	Gradients(ctx context.Context, purpose string, batches int, sums any,
		visit func(gradient func(name string) []float32)) error
	// Inherit returns the network with the channels that each adjustable layer keeps, see networks.Inherit, after
	// estimating its batch norm statistics again on so many batches of training images.
	Inherit(ctx context.Context, keep [][]int, batches int) (Trained, error)
}

// Images are a set of images to evaluate on, as they are unless said otherwise.
type Images int

const (
	HeldOut Images = iota // the validation images
	Seen                  // the first images of the training, as many as are held out
	// Redrawn are the validation images, padded, cropped and mirrored as in training by another draw for each evaluation.
	// Resized crops are for training alone.
	Redrawn
)

// Evaluation is what a network does on images.
type Evaluation struct {
	Loss float64 // mean cross entropy in nats
	Top1 float64 // share of images classified right
}

// Dropout is what channel dropout in single layers does to a network.
type Dropout struct {
	Clean   Evaluation     // without dropout
	Dropped [][]Evaluation // by layer, then repeat
	// StdErr has for each layer the standard error, over the images, of the difference between the mean of Dropped over
	// the repeats and Clean. Every image has its own masks, so the noise of the repeats is part of it.
	StdErr []Evaluation
}

// Outcome is what a method found.
type Outcome struct {
	Channels []int
	Start    []int         // widths where the search began, if it did
	Network  *StartNetwork // the trained network that was pruned, if there is one
	// Inherited is the network of these widths whose weights are to be trained on, nil if the method leaves none.
	Inherited Trained
	Updates   []Update // of network adjustment
	Stopped   string   // why a search ended before its last update, if it did
	Truth     *Truth   // if that is what was measured
}

// StartNetwork is the trained network that a pruner starts from.
type StartNetwork struct {
	Channels   []int
	Validation Evaluation
}

// Update is one update of network adjustment. Slices have one element per adjustable layer.
type Update struct {
	Measured
	Grown, Shrunk []int // layers, by index
	Next          []int // widths after the update, fitted to the budget
	Cost          Cost  // of the search up to here
}

// Measured is what network adjustment measures on a trained network. Slices have one element per adjustable layer.
type Measured struct {
	Channels        []int
	Validation      Evaluation
	FLOPsPerChannel []float64
	DropRates       []float64
	FUR             []float64 // FLOPs utilization ratio: rise of the validation loss, scaled where the rate was cut
	FURStdErr       []float64 // standard error of FUR over the repeats; 0 with one repeat
	FURImageStdErr  []float64 // standard error of FUR over the images, which holds that over the repeats
}

// Truth is what FUR predicts, found by training: a network, and the same network with one layer narrower or wider.
type Truth struct {
	Measured
	Narrower, Wider []Neighbour // by layer
}

// Neighbour is a trained network whose widths differ from those of another in one layer.
type Neighbour struct {
	Channels   int // of that layer
	FLOPs      int64
	Validation Evaluation
}
