package harness

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"netadjust/internal/train"
	"netadjust/results"
)

// weightsFile is the name of the final weights inside the folder of their cell.
const weightsFile = "weights.safetensors"

// Trained is a network that somebody has trained, with what is known of it.
type Trained struct {
	Model  *train.Model
	Record *results.Record // of the cell that ended with it; nil for weights that lie elsewhere
	Files  []string        // of the network: its weights, and what lies beside those of a cell
}

// OpenTrained reads the network that a cell has ended with, from the cell's folder, or the network of a weights file
// alone.
func OpenTrained(path string) (*Trained, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("trained network: %w; name the folder of a finished cell or a weights file", err)
	}
	if !info.IsDir() {
		m, _, err := train.Open(path)
		return &Trained{Model: m, Files: []string{path}}, err
	}
	record, err := results.Read(filepath.Join(path, results.RecordFile))
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%s is not the folder of a finished cell: %w", path, err)
		}
		return nil, err
	}
	final := record.Result.Final
	if final == nil {
		return nil, fmt.Errorf("%s: the cell has failed and has no network: %s", path, record.Result.Failure.Reason)
	}
	weights := filepath.Join(path, weightsFile)
	m, metadata, err := train.Open(weights)
	if err != nil {
		return nil, err
	}
	if metadata["cell"] != record.Result.ID || !slices.Equal(m.Channels, final.Channels) {
		return nil, fmt.Errorf("%s holds cell %q with widths %v, but the record beside it is of %s with %v; "+
			"remove the folder and run the experiment again", weights, metadata["cell"], m.Channels, record.Result.ID,
			final.Channels)
	}
	files := []string{weights, filepath.Join(path, results.RecordFile), filepath.Join(path, logFile)}
	return &Trained{m, record, files}, nil
}

// Provenance says where the network comes from and how good it is, for files that leave the tool. It is empty for
// weights without a record.
func (t *Trained) Provenance() map[string]string {
	if t.Record == nil {
		return nil
	}
	r := t.Record.Result
	var config bytes.Buffer
	if err := json.Compact(&config, r.Config); err != nil {
		panic(err) // the record has been checked
	}
	m := map[string]string{
		"cell": r.ID, "experiment": r.Experiment, "dataset": r.Dataset, "dataset_checksum": r.DatasetChecksum,
		"dataset_note": r.DatasetNote, "method": r.Method, "variant": r.Variant, "budget": r.Budget,
		"seed": strconv.FormatUint(r.Seed, 10), "test_top1": strconv.FormatFloat(r.Final.TestTop1, 'g', -1, 64),
		"test_loss": strconv.FormatFloat(r.Final.TestLoss, 'g', -1, 64), "device": r.Device, "version": r.Version,
		"config": config.String(), "record_hash": t.Record.Hash,
	}
	maps.DeleteFunc(m, func(_, value string) bool { return value == "" })
	return m
}
