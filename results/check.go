package results

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// check finds what would make a result unusable for frames and figures.
func (r *Result) check() error {
	if r.ID == "" {
		return errors.New("result has no cell id")
	}
	if (r.Final == nil) == (r.Failure == nil) {
		return errors.New("a result needs either a final network or a failure")
	}
	var config map[string]json.RawMessage
	if err := json.Unmarshal(r.Config, &config); err != nil {
		return fmt.Errorf("config is no JSON object: %w", err)
	}
	for _, name := range r.Layers {
		if name == "" || strings.ContainsFunc(name, unicode.IsSpace) {
			return fmt.Errorf("layer name %q is empty or holds white space", name)
		}
	}
	if len(r.Updates) > 0 && r.Start == nil {
		return errors.New("updates need a start network")
	}
	return r.checkLengths()
}

// checkLengths compares the vectors of a result with the number of layers.
func (r *Result) checkLengths() error {
	layers := len(r.Layers)
	vector := func(name string, n int) error {
		if n != layers {
			return fmt.Errorf("%s has %d entries for %d layers", name, n, layers)
		}
		return nil
	}
	var errs []error
	if r.Start != nil {
		errs = append(errs, vector("start.channels", len(r.Start.Channels)))
	}
	if r.Final != nil {
		errs = append(errs, vector("final.channels", len(r.Final.Channels)))
	}
	if t := r.Truth; t != nil {
		errs = append(errs,
			vector("truth.channels", len(t.Channels)), vector("truth.fur", len(t.FUR)),
			vector("truth.fur_std_err", len(t.FURStdErr)), vector("truth.fur_image_std_err", len(t.FURImageStdErr)),
			vector("truth.drop_rates", len(t.DropRates)), vector("truth.flops_per_channel", len(t.FLOPsPerChannel)),
			vector("truth.narrower", len(t.Narrower)), vector("truth.wider", len(t.Wider)))
	}
	for i, u := range r.Updates {
		if u.Index != i {
			errs = append(errs, fmt.Errorf("updates[%d] has index %d", i, u.Index))
		}
		at := fmt.Sprintf("updates[%d].", i)
		errs = append(errs,
			vector(at+"channels", len(u.Channels)), vector(at+"next", len(u.Next)),
			vector(at+"fur", len(u.FUR)), vector(at+"fur_std_err", len(u.FURStdErr)),
			vector(at+"drop_rates", len(u.DropRates)), vector(at+"flops_per_channel", len(u.FLOPsPerChannel)))
		if u.FURImageStdErr != nil {
			errs = append(errs, vector(at+"fur_image_std_err", len(u.FURImageStdErr)))
		}
		for _, l := range slices.Concat(u.Grown, u.Shrunk) {
			if l < 0 || l >= layers {
				errs = append(errs, fmt.Errorf("updates[%d] moved layer %d of %d", i, l, layers))
			}
		}
	}
	return errors.Join(errs...)
}
