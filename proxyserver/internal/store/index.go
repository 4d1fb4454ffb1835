package store

import (
	"sync"
	"sync/atomic"
)

// slot is an entry of the index: no pointers, so that a million of them cost
// the garbage collector nothing.
type slot struct {
	name    name
	size    int64         // octets on disk
	variant int32         // the next one under the same primary
	newer   int32         // neighbours in the eviction queue
	older   int32         //
	self    int32         // its own number
	used    atomic.Uint32 // visited since the hand last passed
}

const (
	chunkSize = 4096
	none      = -1
)

// index knows the name and size of every file. It evicts by SIEVE: one queue in
// order of arrival, one bit for each use, a hand that moves from old to new,
// clearing bits, and takes the first entry without one.
type index struct {
	mu     sync.Mutex
	first  map[primary]int32
	chunks []*[chunkSize]slot
	free   int32 // list of free slots through variant
	next   int32 // slots ever used
	newest int32
	oldest int32
	hand   int32
	count  int
	bytes  int64
}

func newIndex() *index {
	return &index{first: map[primary]int32{}, free: none, newest: none, oldest: none, hand: none}
}

func (x *index) at(i int32) *slot { return &x.chunks[i/chunkSize][i%chunkSize] }

// use marks a slot as used. It may be somebody else's by now, which does no
// harm.
func (s *slot) use() {
	if s != nil && s.used.Load() == 0 {
		s.used.Store(1)
	}
}

// block is the size that a file counts as: disks give whole blocks.
func block(size int64) int64 { return (size + 4095) &^ 4095 }

// add adds a file or notes its new size.
func (x *index) add(n name, size int64) (s *slot) {
	x.mu.Lock()
	defer x.mu.Unlock()
	p := n.primary()
	head, ok := x.first[p]
	if !ok {
		head = none
	}
	for i := head; i != none; i = x.at(i).variant {
		if s = x.at(i); s.name == n {
			x.bytes += block(size) - s.size
			s.size = block(size)
			return s
		}
	}
	i := x.free
	if i != none {
		x.free = x.at(i).variant
	} else {
		i = x.next
		x.next++
		if int(i/chunkSize) == len(x.chunks) {
			x.chunks = append(x.chunks, new([chunkSize]slot))
		}
	}
	s = x.at(i)
	s.name, s.size, s.self, s.variant = n, block(size), i, head
	s.used.Store(0)
	x.first[p] = i
	s.older, s.newer = x.newest, none
	if x.newest != none {
		x.at(x.newest).newer = i
	} else {
		x.oldest = i
	}
	x.newest = i
	x.count++
	x.bytes += s.size
	return s
}

// names returns the names under a primary, the last added first.
func (x *index) names(p primary) []name {
	x.mu.Lock()
	defer x.mu.Unlock()
	var names []name
	i, ok := x.first[p]
	for ok && i != none {
		s := x.at(i)
		names = append(names, s.name)
		i = s.variant
	}
	return names
}

// has reports whether there is anything under a primary.
func (x *index) has(p primary) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	_, ok := x.first[p]
	return ok
}

// find returns the slot of a name, nil if there is none.
func (x *index) find(n name) *slot {
	x.mu.Lock()
	defer x.mu.Unlock()
	i, ok := x.first[n.primary()]
	for ok && i != none {
		s := x.at(i)
		if s.name == n {
			return s
		}
		i = s.variant
	}
	return nil
}

// remove removes a name and reports whether it was there.
func (x *index) remove(n name) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	p := n.primary()
	i, ok := x.first[p]
	if !ok {
		return false
	}
	var previous *slot
	for i != none {
		s := x.at(i)
		if s.name == n {
			break
		}
		previous, i = s, s.variant
	}
	if i == none {
		return false
	}
	s := x.at(i)
	switch {
	case previous != nil:
		previous.variant = s.variant
	case s.variant == none:
		delete(x.first, p)
	default:
		x.first[p] = s.variant
	}
	if x.hand == i {
		x.hand = s.newer
	}
	if s.newer != none {
		x.at(s.newer).older = s.older
	} else {
		x.newest = s.older
	}
	if s.older != none {
		x.at(s.older).newer = s.newer
	} else {
		x.oldest = s.newer
	}
	x.count--
	x.bytes -= s.size
	s.name, s.size = name{}, 0
	s.variant, x.free = x.free, i
	return true
}

// victim chooses what to evict while there is more than limit; ok is false when
// there is not. It stays in the index until it is removed.
func (x *index) victim(limit int64) (n name, ok bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.bytes <= limit || x.count == 0 {
		return n, false
	}
	i := x.hand
	for {
		if i == none {
			i = x.oldest
		}
		s := x.at(i)
		if s.used.Load() == 0 {
			x.hand = s.newer
			return s.name, true
		}
		s.used.Store(0)
		i = s.newer
	}
}

func (x *index) totals() (count int, bytes int64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.count, x.bytes
}
