package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"netadjust/adjustment"
	"netadjust/internal/suggest"
	"netadjust/networks"
)

// stepInput is what the file of netadjust step holds: a network, an update, and what it is applied to.
type stepInput struct {
	network, padding, mode string
	width                  float64
	input                  []int
	classes                int
	initial, channels      []int // nil initial: the network's own widths
	fur                    []float64
	update                 int
	rate, decay            float64
	budget                 int64
}

// stepResult is what netadjust step prints as JSON.
type stepResult struct {
	FLOPsPerChannel []float64 `json:"flops_per_channel"` // dF/dc at the given widths
	Updated         []int     `json:"updated"`           // widths after layers have grown and shrunk
	Channels        []int     `json:"channels"`          // widths after that, fitted to the budget
	FLOPs           int64     `json:"flops"`             // of these
}

func stepCommand(a *app, f *flags) error {
	f.json()
	args, err := f.parse()
	if err != nil {
		return err
	}
	name, text := args[0], []byte(nil)
	if name == "-" {
		name = "standard input"
		text, err = io.ReadAll(os.Stdin)
	} else {
		text, err = os.ReadFile(name)
	}
	if err != nil {
		return fmt.Errorf("read update: %w", err)
	}
	in, err := readStep(text)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	step, err := in.step()
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	change, err := step.Apply(in.channels, in.fur)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	result := stepResult{
		step.FLOPsPerChannel(in.channels), change.Moved, change.Next, step.Network.FLOPs(change.Next),
	}
	return f.print(result, func(w io.Writer) { printStep(w, in, step, change, result) })
}

func printStep(w io.Writer, in *stepInput, s adjustment.Step, c *adjustment.Change, r stepResult) {
	fmt.Fprintf(w, "%-24s %14s %16s %8s %8s %8s  %s\n",
		"layer", "FUR", "FLOPs/channel", "before", "moved", "after", "rank")
	for i, layer := range s.Network.Adjustable() {
		var moves []string
		if j := slices.Index(c.Grown, i); j >= 0 {
			moves = append(moves, fmt.Sprintf("grows (%d)", j+1))
		}
		if j := slices.Index(c.Shrunk, i); j >= 0 {
			moves = append(moves, fmt.Sprintf("shrinks (%d)", j+1))
		}
		line := fmt.Sprintf("%-24s %14.6g %16.8g %8d %8d %8d  %s", layer, in.fur[i], r.FLOPsPerChannel[i], in.channels[i],
			r.Updated[i], r.Channels[i], strings.Join(moves, ", "))
		fmt.Fprintln(w, strings.TrimRight(line, " "))
	}
	fmt.Fprintf(w, "\n%s, %s mode: %d FLOPs (multiply-adds), %.2f %% of the budget of %d\n",
		s.Network.Name, in.mode, r.FLOPs, 100*float64(r.FLOPs)/float64(s.Budget), s.Budget)
}

// step checks the values and returns the update that they describe. Errors begin with the key.
func (in *stepInput) step() (adjustment.Step, error) {
	fail := func(key, format string, args ...any) (adjustment.Step, error) {
		return adjustment.Step{}, fmt.Errorf(key+": "+format, args...)
	}
	switch {
	case !(in.width > 0):
		return fail("width", "must be more than 0, not %v", in.width)
	case len(in.input) != 3 || slices.Min(in.input) < 1:
		return fail("input", "must be channels, height and width of an image, each at least 1, not %v", in.input)
	case in.classes < 2:
		return fail("classes", "must be at least 2, not %d", in.classes)
	case in.padding != networks.PaddingMax && in.padding != networks.PaddingLocal:
		return fail("padding", "must be %q or %q, not %q", networks.PaddingMax, networks.PaddingLocal, in.padding)
	case in.mode != "default" && in.mode != reference:
		return fail("mode", `must be "default" or "reference", not %q`, in.mode)
	case !(in.rate >= 0 && in.rate <= 1):
		return fail("rate", "must be at least 0 and at most 1, not %v", in.rate)
	case !(in.decay >= 0 && in.decay <= 1):
		return fail("rate_decay", "must be at least 0 and at most 1, not %v", in.decay)
	case in.budget < 1:
		return fail("budget", "must be at least 1, not %d", in.budget)
	}
	spec, err := networks.Read(in.network)
	if err != nil {
		return fail("network", "%w", err)
	}
	spec.Width, spec.Padding, spec.Input, spec.Classes = in.width, in.padding, [3]int(in.input), in.classes
	n, err := networks.New(spec)
	if err != nil {
		return fail("network", "%w", err)
	}
	if in.initial == nil {
		in.initial = n.Start()
	}
	if err := n.Check(in.initial); err != nil {
		return fail("initial_channels", "%w", err)
	}
	if err := n.Check(in.channels); err != nil {
		return fail("channels", "%w", err)
	}
	if layers := len(n.Adjustable()); len(in.fur) != layers {
		return fail("fur", "%s has %d adjustable layers, but %d values are given", n.Name, layers, len(in.fur))
	}
	var rules []string
	if in.mode == reference {
		rules = adjustment.ReferenceRules()
	}
	s := adjustment.Step{
		Network: n, Start: in.initial, Budget: in.budget, Layers: in.update, Rate: in.rate, RateDecay: in.decay,
		Reference: rules,
	}
	if err := s.Check(); err != nil {
		return fail("update", "%w", err)
	}
	return s, nil
}

// readStep reads a JSON object with the keys of an update, all of them but those that have a default.
func readStep(text []byte) (*stepInput, error) {
	in := &stepInput{width: 1, mode: "default"}
	given, err := readObject(text, []field{
		{"network", "a string", &in.network},
		{"width", "a number", &in.width},
		{"input", "a list of whole numbers", &in.input},
		{"classes", "a whole number", &in.classes},
		{"padding", "a string", &in.padding},
		{"initial_channels", "a list of whole numbers", &in.initial},
		{"channels", "a list of whole numbers", &in.channels},
		{"fur", "a list of finite numbers", &in.fur},
		{"update", "a whole number", &in.update},
		{"rate", "a number", &in.rate},
		{"rate_decay", "a number", &in.decay},
		{"budget", "a whole number", &in.budget},
		{"mode", "a string", &in.mode},
	})
	if err != nil {
		return nil, err
	}
	for _, key := range []string{"network", "input", "classes", "padding", "channels", "fur", "update", "rate", "budget"} {
		if !slices.Contains(given, key) {
			return nil, fmt.Errorf("%s: missing; an update needs it", key)
		}
	}
	return in, nil
}

// field is a key of a JSON object and where its value goes.
type field struct {
	key, want string // want says what the value must be
	value     any    // pointer
}

// readObject reads a JSON object with the given fields, and returns which keys it has. Unlike the decoder of the
// standard library it refuses what is unknown, repeated or null, and names the key of a value that is not even JSON.
func readObject(text []byte, fields []field) (given []string, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return nil, errors.New("must hold a JSON object")
	}
	var known []string
	for _, f := range fields {
		known = append(known, f.key)
	}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, fmt.Errorf("not JSON: %w", err)
		}
		key := t.(string) // the decoder takes nothing else for a key
		i := slices.Index(known, key)
		switch {
		case i < 0:
			return nil, fmt.Errorf("%s: unknown key%s", key, suggest.Known(key, known))
		case slices.Contains(given, key):
			return nil, fmt.Errorf("%s: is there twice", key)
		}
		given = append(given, key)
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return nil, fmt.Errorf("%s: must be %s: %w", key, fields[i].want, err)
		}
		if holdsNull(raw) || json.Unmarshal(raw, fields[i].value) != nil {
			return nil, fmt.Errorf("%s: must be %s, not %.60s", key, fields[i].want, raw)
		}
	}
	if _, err := d.Token(); err != nil {
		return nil, fmt.Errorf("not a complete JSON object: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("must hold nothing but one JSON object")
	}
	return given, nil
}

// holdsNull tells whether there is a null in a JSON value.
func holdsNull(raw json.RawMessage) bool {
	for d := json.NewDecoder(bytes.NewReader(raw)); ; {
		t, err := d.Token()
		if err != nil {
			return false
		}
		if t == nil {
			return true
		}
	}
}
