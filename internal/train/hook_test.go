package train

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"netadjust/networks"
)

// still is a hook that stops one channel, another one in each epoch: its scale and the velocity of that are zero. It
// notes when it was called.
type still struct {
	channel int
	calls   []string
	fail    string
}

const stilled = "stage1.block1.bn1.gamma"

func (h *still) note(format string, args ...any) error {
	call := fmt.Sprintf(format, args...)
	h.calls = append(h.calls, call)
	if call == h.fail {
		return errors.New("the hook has failed")
	}
	return nil
}

func (h *still) Epoch(e int, s networks.State) error {
	h.channel = e % 2
	return errors.Join(h.note("epoch %d", e), h.stop(s))
}

func (h *still) Resume(s networks.State) error {
	var gamma [4]float32
	err := s.Load(stilled, gamma[:])
	h.channel = slices.Index(gamma[:], 0)
	return errors.Join(h.note("resume"), err)
}

func (h *still) Step(s networks.State, rate float64) error {
	return errors.Join(h.note("step %.4f", rate), h.stop(s))
}

func (h *still) stop(s networks.State) error {
	var v [4]float32
	for _, name := range []string{stilled, networks.Tensor{Name: stilled}.Velocity()} {
		if err := s.Load(name, v[:]); err != nil {
			return err
		}
		v[h.channel] = 0
		if err := s.Write(name, v[:]); err != nil {
			return err
		}
	}
	return nil
}

// TestHook checks when a hook is called, that what it writes is trained on, and that its errors end the training.
func TestHook(t *testing.T) {
	h := &still{}
	r := short
	r.Hook = h
	n := network(t, "resnet8", 0.25)
	train := func() (*Model, error) {
		m, _, err := Train(t.Context(), processor(t, 1), n, n.Start(), digits(t, 0, 40), norm, r, Stream{1, "final"}, quiet)
		return m, err
	}
	m, err := train()
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"epoch 0", "step 0.0500", "step 0.0500", "step 0.0500", "epoch 1", "step 0.0250", "step 0.0250", "step 0.0250",
		"epoch 2",
	}
	if diff := cmp.Diff(want, h.calls); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if gamma := m.Tensor(stilled); gamma[0] != 0 || gamma[1] != 0 || gamma[2] == 0 {
		t.Errorf("scales %v, want the second one stopped in the second epoch and the first one after it", gamma)
	}
	for _, call := range []string{"epoch 0", "step 0.0250", "epoch 2"} {
		h.fail = call
		_, err := train()
		checkError(t, call, err, "the hook has failed")
	}
}

// TestResumeWithHook stops trainings that have a hook or are slimmable after every step.
func TestResumeWithHook(t *testing.T) {
	for name, change := range map[string]func(*Recipe){
		"hook": func(r *Recipe) { r.Hook = &still{} },
		"slimmable": func(r *Recipe) {
			r.Epochs, r.WarmupEpochs, r.Slimmable = 1, 0, &networks.Slimmable{Steps: 2, Least: 1, Random: 1}
		},
	} {
		c := newCourse(t)
		c.change = change
		stops := 0
		for {
			keep := c.keep
			if _, err := c.run(&patience{t.Context(), 2}, 1+stops%2, &keep); err == nil || stops > 20 {
				break
			}
			stops++
		}
		if stops < 1 || stops > 20 {
			t.Errorf("%s: %d stops", name, stops)
		}
		c.again(name, 0)
	}
}

// TestContinue goes on with a trained network: it begins where that ended, and leaves the one that it was given alone if
// that is cloned.
func TestContinue(t *testing.T) {
	n, images := network(t, "resnet8", 0.25), digits(t, 0, 200)
	r := Recipe{Epochs: 3, Batch: 20, LearningRate: 0.1, MinLearningRate: 0.01, Momentum: 0.9}
	m, first, err := Train(t.Context(), processor(t, 1), n, n.Start(), images, norm, r, Stream{1, "start"}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	before := slices.Clone(m.Tensor("classifier.weights"))
	more := m.Clone()
	r.LearningRate = 0.01
	second, err := Continue(t.Context(), processor(t, 1), more, images, r, Stream{1, "final"}, nil, quiet)
	if err != nil || len(second) != 3 {
		t.Fatal(second, err)
	}
	if second[0].Loss > first[2].Loss {
		t.Errorf("goes on at loss %v where training ended at %v", second[0].Loss, first[2].Loss)
	}
	if !slices.Equal(before, m.Tensor("classifier.weights")) || slices.Equal(before, more.Tensor("classifier.weights")) {
		t.Error("it is not the clone that was trained")
	}
}
