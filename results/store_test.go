package results

import (
	"bytes"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// store writes a record into a folder of its own below dir/cells and returns its path.
func store(t *testing.T, dir string, r *Record) string {
	t.Helper()
	folder := filepath.Join(dir, CellsFolder, r.Result.ID)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := Write(folder, r); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(folder, RecordFile)
}

func TestWriteRead(t *testing.T) {
	for _, want := range []*Record{
		cell(t, "adjust", "0.5", 1),
		cell(t, "l1", "1.0", math.MaxUint64),
		failed(t, "uniform", "0.5", 2, "loss is NaN, see \xff <log> & \"notes\""),
	} {
		path := store(t, t.TempDir(), want)
		got, err := Read(path)
		if err != nil {
			t.Fatal(err)
		}
		// The file is indented, and so is the configuration in it; its content is compared through the hash.
		got.Result.Config, want.Result.Config = nil, nil
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: record changed on disk:\n%s", want.Result.ID, diff)
		}
	}
}

func TestHashLeavesOutRun(t *testing.T) {
	a, b := cell(t, "adjust", "0.5", 1), cell(t, "adjust", "0.5", 1)
	b.Run = Run{Host: "elsewhere", Jobs: 8, WallSeconds: 3}
	if err := b.Seal(); err != nil {
		t.Fatal(err)
	}
	if a.Hash != b.Hash {
		t.Error("the hash depends on where a cell was run")
	}
	b.Result.Final.TestTop1 += 1e-15
	if err := b.Seal(); err != nil {
		t.Fatal(err)
	}
	if a.Hash == b.Hash {
		t.Error("the hash does not depend on the accuracy")
	}
}

func TestDamagedRecord(t *testing.T) {
	path := store(t, t.TempDir(), cell(t, "adjust", "0.5", 1))
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	replace := func(from, to string) []byte {
		out := bytes.Replace(whole, []byte(from), []byte(to), 1)
		if bytes.Equal(out, whole) {
			t.Fatalf("record does not hold %q", from)
		}
		return out
	}
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"empty":         {nil, "unexpected end"},
		"half":          {whole[:len(whole)/2], "unexpected end"},
		"last byte":     {whole[:len(whole)-3], "unexpected end"},
		"two records":   {append(whole[:len(whole):len(whole)], whole...), "after top-level value"},
		"other number":  {replace(`"test_top1": 0.`, `"test_top1": 0.9`), "hash of the content"},
		"other config":  {replace(`"epochs": 15`, `"epochs": 16`), "hash of the content"},
		"other hash":    {replace(`"hash": "`, `"hash": "0`), "hash of the content"},
		"unknown field": {replace(`"method":`, `"notes": 1, "method":`), "unknown field"},
		"no schema":     {replace(`"schema": 1,`, ``), "schema is missing"},
		"wrong type":    {replace(`"seed": 1`, `"seed": "one"`), "cannot unmarshal string"},
		"no JSON":       {[]byte("\x00\x00\x00\x00"), "invalid character"},
	} {
		if err := os.WriteFile(path, c.data, 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := Read(path)
		var corrupt *CorruptError
		if !errors.As(err, &corrupt) || corrupt.Path != path {
			t.Errorf("%s: error %v, want a CorruptError for %s", name, err, path)
			continue
		}
		if !strings.HasPrefix(err.Error(), path+": damaged record: ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %q, want one that says %q", name, err, c.want)
		}
	}
}

func TestReadErrorsThatAreNoDamage(t *testing.T) {
	var corrupt *CorruptError
	path := filepath.Join(t.TempDir(), RecordFile)
	if _, err := Read(path); !errors.Is(err, fs.ErrNotExist) || errors.As(err, &corrupt) {
		t.Errorf("error %v for a missing file", err)
	}
	if err := os.WriteFile(path, []byte(`{"schema": 2, "future": true}`), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := Read(path)
	const want = "schema 2, this program reads schema 1"
	if err == nil || errors.As(err, &corrupt) || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v for a record of a later schema", err)
	}
}

func TestSealRefuses(t *testing.T) {
	for want, spoil := range map[string]func(*Result){
		"unsupported value: NaN":                         func(r *Result) { r.Final.TestLoss = math.NaN() },
		"unsupported value: +Inf":                        func(r *Result) { r.Updates[1].FUR[3] = math.Inf(1) },
		"needs either a final network or a failure":      func(r *Result) { r.Failure = &Failure{Reason: "both"} },
		"result has no cell id":                          func(r *Result) { r.ID = "" },
		"config is no JSON object":                       func(r *Result) { r.Config = []byte("[1]") },
		"final.channels has 2 entries for 18 layers":     func(r *Result) { r.Final.Channels = []int{1, 2} },
		"start.channels has 0 entries for 18 layers":     func(r *Result) { r.Start.Channels = nil },
		"updates[2].fur has 17 entries for 18 layers":    func(r *Result) { r.Updates[2].FUR = r.Updates[2].FUR[1:] },
		"updates[0] moved layer 18 of 18":                func(r *Result) { r.Updates[0].Grown = []int{18} },
		"updates[0] has index 1":                         func(r *Result) { r.Updates[0].Index = 1 },
		"updates need a start network":                   func(r *Result) { r.Start = nil },
		`layer name "conv 1" is empty or holds white sp`: func(r *Result) { r.Layers[0] = "conv 1" },
	} {
		r := cell(t, "adjust", "0.5", 1)
		spoil(&r.Result)
		if err := Write(t.TempDir(), r); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one that says %q", err, want)
		}
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	for _, r := range quick(t, []string{"0.5", "1.0"}, 10, 9) {
		store(t, dir, r)
	}
	if err := os.Mkdir(filepath.Join(dir, CellsFolder, "unfinished"), 0o755); err != nil {
		t.Fatal(err)
	}
	torn := store(t, dir, cell(t, "random", "0.5", 1))
	if err := os.Truncate(torn, 100); err != nil {
		t.Fatal(err)
	}
	twin := cell(t, "uniform", "0.5", 9)
	data, err := os.ReadFile(store(t, t.TempDir(), twin))
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(dir, CellsFolder, "zz-copy")
	if err := os.Mkdir(copied, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(copied, RecordFile), data, 0o644); err != nil {
		t.Fatal(err)
	}

	records, errs := Load(dir)
	var got []string
	for _, r := range records {
		got = append(got, r.Result.ID)
	}
	want := []string{
		"uniform-0.5-9", "uniform-0.5-10", "adjust-0.5-9", "adjust-0.5-10", "l1-0.5-9", "l1-0.5-10",
		"uniform-1.0-9", "uniform-1.0-10", "adjust-1.0-9", "adjust-1.0-10", "l1-1.0-9", "l1-1.0-10",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("order of records:\n%s", diff)
	}
	var corrupt *CorruptError
	if len(errs) != 2 || !errors.As(errs[0], &corrupt) || corrupt.Path != torn ||
		!strings.Contains(errs[1].Error(), "zz-copy/record.json: damaged record: it is that of cell uniform-0.5-9") {
		t.Errorf("errors %v, want one for %s and one for the copy", errs, torn)
	}
}

func TestLoadWithoutCells(t *testing.T) {
	if records, errs := Load(t.TempDir()); len(records) != 0 || len(errs) != 0 {
		t.Errorf("%d records and errors %v in an empty folder", len(records), errs)
	}
}
