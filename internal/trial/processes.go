package trial

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"netadjust/internal/data"
)

// command runs a program until the context ends and returns what it prints.
func command(ctx context.Context, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	if err != nil {
		return string(out), fmt.Errorf("%s %s: %w\n%s", program, strings.Join(args, " "), err, tail(out))
	}
	return string(out), nil
}

// tail is the end of a long output.
func tail(out []byte) string {
	const most = 3000
	return string(bytes.TrimSpace(out[max(0, len(out)-most):]))
}

// trainedOn are datasets for an experiment, the first that is there.
var trainedOn = []string{"cifar10", "fashion-mnist", "mnist"}

const experimentFile = `name = "trial"
[data]
train      = %d
validation = 50
test       = %d
[train]
epochs  = %d
batch   = 50
augment = "pad-crop"
[search]
epochs            = 1
iterations        = 2
layers_per_update = 1
rate              = 0.25
repeats           = 1
[[matrix]]
network = "%s"
width   = %g
dataset = "%s"
method  = ["uniform", "adjust"]
budget  = 1.0
seed    = [1, 2, 3]
`

// Experiment is what whole runs gave.
type Experiment struct {
	Dataset   string    `json:"dataset"`
	Kills     int       `json:"kills"` // that hit a run
	Accuracy  []float64 `json:"test_top1"`
	Processor []float64 `json:"test_top1_cpu"` // of the same cells
	Seconds   float64   `json:"seconds"`       // of the run that nothing interrupted
}

// experiment runs a small matrix: at once, two cells at a time, killed again and again, and on the processor. Accuracies on
// both lie within the spread of seeds.
func (l *layer) experiment(ctx context.Context) (any, error) {
	e := Experiment{}
	for _, name := range trainedOn {
		if _, err := data.Open(name, l.Data); err == nil {
			e.Dataset = name
			break
		}
	}
	if e.Dataset == "" {
		return nil, &skipped{fmt.Sprintf("%s has none of %s; netadjust data get mnist gets one", l.Data,
			strings.Join(trainedOn, ", "))}
	}
	dir, err := os.MkdirTemp("", "netadjust-trial-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	network, width, images, test, epochs := "resnet20", 0.5, 3000, 1000, 2
	if l.card.Processor {
		network, width, images, test, epochs = "resnet8", 0.25, 100, 50, 1
	}
	file := filepath.Join(dir, "trial.toml")
	text := fmt.Sprintf(experimentFile, images, test, epochs, network, width, e.Dataset)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		return nil, err
	}
	run := func(out, device, jobs string) []string {
		return []string{"run", file, "--out", filepath.Join(dir, out), "--device", device, "--jobs", jobs, "--data", l.Data,
			"--checkpoint", "200ms", "--quiet"}
	}
	start := time.Now()
	for _, args := range [][]string{run("whole", l.name, "1"), run("two", l.name, "2"), run("cpu", "cpu", "1")} {
		if _, err := command(ctx, l.Program, args...); err != nil {
			return e, err
		}
		if e.Seconds == 0 {
			e.Seconds = time.Since(start).Seconds()
		}
	}
	if e.Kills, err = killed(ctx, l.Program, run("killed", l.name, "1"), time.Duration(e.Seconds*float64(time.Second))); err != nil {
		return e, err
	}
	if e.Kills == 0 {
		return e, errors.New("no kill has hit a run")
	}
	if err := sameFrames(dir, "whole", "two", "killed"); err != nil {
		return e, err
	}
	if e.Accuracy, err = accuracies(filepath.Join(dir, "whole")); err != nil {
		return e, err
	}
	if e.Processor, err = accuracies(filepath.Join(dir, "cpu")); err != nil {
		return e, err
	}
	return e, withinSpread(e.Accuracy, e.Processor)
}

// killed kills a run after longer and longer times, and lets the last one end.
func killed(ctx context.Context, program string, args []string, whole time.Duration) (kills int, err error) {
	const most = 3
	for i := range most {
		short, cancel := context.WithTimeout(ctx, whole*time.Duration(i+1)/(most+1))
		_, err := command(short, program, args...)
		if cancel(); ctx.Err() != nil {
			return kills, ctx.Err()
		}
		if errors.Is(err, context.DeadlineExceeded) {
			kills++
		} else if err != nil {
			return kills, err
		}
	}
	_, err = command(ctx, program, args...)
	return kills, err
}

// sameFrames compares the frames of runs, byte by byte.
func sameFrames(dir string, runs ...string) error {
	var first []byte
	for _, run := range runs {
		b, err := os.ReadFile(filepath.Join(dir, run, "frame.csv"))
		if err != nil {
			return err
		}
		if first == nil {
			first = b
		}
		if !bytes.Equal(b, first) {
			return fmt.Errorf("frame.csv of run %q differs from that of run %q", run, runs[0])
		}
	}
	return nil
}

// accuracies reads the test accuracies of a run's cells.
func accuracies(out string) ([]float64, error) {
	f, err := os.Open(filepath.Join(out, "frame.csv"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return nil, err
	}
	column := map[string]int{}
	for i, name := range rows[0] {
		column[name] = i
	}
	var list []float64
	for _, row := range rows[1:] {
		if state := row[column["state"]]; state != "done" {
			return nil, fmt.Errorf("cell %s is %s: %s", row[column["id"]], state, row[column["failure"]])
		}
		top1, err := strconv.ParseFloat(row[column["test_top1"]], 64)
		if err != nil {
			return nil, err
		}
		list = append(list, top1)
	}
	return list, nil
}

// withinSpread compares the means of the same cells on two devices. After some steps other roundings are as good as other
// seeds, so the mean may lie outside of the processor's cells, but not by more than these differ among each other.
func withinSpread(got, want []float64) error {
	if len(got) != len(want) || len(want) == 0 {
		return fmt.Errorf("%d cells, %d on the processor", len(got), len(want))
	}
	low, high, mean, other := want[0], want[0], 0., 0.
	for i, x := range want {
		low, high = min(low, x), max(high, x)
		other += x / float64(len(want))
		mean += got[i] / float64(len(got))
	}
	if spread := high - low; !(mean >= low-spread && mean <= high+spread) {
		return fmt.Errorf("mean test accuracy %.4f, on the processor %.4f, of cells from %.4f to %.4f", mean, other, low, high)
	}
	return nil
}

// sanitized runs the table of operations in NVIDIA's compute-sanitizer, where there is one.
func (l *layer) sanitized(tool string) func(context.Context) (any, error) {
	return func(ctx context.Context) (any, error) {
		if l.card.Layer != "cuda" {
			return nil, &skipped{"compute-sanitizer is for CUDA"}
		}
		sanitizer, err := exec.LookPath("compute-sanitizer")
		if err != nil {
			sanitizer = "/usr/local/cuda/bin/compute-sanitizer"
			if _, err := os.Stat(sanitizer); err != nil {
				return nil, &skipped{"compute-sanitizer, which is in CUDA's toolkit, is not installed"}
			}
		}
		out, err := command(ctx, sanitizer, "--tool", tool, "--error-exitcode", "9", l.Program, "check", "--device", l.name)
		if err != nil && (strings.Contains(out, "not supported") || strings.Contains(out, "No attachable process found")) {
			return nil, &skipped{"compute-sanitizer does not work here: " + tail([]byte(out))}
		}
		return tail([]byte(out)), err
	}
}

// peerCases are those of bench/pytorch_peer.py that are compared with PyTorch.
var peerCases = []string{"resnet20 train", "resnet20 eval", "resnet20 fur", "resnet18 train", "mobilenet_v2 train"}

// peer measures a case beside PyTorch, if there is one that sees a GPU.
func (l *layer) peer(name string) func(context.Context) (any, error) {
	return func(ctx context.Context) (any, error) {
		if l.card.Processor {
			return nil, &skipped{"PyTorch is compared with on a GPU"}
		}
		script := filepath.Join(filepath.Dir(l.Program), "..", "bench", "pytorch_peer.py")
		if _, err := os.Stat(script); err != nil {
			return nil, &skipped{"no bench/pytorch_peer.py beside the folder of the program"}
		}
		if out, err := command(ctx, "python3", "-c", "import torch; print(torch.cuda.is_available())"); err != nil ||
			strings.TrimSpace(out) != "True" {
			return nil, &skipped{"python3 has no PyTorch that sees a GPU: " + tail([]byte(out))}
		}
		file := filepath.Join(os.TempDir(), fmt.Sprintf("netadjust-peer-%d.json", os.Getpid()))
		defer os.Remove(file)
		if out, err := command(ctx, "python3", script, "--device", l.name, "--rounds", "2", "--seconds", "2", "--out", file,
			name); err != nil {
			return tail([]byte(out)), err
		}
		text, err := os.ReadFile(file)
		return json.RawMessage(text), err
	}
}
