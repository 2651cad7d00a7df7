package opencl

import (
	"errors"
	"fmt"
	"unsafe"

	"netadjust/internal/device/gpu/clib"
	"netadjust/internal/device/gpu/driver"
)

// chunk is a buffer of OpenCL with the sub-buffers that are in use, for kernels take no offsets.
type chunk struct {
	d     *Driver
	mem   uintptr
	bytes int
	parts map[driver.Buffer]*part
}

// part is a sub-buffer, one for all that use the same bytes.
type part struct {
	mem  uintptr
	uses int
}

// Alloc reserves device memory and touches it, for drivers reserve it no earlier.
func (d *Driver) Alloc(bytes int) (driver.Chunk, error) {
	p := d.properties
	tooMuch := &driver.OutOfMemory{Want: bytes, Memory: p.Memory, MaxAlloc: p.MaxAlloc}
	if bytes > p.MaxAlloc || bytes > p.Memory-d.allocated {
		return nil, tooMuch
	}
	mem, err := d.create(createBuffer, d.context, memReadWrite, uintptr(bytes), 0)
	if err == nil {
		if err = d.touch(mem); err != nil {
			err = errors.Join(err, d.call(releaseMemObject, mem))
		}
	}
	switch {
	case is(err, allocationFailure, outOfResources, outOfHostMemory):
		return nil, tooMuch
	case err != nil:
		return nil, fmt.Errorf("%d bytes of device memory: %w", bytes, err)
	}
	d.allocated += bytes
	return &chunk{d, mem, bytes, map[driver.Buffer]*part{}}, nil
}

func (d *Driver) touch(mem uintptr) error {
	if err := d.fill(mem, 1, 0); err != nil {
		return err
	}
	return d.call(finish, d.queues[driver.Compute])
}

func (c *chunk) Bytes() int { return c.bytes }

// Free releases the chunk; OpenCL itself waits for what is in the queues.
func (c *chunk) Free() error {
	var all error
	for _, p := range c.parts {
		all = errors.Join(all, c.d.call(releaseMemObject, p.mem))
	}
	clear(c.parts)
	c.d.allocated -= c.bytes
	return errors.Join(all, c.d.call(releaseMemObject, c.mem))
}

// hold returns the memory object of a buffer, which is there until release.
func (d *Driver) hold(b driver.Buffer) (uintptr, error) {
	if err := b.Check(); err != nil {
		return 0, err
	}
	c, ok := b.Chunk.(*chunk)
	if !ok || c.d != d {
		return 0, errors.New("buffer of another device")
	}
	if b.Bytes == c.bytes {
		return c.mem, nil
	}
	if p := c.parts[b]; p != nil {
		p.uses++
		return p.mem, nil
	}
	region := []uintptr{uintptr(b.Offset), uintptr(b.Bytes)}
	mem, err := d.create(createSubBuffer, c.mem, memReadWrite, regionOfBuffer, uintptr(unsafe.Pointer(&region[0])))
	if err == nil {
		c.parts[b] = &part{mem, 1}
	}
	return mem, err
}

// release ends what hold began. Commands in the queues keep what they need.
func (d *Driver) release(b driver.Buffer) error {
	c := b.Chunk.(*chunk)
	p := c.parts[b]
	if p == nil { // the whole chunk, or one that has been freed
		return nil
	}
	if p.uses--; p.uses > 0 {
		return nil
	}
	delete(c.parts, b)
	return d.call(releaseMemObject, p.mem)
}

// with calls f with the memory object of a buffer.
func (d *Driver) with(b driver.Buffer, f func(mem uintptr) error) error {
	mem, err := d.hold(b)
	if err != nil {
		return err
	}
	return errors.Join(f(mem), d.release(b))
}

// Copy appends a copy on the device.
func (d *Driver) Copy(to, from driver.Buffer) error {
	if to.Bytes != from.Bytes {
		return fmt.Errorf("copy of %d bytes to a buffer of %d", from.Bytes, to.Bytes)
	}
	return d.with(to, func(target uintptr) error {
		return d.with(from, func(source uintptr) error {
			q := d.queues[driver.Compute]
			return d.call(enqueueCopyBuffer, q, source, target, 0, 0, uintptr(from.Bytes), 0, 0, 0)
		})
	})
}

// Fill appends the filling of a buffer with a word.
func (d *Driver) Fill(b driver.Buffer, word uint32) error {
	if b.Bytes%4 != 0 {
		return fmt.Errorf("cannot fill %d bytes with words of 4", b.Bytes)
	}
	return d.with(b, func(mem uintptr) error { return d.fill(mem, b.Bytes/4, word) })
}

func (d *Driver) fill(mem uintptr, words int, word uint32) error {
	return d.call(enqueueFillBuffer, d.queues[driver.Compute], mem, uintptr(unsafe.Pointer(&word)), 4, 0, uintptr(words)*4,
		0, 0, 0)
}

// Upload appends a copy from the host.
func (d *Driver) Upload(q driver.Queue, to driver.Buffer, from []byte) error {
	return d.transfer(enqueueWriteBuffer, q, to, from)
}

// Download appends a copy to the host.
func (d *Driver) Download(q driver.Queue, to []byte, from driver.Buffer) error {
	return d.transfer(enqueueReadBuffer, q, from, to)
}

func (d *Driver) transfer(f function, q driver.Queue, b driver.Buffer, host []byte) error {
	if len(host) != b.Bytes {
		return fmt.Errorf("transfer between %d bytes of the host and a buffer of %d", len(host), b.Bytes)
	}
	const noWait = 0
	err := d.with(b, func(mem uintptr) error {
		return d.call(f, d.queues[q], mem, noWait, 0, uintptr(len(host)), uintptr(unsafe.Pointer(&host[0])), 0, 0, 0)
	})
	if err != nil {
		return err
	}
	return d.call(flush, d.queues[q])
}

// host is memory that the driver has allocated for transfers: a buffer of OpenCL that stays mapped.
type host struct {
	d     *Driver
	mem   uintptr
	bytes []byte
}

// Pin reserves host memory.
func (d *Driver) Pin(bytes int) (driver.Host, error) {
	mem, err := d.create(createBuffer, d.context, memReadWrite|memHost, uintptr(bytes), 0)
	if err != nil {
		return nil, fmt.Errorf("%d bytes of host memory: %w", bytes, err)
	}
	const wait = 1
	q := d.queues[driver.Compute]
	address, err := d.create(enqueueMapBuffer, q, mem, wait, mapReadWrite, 0, uintptr(bytes), 0, 0, 0)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%d bytes of host memory: %w", bytes, err), d.call(releaseMemObject, mem))
	}
	return &host{d, mem, clib.Bytes(address, bytes)}, nil
}

func (h *host) Bytes() []byte { return h.bytes }

func (h *host) Free() error {
	q := h.d.queues[driver.Compute]
	return errors.Join(h.d.Finish(),
		h.d.call(enqueueUnmapMemObject, q, h.mem, uintptr(unsafe.Pointer(&h.bytes[0])), 0, 0, 0),
		h.d.call(releaseMemObject, h.mem))
}
