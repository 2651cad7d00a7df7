// Package driver is what the GPU device needs of a programming interface for GPUs: memory, programs, launches and the
// order between them. OpenCL and CUDA implement it; nothing above knows which of them runs.
package driver

import (
	"fmt"
	"time"
	"unsafe"
)

// Align is what every offset of a Buffer in its chunk is a multiple of, in bytes. No device asks for more.
const Align = 512

// Driver is one GPU with two queues. A driver is used by one goroutine at a time. Commands are carried out in the order
// in which they enter their queue, after the call has returned; an error of a command may be reported by a later call.
type Driver interface {
	Properties() Properties

	// Alloc reserves device memory of the given size. Its contents are undefined. If there is not so much,
	// the error is an *OutOfMemory.
	Alloc(bytes int) (Chunk, error)
	// Pin reserves host memory that transfers read and write directly.
	Pin(bytes int) (Host, error)

	// Build compiles kernel text with options like -DHI=32. The same text with the same options is compiled once in a
	// process, and once on a machine where there is a cache. A failure carries the compiler's log.
	Build(text string, options ...string) (Program, error)
	// Built counts the programs that had to be compiled so far: those that were neither in memory nor on disk.
	Built() int

	// Launch appends kernels to the queue Compute, in order.
	Launch(list ...Launch) error
	// Copy appends a copy on the device to the queue Compute. Both buffers have the same size and do not overlap.
	Copy(to, from Buffer) error
	// Fill appends the filling of a buffer, whose size is a multiple of 4, with a word to the queue Compute.
	Fill(b Buffer, word uint32) error
	// Upload appends a copy from the host. from lies in memory of Pin, has the size of the buffer, and must not be
	// written until the copy has been made.
	Upload(q Queue, to Buffer, from []byte) error
	// Download appends a copy to the host, into memory of Pin of the size of the buffer.
	Download(q Queue, to []byte, from Buffer) error

	// NewEvent returns an event that is recorded nowhere.
	NewEvent() (Event, error)
	// Finish waits until both queues are empty and returns the first error of what was in them.
	Finish() error
	// Close waits likewise and frees programs and queues. Chunks, host memory, launches and events are freed before it.
	Close() error
}

// Properties describe a GPU and what drives it.
type Properties struct {
	Layer       string // opencl or cuda
	Name        string // of the card
	Vendor      string
	Version     string // of the vendor's driver
	Compiler    string // of kernel texts, with its version
	Library     string // that was loaded, a file name
	Processor   bool   // the "GPU" is a processor, as with POCL
	Units       int    // compute units, streaming multiprocessors
	Memory      int    // of the device, in bytes
	MaxAlloc    int    // largest chunk, in bytes
	LocalMemory int    // of one group, in bytes
	MaxThreads  int    // largest group
}

// Queue is one of the two queues of a driver. Only events order one after the other.
type Queue int

// The queues: Compute for launches, Transfer for uploads beside them.
const (
	Compute Queue = iota
	Transfer
	Queues // their number
)

// Chunk is one allocation of device memory.
type Chunk interface {
	Bytes() int
	// Free gives the memory back once the queues are empty; launches with buffers in it must not be used afterwards.
	Free() error
}

// Buffer is a part of a chunk: what a tensor is to a kernel. The zero Buffer is a null pointer.
type Buffer struct {
	Chunk  Chunk
	Offset int // in bytes, a multiple of Align
	Bytes  int
}

// Check returns an error if the buffer does not lie in its chunk or is not aligned.
func (b Buffer) Check() error {
	switch {
	case b.Chunk == nil:
		return fmt.Errorf("buffer of %d bytes without a chunk", b.Bytes)
	case b.Offset < 0 || b.Offset%Align != 0:
		return fmt.Errorf("buffer at offset %d, want a multiple of %d", b.Offset, Align)
	case b.Bytes < 1 || b.Bytes > b.Chunk.Bytes()-b.Offset:
		return fmt.Errorf("buffer of %d bytes at offset %d of a chunk of %d", b.Bytes, b.Offset, b.Chunk.Bytes())
	}
	return nil
}

// Host is host memory of a fixed address.
type Host interface {
	Bytes() []byte
	// Free gives the memory back once the queues are empty.
	Free() error
}

// Slice returns memory of Pin as numbers.
func Slice[T float32 | int32 | uint32 | uint8](b []byte) []T {
	var x T
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/int(unsafe.Sizeof(x)))
}

// Program is compiled kernel text. It lives as long as its driver.
type Program interface {
	// Launch prepares a kernel to run in grid groups of threads each. Arguments are Buffer, int32, uint32 or float32, as
	// the kernel declares its parameters, and are frozen: a step only appends launches. A kernel is declared in its text
	// at the start of a line, as KERNEL(threads) name(parameters), without macros among the parameters.
	Launch(kernel string, grid [3]int, threads int, args ...any) (Launch, error)
}

// Launch is a kernel with its arguments. Its name is for messages.
type Launch interface {
	Name() string
	Free() error
}

// Event is a place in a queue.
type Event interface {
	// Record puts the event behind all that is in the queue. An event may be recorded again and again.
	Record(q Queue) error
	// Await lets what enters queue q from now on wait for the event's last record. Without a record it does nothing.
	Await(q Queue) error
	// Wait waits on the host for the event's last record.
	Wait() error
	// Since returns the time that the device spent between the last records of two events in queue Compute, both of
	// which have been waited for.
	Since(start Event) (time.Duration, error)
	Free() error
}

// OutOfMemory is the error of a driver that has not so much memory as was asked for.
type OutOfMemory struct {
	Want     int // bytes
	Memory   int // bytes of the device, shared with whatever else runs there
	MaxAlloc int // bytes of the largest chunk
}

func (e *OutOfMemory) Error() string {
	const mib = 1 << 20
	if e.Want > e.MaxAlloc {
		return fmt.Sprintf("%d MiB in one piece are more than the device's limit of %d MiB", e.Want/mib, e.MaxAlloc/mib)
	}
	return fmt.Sprintf("out of device memory: no %d MiB left of %d MiB", e.Want/mib, e.Memory/mib)
}
