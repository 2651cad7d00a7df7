// Package netadjust_test checks the project as a whole.
package netadjust_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// allowed is the import rule: every package of the project, and which others of the project it may import outside of
// its tests. Data flow from experiments through the harness, the methods and training down to the devices, and each
// layer knows only those below it. What stands alone (experiments, results, data) can be read and tested alone, and
// nothing imports the command line. An import that is not here is either a mistake or a decision, which belongs here
// and in docs/design.md.
var allowed = map[string]string{
	"cmd/netadjust": "adjustment experiments harness networks results results/gate results/reproduced internal/data " +
		"internal/device internal/device/cpu internal/device/gpu internal/device/gpu/choose internal/device/gpu/driver " +
		"internal/atomicfile internal/bench internal/export internal/host internal/progress internal/safetensors " +
		"internal/serve internal/suggest internal/train internal/trial",
	"harness": "experiments adjustment baselines networks results internal/atomicfile internal/calibration " +
		"internal/data internal/device internal/host internal/lease internal/progress internal/rng internal/safetensors " +
		"internal/search internal/train",

	"adjustment":      "networks internal/rng internal/search",
	"baselines":       "networks internal/rng internal/search",
	"internal/search": "networks",

	"internal/train": "networks internal/atomicfile internal/data internal/device internal/rng internal/safetensors " +
		"internal/vm",
	"networks":       "internal/ops internal/suggest internal/tomllines",
	"internal/vm":    "internal/device internal/ops",
	"internal/bench": "networks internal/device internal/vm",
	"internal/trial": "networks internal/atomicfile internal/bench internal/data internal/device internal/device/cpu " +
		"internal/device/devicetest internal/device/gpu internal/device/gpu/choose internal/device/gpu/driver internal/ops " +
		"internal/rng internal/train",
	"internal/export": "networks internal/atomicfile internal/ops internal/safetensors internal/train " +
		"internal/vm",

	"internal/device":            "internal/ops",
	"internal/device/cpu":        "internal/device internal/device/cpu/kernel internal/ops",
	"internal/device/cpu/kernel": "",
	"internal/device/devicetest": "internal/device internal/ops internal/ops/opstest internal/vm",

	"internal/device/gpu":                   "internal/device internal/device/gpu/driver internal/device/gpu/kernels internal/ops",
	"internal/device/gpu/choose":            "internal/device/gpu/cuda internal/device/gpu/driver internal/device/gpu/opencl",
	"internal/device/gpu/clib":              "",
	"internal/device/gpu/cuda":              "internal/device/gpu/clib internal/device/gpu/driver",
	"internal/device/gpu/cuda/standin":      "internal/atomicfile internal/device/gpu/cuda internal/device/gpu/driver",
	"internal/device/gpu/driver":            "internal/atomicfile",
	"internal/device/gpu/driver/drivertest": "internal/device/gpu/driver",
	"internal/device/gpu/gputest": "internal/device/gpu/choose internal/device/gpu/cuda internal/device/gpu/cuda/standin " +
		"internal/device/gpu/driver internal/device/gpu/opencl/oclgrind",
	"internal/device/gpu/kernels":         "",
	"internal/device/gpu/opencl":          "internal/device/gpu/clib internal/device/gpu/driver",
	"internal/device/gpu/opencl/oclgrind": "internal/device/gpu/choose",

	"internal/ops":         "internal/rng",
	"internal/ops/opstest": "",

	"experiments": "internal/suggest internal/tomllines",
	"results": "internal/atomicfile results/font results/markdown results/paired " +
		"results/published",
	"internal/data":          "internal/atomicfile internal/suggest",
	"internal/data/datatest": "",

	"results/font":       "",
	"results/gate":       "results results/markdown results/paired",
	"results/markdown":   "",
	"results/paired":     "",
	"results/published":  "",
	"results/reproduced": "results results/markdown results/published",

	"internal/safetensors": "internal/atomicfile",
	"internal/serve":       "harness results",

	"internal/atomicfile":  "",
	"internal/calibration": "",
	"internal/host":        "",
	"internal/lease":       "",
	"internal/progress":    "",
	"internal/rng":         "",
	"internal/suggest":     "",
	"internal/tomllines":   "",
}

func TestImportRule(t *testing.T) {
	imports := projectImports(t)
	for _, pkg := range slices.Sorted(maps.Keys(imports)) {
		row, ok := allowed[pkg]
		if !ok {
			t.Errorf("package %s has no row in the table of allowed imports", pkg)
			continue
		}
		for _, imported := range slices.Sorted(maps.Keys(imports[pkg])) {
			if !slices.Contains(strings.Fields(row), imported) {
				t.Errorf("%s must not import %s: %s does", pkg, imported, imports[pkg][imported])
			}
		}
	}
	for pkg := range allowed {
		if imports[pkg] == nil {
			t.Errorf("the table of allowed imports has a row for %s, which is no package", pkg)
		}
	}
}

// projectImports returns, for every package below this folder, the packages of this module that it imports, and a file
// that does so. Files for all systems count, tests do not.
func projectImports(t *testing.T) map[string]map[string]string {
	t.Helper()
	imports := map[string]map[string]string{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != "." && (strings.HasPrefix(d.Name(), ".") || otherModule(path)):
			return filepath.SkipDir
		case !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		pkg := filepath.ToSlash(filepath.Dir(path))
		if imports[pkg] == nil {
			imports[pkg] = map[string]string{}
		}
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if inside, ok := strings.CutPrefix(imported, "netadjust/"); ok {
				imports[pkg][inside] = path
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return imports
}

// otherModule tells whether a folder is a module of its own, such as the tools.
func otherModule(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}
