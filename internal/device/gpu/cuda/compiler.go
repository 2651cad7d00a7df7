package cuda

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"unsafe"

	"netadjust/internal/device/gpu/clib"
)

// Compiler is NVRTC, NVIDIA's compiler of kernel texts as a library. It needs neither a card nor a driver.
type Compiler struct {
	File         string
	Major, Minor int
	architecture []int32 // that it compiles for, as 80 for sm_80
	entry        map[string]uintptr
}

// compilers are NVRTC's names from CUDA 11.2 on.
func compilers() []string {
	if runtime.GOOS == "windows" {
		return []string{"nvrtc64_130_0.dll", "nvrtc64_120_0.dll", "nvrtc64_112_0.dll"}
	}
	var files []string
	for _, name := range []string{"libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so.11.2"} {
		files = append(files, name, filepath.Join("/usr/local/cuda/lib64", name))
	}
	return files
}

// OpenCompiler loads NVRTC from the first of some files, or from where it usually is, that is of no newer major version
// of CUDA than the given one: a card's driver takes programs of its own and of older ones.
func OpenCompiler(files []string, major int) (*Compiler, error) {
	if len(files) == 0 {
		files = compilers()
	}
	var reasons []error
	for _, file := range files {
		c, err := openCompiler(file)
		if err == nil && c.Major > major {
			err = fmt.Errorf("%s is of CUDA %d, and the card's driver of CUDA %d", file, c.Major, major)
		}
		if err == nil {
			return c, nil
		}
		if !clib.Absent(err) {
			reasons = append(reasons, err)
		}
	}
	if len(reasons) == 0 {
		reasons = []error{fmt.Errorf("NVRTC (%s, or of another version from 11.2 on) is not installed; CUDA's packages have "+
			"it, and the Python package nvidia-cuda-nvrtc-cu12", files[0])}
	}
	return nil, errors.Join(reasons...)
}

func openCompiler(file string) (*Compiler, error) {
	// Its second library is not found beside it unless that is loaded already.
	if beside, _ := filepath.Glob(filepath.Join(filepath.Dir(file), "libnvrtc-builtins.so.*.*")); filepath.IsAbs(file) {
		for _, b := range beside {
			if _, err := clib.Open(b); err != nil {
				return nil, err
			}
		}
	}
	so, err := clib.Open(file)
	if err != nil {
		return nil, err
	}
	c := &Compiler{File: file, entry: map[string]uintptr{}}
	for _, name := range []string{
		"nvrtcVersion", "nvrtcGetNumSupportedArchs", "nvrtcGetSupportedArchs", "nvrtcCreateProgram", "nvrtcCompileProgram",
		"nvrtcDestroyProgram", "nvrtcGetProgramLogSize", "nvrtcGetProgramLog", "nvrtcGetCUBINSize", "nvrtcGetCUBIN",
		"nvrtcGetPTXSize", "nvrtcGetPTX",
	} {
		if c.entry[name], err = so.Symbol(name); err != nil {
			return nil, err
		}
	}
	version, count := new([2]int32), new(int32)
	if err := errors.Join(
		c.call("nvrtcVersion", uintptr(unsafe.Pointer(&version[0])), uintptr(unsafe.Pointer(&version[1]))),
		c.call("nvrtcGetNumSupportedArchs", uintptr(unsafe.Pointer(count)))); err != nil {
		return nil, err
	}
	c.Major, c.Minor, c.architecture = int(version[0]), int(version[1]), make([]int32, max(1, *count))
	return c, c.call("nvrtcGetSupportedArchs", uintptr(unsafe.Pointer(&c.architecture[0])))
}

//go:uintptrescapes
func (c *Compiler) call(name string, args ...uintptr) error {
	if code := int32(clib.Call(c.entry[name], args...)); code != 0 {
		return fmt.Errorf("%s: NVRTC error %d", name, code)
	}
	return nil
}

// Target returns what to compile for: the card's own instructions, or, if the card is newer than the compiler, the
// intermediate code of the newest architecture, which the card's driver compiles.
func (c *Compiler) Target(capability int32) (string, error) {
	newest := slices.Max(c.architecture)
	switch {
	case slices.Contains(c.architecture, capability):
		return fmt.Sprintf("sm_%d", capability), nil
	case capability > newest:
		return fmt.Sprintf("compute_%d", newest), nil
	}
	return "", fmt.Errorf("%s (CUDA %d.%d) no longer compiles for cards of compute capability %d.%d: install an older one",
		c.File, c.Major, c.Minor, capability/10, capability%10)
}

// Compile turns text into what a card loads. The log has what the compiler says, if it succeeds too.
func (c *Compiler) Compile(text, target string, options ...string) (image []byte, log string, err error) {
	id := new(uintptr)
	list := []string{"--gpu-architecture=" + target}
	var defines strings.Builder
	for _, o := range options {
		// As an option a definition would change NVRTC's own headers too, which are full of names like T.
		if define, ok := strings.CutPrefix(o, "-D"); ok {
			name, value, _ := strings.Cut(define, "=")
			fmt.Fprintf(&defines, "#define %s %s\n", name, value)
		} else {
			list = append(list, o)
		}
	}
	source := clib.CString(defines.String() + "#line 1\n" + text)
	if err := c.call("nvrtcCreateProgram", uintptr(unsafe.Pointer(id)), uintptr(unsafe.Pointer(source)),
		uintptr(unsafe.Pointer(clib.CString("kernels.cu"))), 0, 0, 0); err != nil {
		return nil, "", err
	}
	defer func() { err = errors.Join(err, c.call("nvrtcDestroyProgram", uintptr(unsafe.Pointer(id)))) }()
	strs := clib.NewStrings(list...)
	defer strs.Unpin()
	failed := c.call("nvrtcCompileProgram", *id, uintptr(len(list)), uintptr(unsafe.Pointer(&strs.List[0])))
	b, err := c.read("nvrtcGetProgramLog", *id)
	log = strings.TrimSpace(strings.TrimRight(string(b), "\x00"))
	if err = errors.Join(failed, err); err != nil {
		return nil, log, fmt.Errorf("options %s: %w\n%s", strings.Join(options, " "), err, log)
	}
	what := "nvrtcGetCUBIN"
	if strings.HasPrefix(target, "compute_") {
		what = "nvrtcGetPTX"
	}
	image, err = c.read(what, *id)
	return image, log, err
}

// read gets something whose size another function tells.
func (c *Compiler) read(name string, id uintptr) ([]byte, error) {
	n := new(uintptr)
	if err := c.call(name+"Size", id, uintptr(unsafe.Pointer(n))); err != nil {
		return nil, err
	}
	b := make([]byte, *n+1)
	return b[:*n], c.call(name, id, uintptr(unsafe.Pointer(&b[0])))
}
