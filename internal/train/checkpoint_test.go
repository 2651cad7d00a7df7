package train

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"netadjust/networks"
)

// patience is a context that is done when it has been asked so often.
type patience struct {
	context.Context
	left int
}

func (p *patience) Err() error {
	if p.left--; p.left < 0 {
		return context.Canceled
	}
	return nil
}

// course is a training of two epochs of 4 steps each, the last of them on 2 images.
type course struct {
	t       *testing.T
	network *networks.Network
	keep    Checkpoints
	warned  []string
	epochs  int // reported
	change  func(*Recipe)
}

func newCourse(t *testing.T) *course {
	c := &course{t: t, network: network(t, "resnet8", 0.25)}
	c.keep = Checkpoints{
		Path: filepath.Join(t.TempDir(), "new", "checkpoint"), Of: "course",
		Pace: Pace{Warn: func(err error) { c.warned = append(c.warned, err.Error()) }},
	}
	return c
}

// run goes on until ctx is done.
func (c *course) run(ctx context.Context, threads int, keep *Checkpoints) (*outcome, error) {
	c.t.Helper()
	r := short
	r.DropRate, r.WarmupEpochs = 0.2, 1
	if c.change != nil {
		c.change(&r)
	}
	m, epochs, err := Resume(ctx, processor(c.t, threads), c.network, c.network.Start(), digits(c.t, 0, 50), norm, r,
		Stream{3, "final"}, keep, func(int, Epoch) { c.epochs++ })
	if err != nil {
		return nil, err
	}
	return &outcome{Epochs: epochs, Tensors: m.tensors}, nil
}

// again is a run with checkpoints to the end, which has to give what the training without any gives, after so many
// epochs, and with one warning for each of the texts.
func (c *course) again(name string, epochs int, warnings ...string) {
	c.t.Helper()
	want, err := c.run(c.t.Context(), 1, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	c.epochs, c.warned = 0, nil
	keep := c.keep
	got, err := c.run(c.t.Context(), 2, &keep)
	if err != nil {
		c.t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		c.t.Errorf("%s (-uninterrupted +resumed):\n%s", name, diff)
	}
	if c.epochs != epochs || len(c.warned) != len(warnings) {
		c.t.Errorf("%s: %d epochs, want %d; warnings %q", name, c.epochs, epochs, c.warned)
	}
	for i, w := range c.warned {
		if i < len(warnings) && !strings.Contains(w, warnings[i]) {
			c.t.Errorf("%s: warning %q, want one with %q", name, w, warnings[i])
		}
	}
}

// TestResume stops a training after every single step. The numbers of threads differ from one life to the next.
func TestResume(t *testing.T) {
	c := newCourse(t)
	c.keep.Every = time.Hour
	for life := range 7 {
		keep := c.keep
		if _, err := c.run(&patience{t.Context(), 1}, 1+life%3, &keep); !errors.Is(err, context.Canceled) {
			t.Fatalf("life %d: %v", life+1, err)
		}
	}
	if c.epochs != 1 {
		t.Errorf("%d epochs have been reported in 7 of 8 steps, want 1", c.epochs)
	}
	c.again("one step a life", 1)
	if err := c.keep.Remove(); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(filepath.Dir(c.keep.Path)); err != nil || len(entries) > 0 {
		t.Errorf("left in the folder: %v, %v", entries, err)
	}
}

// TestResumeFromTheFileThatIsLeft ends a training like a killed one, with files of its last two steps, and damages them.
func TestResumeFromTheFileThatIsLeft(t *testing.T) {
	c := newCourse(t)
	keep := c.keep // a checkpoint after every step
	if _, err := c.run(&patience{t.Context(), 6}, 1, &keep); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	c.keep.Every = time.Hour
	fifth, sixth := c.keep.path(0), c.keep.path(1)
	c.again("as it was left", 1)
	for _, damaged := range []struct {
		path     string
		epochs   int
		warnings []string
	}{
		{sixth, 1, []string{sixth + ": file is damaged"}},
		{fifth, 2, []string{fifth + ": file is damaged"}},
	} {
		file, err := os.ReadFile(damaged.path)
		if err != nil {
			t.Fatal(err)
		}
		file[len(file)-1] ^= 1
		if err := os.WriteFile(damaged.path, file, 0o644); err != nil {
			t.Fatal(err)
		}
		c.again("damaged "+filepath.Base(damaged.path), damaged.epochs, damaged.warnings...)
		if got, err := os.ReadFile(damaged.path + ".damaged-1"); err != nil || string(got) != string(file) {
			t.Errorf("the damaged file is not kept: %v", err)
		}
	}
}

func TestForeignCheckpoint(t *testing.T) {
	c := newCourse(t)
	keep := c.keep
	if _, err := c.run(&patience{t.Context(), 6}, 1, &keep); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	c.keep.Of, c.keep.Every = "course on another device", time.Hour
	foreign := "is a checkpoint of another training or device (course, not course on another device); starting again"
	c.again("foreign", 2, foreign, foreign)
}

// A checkpoint that cannot be written stops nothing.
func TestUnwritableCheckpoint(t *testing.T) {
	c := newCourse(t)
	if err := os.WriteFile(filepath.Dir(c.keep.Path), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	c.keep.Every = time.Hour
	unreadable := "not a directory"
	c.again("unwritable", 2, unreadable, unreadable)
	keep := c.keep
	if _, err := c.run(&patience{t.Context(), 1}, 1, &keep); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if len(c.warned) != 5 || !strings.Contains(c.warned[4], "no checkpoint: ") {
		t.Errorf("warnings %q", c.warned)
	}
}

func TestCheckpointsAreDue(t *testing.T) {
	ago := func(d time.Duration) time.Time { return time.Now().Add(-d) }
	for _, tt := range []struct {
		pace       Pace
		epochEnded bool
		want       bool
	}{
		{Pace{Every: time.Minute, last: ago(time.Second), cost: time.Millisecond}, false, false},
		{Pace{Every: time.Minute, last: ago(time.Second), cost: time.Millisecond}, true, true},
		{Pace{Every: time.Minute, last: ago(time.Second), cost: time.Second}, true, false},
		{Pace{Every: time.Minute, last: ago(61 * time.Second), cost: time.Second}, false, true},
		{Pace{Every: time.Minute, last: ago(61 * time.Second), cost: 2 * time.Second}, false, false},
		{Pace{Every: time.Minute, last: ago(2 * time.Minute), cost: time.Hour}, false, true},
	} {
		keep := Checkpoints{Pace: tt.pace}
		if got := keep.due(tt.epochEnded); got != tt.want {
			t.Errorf("%+v after an epoch %v: due %v", keep, tt.epochEnded, got)
		}
	}
}
