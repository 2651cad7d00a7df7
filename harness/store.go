package harness

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"netadjust/internal/atomicfile"
	"netadjust/internal/device"
	"netadjust/internal/lease"
	"netadjust/internal/search"
	"netadjust/internal/train"
	"netadjust/networks"
	"netadjust/results"
)

// store keeps the networks that searches have trained, and what they were evaluated to, by the content of the training
// and of the evaluation. So each is made once: cells share start networks, also among processes, and a search that was
// interrupted goes on where it was.
type store struct {
	trainings   string // folder
	evaluations string // folder
	pace        train.Pace
	warn        func(error)
}

func newStore(out string, every time.Duration, warn func(error)) *store {
	pace := train.Pace{Every: every, Warn: warn, Try: func(ctx context.Context, write func() error) error {
		return patiently(ctx, warn, write)
	}}
	return &store{filepath.Join(out, trainingsFolder), filepath.Join(out, evaluationsFolder), pace, warn}
}

// telling returns a store of the same folders that tells how long writing each checkpoint has taken.
func (s store) telling(wrote func(time.Duration)) *store {
	s.pace.Wrote = wrote
	return &s
}

const (
	trainingsFolder   = "trainings"
	evaluationsFolder = "evaluations"
)

// content is everything that decides what a training gives.
type content struct {
	Network  networks.Spec
	Channels []int
	Recipe   train.Recipe
	Stream   train.Stream
	Images   [2]int // of the training set, from and to
	Dataset  string // checksum
	Device   string // kernels round differently
	Version  int    `json:",omitempty"` // trainingVersion
}

// trainingVersion is raised whenever a training can give other numbers, since there is one.
const trainingVersion = 1

func contentOf(c *cell, t search.Training, dataset string, dev device.Info) content {
	recipe := c.search
	recipe.Epochs, recipe.Hook, recipe.Slimmable = t.Epochs, t.Hook, t.Slimmable
	if t.Constant {
		recipe.MinLearningRate, recipe.WarmupEpochs = recipe.LearningRate, 0
	}
	return content{
		Network: t.Network.Spec, Channels: t.Channels, Recipe: recipe, Stream: train.Stream{Seed: c.Seed, Purpose: t.Purpose},
		Images: [2]int{0, c.Data.Train}, Dataset: dataset, Device: dev.Name + " " + dev.Kernels,
		Version: trainingVersion,
	}
}

// finalOf is the content of a cell's final training.
func finalOf(c *cell, channels []int, dataset string, dev device.Info) content {
	f := contentOf(c, search.Training{Network: c.problem.Network, Channels: channels, Purpose: "final"}, dataset, dev)
	f.Recipe, f.Images[1] = c.recipe, c.Data.Train+c.Data.Validation
	return f
}

// cost is what the training costs on so many images, whoever does it. A slimmable one sends each through several networks.
func (c content) cost(t search.Training, images int) results.Cost {
	seen := int64(images) * int64(c.Recipe.Epochs)
	if c.Recipe.Slimmable != nil {
		seen *= int64(2 + c.Recipe.Slimmable.Random)
	}
	return results.Cost{
		ForwardImages: seen, BackwardImages: seen,
		FLOPs: trainingPasses * c.Recipe.ForwardFLOPs(t.Network, t.Channels, c.Stream, images),
	}
}

// keyOf names content in files.
func keyOf(content any) string {
	text, err := json.Marshal(content)
	if err != nil {
		panic(err) // numbers come from checked settings
	}
	return fmt.Sprintf("%x", sha256.Sum256(text))[:24]
}

// checkpoints are those of a training, in files whose names begin with path.
func (s *store) checkpoints(path string, c content) *train.Checkpoints {
	return &train.Checkpoints{Path: path, Of: keyOf(c) + " on " + c.Device, Pace: s.pace}
}

// partial keeps what a measurement has come to in the file at path.
func (s *store) partial(path, of string) *train.Partial {
	return &train.Partial{Path: path + ".safetensors", Of: of, Pace: s.pace}
}

// get returns the network of a training. If somebody is at it, get waits; if nobody has done it, run does.
func (s *store) get(ctx context.Context, c content, norm train.Normalization, n *networks.Network,
	run func(ctx context.Context, keep *train.Checkpoints) (*train.Model, error)) (*train.Model, error) {
	m, err := s.load(c, norm, n)
	if err != nil {
		return nil, err
	}
	if m != nil {
		return m, s.tidy(ctx, c)
	}
	for {
		var held context.Context
		var l *lease.Lease
		if err := patiently(ctx, s.warn, func() (err error) {
			if err := os.MkdirAll(s.trainings, 0o755); err != nil {
				return err
			}
			held, l, err = lease.Wait(ctx, s.lease(c))
			return err
		}); err != nil {
			return nil, fatal{err}
		}
		m, err := s.make(held, c, norm, n, run)
		lost := context.Cause(held) == lease.ErrLost
		if err := patiently(ctx, s.warn, l.Release); err != nil {
			s.warn(err)
		}
		if err == nil || !lost {
			return m, err
		}
	}
}

// make is the part of get that one process does at a time.
func (s *store) make(ctx context.Context, c content, norm train.Normalization, n *networks.Network,
	run func(ctx context.Context, keep *train.Checkpoints) (*train.Model, error)) (*train.Model, error) {
	m, err := s.load(c, norm, n)
	if err != nil {
		return nil, err
	}
	keep := s.keep(c)
	if m != nil { // trained while get was waiting
		return m, keep.Remove()
	}
	if err := atomicfile.Sweep(s.trainings, keyOf(c)); err != nil {
		return nil, fatal{err}
	}
	if m, err = run(ctx, keep); err != nil {
		return nil, err
	}
	metadata := map[string]string{"purpose": c.Stream.Purpose, "seed": fmt.Sprint(c.Stream.Seed)}
	if err := patiently(ctx, s.warn, func() error { return m.Save(s.path(c), metadata) }); err != nil {
		return nil, fatal{err}
	}
	return m, keep.Remove()
}

// tidy removes what a process has left beside a trained network that was killed before it could do so.
func (s *store) tidy(ctx context.Context, c content) error {
	return errors.Join(s.keep(c).Remove(), lease.Bury(ctx, s.lease(c)))
}

// keep is what a training goes on from after an interruption.
func (s *store) keep(c content) *train.Checkpoints {
	return s.checkpoints(filepath.Join(s.trainings, keyOf(c)+".checkpoint"), c)
}

func (s *store) lease(c content) string { return filepath.Join(s.trainings, keyOf(c)+".lease") }

func (s *store) path(c content) string { return filepath.Join(s.trainings, keyOf(c)+".safetensors") }

// load returns a network that has been trained, nil if it has not been. A damaged file is set aside.
func (s *store) load(c content, norm train.Normalization, n *networks.Network) (*train.Model, error) {
	path := s.path(c)
	m, err := train.Load(path, n, c.Channels, norm)
	switch {
	case err == nil:
		return m, nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case errors.Is(err, train.ErrDamaged):
		return nil, s.setAside(path, err, "training again")
	}
	return nil, fatal{err}
}

func (s *store) setAside(path string, damage error, then string) error {
	aside, err := atomicfile.SetAside(path)
	if err != nil {
		return fatal{errors.Join(damage, err)}
	}
	s.warn(fmt.Errorf("%w; set aside as %s, %s", damage, filepath.Base(aside), then))
	return nil
}

// evaluation is everything that decides what an evaluation gives. Without Repeats it is one without channel dropout.
type evaluation struct {
	Training content
	Cuts     []cut  `json:",omitempty"`
	Images   [2]int // of the training set, from and to
	Rates    []float64
	Repeats  int
	Redrawn  bool   `json:",omitempty"` // the images are those of search.Redrawn
	Sums     string `json:",omitempty"` // of gradients: what they are
	Batches  int    `json:",omitempty"` // of these
}

// cut is what makes another network of a trained one.
type cut struct {
	Keep    [][]int // channels of each layer
	Batches int     // that batch norm statistics are estimated on
}

// kept is how an evaluation is kept on disk.
type kept struct {
	Value  json.RawMessage `json:"value"`
	SHA256 string          `json:"sha256"`
}

// readKept reads a kept evaluation.
func readKept(path string) (json.RawMessage, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var k kept
	if err := json.Unmarshal(text, &k); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", path, errDamaged, err)
	}
	if k.SHA256 != fmt.Sprintf("%x", sha256.Sum256(k.Value)) {
		return nil, fmt.Errorf("%s: %w", path, errDamaged)
	}
	return k.Value, nil
}

// errDamaged is the error of an evaluation that was cut short or altered.
var errDamaged = errors.New("evaluation is damaged")

// recall reads what an evaluation gave into value, a pointer, or lets run put it there and keeps it.
func (s *store) recall(ctx context.Context, of evaluation, value any, run func(keep *train.Partial) error) error {
	key := keyOf(of)
	path := filepath.Join(s.evaluations, key+".json")
	keep := s.partial(filepath.Join(s.evaluations, key+".partial"), key)
	text, err := readKept(path)
	switch {
	case err == nil:
		return errors.Join(json.Unmarshal(text, value), keep.Remove())
	case errors.Is(err, errDamaged):
		if err := s.setAside(path, err, "evaluating again"); err != nil {
			return err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return fatal{err}
	}
	if err := run(keep); err != nil {
		return err
	}
	if text, err = json.Marshal(value); err != nil {
		return nil // a loss that is no number, which JSON does not have, ends the search anyhow
	}
	file, err := json.Marshal(kept{text, fmt.Sprintf("%x", sha256.Sum256(text))})
	if err != nil {
		return err
	}
	if err := patiently(ctx, s.warn, func() error {
		if err := os.MkdirAll(s.evaluations, 0o755); err != nil {
			return err
		}
		return atomicfile.Write(path, file)
	}); err != nil {
		return fatal{err}
	}
	return keep.Remove()
}
