package gpu

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"netadjust/internal/device"
	"netadjust/internal/device/gpu/driver"
)

// paper is a driver with memory that is not there.
type paper struct {
	driver.Driver
	properties driver.Properties
	allocated  int
}

type sheet struct {
	driver.Chunk
	bytes int
}

func (s *sheet) Bytes() int { return s.bytes }

func (p *paper) Properties() driver.Properties { return p.properties }

func (p *paper) Alloc(bytes int) (driver.Chunk, error) {
	if bytes > p.properties.Memory-p.allocated {
		return nil, &driver.OutOfMemory{Want: bytes, Memory: p.properties.Memory, MaxAlloc: p.properties.MaxAlloc}
	}
	p.allocated += bytes
	return &sheet{bytes: bytes}, nil
}

// TestPool takes and gives back pieces at random: none that is out overlaps another, and in the end all is one hole.
func TestPool(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	d := &paper{properties: driver.Properties{Memory: 1 << 40}}
	p := &pool{driver: d}
	var out []driver.Buffer
	for range 2000 {
		if n := len(out); n > 20 || n > 0 && r.IntN(2) == 0 {
			i := r.IntN(n)
			p.give(out[i])
			out[i] = out[n-1]
			out = out[:n-1]
			continue
		}
		size := 1 + r.IntN(2<<20)
		b, err := p.take(size)
		if err != nil {
			t.Fatal(err)
		}
		if b.Bytes < size || b.Offset%driver.Align != 0 || b.Offset+b.Bytes > b.Chunk.Bytes() {
			t.Fatalf("%d bytes at %d for %d", b.Bytes, b.Offset, size)
		}
		for _, o := range out {
			if o.Chunk == b.Chunk && o.Offset < b.Offset+b.Bytes && b.Offset < o.Offset+o.Bytes {
				t.Fatalf("pieces of %d bytes at %d and of %d at %d overlap", o.Bytes, o.Offset, b.Bytes, b.Offset)
			}
		}
		out = append(out, b)
	}
	for _, b := range out {
		p.give(b)
	}
	free := 0
	for _, h := range p.holes {
		free += h.Bytes
	}
	if len(p.holes) != len(p.chunks) || free != d.allocated {
		t.Errorf("%d holes of %d bytes in %d chunks of %d bytes", len(p.holes), free, len(p.chunks), d.allocated)
	}
	if b, err := p.take(3 * page); err != nil || b.Bytes != 3*page {
		t.Errorf("piece of %d bytes, error %v", b.Bytes, err)
	}
}

// TestPlaceBlocks places random blocks in chunks of less than they need together.
func TestPlaceBlocks(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		const limit = 2000
		blocks := make([]device.Block, 1+r.IntN(40))
		for i := range blocks {
			first := r.IntN(20)
			blocks[i] = device.Block{Size: 1 + r.IntN(limit), First: first, Last: first + r.IntN(10)}
		}
		places, chunks := placeBlocks(blocks, limit)
		for i, p := range places {
			if end := p.offset + blocks[i].Size; end > chunks[p.chunk] || chunks[p.chunk] > limit {
				t.Fatalf("block up to %d in a chunk of %d", end, chunks[p.chunk])
			}
			for j, o := range places[:i] {
				a, b := blocks[i], blocks[j]
				if o.chunk == p.chunk && a.First <= b.Last && b.First <= a.Last && p.offset < o.offset+b.Size &&
					o.offset < p.offset+a.Size {
					t.Fatalf("blocks %+v at %d and %+v at %d overlap", a, p.offset, b, o.offset)
				}
			}
		}
	}
}

// TestApart plans a chain of maps, of which two are alive at a time, and then without reuse.
func TestApart(t *testing.T) {
	const maps = 10
	shape := []int{4, 32}
	p := &planner{dev: &Device{driver: &paper{properties: driver.Properties{Memory: 1 << 20, MaxAlloc: 1 << 20}}},
		program: &device.Program{}}
	for i := range maps {
		p.values = append(p.values, value{shape: shape, input: i == 0})
		if i > 0 {
			p.calls = append(p.calls, call{args: []any{operand(i - 1), operand(i)}})
		}
	}
	for _, tt := range []struct {
		apart bool
		want  int
	}{{false, 2}, {true, maps - 1}} {
		p.dev.apart = tt.apart
		pl := &plan{}
		if err := p.placeArena(pl, make([]driver.Buffer, maps)); err != nil {
			t.Fatal(err)
		}
		if got := pl.arena[0].Bytes(); len(pl.arena) != 1 || got != tt.want*4*4*32 {
			t.Errorf("apart %v: %d chunks, the first of %d bytes, want that of %d maps", tt.apart, len(pl.arena), got, tt.want)
		}
	}
}

// TestTooLarge checks errors of programs that no memory holds.
func TestTooLarge(t *testing.T) {
	for _, tt := range []struct {
		name     string
		batch    int
		maxAlloc int
		want     string
	}{
		{"memory", 64, 1 << 30, "10 MiB for what the program computes, of which rectified of shape [64 10 64 64] takes " +
			"10 MiB: out of device memory: no 10 MiB left of 1 MiB; try a batch of 32"},
		{"one piece", 64, 1 << 20, "10 MiB in one piece are more than the device's limit of 1 MiB; try a batch of 32"},
		{"elements", 1 << 16, 1 << 30, "has more than 2147482623 elements; try a smaller batch"},
	} {
		d := &paper{properties: driver.Properties{Memory: 1 << 20, MaxAlloc: tt.maxAlloc}}
		shape := []int{tt.batch, 10, 64, 64}
		p := &planner{
			dev: &Device{driver: d}, program: &device.Program{Outputs: []int{1}},
			values: []value{{name: "images", shape: shape, input: true}, {name: "rectified", shape: shape}},
		}
		err := p.check()
		if err == nil {
			err = p.placeArena(&plan{}, make([]driver.Buffer, 2))
		}
		var memory *driver.OutOfMemory
		if err == nil || !strings.Contains(err.Error(), tt.want) || errors.As(err, &memory) == (tt.name == "elements") {
			t.Errorf("%s: error %v, want one with %q", tt.name, err, tt.want)
		}
	}
}
