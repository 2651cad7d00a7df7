package choose

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	type want struct {
		Name   string
		Layers []string // names of each alone
		Index  int
	}
	for _, tt := range []struct {
		name string
		want want
	}{
		{"gpu", want{"gpu", []string{"gpu:cuda", "gpu:opencl"}, 0}},
		{"gpu:2", want{"gpu", []string{"gpu:cuda:2", "gpu:opencl:2"}, 2}},
		{"gpu:cuda", want{"gpu", []string{"gpu:cuda"}, 0}},
		{"gpu:opencl:1", want{"gpu", []string{"gpu:opencl:1"}, 1}},
		{"gpu:pocl", want{"gpu:pocl", []string{"gpu:pocl"}, 0}},
	} {
		c, err := Parse(tt.name)
		got := want{c.Name(), c.Layers(), c.index}
		if diff := cmp.Diff(tt.want, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", tt.name, err, diff)
		}
	}
	for _, name := range []string{"", "gpus", "gpu:", "gpu:-1", "gpu:1:cuda", "gpu:cuda:opencl", "gpu:1:1", "gpu:vulkan"} {
		if _, err := Parse(name); err == nil || !strings.Contains(err.Error(), Names) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// TestOpenNothing looks for GPUs where no library is.
func TestOpenNothing(t *testing.T) {
	t.Setenv(CUDAVariable, "/none/libcuda.so.1")
	t.Setenv(OpenCLVariable, "/none/libOpenCL.so.1")
	c, err := Parse("gpu")
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = c.Open()
	want := "no GPU can be used:\ncuda: /none/libcuda.so.1 is not installed\nopencl: not installed: /none/libOpenCL.so.1"
	if err == nil || err.Error() != want {
		t.Errorf("error\n%v, want\n%s", err, want)
	}
}
