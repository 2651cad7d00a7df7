package harness

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"netadjust/experiments"
)

// described is a network of a family that is not known.
const described = `
input   = [1, 28, 28]
classes = 10
fixed   = { stem = 4 }
layers  = [
  { conv = "stem", kernel = 3, stride = 2 }, "batchnorm", "relu",
  { block = "basic", repeat = 2, adjustable = { outer = 12 }, stride = 2 },
  "globalavgpool", "classifier",
]

[block.basic]
adjustable = { inner = 10 }
layers = [
  { conv = "inner", kernel = 3, stride = "stride" }, "batchnorm", "relu", "drop",
  { conv = "outer", kernel = 3 }, "batchnorm", "drop",
  { shortcut = "optional" }, "relu",
]
`

// TestDescribedNetwork runs a search in a network that a file beside the experiment describes. Its cell follows the
// content of the file and nothing else: another comment runs nothing again, another layer is another cell.
func TestDescribedNetwork(t *testing.T) {
	dir, out := t.TempDir(), t.TempDir()
	run := func(network string) (id string, s Summary) {
		t.Helper()
		file := filepath.Join(dir, "tiny.toml")
		for path, text := range map[string]string{
			filepath.Join(dir, "mine.toml"): network,
			file:                            settings + strings.Replace(matrix(`"adjust"`, "1"), "resnet8", "mine.toml", 1),
		} {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		e, err := experiments.Load(file, Catalog(dataDir))
		if err != nil {
			t.Fatal(err)
		}
		if plan, err := MakePlan(e); err != nil || len(plan.Cells) != 1 || plan.Cells[0].Problem != "" {
			t.Fatalf("plan %+v, error %v", plan, err)
		}
		s, _ = mustRun(t, e, out)
		return e.Cells[0].ID(), s
	}
	id, s := run(described)
	r := readRecords(t, out)[id]
	if s.Done != 1 || r == nil || r.Result.Final == nil || r.Result.Network != "mine" || len(r.Result.Layers) != 3 {
		t.Fatalf("%s: summary %+v, record %+v", id, s, r)
	}
	if again, s := run("# A comment.\n" + described); again != id || s.Done != 0 {
		t.Errorf("with a comment it is %s, not %s, and %d cells have run", again, id, s.Done)
	}
	if other, s := run(strings.Replace(described, "stem = 4", "stem = 5", 1)); other == id || s.Done != 1 {
		t.Errorf("with another stem it is %s, and %d cells have run", other, s.Done)
	}
}
