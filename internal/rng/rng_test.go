package rng

import "testing"

// The expected words are the known answers that the authors' Random123 library ships for philox4x32-10.
func TestPhiloxKnownAnswers(t *testing.T) {
	for _, c := range []struct {
		key  Key
		ctr  [4]uint32
		want [4]uint32
	}{
		{Key{0, 0}, [4]uint32{}, [4]uint32{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
		{Key{0xffffffff, 0xffffffff}, [4]uint32{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
			[4]uint32{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
		{Key{0xa4093822, 0x299f31d0}, [4]uint32{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
			[4]uint32{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
	} {
		if got := Philox(c.key, c.ctr); got != c.want {
			t.Errorf("Philox(%x, %x) = %x, want %x", c.key, c.ctr, got, c.want)
		}
	}
}

func TestKeysDiffer(t *testing.T) {
	seen := map[Key]string{}
	for name, k := range map[string]Key{
		"seed 1":        NewKey(1, "drop"),
		"seed 2":        NewKey(2, "drop"),
		"other purpose": NewKey(1, "crop"),
		"epoch 0":       NewKey(1, "drop", 0),
		"epoch 1":       NewKey(1, "drop", 1),
		"epoch 1, 0":    NewKey(1, "drop", 1, 0),
	} {
		if other, ok := seen[k]; ok {
			t.Errorf("%s and %s share key %x", name, other, k)
		}
		seen[k] = name
	}
	first, second := New(1, "drop", 3), New(1, "drop", 3)
	if first.Uint64() != second.Uint64() {
		t.Error("the same key gives different numbers")
	}
}

func TestUnitRange(t *testing.T) {
	if lo, hi := Unit(0), Unit(0xffffffff); lo != 0 || hi >= 1 || hi < 0.999999 {
		t.Errorf("Unit spans [%v, %v], want [0, 1)", lo, hi)
	}
}
