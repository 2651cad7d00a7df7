package baselines

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestAddAMethod compiles the example of docs/add-a-method.md: the method as a file of this package, its row as one of
// the list of the harness.
func TestAddAMethod(t *testing.T) {
	page, err := os.ReadFile("../docs/add-a-method.md")
	if err != nil {
		t.Fatal(err)
	}
	var blocks []string
	for _, after := range strings.Split(string(page), "```go\n")[1:] {
		block, _, _ := strings.Cut(after, "```")
		blocks = append(blocks, block)
	}
	if len(blocks) != 2 {
		t.Fatalf("the page has %d blocks of Go, want the method and its row", len(blocks))
	}
	row := "package harness\n\nimport (\n\"netadjust/baselines\"\n\"netadjust/experiments\"\n\"netadjust/internal/search\"\n)\n\n" +
		"var _ = []Method{\n" + blocks[1] + "}\n"
	dir := t.TempDir()
	overlay := map[string]map[string]string{"Replace": {}}
	for path, text := range map[string]string{"bnscale.go": blocks[0], "../harness/bnscale.go": row} {
		place, err := filepath.Abs(path)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, filepath.Base(filepath.Dir(place))+".go")
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		overlay["Replace"][place] = file
	}
	text, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, text, 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "go", "build", "-overlay", list, "netadjust/baselines", "netadjust/harness").
		CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
