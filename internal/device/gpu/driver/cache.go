package driver

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"

	"netadjust/internal/atomicfile"
)

// Cache keeps compiled programs in a folder, one file each. A cache without a folder keeps nothing.
type Cache struct{ Dir string }

// Key names a program: its text and options, and what compiles it for what.
func (p Properties) Key(text string, options []string) string {
	b, err := json.Marshal([]any{p.Layer, p.Name, p.Vendor, p.Version, p.Compiler, text, options})
	if err != nil {
		panic(err) // strings have a JSON form
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// Get returns the program of that key, or nil if there is none or its file is damaged.
func (c Cache) Get(key string) []byte {
	if c.Dir == "" {
		return nil
	}
	file, err := os.ReadFile(c.path(key))
	if err != nil || len(file) < sha256.Size {
		return nil
	}
	sum, program := file[:sha256.Size], file[sha256.Size:]
	if want := checksum(key, program); !bytes.Equal(sum, want) {
		return nil
	}
	return program
}

// Put keeps a program. A folder that cannot be written only means that the program will be compiled again, so it is no
// error.
func (c Cache) Put(key string, program []byte) {
	if c.Dir == "" || os.MkdirAll(c.Dir, 0o755) != nil {
		return
	}
	_ = atomicfile.Write(c.path(key), append(checksum(key, program), program...))
}

func (c Cache) path(key string) string { return filepath.Join(c.Dir, key) }

// checksum covers the key, so that a file under another program's name is noticed.
func checksum(key string, program []byte) []byte {
	h := sha256.New()
	h.Write([]byte(key))
	h.Write(program)
	return h.Sum(nil)
}
