package bridge

// table is an open-addressed hash table of entries: linear probing, a power of
// two long, at most 3/4 full, deletion by shifting back. The keys are hashes
// with a secret seed, so their low bits are the position.
type table struct {
	slots []entry
	count int
}

const tableMin = 8

// find returns the entry of h or nil.
func (t *table) find(h hash) *entry {
	if t.count == 0 {
		return nil
	}
	mask := uint64(len(t.slots) - 1)
	for i := h.Lo & mask; t.slots[i].used; i = (i + 1) & mask {
		if t.slots[i].key == h {
			return &t.slots[i]
		}
	}
	return nil
}

// put returns the entry of h, a zero one if it is new.
func (t *table) put(h hash) *entry {
	if e := t.find(h); e != nil {
		return e
	}
	if 4*(t.count+1) > 3*len(t.slots) {
		t.resize(max(2*len(t.slots), tableMin))
	}
	t.count++
	e := t.vacant(h)
	*e = entry{key: h, used: true}
	return e
}

// vacant returns the unused slot where a new h belongs.
func (t *table) vacant(h hash) *entry {
	mask := uint64(len(t.slots) - 1)
	i := h.Lo & mask
	for t.slots[i].used {
		i = (i + 1) & mask
	}
	return &t.slots[i]
}

func (t *table) resize(n int) {
	old := t.slots
	t.slots = make([]entry, n)
	for i := range old {
		if old[i].used {
			*t.vacant(old[i].key) = old[i]
		}
	}
}

// drop removes the entry of h and closes the gap, so that no probe stops short.
func (t *table) drop(h hash) {
	if t.count == 0 {
		return
	}
	mask := uint64(len(t.slots) - 1)
	gap := h.Lo & mask
	for t.slots[gap].key != h || !t.slots[gap].used {
		if !t.slots[gap].used {
			return
		}
		gap = (gap + 1) & mask
	}
	for i := (gap + 1) & mask; t.slots[i].used; i = (i + 1) & mask {
		// An entry may move into the gap unless its home lies cyclically after it.
		if home := t.slots[i].key.Lo & mask; (i-home)&mask >= (i-gap)&mask {
			t.slots[gap] = t.slots[i]
			gap = i
		}
	}
	t.slots[gap] = entry{}
	t.count--
	if len(t.slots) > 4*tableMin && 8*t.count < len(t.slots) {
		t.resize(len(t.slots) / 2)
	}
}
