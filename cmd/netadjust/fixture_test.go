package main

import (
	"bytes"
	"context"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"netadjust/internal/data"
)

// asProgram is set in the environment of a child process that is to be netadjust.
const asProgram = "NETADJUST_TEST_AS_PROGRAM"

// TestMain gets MNIST, which comes with a Go module, for all tests.
func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "netadjust-cmd-*")
		if err != nil {
			log.Fatal(err)
		}
		defer os.RemoveAll(dir)
		os.Setenv("NETADJUST_DATA", dir)
		if err := data.Get(context.Background(), "mnist", dir, func(string, ...any) {}); err != nil {
			log.Print(err)
			return 1
		}
		return m.Run()
	}())
}

// result is what one call of the program gives.
type result struct {
	code           int
	stdout, stderr string
}

// call runs a command line in this process.
func call(ctx context.Context, args ...string) result {
	var stdout, stderr bytes.Buffer
	code := run(ctx, args, &stdout, &stderr)
	return result{code, stdout.String(), stderr.String()}
}

// child returns a command that runs netadjust in a process of its own.
func child(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	return cmd
}

// tiny is an experiment whose cells run in a fraction of a second.
const tiny = `name = "tiny"
[data]
train      = 16
validation = 8
test       = 8
[train]
epochs  = 1
batch   = 8
augment = "none"
[search]
epochs            = 1
iterations        = 1
layers_per_update = 1
rate              = 0.25
repeats           = 1
[[matrix]]
network = "resnet8"
width   = 0.5
dataset = "mnist"
method  = ["uniform", "l1", "adjust"]
budget  = 1.0
seed    = 1
`

// experiment writes an experiment file and returns its path.
func experiment(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tiny.toml")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func read(t *testing.T, path ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// check compares exit code and messages; every text of wants must be in the output.
func (r result) check(t *testing.T, code int, wantStdout, wantStderr string) {
	t.Helper()
	if r.code != code || !strings.Contains(r.stdout, wantStdout) || !strings.Contains(r.stderr, wantStderr) {
		t.Errorf("exit code %d, want %d\nstdout, want %q:\n%s\nstderr, want %q:\n%s",
			r.code, code, wantStdout, r.stdout, wantStderr, r.stderr)
	}
}
