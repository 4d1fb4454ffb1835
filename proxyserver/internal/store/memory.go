package store

import (
	"crypto/sha256"
	"io"
	"slices"
	"sync"
	"sync/atomic"

	"topdown/proxyserver/internal/rules"
)

// maxVariants is how many responses are kept under one key; beyond it the
// oldest go.
const maxVariants = 128

// primary stands for a key: the beginning of its hash. Two keys that share one,
// which somebody may bring about with a few weeks of computing, push each other
// out, no more.
type primary [12]byte

func primaryOf(key string) primary {
	sum := sha256.Sum256([]byte(key))
	return primary(sum[:])
}

// counter returns the number of the counter that a key shares with others.
func (p primary) counter() int { return (int(p[10])<<8 | int(p[11])) % counters }

// content is what entries that differ in their head alone share.
type content struct {
	data   atomic.Pointer[[]byte] // the body, where it is in memory; taken back only once source has it
	source source                 // where else it can be had; nil if nowhere
	file   name                   // the file that Disk has it in, if any; memory.mu guards it
}

// source is where a body lies that is not in memory.
type source interface {
	open(e *Entry) (*Body, error)
}

func newEntry(key string, stored *rules.Stored, size int64, c *content) *Entry {
	e := &Entry{Key: key, Stored: stored, Size: size, content: c}
	e.cost = int64(1024 + len(key) + 48*(len(stored.Fields)+len(stored.Vary)))
	for _, f := range stored.Fields {
		e.cost += int64(len(f.Name) + len(f.Value))
	}
	return e
}

// memoryCost estimates the memory that an entry takes, in bytes.
func (e *Entry) memoryCost() int64 {
	if b := e.content.data.Load(); b != nil {
		return e.cost + int64(cap(*b))
	}
	return e.cost
}

// set is all that is stored under one key, the newest first. Its entries are
// replaced as a whole, never changed.
type set struct {
	primary primary
	entries []*Entry
	cost    int64
	node    int32 // in memory.queue; none while an entry waits to be written

	// Redis: what goes with entries that the engine was asked for.
	generation Generation
	trusted    int64 // until when they count unasked, in nanoseconds since 1970; 0 if something has changed
	epoch      uint64
	local      bool // this node's own store may have more
}

// counter follows the changes of all keys that share it: so many counters that
// an invalidation seldom costs another key's response its place.
type counter struct {
	generation uint32 // invalidations
	changes    uint32 // changes of any kind
	since      uint64 // what files of an earlier run have been invalidated: see Disk
}

const counters = 1 << 14

// memory holds the heads of whole keys, and their small bodies: for a key that
// is there it has all that is stored, so that one lock answers for lookup, for
// what waits to be written, and for generation. Nothing is read or written while
// mu is locked. All methods are called with mu locked.
type memory struct {
	limit int64 // bytes

	mu       sync.Mutex
	sets     map[primary]*set
	queue    *sieve[*set]
	entries  int
	bytes    int64 // of all sets
	pinned   int64 // of those that wait to be written
	counters [counters]counter
	evicted  uint64 // entries

	writing atomic.Int64 // bytes in the buffers of writers; not guarded
}

func newMemory(limit int64, lru bool) *memory {
	return &memory{limit: limit, sets: map[primary]*set{}, queue: newSieve[*set](lru)}
}

func (m *memory) counter(p primary) *counter {
	return &m.counters[p.counter()]
}

func (m *memory) generation(p primary) Generation { return Generation(m.counter(p).generation) }

// get returns the entries under p; ok is false if they are not held.
func (m *memory) get(p primary) (entries []*Entry, ok bool) {
	s := m.sets[p]
	if s == nil {
		return nil, false
	}
	if s.node != none {
		m.queue.use(s.node)
	}
	return s.entries, true
}

// put replaces all entries under p; none means to hold nothing.
func (m *memory) put(p primary, entries []*Entry) {
	m.counter(p).changes++
	s := m.sets[p]
	if s != nil {
		m.uncount(s)
	}
	if len(entries) == 0 {
		if s != nil {
			m.drop(s)
		}
		return
	}
	m.hold(p, entries)
}

// hold adds entries under p, of which nothing is counted.
func (m *memory) hold(p primary, entries []*Entry) *set {
	s := m.sets[p]
	if s == nil {
		s = &set{primary: p, node: none}
		m.sets[p] = s
	}
	s.entries = entries
	m.count(s)
	m.evict()
	return s
}

// count adds what s takes. As long as an entry waits to be written it cannot be
// evicted, for nothing else knows of it.
func (m *memory) count(s *set) {
	s.cost = 256
	waits := false
	for _, e := range s.entries {
		s.cost += e.memoryCost()
		waits = waits || e.waits
	}
	m.bytes += s.cost
	m.entries += len(s.entries)
	switch {
	case waits:
		m.pinned += s.cost
		if s.node != none {
			m.queue.remove(s.node)
			s.node = none
		}
	case s.node == none:
		s.node = m.queue.add(s)
	}
}

// uncount takes off what s took, before it changes.
func (m *memory) uncount(s *set) {
	m.bytes -= s.cost
	m.entries -= len(s.entries)
	if s.node == none {
		m.pinned -= s.cost
	}
}

func (m *memory) drop(s *set) {
	if s.node != none {
		m.queue.remove(s.node)
	}
	delete(m.sets, s.primary)
}

func (m *memory) evict() {
	for m.bytes > m.limit {
		i := m.queue.victim()
		if i == none {
			return
		}
		s := *m.queue.get(i)
		m.uncount(s)
		m.drop(s)
		m.evicted += uint64(len(s.entries))
	}
}

// grown notes that an entry under p has its body in memory now.
func (m *memory) grown(p primary) {
	if s := m.sets[p]; s != nil {
		m.uncount(s)
		m.count(s)
		m.evict()
	}
}

// invalidate counts an invalidation of p.
func (m *memory) invalidate(p primary) {
	c := m.counter(p)
	c.generation++
	c.changes++
}

// clear forgets everything.
func (m *memory) clear() {
	for i := range m.counters {
		m.counters[i].generation++
		m.counters[i].changes++
	}
	m.sets, m.queue = map[primary]*set{}, newSieve[*set](m.queue.lru)
	m.bytes, m.pinned, m.entries = 0, 0, 0
}

// replaced returns entries with e in the place of the one for the same requests,
// the newest first, and what had to go.
func replaced(entries []*Entry, e *Entry) (kept, gone []*Entry) {
	kept = append(make([]*Entry, 0, len(entries)+1), e)
	for _, old := range entries {
		if old.Key != e.Key || sameRequests(old, e) {
			gone = append(gone, old)
		} else {
			kept = append(kept, old)
		}
	}
	sortEntries(kept)
	if len(kept) > maxVariants {
		gone = append(gone, kept[maxVariants:]...)
		kept = kept[:maxVariants:maxVariants]
	}
	return kept, gone
}

// sameRequests reports whether two entries of a key answer the same requests:
// one of them is out of date.
func sameRequests(a, b *Entry) bool {
	x, y := &a.Stored.Head, &b.Stored.Head
	return slices.Equal(x.Vary, y.Vary) && x.Partial == y.Partial && (!x.Partial || x.First == y.First)
}

func sortEntries(entries []*Entry) {
	slices.SortStableFunc(entries, func(a, b *Entry) int { return b.Stored.ResponseTime.Compare(a.Stored.ResponseTime) })
}

// without returns entries without e.
func without(entries []*Entry, e *Entry) []*Entry {
	return slices.DeleteFunc(slices.Clone(entries), func(have *Entry) bool { return have == e })
}

// exchanged returns entries with e in the place of old, the newest first.
func exchanged(entries []*Entry, old, e *Entry) []*Entry {
	entries = slices.Clone(entries)
	entries[slices.Index(entries, old)] = e
	sortEntries(entries)
	return entries
}

// under returns those entries of a primary that are the key's: all or none.
func under(entries []*Entry, key string) []*Entry {
	if len(entries) > 0 && entries[0].Key != key {
		return nil
	}
	return entries
}

// buffer is a growing body in memory, read while it grows.
type buffer struct {
	mem *memory
	mu  sync.Mutex
	buf []byte
}

// newBuffer returns a buffer for a body of size bytes, -1 if that is not known.
// What an origin only says costs no more than 64 KiB.
func newBuffer(size int64, m *memory) *buffer {
	b := &buffer{mem: m}
	if size > 0 {
		b.buf = make([]byte, 0, min(size, 64<<10))
	}
	return b
}

// append adds p; false if the writers hold as much memory as the store may.
func (b *buffer) append(p []byte) bool {
	if b.mem.writing.Add(int64(len(p))) > b.mem.limit {
		b.mem.writing.Add(-int64(len(p)))
		return false
	}
	b.mu.Lock()
	b.buf = append(b.buf, p...)
	b.mu.Unlock()
	return true
}

// ReadAt copies outside the lock: what has been written does not change.
func (b *buffer) ReadAt(p []byte, off int64) (int, error) {
	b.mu.Lock()
	buf := b.buf
	b.mu.Unlock()
	if off >= int64(len(buf)) {
		return 0, io.EOF
	}
	n := copy(p, buf[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// content returns what has been written, in as much memory as it needs.
func (b *buffer) content() *content {
	body := b.buf
	if cap(body) > len(body)+len(body)/4 {
		body = slices.Clone(body)
	}
	c := new(content)
	c.data.Store(&body)
	return c
}

// release gives the buffer up.
func (b *buffer) release() {
	b.mu.Lock()
	b.mem.writing.Add(-int64(len(b.buf)))
	b.buf = nil
	b.mu.Unlock()
}
