// Package drivertest tests what every driver promises.
package drivertest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"netadjust/internal/device/gpu/driver"
)

// Open opens a driver of the kind under test, with a cache and perhaps a trace. Run closes it.
type Open func(cache driver.Cache, trace bool) (driver.Driver, error)

// Text is a program in both languages.
const Text = `
#ifdef __OPENCL_C_VERSION__
#define KERNEL(threads) __kernel __attribute__((reqd_work_group_size(threads, 1, 1))) void
#define GLOBAL __global
#define LOCAL __local
#define BARRIER() barrier(CLK_LOCAL_MEM_FENCE)
#define THREAD ((int)get_local_id(0))
#define GROUP(d) ((int)get_group_id(d))
#else
typedef unsigned int uint;
#define KERNEL(threads) extern "C" __global__ void __launch_bounds__(threads)
#define GLOBAL
#define LOCAL __shared__
#define BARRIER() __syncthreads()
#define THREAD ((int)threadIdx.x)
#define GROUP(d) ((int)((d) == 0 ? blockIdx.x : (d) == 1 ? blockIdx.y : blockIdx.z))
#endif
#define T 64

/* Where in the grid each thread is, and its arguments. */
KERNEL(T) place(GLOBAL float *y, int a, uint b, float c, GLOBAL const float *none, int width, int height) {
    int group = (GROUP(2) * height + GROUP(1)) * width + GROUP(0);
    int i = group * T + THREAD;
    y[i] = (float)(SCALE * i) + (none ? 1.0f : 0.0f) + (float)a + (float)(b >> 28) + c;
}

/* The sum of each group's elements, by way of local memory. */
KERNEL(T) sums(GLOBAL const int *x, GLOBAL int *y) {
    LOCAL int s[T];
    s[THREAD] = x[GROUP(0) * T + THREAD];
    for (int h = T / 2; h > 0; h /= 2) {
        BARRIER();
        if (THREAD < h) s[THREAD] += s[THREAD + h];
    }
    if (THREAD == 0) y[GROUP(0)] = s[0];
}

/* Adds every element of a batch to the same place of a sum. */
KERNEL(T) gather(GLOBAL const int *x, GLOBAL int *y) {
    int i = GROUP(0) * T + THREAD;
    y[i] = 31 * y[i] + x[i];
}
`

const threads = 64

// Run runs all tests.
func Run(t *testing.T, open Open) {
	shared := driver.Cache{Dir: t.TempDir()}
	for _, tt := range []struct {
		name string
		test func(*bench)
	}{
		{"memory", testMemory}, {"launch", testLaunch}, {"barrier", testBarrier}, {"ring", testRing},
		{"events", testEvents}, {"errors", testErrors}, {"out of memory", testOutOfMemory},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.test(newBench(t, open, shared, false)) })
	}
	t.Run("trace", func(t *testing.T) { testLaunch(newBench(t, open, shared, true)) })
	t.Run("cache", func(t *testing.T) { testCache(t, open) })
}

// bench is a driver with a few shorthands.
type bench struct {
	*testing.T
	driver.Driver
}

func newBench(t *testing.T, open Open, cache driver.Cache, trace bool) *bench {
	d, err := open(cache, trace)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t, d}
	t.Cleanup(func() { b.check(d.Close()) })
	return b
}

func (b *bench) check(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (b *bench) alloc(n int) driver.Buffer {
	c, err := b.Alloc(n)
	b.check(err)
	b.Cleanup(func() { b.check(c.Free()) })
	return driver.Buffer{Chunk: c, Bytes: n}
}

func (b *bench) pin(n int) []byte {
	h, err := b.Pin(n)
	b.check(err)
	b.Cleanup(func() { b.check(h.Free()) })
	return h.Bytes()
}

func (b *bench) launch(kernel string, grid [3]int, args ...any) driver.Launch {
	return b.launchOf(Text, kernel, grid, args...)
}

func (b *bench) launchOf(text, kernel string, grid [3]int, args ...any) driver.Launch {
	p, err := b.Build(text, "-DSCALE=2")
	b.check(err)
	l, err := p.Launch(kernel, grid, threads, args...)
	b.check(err)
	b.Cleanup(func() { b.check(l.Free()) })
	return l
}

// read waits for a buffer's bytes.
func (b *bench) read(x driver.Buffer) []byte {
	host := b.pin(x.Bytes)
	b.check(b.Download(driver.Compute, host, x))
	b.check(b.Finish())
	return host
}

func part(b driver.Buffer, offset, n int) driver.Buffer {
	return driver.Buffer{Chunk: b.Chunk, Offset: offset, Bytes: n}
}

// testMemory moves bytes to and fro in parts of a chunk. Nothing beside the parts may change.
func testMemory(b *bench) {
	const a = driver.Align
	all := b.alloc(4 * a)
	b.check(b.Fill(all, 0x01020304))
	host := b.pin(a + 4)
	for i := range host {
		host[i] = byte(i)
	}
	b.check(b.Upload(driver.Compute, part(all, a, a+4), host))
	b.check(b.Copy(part(all, 3*a, 100), part(all, a, 100)))
	b.check(b.Fill(part(all, 0, 8), 0xAABBCCDD))
	want := bytes.Repeat([]byte{4, 3, 2, 1}, a)
	copy(want[a:], host)
	copy(want[3*a:], host[:100])
	copy(want, []byte{0xDD, 0xCC, 0xBB, 0xAA, 0xDD, 0xCC, 0xBB, 0xAA})
	if diff := cmp.Diff(want, b.read(all)); diff != "" {
		b.Errorf("(-want +got):\n%s", diff)
	}
}

func testLaunch(b *bench) {
	grid := [3]int{3, 4, 5}
	n := 3 * 4 * 5 * threads
	y := b.alloc(4 * n)
	b.check(b.Launch(b.launch("place", grid,
		y, int32(-7), uint32(0xF0000000), float32(0.5), driver.Buffer{}, int32(3), int32(4))))
	for i, got := range driver.Slice[float32](b.read(y)) {
		if want := float32(2*i) - 7 + 15 + 0.5; got != want {
			b.Fatalf("element %d is %v, want %v", i, got, want)
		}
	}
}

func testBarrier(b *bench) {
	if diff := sums(b, Text); diff != "" {
		b.Errorf("(-want +got):\n%s", diff)
	}
}

// sums runs the kernel of that name and returns how its results differ from the right ones.
func sums(b *bench, text string) (diff string) {
	const groups = 5
	x, y, host := b.alloc(4*groups*threads), b.alloc(4*groups), b.pin(4*groups*threads)
	want := make([]int32, groups)
	for i := range driver.Slice[int32](host) {
		driver.Slice[int32](host)[i] = int32(i * i)
		want[i/threads] += int32(i * i)
	}
	b.check(b.Upload(driver.Compute, x, host))
	b.check(b.Launch(b.launchOf(text, "sums", [3]int{groups, 1, 1}, x, y)))
	return cmp.Diff(want, driver.Slice[int32](b.read(y)))
}

// MissingBarrier runs a kernel that lacks its barrier, and returns how its results differ from the right ones. It is
// for those who say that they notice.
func MissingBarrier(t *testing.T, open Open) (diff string) {
	wrong := strings.Replace(Text, "        BARRIER();\n", "", 1)
	if wrong == Text {
		t.Fatal("the text has no barrier to leave out")
	}
	return sums(newBench(t, open, driver.Cache{}, false), wrong)
}

// DivergentBarrier runs a kernel in which only some threads come to a barrier, and returns the driver's error. A driver
// is of no use after that, so what it says when it is closed does not count.
func DivergentBarrier(t *testing.T, open Open) error {
	d, err := open(driver.Cache{}, true)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	x, err := d.Alloc(4 * threads)
	if err != nil {
		t.Fatal(err)
	}
	p, err := d.Build(strings.Replace(Text, "BARRIER();", "if (THREAD < 7) BARRIER();", 1), "-DSCALE=2")
	if err != nil {
		t.Fatal(err)
	}
	all := driver.Buffer{Chunk: x, Bytes: 4 * threads}
	l, err := p.Launch("sums", [3]int{1, 1, 1}, threads, all, all)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Free()
	return d.Launch(l)
}

// testRing hands batches over as a training does: uploads in the queue beside the kernels, in a ring of three, ordered
// by events alone. No kernel may read a batch before it is there, or after the next one has begun to come.
func testRing(b *bench) {
	const n, ring, steps = 16 * threads, 3, 40
	sum := b.alloc(4 * n)
	b.check(b.Fill(sum, 0))
	var slots [ring]struct {
		host        []byte
		batch       driver.Buffer
		sent, taken driver.Event
		step        driver.Launch
	}
	for i := range slots {
		s := &slots[i]
		s.host, s.batch = b.pin(4*n), b.alloc(4*n)
		s.sent, s.taken = b.event(), b.event()
		s.step = b.launch("gather", [3]int{n / threads, 1, 1}, s.batch, sum)
	}
	want := make([]int32, n)
	for step := range steps {
		s := &slots[step%ring]
		b.check(s.sent.Wait()) // the host's side is free
		for i := range n {
			driver.Slice[int32](s.host)[i] = int32(step*n + i)
			want[i] = 31*want[i] + int32(step*n+i)
		}
		b.check(s.taken.Await(driver.Transfer))
		b.check(b.Upload(driver.Transfer, s.batch, s.host))
		b.check(s.sent.Record(driver.Transfer))
		b.check(s.sent.Await(driver.Compute))
		b.check(b.Launch(s.step))
		b.check(s.taken.Record(driver.Compute))
	}
	if diff := cmp.Diff(want, driver.Slice[int32](b.read(sum))); diff != "" {
		b.Errorf("(-want +got):\n%s", diff)
	}
}

func (b *bench) event() driver.Event {
	e, err := b.NewEvent()
	b.check(err)
	b.Cleanup(func() { b.check(e.Free()) })
	return e
}

func testEvents(b *bench) {
	start, end := b.event(), b.event()
	b.check(start.Wait())
	b.check(start.Await(driver.Compute))
	if _, err := end.Since(start); err == nil {
		b.Error("a time between events that are nowhere")
	}
	y := b.alloc(4 * 100 * threads)
	l := b.launch("place", [3]int{100, 1, 1}, y, int32(0), uint32(0), float32(0), y, int32(100), int32(1))
	b.check(b.Launch(l)) // some drivers compile at the first launch
	b.check(start.Record(driver.Compute))
	b.check(b.Launch(l, l, l))
	b.check(end.Record(driver.Compute))
	b.check(end.Wait())
	if spent, err := end.Since(start); err != nil || spent <= 0 {
		b.Errorf("three launches took %v: %v", spent, err)
	}
}

func testErrors(b *bench) {
	_, err := b.Build(Text+"\nKERNEL(T) wrong(GLOBAL int *y) { y[THREAD] = undeclared; }", "-DSCALE=3")
	b.says(err, "undeclared", "-DSCALE=3")

	p, err := b.Build(Text, "-DSCALE=2")
	b.check(err)
	x := b.alloc(4096)
	one := [3]int{1, 1, 1}
	for _, tt := range []struct {
		kernel  string
		grid    [3]int
		threads int
		args    []any
		want    string
	}{
		{"nothing", one, threads, nil, "no kernel nothing"},
		{"sums", one, threads, []any{x}, "1 arguments for 2 parameters"},
		{"sums", one, threads, []any{x, x, int32(1)}, "3 arguments for 2 parameters"},
		{"sums", one, threads, []any{x, int32(1)}, "argument 1 is a int32"},
		{"place", one, threads, []any{x, uint32(1), uint32(1), float32(1), x, int32(1), int32(1)}, "argument 1 is a uint32"},
		{"sums", one, threads, []any{x, part(x, 4, 4)}, "multiple of 512"},
		{"sums", one, threads, []any{x, part(x, 512, 4096)}, "4096 bytes at offset 512 of a chunk of 4096"},
		{"sums", [3]int{1, 0, 1}, threads, []any{x, x}, "grid [1 0 1]"},
		{"sums", one, 2 * threads, []any{x, x}, "64 threads"},
	} {
		_, err := p.Launch(tt.kernel, tt.grid, tt.threads, tt.args...)
		b.says(err, tt.kernel, tt.want)
	}
	b.says(b.Copy(part(x, 0, 512), part(x, 512, 100)), "100 bytes to a buffer of 512")
	b.says(b.Fill(part(x, 0, 6), 0), "6 bytes")
	b.says(b.Upload(driver.Compute, x, b.pin(100)), "100 bytes of the host")
	b.says(b.Upload(driver.Compute, driver.Buffer{Bytes: 100}, b.pin(100)), "without a chunk")
	b.check(b.Finish())
}

func (b *bench) says(err error, parts ...string) {
	b.Helper()
	for _, part := range parts {
		if !strings.Contains(fmt.Sprint(err), part) {
			b.Errorf("error %v, want %q in it", err, part)
		}
	}
}

func testOutOfMemory(b *bench) {
	p := b.Properties()
	_, err := b.Alloc(p.MaxAlloc + driver.Align)
	var out *driver.OutOfMemory
	if !errors.As(err, &out) {
		b.Errorf("more than the largest chunk: %v", err)
	}
	b.says(err, fmt.Sprintf("%d MiB", (p.MaxAlloc+driver.Align)>>20))
	b.alloc(1 << 20) // all is well after that
}

// testCache opens one driver after the other on the same cache.
func testCache(t *testing.T, open Open) {
	cache := driver.Cache{Dir: filepath.Join(t.TempDir(), "cache")}
	for _, tt := range []struct {
		name    string
		options []string
		damage  func(file string, b []byte) error
		want    int // programs that are compiled
	}{
		{"empty", []string{"-DSCALE=2"}, nil, 1},
		{"filled", []string{"-DSCALE=2"}, nil, 0},
		{"other options", []string{"-DSCALE=3"}, nil, 1},
		{"cut off", []string{"-DSCALE=2"}, func(file string, b []byte) error {
			return os.WriteFile(file, b[:len(b)/2], 0o644)
		}, 1},
		{"replaced", []string{"-DSCALE=2"}, nil, 0},
		{"not a program", []string{"-DSCALE=2"}, func(file string, b []byte) error {
			cache.Put(filepath.Base(file), []byte("not a program"))
			return nil
		}, 1},
		{"replaced again", []string{"-DSCALE=2"}, nil, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			files, _ := filepath.Glob(filepath.Join(cache.Dir, "*"))
			for _, file := range files {
				if tt.damage == nil {
					break
				}
				b, err := os.ReadFile(file)
				if err == nil {
					err = tt.damage(file, b)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			b := newBench(t, open, cache, false)
			for range 2 {
				if _, err := b.Build(Text, tt.options...); err != nil {
					t.Fatal(err)
				}
			}
			if got := b.Built(); got != tt.want {
				t.Errorf("%d programs were compiled, want %d", got, tt.want)
			}
			if tt.options[0] == "-DSCALE=2" {
				testLaunch(b)
			}
		})
	}
}
