package networks

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Limits of descriptions, which also end blocks that use themselves.
const (
	maxRepeat  = 200
	maxNesting = 8
	maxLayers  = 1 << 14
	maxKernel  = 15
)

// smallImage is the side up to which images are small: small_stride then replaces stride, as the networks for 32x32
// pixels do that are made of ones for 224x224.
const smallImage = 64

// interpreter appends the layers of a description to a network. It keeps the first error.
type interpreter struct {
	*Network
	d       *description
	n       int // of a name such as resnet{6n+2}, 0 if it has none
	variant int // which of the description's names the network has
	nesting int
	used    map[string]bool // blocks
	err     error
}

// width is a named channel count. The first layer that has an adjustable one gives it its place in the width vector.
type width struct {
	path  string
	start int
	dim   dim
}

// scope holds the names that layers of a block can use: its own and those of the scopes around it.
type scope struct {
	outer   *scope
	widths  map[string]*width
	numbers map[string]int // kernel, stride and expand
	block   bool           // the layers are those of a block
	input   int            // node that it reads
	prefix  string         // of names of layers
}

func (s *scope) width(name string) *width {
	for ; s != nil; s = s.outer {
		if w := s.widths[name]; w != nil {
			return w
		}
	}
	return nil
}

func (s *scope) number(name string) (int, bool) {
	for ; s != nil; s = s.outer {
		if n, ok := s.numbers[name]; ok {
			return n, true
		}
	}
	return 0, false
}

// build makes the network that n.Spec asks for.
func (d *description) build(n *Network, depth, variant int) error {
	p := &interpreter{Network: n, d: d, n: depth, variant: variant, used: map[string]bool{}}
	n.normalWeights = d.normal
	s := p.declare(&scope{input: p.image()}, "", d.fixed, d.adjustable)
	x := p.layers(d.block.layers, s, s.input)
	p.allUsed(s)
	n.stem = slices.IndexFunc(n.nodes, func(d node) bool { return d.kind == Conv })
	dropped, names := make([]bool, len(n.start)), map[string]bool{}
	for _, d := range n.nodes {
		if d.kind == Drop {
			dropped[d.adjustable] = true
		}
		if names[d.name] {
			p.fail("layers", "two layers are called %s; give one another name", d.name)
		}
		names[d.name] = true
	}
	switch undropped := slices.Index(dropped, false); {
	case p.err != nil:
	case n.nodes[x].name != "classifier":
		p.fail("layers", `the last layer must be "classifier"`)
	case len(n.start) == 0:
		p.fail("layers", "no width is adjustable, so there is nothing to search")
	case undropped >= 0:
		p.fail("layers", `the channels of %s pass no "drop", where their utilization is measured`, n.adjustable[undropped])
	}
	for _, name := range slices.Sorted(maps.Keys(d.blocks)) {
		if !p.used[name] {
			p.fail(d.blocks[name].path, "the network does not use this block")
		}
	}
	return p.err
}

// fail keeps an error of the description.
func (p *interpreter) fail(path, format string, args ...any) {
	if p.err == nil {
		p.err = p.d.mistake(path, format, args...)
	}
}

// declare returns a scope inside s with further names. Their values are made of the names of s.
func (p *interpreter) declare(s *scope, path string, fixed, adjustable map[string]any) *scope {
	inner := *s
	inner.outer, inner.widths, inner.numbers = s, map[string]*width{}, nil
	for _, name := range slices.Sorted(maps.Keys(fixed)) {
		w := p.count(strings.TrimPrefix(path+".fixed."+name, "."), fixed[name], s)
		inner.widths[name] = &width{start: w, dim: constant(w)}
	}
	for _, name := range slices.Sorted(maps.Keys(adjustable)) {
		at := strings.TrimPrefix(path+".adjustable."+name, ".")
		inner.widths[name] = &width{path: at, start: p.count(at, adjustable[name], s)}
	}
	return &inner
}

// layers appends a list of layers that reads node x, and returns its last node.
func (p *interpreter) layers(list []item, s *scope, x int) int {
	if p.nesting++; p.nesting > maxNesting {
		p.fail(list[0].path, "blocks are nested more than %d deep; does one use itself?", maxNesting)
	}
	names := p.names(list)
	for i, it := range list {
		if len(p.nodes) > maxLayers {
			p.fail(it.path, "the network has more than %d layers", maxLayers)
		}
		if p.err != nil {
			break
		}
		if it.kind == "block" {
			x = p.use(it, s, s.prefix+names[i], x)
		} else if p.fits(it, s, x) {
			x = p.layer(it, s, s.prefix+names[i], x)
		}
	}
	p.nesting--
	return x
}

// names names the elements of a list, with numbers where several have the same name: repeated blocks are stages.
func (p *interpreter) names(list []item) []string {
	names, count := make([]string, len(list)), map[string]int{}
	for i, it := range list {
		block, _ := it.value.(string)
		name, named := it.keys["name"].(string)
		switch {
		case named:
			names[i] = name
		case it.keys["repeat"] != nil:
			names[i] = "stage"
		case it.kind == "block":
			names[i] = block
		default:
			names[i] = cmp.Or(shortNames[it.kind], it.kind)
		}
		count[names[i]]++
	}
	number := map[string]int{}
	for i, name := range names {
		if number[name]++; count[name] > 1 {
			names[i] = fmt.Sprint(name, number[name])
		}
	}
	return names
}

// use appends the blocks of an element of a list. Strides are those of the first block.
func (p *interpreter) use(it item, s *scope, name string, x int) int {
	b := p.d.blocks[it.value.(string)]
	p.used[it.value.(string)] = true
	repeat := p.repeat(it)
	around := *s
	around.input = x
	adjustable, _ := it.keys["adjustable"].(map[string]any)
	shared := p.declare(&around, it.path, nil, adjustable)
	for i := range repeat {
		own := p.declare(shared, it.path, p.choose(it, i, repeat), nil)
		own.input, own.block, own.prefix = x, true, name+"."
		if it.keys["repeat"] != nil {
			own.prefix = fmt.Sprintf("%s.block%d.", name, i+1)
		}
		own.numbers = map[string]int{"stride": 1}
		if i == 0 {
			own.numbers["stride"] = p.stride(it, s, 1)
		}
		for _, key := range []string{"kernel", "expand"} {
			if v, ok := it.keys[key]; ok {
				own.numbers[key] = p.number(it.at(key), v, s, 1, maxChannels)
			}
		}
		inner := p.declare(own, b.path, b.fixed, b.adjustable)
		x = p.layers(b.layers, inner, x)
		p.allUsed(inner)
		if p.err != nil {
			return x
		}
	}
	p.allUsed(shared)
	return x
}

// allUsed reports an adjustable width of a scope that no layer has.
func (p *interpreter) allUsed(s *scope) {
	for _, name := range slices.Sorted(maps.Keys(s.widths)) {
		if w := s.widths[name]; w.dim == nil {
			p.fail(w.path, "no layer has this width")
		}
	}
}

// choose returns the fixed counts of block i: of lists, the i-th element.
func (p *interpreter) choose(it item, i, repeat int) map[string]any {
	chosen := map[string]any{}
	fixed, _ := it.keys["fixed"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(fixed)) {
		chosen[name] = fixed[name]
		if list, ok := fixed[name].([]any); ok && len(list) == repeat {
			chosen[name] = list[i]
		} else if ok {
			p.fail(it.at("fixed."+name), "%d counts for %d blocks", len(list), repeat)
		}
	}
	return chosen
}

// repeat returns how many blocks an element of a list stands for: a number, "n", or a number for each of the names.
func (p *interpreter) repeat(it item) int {
	v, ok := it.keys["repeat"]
	if !ok {
		return 1
	}
	if v == "n" && p.n > 0 {
		return p.n
	}
	if list, ok := v.([]any); ok && len(list) > 0 && len(list) == len(p.d.names) {
		v = list[p.variant]
	}
	if n, ok := v.(int64); ok && n >= 1 && n <= maxRepeat {
		return int(n)
	}
	p.fail(it.at("repeat"), `must be a number of 1 to %d, not %v; only built-in families have "n" and lists`, maxRepeat, v)
	return 1
}

// stride returns the stride of a layer or of the first of some blocks.
func (p *interpreter) stride(it item, s *scope, standard int) int {
	key := "stride"
	if _, ok := it.keys["small_stride"]; ok && max(p.Input[1], p.Input[2]) <= smallImage {
		key = "small_stride"
	}
	if v, ok := it.keys[key]; ok {
		return p.number(it.at(key), v, s, 1, maxKernel)
	}
	return standard
}

// number returns a number that may be named, as in kernel = "kernel".
func (p *interpreter) number(path string, v any, s *scope, least, most int) int {
	n, ok := 0, false
	switch v := v.(type) {
	case int64:
		n, ok = int(min(max(v, math.MinInt32), math.MaxInt32)), true
	case string:
		n, ok = s.number(v)
	}
	if !ok || n < least || n > most {
		p.fail(path, "must be a number of %d to %d, or a name that the use of the block gives one, not %#v", least, most, v)
		return 1
	}
	return n
}

// kernel returns the side of a window.
func (p *interpreter) kernel(path string, v any, s *scope, even bool) int {
	k := p.number(path, v, s, 1, maxKernel)
	if k%2 == 0 && !even {
		p.fail(path, "must be odd, not %d", k)
		return 1
	}
	return k
}

// count returns a channel count at the start widths: a number, which the network's width multiplies, or what names
// stand for, as "stem", "6*in" or "in/4", rounded down.
func (p *interpreter) count(path string, v any, s *scope) int {
	n := 0.
	switch v := v.(type) {
	case int64:
		n = math.RoundToEven(p.Width * float64(v))
	case string:
		if a, b, ok := strings.Cut(v, "*"); ok {
			n = float64(p.factor(path, a, s, true)) * float64(p.factor(path, b, s, true))
		} else if a, b, ok := strings.Cut(v, "/"); ok {
			n = math.Floor(float64(p.factor(path, a, s, false)) / float64(p.factor(path, b, s, true)))
		} else {
			n = float64(p.factor(path, v, s, false))
		}
	default:
		p.fail(path, `must be a channel count, as 16, "width" or "2*width", not %v`, v)
		return 1
	}
	if !(n >= 1 && n <= maxChannels) {
		p.fail(path, "%s with width %v gives %v channels here; choose it so that they are 1 to %d", p.Name, p.Width, n,
			maxChannels)
		return 1
	}
	return int(n)
}

// factor returns what a name stands for, or a number.
func (p *interpreter) factor(path, text string, s *scope, number bool) int {
	name := strings.TrimSpace(text)
	if w := s.width(name); w != nil {
		return w.start
	}
	if name == "in" {
		return p.nodes[s.input].channels.at(p.start)
	}
	if n, ok := s.number(name); ok && name == "expand" {
		return n
	}
	if n, err := strconv.Atoi(name); err == nil && number && n >= 1 && n <= maxChannels {
		return n
	}
	p.fail(path, "%q is no channel count that is known here%s", name, p.namesOf(s))
	return 1
}

// namesOf lists the channel counts of a scope, for messages.
func (p *interpreter) namesOf(s *scope) string {
	names := []string{"in"}
	for ; s != nil; s = s.outer {
		names = slices.AppendSeq(names, maps.Keys(s.widths))
	}
	slices.Sort(names)
	return "; known: " + strings.Join(slices.Compact(names), ", ")
}

// channels returns the width of a layer. If it is an adjustable one, adjustable is its place in the width vector.
func (p *interpreter) channels(it item, s *scope, layer string) (d dim, adjustable int) {
	name, _ := it.value.(string)
	w := s.width(name)
	switch {
	case w == nil && name == "in":
		return p.nodes[s.input].channels, -1
	case w == nil:
		return constant(p.count(it.at(it.kind), it.value, s)), -1
	case w.dim == nil:
		w.dim = free(len(p.start))
		p.start, p.adjustable = append(p.start, w.start), append(p.adjustable, layer)
	}
	if i, ok := w.dim.(free); ok {
		return w.dim, int(i)
	}
	return w.dim, -1
}

// fits reports a layer that cannot read what node x gives.
func (p *interpreter) fits(it item, s *scope, x int) bool {
	in := p.nodes[x]
	row := slices.Contains([]string{"linear", "sigmoid", "gate", "classifier"}, it.kind)
	joins := slices.Contains([]string{"shortcut", "concat", "gate"}, it.kind)
	switch {
	case in.name == "classifier":
		p.fail(it.path, "nothing can follow the classifier")
	case joins && (!s.block || p.nodes[s.input].flat):
		p.fail(it.path, "%s uses the input of its block, which must be a map", it.kind)
	case row && !in.flat:
		p.fail(it.path, `%s reads a row of numbers, but %s gives a map of %s; put "globalavgpool" between them`,
			it.kind, in.name, p.shape(x))
	case !row && in.flat && it.kind != "relu":
		p.fail(it.path, "%s reads a map, but %s gives a row of %s numbers", it.kind, in.name, p.shape(x))
	}
	return p.err == nil
}

// shape is that of a node at the start widths, for messages.
func (p *interpreter) shape(x int) string {
	d := p.nodes[x]
	if d.flat {
		return fmt.Sprint(d.channels.at(p.start))
	}
	return fmt.Sprintf("%dx%dx%d", d.channels.at(p.start), d.height, d.width)
}

// layer appends one layer that reads node x.
func (p *interpreter) layer(it item, s *scope, name string, x int) int {
	switch it.kind {
	case "conv":
		kernel := 1
		if v, ok := it.keys["kernel"]; ok {
			kernel = p.kernel(it.at("kernel"), v, s, false)
		}
		channels, adjustable := p.channels(it, s, name)
		x = p.conv(name, x, channels, kernel, p.stride(it, s, 1))
		p.nodes[x].adjustable = adjustable
		return x
	case "depthwise":
		return p.depthwise(name, x, p.kernel(it.at("depthwise"), it.value, s, false), p.stride(it, s, 1))
	case "linear":
		channels, _ := p.channels(it, s, name)
		return p.linear(name, x, channels)
	case "maxpool", "avgpool":
		kernel := p.kernel(it.at(it.kind), it.value, s, true)
		stride := p.stride(it, s, kernel)
		if stride > kernel || kernel%2 == 0 && stride != kernel {
			p.fail(it.path, "a window of %d cannot have stride %d: even ones have their size, odd ones at most that", kernel,
				stride)
		}
		return p.pool(name, Kind(it.kind), x, kernel, stride)
	case "batchnorm":
		return p.batchNorm(name, x)
	case "relu", "relu6", "sigmoid":
		return p.plain(name, Kind(it.kind), x)
	case "drop":
		width, ok := p.nodes[x].channels.(free)
		if !ok {
			p.fail(it.path, "the channels that %s gives are those of no adjustable width", p.nodes[x].name)
			return x
		}
		return p.drop(name, x, width)
	case "globalavgpool":
		return p.globalPool(name, x)
	case "concat":
		if a, b := p.nodes[s.input], p.nodes[x]; a.height != b.height || a.width != b.width {
			p.fail(it.path, "%s of %s and %s of %s differ in height or width", a.name, p.shape(s.input), b.name, p.shape(x))
		}
		return p.concat(name, s.input, x)
	case "gate":
		if a, b := p.nodes[s.input], p.nodes[x]; !reflect.DeepEqual(a.channels, b.channels) {
			p.fail(it.path, `%s of %s and %s of %s numbers do not have one width; { linear = "in" } has that of the input`,
				a.name, p.shape(s.input), b.name, p.shape(x))
		}
		return p.plain(name, Gate, s.input, x)
	case "shortcut":
		return p.shortcut(it, s, x)
	case "classifier":
		return p.linear(name, x, constant(p.Classes))
	}
	p.fail(it.path, "unknown layer %q", it.kind)
	return x
}

// shortcut adds the input of a block to node y.
func (p *interpreter) shortcut(it item, s *scope, y int) int {
	x, prefix := s.input, s.prefix
	stride, _ := s.number("stride")
	same := p.same(x, y)
	switch it.value {
	case "identity":
		if !same {
			p.untied(it, x, y)
		}
		return p.plain(prefix+"add", Add, y, x)
	case "optional":
		if !same {
			return y
		}
		return p.plain(prefix+"add", Add, y, x)
	case "pad", "project":
	default:
		p.fail(it.at("shortcut"), `must be "identity", "optional", "pad" or "project", not %v`, it.value)
		return y
	}
	stream := p.nodes[y].channels
	if stride > 1 && it.value == "project" {
		x = p.conv(prefix+"shortcut.conv", x, stream, 1, stride)
		x = p.batchNorm(prefix+"shortcut.bn", x)
	} else {
		if stride > 1 {
			x = p.pool(prefix+"shortcut.pool", AvgPool, x, stride, stride)
		}
		if p.Padding == PaddingMax {
			stream = larger(p.nodes[x].channels, stream)
		}
		y = p.fit(prefix+"pad", y, stream)
		x = p.fit(prefix+"shortcut.channels", x, stream)
	}
	if !p.same(x, y) {
		p.untied(it, x, y)
	}
	return p.plain(prefix+"add", Add, y, x)
}

// same tells whether two nodes have the same shape, whatever the widths.
func (p *interpreter) same(x, y int) bool {
	a, b := p.nodes[x], p.nodes[y]
	return reflect.DeepEqual(a.channels, b.channels) && a.height == b.height && a.width == b.width
}

// untied reports an addition of what does not have the same shape, or only as long as no width changes.
func (p *interpreter) untied(it item, x, y int) {
	a, b := p.shape(x), p.shape(y)
	how, hint := "their shapes differ", `give both the same width by name, or use shortcut = "pad"`
	switch {
	case a == b:
		how = "their shapes are equal only until a width changes"
	case it.value == "pad" || it.value == "project":
		hint = "the layers of the block have to shrink the image as its stride does"
	}
	p.fail(it.path, "%s of %s and %s of %s cannot be added: %s; %s", p.nodes[x].name, a, p.nodes[y].name, b, how, hint)
}
