package adjustment

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"netadjust/internal/search"
)

// widthLab trains networks whose validation loss is known from their widths.
type widthLab struct {
	*fakeLab
	lossOf func(c []int) (float64, error)
}

type widthTrained struct {
	search.Trained
	loss float64
}

func (l *widthLab) Train(ctx context.Context, t search.Training) (search.Trained, error) {
	trained, err := l.fakeLab.Train(ctx, t)
	if err != nil {
		return nil, err
	}
	loss, err := l.lossOf(t.Channels)
	return &widthTrained{trained, loss}, err
}

func (w *widthTrained) Validate(ctx context.Context) (search.Evaluation, error) {
	e, err := w.Trained.Validate(ctx)
	e.Loss = w.loss
	return e, err
}

func TestTruth(t *testing.T) {
	p, fake := problem(t)
	lab := &widthLab{fake, func(c []int) (float64, error) { return 100 / float64(p.Network.FLOPs(c)), nil }}
	m := Truth{settings}
	out, err := m.Search(t.Context(), lab, p)
	if err != nil {
		t.Fatal(err)
	}
	start, _, err := p.Start(p.Budget)
	if err != nil {
		t.Fatal(err)
	}
	truth := out.Truth
	if diff := cmp.Diff([][]int{start, start, start}, [][]int{out.Start, out.Channels, truth.Channels}); diff != "" {
		t.Errorf("widths (-want +got):\n%s", diff)
	}
	want := [][]int{start}
	for i := range start {
		for _, side := range []struct {
			factor float64
			got    search.Neighbour
		}{{0.5, truth.Narrower[i]}, {1.5, truth.Wider[i]}} {
			c := slices.Clone(start)
			c[i] = int(side.factor * float64(c[i]))
			want = append(want, c)
			flops := p.Network.FLOPs(c)
			neighbour := search.Neighbour{
				Channels: c[i], FLOPs: flops, Validation: search.Evaluation{Loss: 100 / float64(flops), Top1: 0.5},
			}
			if diff := cmp.Diff(neighbour, side.got); diff != "" {
				t.Errorf("layer %d at %v (-want +got):\n%s", i, side.factor, diff)
			}
		}
	}
	var trained [][]int
	for _, training := range fake.trainings {
		if trained = append(trained, training.Channels); training.Purpose != "truth" || training.Epochs != settings.Epochs {
			t.Errorf("training %+v", training)
		}
	}
	if diff := cmp.Diff(want, trained); diff != "" {
		t.Errorf("trainings (-want +got):\n%s", diff)
	}
	// The ratios are those that a search would see.
	q, other := problem(t)
	searched, err := Method{settings}.Search(t.Context(), other, q)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(searched.Updates[0].Measured, truth.Measured); diff != "" {
		t.Errorf("measured (-search +truth):\n%s", diff)
	}

	plan, err := m.Plan(p)
	if err != nil {
		t.Fatal(err)
	}
	for i, w := range plan {
		asked := fake.trainings[i]
		if !slices.Equal(w.Training.Channels, asked.Channels) || w.Training.Purpose != asked.Purpose ||
			w.FLOPs != p.Network.FLOPs(asked.Channels) || w.Validations != fake.validations[i] {
			t.Errorf("training %d: planned %+v, asked for %+v with %d validations", i, w, asked, fake.validations[i])
		}
	}
	if len(plan) != len(fake.trainings) {
		t.Errorf("%d trainings planned, %d run", len(plan), len(fake.trainings))
	}
}

func TestTruthErrors(t *testing.T) {
	broken := errors.New("the disk is full")
	for _, tt := range []struct {
		loss float64
		err  error
		want string
	}{
		{0, broken, "0.5 times the width of stage1.block1.conv2: the disk is full"},
		{math.NaN(), nil, "0.5 times the width of stage1.block1.conv2: validation loss is NaN: training has diverged"},
	} {
		p, fake := problem(t)
		lab := &widthLab{fake, func(c []int) (float64, error) {
			if len(fake.trainings) == 4 {
				return tt.loss, tt.err
			}
			return 1, nil
		}}
		_, err := Truth{settings}.Search(t.Context(), lab, p)
		checkError(t, fmt.Sprint(tt.err), err, tt.want)
		if tt.err != nil && !errors.Is(err, broken) {
			t.Errorf("error %v does not wrap the lab's", err)
		}
	}
	p, fake := problem(t)
	p.Budget = 1000
	_, err := Truth{settings}.Search(t.Context(), fake, p)
	_, planErr := Truth{settings}.Plan(p)
	for _, err := range []error{err, planErr} {
		if err == nil || !strings.Contains(err.Error(), "budget of 1000 FLOPs is too small") {
			t.Errorf("error %v", err)
		}
	}
}

// TestNeighbour checks that a layer of whatever width changes, and keeps a channel.
func TestNeighbour(t *testing.T) {
	for _, tt := range []struct {
		width, narrow, wide int
	}{{2, 1, 3}, {3, 2, 4}, {4, 2, 6}, {5, 2, 8}, {16, 8, 24}} {
		c := []int{7, tt.width}
		narrow, wide := neighbour(c, 1, narrower), neighbour(c, 1, wider)
		if diff := cmp.Diff([][]int{{7, tt.narrow}, {7, tt.wide}, {7, tt.width}}, [][]int{narrow, wide, c}); diff != "" {
			t.Errorf("width %d (-want +got):\n%s", tt.width, diff)
		}
	}
}
