package tomllines

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFind(t *testing.T) {
	got := Find(`name = "a # [x]"
a.b = 1 # comment = 2
[train] # [data]
epochs = 3
  [ data . x ]
"quoted" = 1
[["other"]]
lost = 1
[[matrix]]
seed = [ # 1
  1,
]
list = [
  { inner = 1 },
  [ "]" ],
]
[[matrix.exclude]]
seed = 1
[[matrix.exclude]]
seed = 2
[[matrix]]
[[matrix.exclude]]
seed = 3
both = [ "a, [", { b = [1, 2] }, # c
  'd', [
    4, 5 ],
  6]
last = { in = [1] }`)
	want := map[string]int{
		"name": 1, "a.b": 2, "train": 3, "train.epochs": 4, "data.x": 5, "?.lost": 8,
		"matrix[1]": 9, "matrix[1].seed": 10, "matrix[1].seed[1]": 11,
		"matrix[1].list": 13, "matrix[1].list[1]": 14, "matrix[1].list[2]": 15,
		"matrix[1].exclude[1]": 17, "matrix[1].exclude[1].seed": 18,
		"matrix[1].exclude[2]": 19, "matrix[1].exclude[2].seed": 20,
		"matrix[2]": 21, "matrix[2].exclude[1]": 22, "matrix[2].exclude[1].seed": 23,
		"matrix[2].exclude[1].both": 24, "matrix[2].exclude[1].both[1]": 24, "matrix[2].exclude[1].both[2]": 24,
		"matrix[2].exclude[1].both[3]": 25, "matrix[2].exclude[1].both[4]": 25, "matrix[2].exclude[1].both[5]": 27,
		"matrix[2].exclude[1].last": 28,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := Find("a = '''\nb = 1\n'''\nc = 2"); len(got) != 0 {
		t.Errorf("lines in a text with strings of several lines: %v", got)
	}
	for path, line := range map[string]int{
		"train.epochs": 4, "train.batch": 3, "matrix[1].seed[2]": 10, "matrix[2].exclude[1].seed": 23,
		"matrix[1].set: train.batch": 9, "batch": 0, "matrix": 9, "matrix[2].exclude": 22,
	} {
		if got := Of(want, path); got != line {
			t.Errorf("%s: line %d, want %d", path, got, line)
		}
	}
}
