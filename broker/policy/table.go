package policy

import "math/bits"

// table maps hashes to numbers: open addressing with linear probing, written once and then only read. Most
// questions that the index asks have no answer, and here a no costs one cache line.
type table struct {
	slots []slot
	mask  uint64
}

// slot holds a value plus one, so that the zero slot is empty.
type slot struct{ key, value uint64 }

// newTable makes a table for n keys, at most half full.
func newTable(n int) table {
	size := uint64(1) << bits.Len(uint(2*n))
	return table{slots: make([]slot, size), mask: size - 1}
}

// put stores value under key, over what was there.
func (t *table) put(key, value uint64) {
	i := spread(key) & t.mask
	for t.slots[i].value != 0 && t.slots[i].key != key {
		i = (i + 1) & t.mask
	}
	t.slots[i] = slot{key, value + 1}
}

func (t *table) get(key uint64) (uint64, bool) {
	for i := spread(key) & t.mask; ; i = (i + 1) & t.mask {
		s := &t.slots[i]
		if s.value == 0 {
			return 0, false
		}
		if s.key == key {
			return s.value - 1, true
		}
	}
}

// spread moves a key's entropy to its low bits, which choose the slot.
func spread(key uint64) uint64 {
	hi, lo := bits.Mul64(key, 0x9e3779b97f4a7c15)
	return hi ^ lo
}
