package main

import (
	"fmt"
	"io"
	"strings"

	"netadjust/internal/bench"
	"netadjust/internal/device/cpu"
	"netadjust/networks"
)

// graphResult is what netadjust graph prints as JSON.
type graphResult struct {
	Network  string     `json:"network"`
	Channels []int      `json:"channels"`
	Mode     bench.Mode `json:"mode"`
	Kernels  string     `json:"kernels"`
	*cpu.Plan
}

func graphCommand(a *app, f *flags) error {
	spec := f.network()
	widths := f.String("widths", "", "widths of the stages, as `a,b,c` (default: the network's own)")
	mode := f.String("mode", "train", "what is run: train, a step of training, or eval")
	batch := f.Int("batch", 128, "images in a batch")
	f.json()
	args, err := f.parse()
	if err != nil {
		return err
	}
	if *mode != "train" && *mode != "eval" {
		return failf(exitUsage, "--mode %q: want train or eval", *mode)
	}
	if *batch < 1 {
		return failf(exitUsage, "--batch %d: want 1 or more", *batch)
	}
	s, err := spec(args[0])
	if err != nil {
		return err
	}
	n, err := networks.New(s)
	if err != nil {
		return err
	}
	stages, err := stageWidths(*widths)
	if err != nil {
		return err
	}
	c, err := widthVector(n, stages)
	if err != nil {
		return err
	}
	dev, err := cpu.New(0)
	if err != nil {
		return err
	}
	defer dev.Close()
	m, err := bench.Compile(dev, n, c, bench.Mode(*mode), *batch)
	if err != nil {
		return err
	}
	defer m.Close()
	plan, err := cpu.PlanOf(m.Executable())
	if err != nil {
		return err
	}
	result := graphResult{n.Name, c, bench.Mode(*mode), dev.Info().Kernels, plan}
	return f.print(result, func(w io.Writer) { printGraph(w, result) })
}

const graphLegend = `
A worker takes a chunk of the images through all instructions of a phase, then the next chunk. A phase ends where
something needs a sum over the whole batch; what comes "then" follows when that sum is there. %N is a value, with its
shape for one image, or for all where it has no batch. "chunk" is for the images of a chunk alone, in a buffer that the
worker keeps in its cache; "arena" is for the whole batch, in memory that values share by lifetimes. Multiply-adds are
those of one image.
`

func printGraph(w io.Writer, r graphResult) {
	what := map[bench.Mode]string{bench.Train: "training step", bench.Eval: "inference"}[r.Mode]
	fmt.Fprintf(w, "%s, %s of %d images, cpu (%s)\n", r.Network, what, r.Batch, r.Kernels)
	fmt.Fprintf(w, "phases        %d\n", len(r.Phases))
	fmt.Fprintf(w, "memory        %s state, %s arena, %s chunk buffers in each worker\n", mebibytes(r.StateBytes),
		mebibytes(r.ArenaBytes), mebibytes(r.ChunkBytes))
	fmt.Fprintf(w, "multiply-adds %s\n", strings.Join(multiplyAdds(r.Phases), ", "))
	for i, ph := range r.Phases {
		fmt.Fprintf(w, "\nphase %d", i+1)
		if len(ph.Chunked) > 0 {
			fmt.Fprintf(w, ", chunks of %d", ph.Images)
		}
		fmt.Fprintln(w)
		for _, instruction := range ph.Chunked {
			printInstruction(w, instruction)
		}
		names, updated := grouped(ph.After)
		for _, name := range names {
			fmt.Fprintf(w, "  then %-27s %s\n", name, enumerate(updated[name]))
		}
	}
	fmt.Fprint(w, graphLegend)
}

// multiplyAdds sums up by what instructions begin with: convolutions are one sum, whatever is fused with them.
func multiplyAdds(phases []cpu.PhasePlan) (list []string) {
	var names []string
	sums := map[string]int64{}
	for _, ph := range phases {
		for _, i := range ph.Chunked {
			name, _, _ := strings.Cut(i.Name, "+")
			if i.FLOPs > 0 && sums[name] == 0 {
				names = append(names, name)
			}
			sums[name] += i.FLOPs
		}
	}
	for _, name := range names {
		list = append(list, millions(sums[name])+" "+name)
	}
	return list
}

// printInstruction prints one line: name, layer, operands -> results, multiply-adds.
func printInstruction(w io.Writer, i cpu.InstructionPlan) {
	var in, out []string
	for _, v := range i.In {
		text := short(i.Layer, v.Name)
		if v.Place == cpu.InState && len(v.Shape) > 2 || v.Place == cpu.InInput && v.PerImage {
			text += " " + dimensions(v.Shape)
		}
		in = append(in, text)
	}
	for _, v := range i.Out {
		text := v.Name + " " + dimensions(v.Shape)
		if v.PerImage {
			text += " " + string(v.Place)
		}
		if v.Updates != "" {
			text += " for " + short(i.Layer, v.Updates)
		}
		out = append(out, text)
	}
	line := fmt.Sprintf("  %-32s %-20s %s -> %s", i.Name, i.Layer, strings.Join(in, ", "), strings.Join(out, ", "))
	if i.FLOPs > 0 {
		line += ", " + millions(i.FLOPs)
	}
	fmt.Fprintln(w, line)
}

// grouped lists what instructions without a batch write, by their names, which come in order.
func grouped(list []cpu.InstructionPlan) (names []string, written map[string][]string) {
	written = map[string][]string{}
	for _, i := range list {
		if written[i.Name] == nil {
			names = append(names, i.Name)
		}
		written[i.Name] = append(written[i.Name], i.Out[len(i.Out)-1].Name)
	}
	return names, written
}

// short is the name of a tensor as seen from a layer: without what it has in common with the layer's own name.
func short(layer, name string) string {
	if own, ok := strings.CutPrefix(name, layer+"."); ok {
		return own
	}
	return strings.TrimPrefix(name, layer[:strings.LastIndexByte(layer, '.')+1])
}

// enumerate lists a few names, or the first and last of many.
func enumerate(names []string) string {
	if n := len(names); n > 4 {
		return fmt.Sprintf("%s to %s, %d in all", names[0], names[n-1], n)
	}
	return strings.Join(names, ", ")
}

// dimensions is a shape as in 16x32x32.
func dimensions(shape []int) string {
	if len(shape) == 0 {
		return "number"
	}
	return strings.ReplaceAll(strings.Trim(fmt.Sprint(shape), "[]"), " ", "x")
}

func mebibytes(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

func millions(n int64) string { return fmt.Sprintf("%.2fM", float64(n)/1e6) }
