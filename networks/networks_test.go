package networks

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDefaults(t *testing.T) {
	for name, want := range map[string]Spec{
		"resnet8":  {Name: "resnet8", Width: 1, Padding: PaddingMax, Input: [3]int{3, 32, 32}, Classes: 100},
		"resnet18": {Name: "resnet18", Width: 1, Padding: PaddingMax, Input: [3]int{3, 224, 224}, Classes: 1000},
	} {
		if diff := cmp.Diff(want, mustNew(t, Spec{Name: name}).Spec); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestStart(t *testing.T) {
	for _, tt := range []struct {
		spec Spec
		want []int
	}{
		{Spec{Name: "resnet14"}, []int{16, 16, 16, 16, 32, 32, 32, 32, 64, 64, 64, 64}},
		{Spec{Name: "resnet8", Width: 0.25}, []int{4, 4, 8, 8, 16, 16}},
		{Spec{Name: "resnet8", Width: math.Sqrt2}, []int{23, 23, 46, 46, 92, 92}},
		{Spec{Name: "resnet8", Width: 0.15625}, []int{2, 2, 4, 4, 8, 8}}, // 2.5 rounds to even
		{Spec{Name: "densenet10", Width: 0.5}, []int{6, 6, 12 + 12, 6, 6, 12 + 12 + 12, 6, 6}},
		{Spec{Name: "pyramidnet20"}, []int{17, 19, 20, 22, 23, 25, 26, 28, 30, 31, 33, 34, 36, 37, 39, 40, 42, 44}},
		{Spec{Name: "mobilenet_v2"}, []int{16, 96, 24, 144, 144, 32, 192, 192, 192, 64, 384, 384, 384, 384, 96, 576, 576,
			576, 160, 960, 960, 960, 320}},
		{Spec{Name: "mnasnet_a1", Width: 0.5}, []int{8, 48, 12, 72, 36, 20, 60, 60, 120, 40, 240, 240, 240, 240, 56, 336,
			336, 80, 480, 480, 480, 160}},
	} {
		if diff := cmp.Diff(tt.want, mustNew(t, tt.spec).Start()); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", tt.spec, diff)
		}
	}
}

// TestSmallImages checks where MobileNetV2 keeps the resolution: in stem and second stage, for images of up to 64 pixels.
func TestSmallImages(t *testing.T) {
	for side, want := range map[int][3]int{32: {32, 32, 4}, 64: {64, 64, 8}, 65: {33, 17, 3}, 224: {112, 56, 7}} {
		n := mustNew(t, Spec{Name: "mobilenet_v2", Input: [3]int{3, side, side}})
		sides := map[string]int{}
		for _, l := range n.Layers(n.Start()) {
			sides[l.Name] = l.Output[1]
		}
		got := [3]int{sides["stem.conv"], sides["stage2.block2.add"], sides["head.relu"]}
		if got != want {
			t.Errorf("%d pixels become %v in stem, second stage and head, want %v", side, got, want)
		}
	}
}

func TestNewErrors(t *testing.T) {
	for _, tt := range []struct {
		spec Spec
		want string
	}{
		{Spec{Name: "resnet21"}, `unknown network "resnet21"; did you mean "resnet18"?; known: densenet{3n+4}, `},
		{Spec{Name: "resnet21"}, `, resnet{6n+2}, resnet18, resnet34, vgg16_bn; a network of your own is given as a file`},
		{Spec{}, `unknown network ""`},
		{Spec{Name: "resnet2"}, `unknown network "resnet2"`},
		{Spec{Name: "resnet-4"}, `unknown network "resnet-4"`},
		{Spec{Name: "resnet020"}, `unknown network "resnet020"`},
		{Spec{Name: "resnet1208"}, `unknown network "resnet1208"`},
		{Spec{Name: "vgg20"}, `unknown network "vgg20"`},
		{Spec{Name: "resnet20", Padding: "zero"}, `resnet20: unknown padding "zero"; allowed are "max" and "local"`},
		{Spec{Name: "resnet20", Width: 0.01}, "resnet.toml:8: fixed.stem: resnet20 with width 0.01 gives 0 channels here"},
		{Spec{Name: "resnet20", Width: -1}, "resnet20 with width -1"},
		{Spec{Name: "resnet20", Width: 1e300}, "choose it so that they are 1 to 16384"},
		{Spec{Name: "resnet20", Width: math.NaN()}, "resnet20 with width NaN"},
		{Spec{Name: "resnet20", Input: [3]int{3, 0, 32}}, "resnet20: input 3x0x32: give 1 to 16384 channels"},
		{Spec{Name: "resnet20", Input: [3]int{3, 32, 1025}}, "a height and width of 1 to 1024"},
		{Spec{Name: "resnet20", Classes: 1}, "resnet20: 1 classes: give 2 to 1048576"},
	} {
		_, err := New(tt.spec)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: error %v, want one with %q", tt.spec, err, tt.want)
		}
	}
}

func TestCheck(t *testing.T) {
	n := mustNew(t, Spec{Name: "resnet8"})
	for _, tt := range []struct {
		c    []int
		want string
	}{
		{[]int{1, 2, 3, 4, 5, 6}, ""},
		{[]int{1, 2, 3}, "resnet8 has 6 adjustable layers, but 3 widths are given"},
		{[]int{1, 2, 3, 0, 5, 6},
			"resnet8: width 0 of layer stage2.block1.conv2 (number 4): give 1 to 16384 channels"},
		{[]int{1, 2, 3, 4, 5, 16385}, "resnet8: width 16385 of layer stage3.block1.conv2 (number 6)"},
	} {
		err := n.Check(tt.c)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%v: error %v, want %q", tt.c, err, tt.want)
		}
	}
}

func TestFamilies(t *testing.T) {
	for _, f := range Families() {
		if f.Pattern == "" || f.Source == "" || f.Title == "" || f.Adjustable == "" || f.Input == [3]int{} || f.Classes == 0 {
			t.Errorf("incomplete family %+v", f)
		}
	}
}

// short writes a layer as "name kind channels x height x width <- inputs", with its window and index where it has one.
func short(layers []Layer, l Layer) string {
	s := fmt.Sprintf("%s %s %dx%dx%d", l.Name, l.Kind, l.Output[0], l.Output[1], l.Output[2])
	if l.Kernel > 0 {
		s += fmt.Sprintf(" %d/%d+%d", l.Kernel, l.Stride, l.Pad)
	}
	if l.Adjustable >= 0 {
		s += fmt.Sprintf(" c%d", l.Adjustable)
	}
	for _, in := range l.Inputs {
		s += " <- " + layers[in].Name
	}
	return s
}

func shorts(layers []Layer) (s []string) {
	for _, l := range layers {
		s = append(s, short(layers, l))
	}
	return s
}

func TestLayersCIFAR(t *testing.T) {
	n := mustNew(t, Spec{Name: "resnet8", Width: 0.25, Input: [3]int{1, 7, 5}, Classes: 10})
	want := []string{
		"input input 1x7x5",
		"stem.conv conv 4x7x5 3/1+1 <- input",
		"stem.bn batchnorm 4x7x5 <- stem.conv",
		"stage1.block1.conv1 conv 5x7x5 3/1+1 c0 <- stem.bn",
		"stage1.block1.bn1 batchnorm 5x7x5 <- stage1.block1.conv1",
		"stage1.block1.relu1 relu 5x7x5 <- stage1.block1.bn1",
		"stage1.block1.drop1 drop 5x7x5 c0 <- stage1.block1.relu1",
		"stage1.block1.conv2 conv 3x7x5 3/1+1 c1 <- stage1.block1.drop1",
		"stage1.block1.bn2 batchnorm 3x7x5 <- stage1.block1.conv2",
		"stage1.block1.drop2 drop 3x7x5 c1 <- stage1.block1.bn2",
		"stage1.block1.pad channels 4x7x5 <- stage1.block1.drop2", // narrower than the stream
		"stage1.block1.add add 4x7x5 <- stage1.block1.pad <- stem.bn",
		"stage1.block1.relu2 relu 4x7x5 <- stage1.block1.add",
		"stage2.block1.conv1 conv 6x4x3 3/2+1 c2 <- stage1.block1.relu2",
		"stage2.block1.bn1 batchnorm 6x4x3 <- stage2.block1.conv1",
		"stage2.block1.relu1 relu 6x4x3 <- stage2.block1.bn1",
		"stage2.block1.drop1 drop 6x4x3 c2 <- stage2.block1.relu1",
		"stage2.block1.conv2 conv 7x4x3 3/1+1 c3 <- stage2.block1.drop1",
		"stage2.block1.bn2 batchnorm 7x4x3 <- stage2.block1.conv2",
		"stage2.block1.drop2 drop 7x4x3 c3 <- stage2.block1.bn2",
		"stage2.block1.shortcut.pool avgpool 4x4x3 2/2+0 <- stage1.block1.relu2",
		"stage2.block1.shortcut.channels channels 7x4x3 <- stage2.block1.shortcut.pool", // wider than the stream
		"stage2.block1.add add 7x4x3 <- stage2.block1.drop2 <- stage2.block1.shortcut.channels",
		"stage2.block1.relu2 relu 7x4x3 <- stage2.block1.add",
		"stage3.block1.conv1 conv 8x2x2 3/2+1 c4 <- stage2.block1.relu2",
		"stage3.block1.bn1 batchnorm 8x2x2 <- stage3.block1.conv1",
		"stage3.block1.relu1 relu 8x2x2 <- stage3.block1.bn1",
		"stage3.block1.drop1 drop 8x2x2 c4 <- stage3.block1.relu1",
		"stage3.block1.conv2 conv 7x2x2 3/1+1 c5 <- stage3.block1.drop1",
		"stage3.block1.bn2 batchnorm 7x2x2 <- stage3.block1.conv2",
		"stage3.block1.drop2 drop 7x2x2 c5 <- stage3.block1.bn2",
		"stage3.block1.shortcut.pool avgpool 7x2x2 2/2+0 <- stage2.block1.relu2", // as wide: no channels layers
		"stage3.block1.add add 7x2x2 <- stage3.block1.drop2 <- stage3.block1.shortcut.pool",
		"stage3.block1.relu2 relu 7x2x2 <- stage3.block1.add",
		"pool globalavgpool 7x1x1 <- stage3.block1.relu2",
		"classifier linear 10x1x1 <- pool",
	}
	if diff := cmp.Diff(want, shorts(n.Layers([]int{5, 3, 6, 7, 8, 7}))); diff != "" {
		t.Errorf("max (-want +got):\n%s", diff)
	}

	n = mustNew(t, Spec{Name: "resnet8", Width: 0.25, Padding: PaddingLocal})
	got := shorts(n.Layers([]int{5, 3, 6, 7, 8, 7}))
	for _, want := range []string{
		"stage1.block1.shortcut.channels channels 3x32x32 <- stem.bn", // cut
		"stage1.block1.add add 3x32x32 <- stage1.block1.drop2 <- stage1.block1.shortcut.channels",
		"stage2.block1.shortcut.channels channels 7x16x16 <- stage2.block1.shortcut.pool", // padded
	} {
		if !slices.Contains(got, want) {
			t.Errorf("local: no layer %q in\n%s", want, strings.Join(got, "\n"))
		}
	}
}

func TestLayersImageNet(t *testing.T) {
	n := mustNew(t, Spec{Name: "resnet18"})
	c := n.Start()
	c[1], c[5] = 70, 100
	got := shorts(n.Layers(c))
	want := []string{
		"input input 3x224x224",
		"stem.conv conv 64x112x112 7/2+3 <- input",
		"stem.bn batchnorm 64x112x112 <- stem.conv",
		"stem.relu relu 64x112x112 <- stem.bn",
		"stem.pool maxpool 64x56x56 3/2+1 <- stem.relu",
	}
	if diff := cmp.Diff(want, got[:len(want)]); diff != "" {
		t.Errorf("stem (-want +got):\n%s", diff)
	}
	for _, want := range []string{
		"stage1.block1.shortcut.channels channels 70x56x56 <- stem.pool",
		"stage1.block2.pad channels 70x56x56 <- stage1.block2.drop2",
		"stage2.block1.conv1 conv 128x28x28 3/2+1 c4 <- stage1.block2.relu2",
		"stage2.block1.shortcut.conv conv 100x28x28 1/2+0 <- stage1.block2.relu2", // the stream restarts here
		"stage2.block1.shortcut.bn batchnorm 100x28x28 <- stage2.block1.shortcut.conv",
		"stage2.block1.add add 100x28x28 <- stage2.block1.drop2 <- stage2.block1.shortcut.bn",
		"stage2.block2.shortcut.channels channels 128x28x28 <- stage2.block1.relu2",
	} {
		if !slices.Contains(got, want) {
			t.Errorf("no layer %q in\n%s", want, strings.Join(got, "\n"))
		}
	}
}

// Every layer list must be a network that can be built: inputs come first, shapes follow from the operations and meet
// at additions, and the counts of the layers add up to those of the network.
func TestLayersAreConsistent(t *testing.T) {
	for _, spec := range []Spec{
		{Name: "resnet20"}, {Name: "resnet110", Width: 0.5}, {Name: "resnet8", Input: [3]int{1, 28, 28}},
		{Name: "resnet14", Input: [3]int{3, 1, 9}, Padding: PaddingLocal}, {Name: "resnet18", Width: 0.8},
		{Name: "resnet34", Padding: PaddingLocal, Input: [3]int{3, 64, 64}}, {Name: "plain20"}, {Name: "densenet40"},
		{Name: "pyramidnet20"}, {Name: "vgg16_bn", Width: 0.3, Input: [3]int{1, 29, 31}}, {Name: "mobilenet_v2"},
		{Name: "mobilenet_v2", Width: 0.5, Input: [3]int{3, 32, 32}}, {Name: "mnasnet_a1", Width: 1.3},
	} {
		n := mustNew(t, spec)
		c := n.Start()
		for i := range c {
			c[i] += (i*7)%5 - 2
		}
		var flops, params int64
		convs, drops := make([]int, len(c)), make([]int, len(c))
		layers := n.Layers(c)
		names := map[string]bool{}
		for i, l := range layers {
			flops += l.FLOPs
			params += l.Params
			if names[l.Name] {
				t.Errorf("%+v: two layers %s", spec, l.Name)
			}
			names[l.Name] = true
			for _, in := range l.Inputs {
				if in >= i {
					t.Fatalf("%+v: %s reads a later layer", spec, l.Name)
				}
			}
			if l.Kind == Input {
				if i != 0 || l.Output != n.Input {
					t.Errorf("%+v: input layer %+v", spec, l)
				}
				continue
			}
			in := layers[l.Inputs[0]].Output
			want, wantFLOPs, wantParams := in, 0, 0
			window := func(size int) int { return (size+2*l.Pad-l.Kernel)/l.Stride + 1 }
			if l.Pad == 0 {
				window = func(size int) int { return (size-1)/max(l.Stride, 1) + 1 }
			}
			switch l.Kind {
			case Conv:
				want = [3]int{l.Output[0], window(in[1]), window(in[2])}
				wantParams = l.Kernel * l.Kernel * in[0] * l.Output[0]
				wantFLOPs = wantParams * want[1] * want[2]
				if l.Adjustable >= 0 {
					convs[l.Adjustable]++
					name := l.Name
					if convs[l.Adjustable] > 1 {
						name = l.Tied
					}
					if l.Output[0] != c[l.Adjustable] || name != n.Adjustable()[l.Adjustable] {
						t.Errorf("%+v: layer %+v is not adjustable layer %d", spec, l, l.Adjustable)
					}
				}
			case Depthwise:
				want = [3]int{in[0], window(in[1]), window(in[2])}
				wantParams = l.Kernel * l.Kernel * in[0]
				wantFLOPs = wantParams * want[1] * want[2]
			case Concat:
				want[0] = in[0] + layers[l.Inputs[1]].Output[0]
			case Gate:
				if gates := layers[l.Inputs[1]].Output; gates != [3]int{in[0], 1, 1} {
					t.Errorf("%+v: %s multiplies %v by %v", spec, l.Name, in, gates)
				}
			case Drop:
				drops[l.Adjustable]++
				if l.Output[0] != c[l.Adjustable] {
					t.Errorf("%+v: layer %+v does not drop layer %d", spec, l, l.Adjustable)
				}
			case BatchNorm:
				wantParams = 2 * in[0]
			case MaxPool:
				want = [3]int{in[0], window(in[1]), window(in[2])}
			case AvgPool:
				want = [3]int{in[0], (in[1] + 1) / 2, (in[2] + 1) / 2}
			case Channels:
				want[0] = l.Output[0]
				if want == in {
					t.Errorf("%+v: %s changes nothing", spec, l.Name)
				}
			case Add:
				if other := layers[l.Inputs[1]].Output; len(l.Inputs) != 2 || other != in {
					t.Errorf("%+v: %s adds %v and %v", spec, l.Name, in, other)
				}
			case GlobalAvgPool:
				want = [3]int{in[0], 1, 1}
			case Linear:
				want = [3]int{l.Output[0], 1, 1}
				wantFLOPs = in[0] * l.Output[0]
				wantParams = wantFLOPs + l.Output[0]
			}
			if l.Output != want || l.FLOPs != int64(wantFLOPs) || l.Params != int64(wantParams) {
				t.Errorf("%+v: %+v, want output %v, %d FLOPs, %d parameters", spec, l, want, wantFLOPs, wantParams)
			}
		}
		if last := layers[len(layers)-1]; last.Kind != Linear || last.Output[0] != n.Classes {
			t.Errorf("%+v: last layer is %+v", spec, last)
		}
		if flops != n.FLOPs(c) || params != n.Params(c) {
			t.Errorf("%+v: layers add up to %d FLOPs and %d parameters, network has %d and %d",
				spec, flops, params, n.FLOPs(c), n.Params(c))
		}
		if !slices.Equal(convs, drops) || slices.Contains(convs, 0) {
			t.Errorf("%+v: adjustable convolutions %v, drops %v, want as many", spec, convs, drops)
		}
	}
}
