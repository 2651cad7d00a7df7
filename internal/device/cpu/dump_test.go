package cpu

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"netadjust/internal/device"
	"netadjust/networks"
)

// planOf describes the program of a network.
func planOf(t *testing.T, spec networks.Spec, o networks.GraphOptions) (*Plan, *executable) {
	t.Helper()
	p, d := programOf(t, spec, o)
	x, err := d.Compile(p)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := PlanOf(x)
	if err != nil {
		t.Fatal(err)
	}
	return plan, x.(*executable)
}

// names lists the names of instructions, each with its layer.
func names(list []InstructionPlan) (names []string) {
	for _, i := range list {
		names = append(names, strings.TrimSpace(i.Name+" "+i.Layer))
	}
	return names
}

// TestPlan checks the description of a training step against what is known of it: its phases, the multiply-adds that
// the network counts itself, and that values lie where instructions need them.
func TestPlan(t *testing.T) {
	spec := networks.Spec{Name: "resnet8", Input: [3]int{3, 8, 8}, Classes: 10}
	plan, e := planOf(t, spec, networks.GraphOptions{Batch: 9, Train: trained})
	if len(plan.Phases) != 16 || plan.Batch != 9 {
		t.Errorf("%d phases for %d images, want 16 for 9", len(plan.Phases), plan.Batch)
	}
	for i, want := range [][]string{
		{"images", "convolution stem.conv", "statistics stem.bn"},
		{"normalize stem.bn", "convolution stage1.block1.conv1", "statistics stage1.block1.bn1"},
		{"normalize+relu stage1.block1.bn1", "convolution stage1.block1.conv2", "statistics stage1.block1.bn2"},
	} {
		if diff := cmp.Diff(want, names(plan.Phases[i].Chunked)); diff != "" {
			t.Errorf("phase %d (-want +got):\n%s", i+1, diff)
		}
	}

	n, err := networks.New(spec)
	if err != nil {
		t.Fatal(err)
	}
	layers := n.Layers(n.Start())
	stem := layers[slices.IndexFunc(layers, func(l networks.Layer) bool { return l.Name == "stem.conv" })].FLOPs
	flops := map[string]int64{}
	for _, ph := range plan.Phases {
		for _, i := range ph.Chunked {
			flops[i.Name] += i.FLOPs
		}
	}
	classes := int64(64 * 10)
	convolutions := n.FLOPs(n.Start()) - classes
	want := map[string]int64{
		"convolution": convolutions, "data gradient": convolutions - stem, "weight gradient": convolutions,
		"linear": classes, "linear gradient": 2 * classes,
	}
	for name, w := range want {
		if flops[name] != w {
			t.Errorf("%s: %d FLOPs, want %d", name, flops[name], w)
		}
	}

	var arena int64
	for i, ph := range plan.Phases {
		if ph.Images != e.phases[i].chunk {
			t.Errorf("phase %d takes %d images at a time, described are %d", i, e.phases[i].chunk, ph.Images)
		}
		given := map[string]bool{}
		for _, instruction := range slices.Concat(ph.Chunked, ph.After) {
			for _, v := range instruction.In {
				if v.Place == InChunk && !given[v.Name] {
					t.Errorf("phase %d: %s reads %s from the chunk before it is there", i, instruction.Name, v.Name)
				}
			}
			for _, v := range instruction.Out {
				given[v.Name] = true
				if v.Place == InArena {
					arena += v.Bytes
				}
			}
		}
	}
	// Memory is shared, so the arena is smaller than all of its values together.
	if plan.ArenaBytes <= 0 || plan.ArenaBytes >= arena {
		t.Errorf("arena of %d bytes for values of %d bytes", plan.ArenaBytes, arena)
	}
	if state := 8 * n.Params(n.Start()); plan.StateBytes <= state {
		t.Errorf("%d bytes of state, want more than parameters and velocities take, %d", plan.StateBytes, state)
	}
}

// TestPlanInference checks that inference is one phase in which nothing of an image but its logits reaches the arena.
func TestPlanInference(t *testing.T) {
	plan, _ := planOf(t, networks.Spec{Name: "resnet8", Input: [3]int{3, 8, 8}}, networks.GraphOptions{Batch: 9})
	if len(plan.Phases) != 1 {
		t.Fatalf("%d phases, want 1", len(plan.Phases))
	}
	list := plan.Phases[0].Chunked
	for i, instruction := range list {
		if v := instruction.Out[0]; (v.Place == InArena) != (i == len(list)-1) {
			t.Errorf("%s gives %s in the %s", instruction.Name, v.Name, v.Place)
		}
	}
	if want := "convolution+normalize+add+relu stage1.block1.conv2"; !slices.Contains(names(list), want) {
		t.Errorf("no %s in %q", want, names(list))
	}
	if first := list[0].In[0]; first.Name != networks.Pixels || first.Place != InInput {
		t.Errorf("the first instruction reads %+v, want the pixels", first)
	}
}

func TestPlanOfAnother(t *testing.T) {
	_, err := PlanOf(struct{ device.Executable }{})
	if err == nil || !strings.Contains(err.Error(), "no phases to describe") {
		t.Errorf("error %v", err)
	}
}

// TestKinds checks that every instruction of the networks has a name and a kind of work of its own.
func TestKinds(t *testing.T) {
	for _, spec := range []networks.Spec{
		{Name: "resnet8", Input: [3]int{3, 8, 8}}, {Name: "resnet18", Width: 0.125, Input: [3]int{3, 32, 32}},
	} {
		for _, o := range []networks.GraphOptions{{Batch: 2, Train: trained}, {Batch: 2}, {Batch: 2, Drop: true}} {
			p, _ := programOf(t, spec, o)
			list, _ := fuse(p)
			for _, s := range list {
				name, kind := kindOf(s.op)
				if kind == onOther && name != "channel window" || kind == onPacking || kind == onSumming || kind == onWaiting {
					t.Errorf("%T is %q, kind %q", s.op, name, workNames[kind])
				}
			}
		}
	}
}
