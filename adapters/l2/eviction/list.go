package eviction

// list is a chain of nodes, oldest first, of a tracker.
type list struct {
	head, tail uint32
	keys       int
}

// push appends a node, which is in no list, as the newest of l.
func (t *tracker) push(l *list, at uint32) {
	n := t.node(at)
	n.prev, n.next = l.tail, none
	if l.tail != none {
		t.node(l.tail).next = at
	} else {
		l.head = at
	}
	l.tail = at
	l.keys++
}

// unlink takes a node out of l.
func (t *tracker) unlink(l *list, at uint32) {
	n := t.node(at)
	if n.prev != none {
		t.node(n.prev).next = n.next
	} else {
		l.head = n.next
	}
	if n.next != none {
		t.node(n.next).prev = n.prev
	} else {
		l.tail = n.prev
	}
	l.keys--
}

// renew makes a node of l its newest.
func (t *tracker) renew(l *list, at uint32) {
	if l.tail != at {
		t.unlink(l, at)
		t.push(l, at)
	}
}

// add changes the known size of a node.
func (n *node) add(bytes int64) { n.size = max(n.size+bytes, 0) }

// picker collects victims until a want is met.
type picker struct {
	want    Want
	bytes   int64
	victims []Victim
}

func (p *picker) done() bool { return len(p.victims) >= p.want.Keys && p.bytes >= p.want.Bytes }

// take makes a node a victim, unless it is to be skipped.
func (p *picker) take(t *tracker, at uint32) bool {
	k := t.key(at)
	if p.want.Skip != nil && p.want.Skip(k) {
		return false
	}
	size := t.node(at).size
	p.victims = append(p.victims, Victim{k, size})
	if size == 0 {
		size = p.want.Assume
	}
	p.bytes += size
	return true
}

// next takes the first node at or after *cursor that is not skipped and moves the
// cursor behind it.
func (p *picker) next(t *tracker, cursor *uint32) (at uint32) {
	for *cursor != none {
		at, *cursor = *cursor, t.node(*cursor).next
		if p.take(t, at) {
			return at
		}
	}
	return none
}

// oldest returns victims from the head of l.
func (t *tracker) oldest(l *list, want Want) []Victim {
	p := picker{want: want}
	for cursor := l.head; !p.done() && p.next(t, &cursor) != none; {
	}
	return p.victims
}
