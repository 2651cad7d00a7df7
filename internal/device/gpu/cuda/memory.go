package cuda

import (
	"errors"
	"fmt"
	"unsafe"

	"netadjust/internal/device/gpu/clib"
	"netadjust/internal/device/gpu/driver"
)

// chunk is memory of the card, by its address.
type chunk struct {
	d       *Driver
	address uintptr
	bytes   int
}

// Alloc reserves device memory.
func (d *Driver) Alloc(bytes int) (driver.Chunk, error) {
	c := &chunk{d: d, bytes: bytes}
	err := d.call(cuMemAlloc, uintptr(unsafe.Pointer(&c.address)), uintptr(bytes))
	var s *status
	if errors.As(err, &s) && s.code == outOfMemory {
		return nil, &driver.OutOfMemory{Want: bytes, Memory: d.properties.Memory, MaxAlloc: d.properties.MaxAlloc}
	}
	if err != nil {
		return nil, fmt.Errorf("%d bytes of device memory: %w", bytes, err)
	}
	return c, nil
}

func (c *chunk) Bytes() int { return c.bytes }

// Free releases the chunk; CUDA itself waits for what is in the streams.
func (c *chunk) Free() error { return c.d.call(cuMemFree, c.address) }

// address returns where a buffer lies.
func (d *Driver) address(b driver.Buffer) (uintptr, error) {
	if err := b.Check(); err != nil {
		return 0, err
	}
	c, ok := b.Chunk.(*chunk)
	if !ok || c.d != d {
		return 0, errors.New("buffer of another device")
	}
	return c.address + uintptr(b.Offset), nil
}

// Copy appends a copy on the device.
func (d *Driver) Copy(to, from driver.Buffer) error {
	if to.Bytes != from.Bytes {
		return fmt.Errorf("copy of %d bytes to a buffer of %d", from.Bytes, to.Bytes)
	}
	target, err := d.address(to)
	if err != nil {
		return err
	}
	source, err := d.address(from)
	if err != nil {
		return err
	}
	return d.call(cuMemcpyDtoDAsync, target, source, uintptr(from.Bytes), d.streams[driver.Compute])
}

// Fill appends the filling of a buffer with a word.
func (d *Driver) Fill(b driver.Buffer, word uint32) error {
	address, err := d.address(b)
	if err != nil {
		return err
	}
	if b.Bytes%4 != 0 {
		return fmt.Errorf("cannot fill %d bytes with words of 4", b.Bytes)
	}
	return d.call(cuMemsetD32Async, address, uintptr(word), uintptr(b.Bytes/4), d.streams[driver.Compute])
}

// Upload appends a copy from the host.
func (d *Driver) Upload(q driver.Queue, to driver.Buffer, from []byte) error {
	address, err := d.transferable(to, from)
	if err != nil {
		return err
	}
	return d.call(cuMemcpyHtoDAsync, address, uintptr(unsafe.Pointer(&from[0])), uintptr(len(from)), d.streams[q])
}

// Download appends a copy to the host.
func (d *Driver) Download(q driver.Queue, to []byte, from driver.Buffer) error {
	address, err := d.transferable(from, to)
	if err != nil {
		return err
	}
	return d.call(cuMemcpyDtoHAsync, uintptr(unsafe.Pointer(&to[0])), address, uintptr(len(to)), d.streams[q])
}

func (d *Driver) transferable(b driver.Buffer, host []byte) (uintptr, error) {
	if len(host) != b.Bytes {
		return 0, fmt.Errorf("transfer between %d bytes of the host and a buffer of %d", len(host), b.Bytes)
	}
	return d.address(b)
}

// host is page-locked memory of the host.
type host struct {
	d       *Driver
	address uintptr
	bytes   []byte
}

// Pin reserves host memory.
func (d *Driver) Pin(bytes int) (driver.Host, error) {
	h := &host{d: d}
	if err := d.call(cuMemHostAlloc, uintptr(unsafe.Pointer(&h.address)), uintptr(bytes), 0); err != nil {
		return nil, fmt.Errorf("%d bytes of host memory: %w", bytes, err)
	}
	h.bytes = clib.Bytes(h.address, bytes)
	return h, nil
}

func (h *host) Bytes() []byte { return h.bytes }

func (h *host) Free() error { return errors.Join(h.d.Finish(), h.d.call(cuMemFreeHost, h.address)) }
