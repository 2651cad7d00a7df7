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
	"sync"

	"netadjust/internal/atomicfile"
	"netadjust/internal/device"
	"netadjust/internal/search"
	"netadjust/internal/train"
	"netadjust/networks"
	"netadjust/results"
)

// store keeps the networks that searches have trained, by the content of the training, so that each is trained once:
// cells share start networks, and a search that was interrupted goes on where it was.
type store struct {
	dir  string
	warn func(error)
	mu   sync.Mutex
	busy map[string]chan struct{} // trainings that are running
}

func newStore(dir string, warn func(error)) *store {
	return &store{dir: dir, warn: warn, busy: map[string]chan struct{}{}}
}

// content is everything that decides what a training gives.
type content struct {
	Network  networks.Spec
	Channels []int
	Recipe   train.Recipe
	Stream   train.Stream
	Images   [2]int // of the training set, from and to
	Dataset  string // checksum
	Device   string // kernels round differently
}

func contentOf(c *cell, t search.Training, dataset string, dev device.Info) content {
	recipe := c.search
	recipe.Epochs, recipe.Hook, recipe.Slimmable = t.Epochs, t.Hook, t.Slimmable
	if t.Constant {
		recipe.MinLearningRate, recipe.WarmupEpochs = recipe.LearningRate, 0
	}
	return content{
		Network: t.Network.Spec, Channels: t.Channels, Recipe: recipe, Stream: train.Stream{Seed: c.Seed, Purpose: t.Purpose},
		Images: [2]int{0, c.Data.Train}, Dataset: dataset, Device: dev.Name + " " + dev.Kernels,
	}
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

func (c content) key() string {
	text, err := json.Marshal(c)
	if err != nil {
		panic(err) // numbers come from checked settings
	}
	return fmt.Sprintf("%x", sha256.Sum256(text))[:24]
}

// get returns the network of a training. If another goroutine is at it, get waits; if nobody has done it, run does.
func (s *store) get(ctx context.Context, c content, norm train.Normalization, n *networks.Network,
	run func() (*train.Model, error)) (*train.Model, error) {
	key := c.key()
	for {
		s.mu.Lock()
		other := s.busy[key]
		if other == nil {
			s.busy[key] = make(chan struct{})
		}
		s.mu.Unlock()
		if other == nil {
			break
		}
		select {
		case <-other:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	defer func() {
		s.mu.Lock()
		close(s.busy[key])
		delete(s.busy, key)
		s.mu.Unlock()
	}()

	path := filepath.Join(s.dir, key+".safetensors")
	m, err := train.Load(path, n, c.Channels, norm)
	switch {
	case err == nil:
		return m, nil
	case errors.Is(err, train.ErrDamaged):
		aside, moveErr := atomicfile.SetAside(path)
		if moveErr != nil {
			return nil, fatal{errors.Join(err, moveErr)}
		}
		s.warn(fmt.Errorf("%w; set aside as %s, training again", err, filepath.Base(aside)))
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fatal{err}
	}
	if m, err = run(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return nil, fatal{err}
	}
	if err := m.Save(path, map[string]string{"purpose": c.Stream.Purpose, "seed": fmt.Sprint(c.Stream.Seed)}); err != nil {
		return nil, fatal{err}
	}
	return m, nil
}
