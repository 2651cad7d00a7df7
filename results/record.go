package results

import (
	"encoding/json"
	"time"
)

// RecordSchema is the version of the record format that this program writes and reads.
const RecordSchema = 1

// ResultsVersion is raised whenever any number in a result can have changed for the same configuration, data and device.
// Results of another version are not used unless the user says so, or the change cannot have concerned their cell.
// TestGoldenResults notices changes.
const ResultsVersion = 3

// Record is the outcome of one cell as it is kept on disk.
type Record struct {
	Schema int    `json:"schema"` // RecordSchema
	Result Result `json:"result"`
	Hash   string `json:"hash"` // hex SHA-256 of the JSON of Result, set by Seal
	Run    Run    `json:"run"`
}

// Result is the part of a record that configuration and seed determine: the same cell gives the same Result on the same
// device, however often and with however many workers it is run. A finished cell has Final, a failed one Failure.
//
// FLOPs are multiply-adds of one image everywhere. Top-1 accuracies are fractions between 0 and 1. Layers are the
// adjustable ones in forward order; every width vector has one entry for each of them.
type Result struct {
	ID          string          `json:"id"` // stable id of the cell
	Experiment  string          `json:"experiment"`
	Network     string          `json:"network"`
	Width       float64         `json:"width"` // width multiplier of the base network
	Padding     string          `json:"padding"`
	Dataset     string          `json:"dataset"`
	Method      string          `json:"method"`
	Variant     string          `json:"variant,omitempty"` // name of the settings, where there are several for the method
	Budget      string          `json:"budget"`            // as written in the experiment, for example "0.5"
	BudgetFLOPs int64           `json:"budget_flops"`
	Seed        uint64          `json:"seed"`
	Config      json.RawMessage `json:"config"` // canonical content of the cell, a JSON object

	Layers     []string `json:"layers,omitempty"` // names of the adjustable layers, without white space
	Start      *Start   `json:"start,omitempty"`  // nil for methods that do not start from a network
	Updates    []Update `json:"updates,omitempty"`
	Stopped    string   `json:"stopped,omitempty"` // why the search ended before its last update, if it did
	Truth      *Truth   `json:"truth,omitempty"`   // of the method that measures what FUR is worth
	SearchCost Cost     `json:"search_cost"`
	Final      *Final   `json:"final,omitempty"`
	Failure    *Failure `json:"failure,omitempty"`

	Device          string            `json:"device"`
	Version         string            `json:"version"`                   // version or commit of the program
	ResultsVersion  int               `json:"results_version,omitempty"` // records of earlier programs lack it: 1
	Libraries       map[string]string `json:"libraries,omitempty"`       // module path to version
	DatasetChecksum string            `json:"dataset_checksum"`
	DatasetNote     string            `json:"dataset_note,omitempty"` // how the data differ from the official files
}

// Start is the network a search started from: the base widths fitted to the budget for network adjustment, the larger
// trained network for a pruner.
type Start struct {
	Channels       []int    `json:"channels"`
	FLOPs          int64    `json:"flops"`
	Params         int64    `json:"params"`
	ValidationTop1 *float64 `json:"validation_top1,omitempty"` // nil if the start network was not evaluated
}

// Update is one update of network adjustment. All slices but Grown and Shrunk have one entry a layer.
type Update struct {
	Index          int       `json:"index"`    // from 0
	Channels       []int     `json:"channels"` // widths that were trained and measured
	FLOPs          int64     `json:"flops"`
	ValidationLoss float64   `json:"validation_loss"`
	ValidationTop1 float64   `json:"validation_top1"`
	FUR            []float64 `json:"fur"`         // FLOPs utilization ratio: rise of the loss under dropout
	FURStdErr      []float64 `json:"fur_std_err"` // standard error over the repeats of the dropout
	// FURImageStdErr is the standard error over the images, which contains the noise of the repeats. Records of earlier
	// programs lack it.
	FURImageStdErr  []float64 `json:"fur_image_std_err,omitempty"`
	DropRates       []float64 `json:"drop_rates"`        // channel dropout rate used to measure FUR
	FLOPsPerChannel []float64 `json:"flops_per_channel"` // derivative of the FLOPs by the width
	Grown           []int     `json:"grown"`             // layers that got channels, best first, counted from 0
	Shrunk          []int     `json:"shrunk"`            // layers that gave channels, worst first, counted from 0
	Next            []int     `json:"next"`              // widths after the update, back on the budget
	Cost            Cost      `json:"cost,omitzero"`     // of the search up to here; records of earlier programs lack it
}

// Truth is what FUR predicts, found by training networks that differ in the width of one layer. Slices have one entry a
// layer.
type Truth struct {
	Channels        []int       `json:"channels"`
	FLOPs           int64       `json:"flops"`
	ValidationLoss  float64     `json:"validation_loss"`
	ValidationTop1  float64     `json:"validation_top1"`
	FUR             []float64   `json:"fur"` // as in Update, measured on the network with Channels
	FURStdErr       []float64   `json:"fur_std_err"`
	FURImageStdErr  []float64   `json:"fur_image_std_err"`
	DropRates       []float64   `json:"drop_rates"`
	FLOPsPerChannel []float64   `json:"flops_per_channel"`
	Narrower        []Neighbour `json:"narrower"` // half as wide in this layer
	Wider           []Neighbour `json:"wider"`    // one and a half times as wide in this layer
}

// Neighbour is a network that differs from another one in the width of one layer, trained in the same way.
type Neighbour struct {
	Channels       int     `json:"channels"` // of that layer
	FLOPs          int64   `json:"flops"`
	ValidationLoss float64 `json:"validation_loss"`
	ValidationTop1 float64 `json:"validation_top1"`
}

// Final is the network a finished cell ended with, trained from scratch, and what was measured on it.
type Final struct {
	Channels         []int   `json:"channels"`
	FLOPs            int64   `json:"flops"`
	FLOPsWithoutStem int64   `json:"flops_without_stem"`
	Params           int64   `json:"params"`
	TestTop1         float64 `json:"test_top1"` // after the last epoch; the test set is read once
	TestLoss         float64 `json:"test_loss"`
	Epochs           []Epoch `json:"epochs"`
	Cost             Cost    `json:"cost"`
}

// Epoch is one epoch of the final training: the learning rate and the means over its training images.
type Epoch struct {
	Index        int     `json:"index"` // from 0
	LearningRate float64 `json:"learning_rate"`
	TrainLoss    float64 `json:"train_loss"`
	TrainTop1    float64 `json:"train_top1"`
}

// Cost counts computation. FLOPs weigh a backward pass as two forward passes of the same network.
type Cost struct {
	ForwardImages  int64 `json:"forward_images"`  // images sent through a network or a part of it, in training and in evaluation
	BackwardImages int64 `json:"backward_images"` // images whose gradient was computed
	FLOPs          int64 `json:"flops"`
}

// Failure says why a cell has no Final. Epoch, Step and LearningRate tell where a training broke down; they are zero
// where the failure was not in a training.
type Failure struct {
	Reason       string  `json:"reason"`
	Epoch        int     `json:"epoch"`
	Step         int     `json:"step"`
	LearningRate float64 `json:"learning_rate"`
}

// Run is the part of a record that differs between two runs of the same cell; it is outside the hash.
type Run struct {
	Host          string    `json:"host"`
	Job           string    `json:"job,omitempty"` // id given by a cluster's scheduler
	Jobs          int       `json:"jobs"`          // cells run at the same time
	Threads       int       `json:"threads"`       // threads of each of them
	GoVersion     string    `json:"go_version"`
	Processor     string    `json:"processor,omitempty"` // its name, where the system tells
	Start         time.Time `json:"start"`
	WallSeconds   float64   `json:"wall_seconds"`
	DeviceSeconds float64   `json:"device_seconds"` // time spent inside the device
	// CalibrationSeconds is the mean time of a fixed computation that ran between the steps of the cell, so that
	// DeviceSeconds can be compared with that of another machine or hour. Records of earlier programs lack it.
	CalibrationSeconds float64 `json:"calibration_seconds,omitempty"`
	// The parts of WallSeconds and DeviceSeconds that were spent on the search. Trainings that another cell had done took
	// none. Records of earlier programs lack them.
	SearchWallSeconds   float64 `json:"search_wall_seconds,omitempty"`
	SearchDeviceSeconds float64 `json:"search_device_seconds,omitempty"`
	// CheckpointSeconds is the part of WallSeconds that writing checkpoints took.
	CheckpointSeconds float64 `json:"checkpoint_seconds,omitempty"`
	// Resumed says that the cell was interrupted before. The times are those since the last interruption.
	Resumed bool     `json:"resumed,omitempty"`
	Log     []string `json:"log,omitempty"` // of a failed cell, the last lines
}

// State returns "done" or "failed".
func (r *Result) State() string {
	if r.Final != nil {
		return stateDone
	}
	return stateFailed
}

const (
	stateDone   = "done"
	stateFailed = "failed"
)
