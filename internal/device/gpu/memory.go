package gpu

import (
	"errors"
	"sync"

	"netadjust/internal/device"
	"netadjust/internal/device/gpu/driver"
)

// page is the least that the pool reserves at a time, 16 MiB.
const page = 16 << 20

// align rounds up to what buffers begin at.
func align(bytes int) int { return (bytes + driver.Align - 1) / driver.Align * driver.Align }

// pool hands out the memory of state in pieces of a few chunks. What is given back may still be in use by commands that
// are in the queue: whatever takes it next comes behind them.
type pool struct {
	driver driver.Driver
	mu     sync.Mutex
	chunks []driver.Chunk
	holes  []driver.Buffer
}

// take returns a piece of at least the given size.
func (p *pool) take(bytes int) (driver.Buffer, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	bytes = align(bytes)
	for i := range p.holes {
		if h := &p.holes[i]; h.Bytes >= bytes {
			return p.cut(i, bytes), nil
		}
	}
	c, err := p.driver.Alloc(max(page, bytes))
	if err != nil {
		return driver.Buffer{}, err
	}
	p.chunks = append(p.chunks, c)
	p.holes = append(p.holes, whole(c))
	return p.cut(len(p.holes)-1, bytes), nil
}

// cut takes the beginning of hole i.
func (p *pool) cut(i, bytes int) driver.Buffer {
	h := &p.holes[i]
	b := driver.Buffer{Chunk: h.Chunk, Offset: h.Offset, Bytes: bytes}
	h.Offset += bytes
	h.Bytes -= bytes
	if h.Bytes == 0 {
		p.holes[i] = p.holes[len(p.holes)-1]
		p.holes = p.holes[:len(p.holes)-1]
	}
	return b
}

// give makes a piece a hole again, joined with those beside it.
func (p *pool) give(b driver.Buffer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.chunks == nil {
		return // the device has been closed
	}
	others := p.holes[:0]
	for _, h := range p.holes {
		switch {
		case h.Chunk == b.Chunk && h.Offset+h.Bytes == b.Offset:
			b.Offset, b.Bytes = h.Offset, b.Bytes+h.Bytes
		case h.Chunk == b.Chunk && b.Offset+b.Bytes == h.Offset:
			b.Bytes += h.Bytes
		default:
			others = append(others, h)
		}
	}
	p.holes = append(others, b)
}

// close frees all chunks, whatever is still in them.
func (p *pool) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all error
	for _, c := range p.chunks {
		all = errors.Join(all, c.Free())
	}
	p.chunks, p.holes = nil, nil
	return all
}

// whole is all of a chunk.
func whole(c driver.Chunk) driver.Buffer { return driver.Buffer{Chunk: c, Bytes: c.Bytes()} }

// place is where a block lies.
type place struct{ chunk, offset int }

// placeBlocks places blocks in chunks of at most the given size, which no block exceeds: as in one arena, of which what
// lies within the first chunk stays, and the rest is placed in further ones.
func placeBlocks(blocks []device.Block, limit int) (places []place, chunks []int) {
	places = make([]place, len(blocks))
	rest := make([]int, len(blocks))
	for i := range rest {
		rest[i] = i
	}
	for len(rest) > 0 {
		part := make([]device.Block, len(rest))
		for i, b := range rest {
			part[i] = blocks[b]
		}
		offsets, _ := device.PlanArena(part)
		var outside []int
		size := 0
		for i, b := range rest {
			if end := offsets[i] + part[i].Size; end <= limit {
				places[b], size = place{len(chunks), offsets[i]}, max(size, end)
			} else {
				outside = append(outside, b)
			}
		}
		chunks, rest = append(chunks, size), outside
	}
	return places, chunks
}
