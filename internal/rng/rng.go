// Package rng gives random numbers that depend only on what they are for: each is a function of a key (seed, purpose,
// epoch, …) and a position, so they are the same on every device, for any number of workers and after a resume.
package rng

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
)

// Key names one stream of random numbers.
type Key [2]uint32

// NewKey derives a key from a seed, what the numbers are for, and further coordinates such as the epoch.
func NewKey(seed uint64, purpose string, at ...uint64) Key {
	h := digest(seed, purpose, at)
	return Key{binary.LittleEndian.Uint32(h[0:]), binary.LittleEndian.Uint32(h[4:])}
}

// New returns a sequential generator for what only the host draws (initial weights, shuffles), keyed like NewKey.
func New(seed uint64, purpose string, at ...uint64) *rand.Rand {
	return rand.New(rand.NewChaCha8(digest(seed, purpose, at)))
}

func digest(seed uint64, purpose string, at []uint64) [sha256.Size]byte {
	return sha256.Sum256(fmt.Appendf(nil, "%d\x00%s\x00%d", seed, purpose, at))
}

// Philox returns the four 32-bit words of Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
// SC 2011) for a key and a 128-bit counter.
func Philox(key Key, counter [4]uint32) [4]uint32 {
	const (
		m0, m1 = 0xD2511F53, 0xCD9E8D57 // multipliers
		w0, w1 = 0x9E3779B9, 0xBB67AE85 // key schedule
		rounds = 10
	)
	k0, k1 := key[0], key[1]
	c := counter
	for range rounds {
		p0, p1 := uint64(m0)*uint64(c[0]), uint64(m1)*uint64(c[2])
		c = [4]uint32{uint32(p1>>32) ^ c[1] ^ k0, uint32(p1), uint32(p0>>32) ^ c[3] ^ k1, uint32(p0)}
		k0, k1 = k0+w0, k1+w1
	}
	return c
}

// Unit maps a word to [0, 1) in steps of 2^-24, exact in float32.
func Unit(word uint32) float32 { return float32(word>>8) * (1.0 / (1 << 24)) }
