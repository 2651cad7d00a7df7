package cpu

import "netadjust/internal/device"

// chunkFloats is how large the largest value of a chunk may be, 256 KiB: a few such values fit into a core's cache.
const chunkFloats = 64 << 10

// Weights of more than heavyFloats, 512 KiB, do not stay in the cache from one chunk to the next: chunks then have at
// least heavyImages, for which they are read once. Where all maps of an image have more than lightMaps times as many
// floats as such weights, it matters more that the maps of one image stay in the cache.
const (
	heavyFloats = 128 << 10
	heavyImages = 4
	lightMaps   = 3
)

// place gives every value its memory. What is born and read in one phase only is there for the images of a chunk. With
// keep that is so for outputs, too, and nothing takes the place of another value.
func (e *executable) place(phases []phase, keep bool) {
	p := e.program
	first, last := make([]int, len(e.layouts)), make([]int, len(e.layouts)) // phases
	inside := make([]bool, len(e.layouts))                                  // born and read in one phase, image by image
	for v := range e.layouts {
		first[v], last[v] = -1, -1
	}
	for _, v := range p.Inputs {
		if e.converted(v) {
			first[v] = 0
		}
	}
	for i, ph := range phases {
		for at, list := range [][]int{ph.chunked, ph.after} {
			for _, s := range list {
				for _, v := range e.list[s].in {
					if last[v] = i; first[v] != i || at == 1 {
						inside[v] = false
					}
				}
				for _, v := range e.list[s].out {
					if first[v] < 0 {
						first[v], last[v] = i, i
						inside[v] = e.layouts[v].role != whole
					}
				}
			}
		}
	}
	for _, v := range p.Outputs {
		inside[v], last[v] = keep && inside[v], len(phases)
	}

	var blocks []device.Block
	var owners []int
	for v, l := range e.layouts {
		if v < len(p.Values) && p.Values[v].State != nil {
			e.places[v].data = p.Values[v].State.(*array).data
			continue
		}
		if first[v] < 0 || inside[v] {
			continue
		}
		size := l.size
		if l.role != whole {
			size *= e.batch
		}
		blocks = append(blocks, device.Block{Size: align(size), First: first[v], Last: last[v]})
		owners = append(owners, v)
	}
	offsets, total := device.PlanArena(blocks)
	arena := aligned(total)
	useHugePages(arena)
	e.arena = total
	for i, v := range owners {
		e.places[v].data = arena[offsets[i] : offsets[i]+blocks[i].Size]
	}

	e.phases = make([]compiled, len(phases))
	locals := 0
	for i, ph := range phases {
		e.phases[i].plan, e.phases[i].chunk = ph, e.chunk(ph)
		locals = max(locals, e.placeLocal(ph, e.phases[i].chunk, inside, keep))
	}
	for range e.dev.pool.threads {
		e.workers = append(e.workers, &worker{local: aligned(locals)})
	}
	e.isolate()
}

// chunk is the number of images that a phase takes at a time.
func (e *executable) chunk(ph phase) int {
	largest, maps, heavy := 1, 0, 0
	for _, s := range ph.chunked {
		onMaps := false
		for _, v := range e.list[s].out {
			l := &e.layouts[v]
			if l.role != whole {
				largest = max(largest, l.size)
			}
			if l.role == image {
				maps, onMaps = maps+l.size, true
			}
		}
		for _, v := range e.list[s].in {
			if l := &e.layouts[v]; onMaps && l.role == whole && l.size > heavyFloats {
				heavy += l.size
			}
		}
	}
	images := chunkFloats / largest
	if heavy > 0 && maps <= lightMaps*heavy && !e.kept {
		images = max(images, heavyImages)
	}
	return max(1, min(images, (e.batch+e.slots-1)/e.slots))
}

// placeLocal places the values that live in one phase only, and returns the memory that they need. With keep they get a
// second place as well, for variations, where they share memory as lifetimes allow.
func (e *executable) placeLocal(ph phase, chunk int, inside []bool, keep bool) int {
	var blocks []device.Block
	var owners []int
	block := map[int]int{}
	for i, s := range ph.chunked {
		for _, v := range e.list[s].in {
			if b, ok := block[v]; ok {
				blocks[b].Last = i
			}
		}
		for _, v := range e.list[s].out {
			if inside[v] {
				block[v] = len(blocks)
				blocks = append(blocks, device.Block{Size: align(chunk * e.layouts[v].size), First: i, Last: i})
				owners = append(owners, v)
			}
		}
	}
	offsets, total := device.PlanArena(blocks)
	for i, v := range owners {
		e.places[v] = place{local: true, offset: offsets[i]}
	}
	if !keep {
		return total
	}
	for i, v := range owners {
		e.places[v] = place{local: true, variant: offsets[i], offset: total}
		total += blocks[i].Size
	}
	return total
}

// align rounds up to whole cache lines.
func align(n int) int { return (n + 15) &^ 15 }
