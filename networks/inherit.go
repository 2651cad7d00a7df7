package networks

import (
	"fmt"
	"slices"
)

// Channel is a channel of an adjustable layer, both counted from 0.
type Channel struct{ Layer, Index int }

// Coupled returns, for a network with widths c, the channels of adjustable layers that can be removed without changing
// which channels of the others meet: channels that are added to each other, directly or through further blocks, are in
// one group, and so is a channel of the residual stream in all stages in which it exists. Groups that a layer of fixed
// width has a part in, such as those of the stem, cannot be removed and are left out. Groups are in the order of their
// first channel.
func (n *Network) Coupled(c []int) [][]Channel {
	var all []Channel // -1 for channels of other layers
	var parent []int
	add := func(ch Channel) int {
		all, parent = append(all, ch), append(parent, len(parent))
		return len(parent) - 1
	}
	find := func(i int) int {
		for parent[i] != i {
			i = parent[i]
		}
		return i
	}
	fixed := add(Channel{-1, 0}) // stands for all of them
	of := make([][]int, len(c))
	for i, w := range c {
		for j := range w {
			of[i] = append(of[i], add(Channel{i, j}))
		}
	}
	channels := make([][]int, len(n.nodes))
	for i := range n.nodes {
		d := &n.nodes[i]
		width, ids := d.channels.at(c), []int(nil)
		switch owner, isFree := d.channels.(free); {
		case d.makesChannels() && isFree:
			ids = of[owner]
		case d.makesChannels():
			ids = slices.Repeat([]int{fixed}, width)
		default:
			ids = channels[d.inputs[0]]
			if d.kind == Concat {
				ids = slices.Concat(ids, channels[d.inputs[1]])
			}
			for len(ids) < width { // zeros
				ids = append(slices.Clip(ids), add(Channel{-1, 1}))
			}
			ids = ids[:width]
		}
		if d.kind == Add {
			for j, id := range channels[d.inputs[1]] {
				parent[find(id)] = find(ids[j])
			}
		}
		channels[i] = ids
	}
	group := map[int]int{find(fixed): -1}
	var groups [][]Channel
	for id, ch := range all {
		root := find(id)
		g, known := group[root]
		switch {
		case ch.Layer < 0 || g < 0:
		case !known:
			group[root] = len(groups)
			groups = append(groups, []Channel{ch})
		default:
			groups[g] = append(groups[g], ch)
		}
	}
	return groups
}

// gated returns the layer whose channels a gate multiplies by the outputs of a linear layer, by the index of that.
func (n *Network) gated() map[int]int {
	of := map[int]int{}
	for i := range n.nodes {
		if n.nodes[i].kind != Gate {
			continue
		}
		from := n.nodes[i].inputs[1]
		for !n.nodes[from].makesChannels() {
			from = n.nodes[from].inputs[0]
		}
		if n.nodes[from].kind == Linear {
			of[from] = n.nodes[i].inputs[0]
		}
	}
	return of
}

// makesChannels tells whether the output channels of a layer are its own and not those of an input.
func (d *node) makesChannels() bool {
	return d.kind == Input || d.kind == Conv || d.kind == Linear
}

// Inherit returns where the tensors of a network come from that keeps some channels of one with widths c: for every
// tensor by name, the index of each of its elements in the tensor of the same name of the wider network. keep has the
// channels that each adjustable layer keeps, ascending. Everything that reads or normalizes a channel that goes loses
// it, too; nothing is only masked. Channels that are added to each other must go together (see Coupled) or leave a
// stream from its end, else it is an error.
func (n *Network) Inherit(c []int, keep [][]int) (map[string][]int, error) {
	if len(keep) != len(c) {
		return nil, fmt.Errorf("%s has %d adjustable layers, but channels are given for %d", n.Name, len(c), len(keep))
	}
	narrow := make([]int, len(c))
	for i, k := range keep {
		narrow[i] = len(k)
		if len(k) == 0 || !slices.IsSorted(k) || k[0] < 0 || k[len(k)-1] >= c[i] || len(slices.Compact(slices.Clone(k))) < len(k) {
			return nil, fmt.Errorf("%s keeps channels %v of %d: give at least one, ascending", n.adjustable[i], k, c[i])
		}
	}
	gated := n.gated()
	kept := make([][]int, len(n.nodes)) // of each layer; in a stream less zeros at its end
	index := map[string][]int{}
	for i := range n.nodes {
		d := &n.nodes[i]
		owner, isFree := d.channels.(free)
		switch count := d.channels.at(narrow); {
		case d.makesChannels() && isFree:
			kept[i] = keep[owner]
		case d.makesChannels():
			kept[i] = firsts(count)
			if stream, ok := gated[i]; ok {
				kept[i] = slices.Clip(kept[stream])
				for len(kept[i]) < count { // what multiplies zeros can come from anywhere
					kept[i] = append(kept[i], d.channels.at(c)-1)
				}
			}
		default:
			kept[i] = kept[d.inputs[0]][:min(count, len(kept[d.inputs[0]]))]
		}
		switch d.kind {
		case Concat:
			first := n.nodes[d.inputs[0]].channels.at(c)
			for _, j := range kept[d.inputs[1]] {
				kept[i] = append(slices.Clip(kept[i]), first+j)
			}
		case Add:
			a, b := kept[i], kept[d.inputs[1]]
			if len(a) < len(b) {
				a, b = b, a
			}
			if !slices.Equal(a[:len(b)], b) {
				return nil, fmt.Errorf("%s adds channels %v and %v, which did not meet in the wider network", d.name, a, b)
			}
			kept[i] = a
		}
	}
	byName := map[string]int{}
	for i, d := range n.nodes {
		byName[d.name] = i
	}
	for _, t := range n.Tensors(c) {
		d := &n.nodes[byName[t.Layer]]
		out := kept[byName[t.Layer]]
		in := firsts(1)
		if len(t.Shape) > 1 {
			in = firsts(t.Shape[1])
		}
		switch {
		case t.Role == Running:
			in, out = out, firsts(2)
		case t.Role == Weights && d.kind != Depthwise:
			in = kept[d.inputs[0]]
		}
		index[t.Name] = elements(t.Shape, out, in)
	}
	return index, nil
}

// elements lists the indices of the elements of a tensor in the given rows and columns, whatever further dimensions it
// has.
func elements(shape, rows, columns []int) []int {
	row, size := 1, 1
	for i, d := range shape[1:] {
		row *= d
		if i > 0 {
			size *= d
		}
	}
	list := make([]int, 0, len(rows)*len(columns)*size)
	for _, r := range rows {
		for _, c := range columns {
			for k := range size {
				list = append(list, r*row+c*size+k)
			}
		}
	}
	return list
}

func firsts(count int) []int {
	list := make([]int, count)
	for i := range list {
		list[i] = i
	}
	return list
}
