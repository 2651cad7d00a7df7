package main

import (
	"regexp"
	"strings"
	"testing"

	"netadjust/networks"
)

func TestGraph(t *testing.T) {
	args := []string{"graph", "resnet8", "--input", "1x12x12", "--classes", "7", "--widths", "3,5,20", "--batch", "9"}
	r := call(t.Context(), args...)
	r.check(t, 0, "resnet8, training step of 9 images, cpu (", "")
	r.check(t, 0, "\nphases        16\nmemory        ", "")
	for _, want := range []string{
		`phase 1, chunks of 2
  images +pixels 1x12x12, moves 3, scale -> %\d+ 1x12x12 arena
  convolution +stem\.conv +%\d+, weights 16x1x3x3 -> %\d+ 16x12x12 arena, 0\.02M
  statistics +stem\.bn +%\d+ -> %\d+ 2x16 for running
`,
		`  normalize\+relu +stage1\.block1\.bn1 +%\d+, %\d+, gamma, beta -> %\d+ 3x12x12 arena, signs\d+ 3x12x12 arena
`,
		`  weight gradient +stage3\.block1\.conv2 +%\d+, %\d+ -> %\d+ 20x20x3x3 for weights, 0\.03M
`,
		`  then running statistics +stem\.bn\.running to stage3\.block1\.bn2\.running, 7 in all
`,
		`phase 16
  then gradient descent +stem\.conv\.weights to classifier\.bias, 23 in all
`,
	} {
		if !regexp.MustCompile(want).MatchString(r.stdout) {
			t.Errorf("no %s in\n%s", want, r.stdout)
		}
	}
	for _, line := range strings.Split(r.stdout, "\n") {
		if strings.TrimRight(line, " ") != line {
			t.Errorf("%q ends in spaces", line)
		}
	}

	r = call(t.Context(), append(args, "--mode", "eval")...)
	r.check(t, 0, "resnet8, inference of 9 images, cpu (", "")
	r.check(t, 0, "\nphases        1\n", "")
	r.check(t, 0, "bn2.running, bn2.gamma, bn2.beta, %", "")

	got := decode[graphResult](t, call(t.Context(), append(args, "--json")...).stdout)
	n, err := networks.New(networks.Spec{Name: "resnet8", Input: [3]int{1, 12, 12}, Classes: 7})
	if err != nil {
		t.Fatal(err)
	}
	c := []int{3, 3, 5, 5, 20, 20}
	var flops int64
	for _, ph := range got.Phases {
		for _, i := range ph.Chunked {
			if i.Name == "convolution" || i.Name == "linear" {
				flops += i.FLOPs
			}
		}
	}
	if flops != n.FLOPs(c) || got.Batch != 9 || len(got.Phases) != 16 || got.ArenaBytes <= 0 || got.ChunkBytes <= 0 {
		t.Errorf("%d FLOPs forward, want %d; %+v", flops, n.FLOPs(c), got)
	}
}
