package driver

import (
	"fmt"
	"regexp"
	"strings"
)

var (
	declaration = regexp.MustCompile(`(?m)^KERNEL\(.*?\)\s*(\w+)\(([^)]*)\)`)
	number      = regexp.MustCompile(`^(?:const\s+)?(int|uint|float)\s+\w+$`)
)

// mostGroups is the limit of CUDA for all but the first dimension of a grid.
const mostGroups = 65535

// CheckLaunch compares the arguments of a launch with what the text declares, for a driver that is handed wrong ones
// computes nonsense. A text may declare a kernel more than once, under conditions of its preprocessor.
func CheckLaunch(text, kernel string, grid [3]int, threads int, args []any) error {
	if min(grid[0], grid[1], grid[2], threads) < 1 {
		return fmt.Errorf("kernel %s: grid %v of %d threads, want 1 or more of each", kernel, grid, threads)
	}
	if grid[1] > mostGroups || grid[2] > mostGroups {
		return fmt.Errorf("kernel %s: grid %v, want at most %d in its second and third dimension", kernel, grid, mostGroups)
	}
	err := fmt.Errorf("no kernel %s in the text", kernel)
	for _, d := range declaration.FindAllStringSubmatch(text, -1) {
		if d[1] != kernel {
			continue
		}
		if err = checkArguments(d[2], args); err == nil {
			return nil
		}
		err = fmt.Errorf("kernel %s: %w", kernel, err)
	}
	return err
}

func checkArguments(parameters string, args []any) error {
	list := strings.Split(parameters, ",")
	if len(list) != len(args) {
		parameters = strings.Join(strings.Fields(parameters), " ")
		return fmt.Errorf("%d arguments for %d parameters (%s)", len(args), len(list), parameters)
	}
	for i, parameter := range list {
		parameter = strings.Join(strings.Fields(parameter), " ")
		want := "driver.Buffer"
		if !strings.Contains(parameter, "*") {
			m := number.FindStringSubmatch(parameter)
			if m == nil {
				return fmt.Errorf("parameter %d, %q: want a pointer, or an int, uint or float", i, parameter)
			}
			want = map[string]string{"int": "int32", "uint": "uint32", "float": "float32"}[m[1]]
		}
		if got := fmt.Sprintf("%T", args[i]); got != want {
			return fmt.Errorf("argument %d is a %s, and parameter %q wants a %s", i, got, parameter, want)
		}
		if b, ok := args[i].(Buffer); ok && b != (Buffer{}) {
			if err := b.Check(); err != nil {
				return fmt.Errorf("argument %d, %q: %w", i, parameter, err)
			}
		}
	}
	return nil
}
