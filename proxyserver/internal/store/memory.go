package store

import (
	"context"
	"crypto/sha256"
	"fmt"
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

// content is what entries that differ in their head alone share.
type content struct {
	data   atomic.Pointer[[]byte] // the body, where it is in memory; never taken back
	source source                 // where else it can be had; nil if nowhere
	file   name                   // the file that Disk has it in, if any; Memory.mu guards it
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
	node    int32 // in Memory.queue; none while an entry waits to be written
}

// counter follows the changes of all keys that share it: so many counters that
// an invalidation seldom costs another key's response its place.
type counter struct {
	generation uint32 // invalidations
	changes    uint32 // changes of any kind
	since      uint64 // what files of an earlier run have been invalidated: see Disk
}

const counters = 1 << 14

// Memory is a store in memory. In front of another store it holds the heads of
// whole keys, and their small bodies: for a key that is there it holds all that
// is stored, so that one lock answers for lookup, what waits to be written, and
// generation. Nothing is read or written while mu is locked.
type Memory struct {
	limit  int64 // bytes
	object int64 // bytes of the largest body

	mu       sync.Mutex
	sets     map[primary]*set
	queue    *sieve[*set]
	bytes    int64 // of all sets
	pinned   int64 // of those that wait to be written
	counters [counters]counter
	evicted  uint64

	writing atomic.Int64 // bytes in the buffers of writers
}

// NewMemory returns a store of size bytes, default 64 MiB, whose bodies have
// object bytes at most, default a quarter of size.
func NewMemory(size, object int64) *Memory {
	if size <= 0 {
		size = 64 << 20
	}
	if object <= 0 {
		object = size / 4
	}
	return &Memory{limit: size, object: min(object, size), sets: map[primary]*set{}, queue: newSieve[*set]()}
}

// All from here to Lookup is called with mu locked.

func (m *Memory) counter(p primary) *counter {
	return &m.counters[(int(p[10])<<8|int(p[11]))%counters]
}

func (m *Memory) generation(p primary) Generation { return Generation(m.counter(p).generation) }

// get returns the entries under p; ok is false if they are not held.
func (m *Memory) get(p primary) (entries []*Entry, ok bool) {
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
func (m *Memory) put(p primary, entries []*Entry) {
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
	if s == nil {
		s = &set{primary: p, node: none}
		m.sets[p] = s
	}
	s.entries = entries
	m.count(s)
	m.evict()
}

// count adds what s takes. As long as an entry waits to be written it cannot be
// evicted, for nothing else knows of it.
func (m *Memory) count(s *set) {
	s.cost = 256
	waits := false
	for _, e := range s.entries {
		s.cost += e.memoryCost()
		waits = waits || e.waits
	}
	m.bytes += s.cost
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
func (m *Memory) uncount(s *set) {
	m.bytes -= s.cost
	if s.node == none {
		m.pinned -= s.cost
	}
}

func (m *Memory) drop(s *set) {
	if s.node != none {
		m.queue.remove(s.node)
	}
	delete(m.sets, s.primary)
}

func (m *Memory) evict() {
	for m.bytes > m.limit {
		i := m.queue.victim()
		if i == none {
			return
		}
		s := *m.queue.get(i)
		m.uncount(s)
		m.drop(s)
		m.evicted++
	}
}

// grown notes that an entry under p has its body in memory now.
func (m *Memory) grown(p primary) {
	if s := m.sets[p]; s != nil {
		m.uncount(s)
		m.count(s)
		m.evict()
	}
}

// invalidate counts an invalidation of p.
func (m *Memory) invalidate(p primary) {
	c := m.counter(p)
	c.generation++
	c.changes++
}

// clear forgets everything.
func (m *Memory) clear() {
	for i := range m.counters {
		m.counters[i].generation++
		m.counters[i].changes++
	}
	m.sets, m.queue = map[primary]*set{}, newSieve[*set]()
	m.bytes, m.pinned = 0, 0
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

// Lookup implements Store.
func (m *Memory) Lookup(_ context.Context, key string) ([]*Entry, Generation) {
	p := primaryOf(key)
	m.mu.Lock()
	defer m.mu.Unlock()
	entries, _ := m.get(p)
	return under(entries, key), m.generation(p)
}

// Limit implements Store.
func (m *Memory) Limit() int64 { return m.object }

// Close implements Store.
func (m *Memory) Close() error { return nil }

// Create implements Store.
func (m *Memory) Create(_ context.Context, key string, gen Generation, size int64) (Writer, error) {
	if size > m.object {
		return nil, ErrTooLarge
	}
	return &memoryWriter{buffer: newBuffer(size, m), key: key, gen: gen, size: size}, nil
}

// Update implements Store.
func (m *Memory) Update(_ context.Context, e *Entry, stored *rules.Stored) (*Entry, error) {
	p := primaryOf(e.Key)
	m.mu.Lock()
	defer m.mu.Unlock()
	entries, _ := m.get(p)
	if !slices.Contains(entries, e) {
		return nil, ErrGone
	}
	updated := newEntry(e.Key, stored, e.Size, e.content)
	m.put(p, exchanged(entries, e, updated))
	return updated, nil
}

// Remove implements Store.
func (m *Memory) Remove(_ context.Context, e *Entry) {
	p := primaryOf(e.Key)
	m.mu.Lock()
	defer m.mu.Unlock()
	if entries, _ := m.get(p); slices.Contains(entries, e) {
		m.put(p, without(entries, e))
	}
}

// Invalidate implements Store.
func (m *Memory) Invalidate(_ context.Context, key string) int {
	p := primaryOf(key)
	m.mu.Lock()
	defer m.mu.Unlock()
	entries, _ := m.get(p)
	m.invalidate(p)
	m.put(p, nil)
	return len(under(entries, key))
}

// Clear implements Store.
func (m *Memory) Clear(context.Context) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, s := range m.sets {
		n += len(s.entries)
	}
	m.clear()
	return n
}

// buffer is a growing body in memory, read while it grows.
type buffer struct {
	mem *Memory
	mu  sync.Mutex
	buf []byte
}

// newBuffer returns a buffer for a body of size bytes, -1 if that is not known.
// What an origin only says costs no more than 64 KiB.
func newBuffer(size int64, m *Memory) *buffer {
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

// checkSize returns an error for a body that is not as long as was said.
func checkSize(said, n int64) error {
	if said >= 0 && n != said {
		return fmt.Errorf("a body of %d bytes ended after %d: %w", said, n, io.ErrUnexpectedEOF)
	}
	return nil
}

type memoryWriter struct {
	*buffer
	key  string
	gen  Generation
	size int64 // announced, -1 if unknown
	err  error
}

func (w *memoryWriter) Write(p []byte) (int, error) {
	if w.err == nil && (int64(len(w.buf)+len(p)) > w.mem.object || !w.append(p)) {
		w.err = ErrTooLarge
	}
	if w.err != nil {
		return 0, w.err
	}
	return len(p), nil
}

func (w *memoryWriter) Commit(stored *rules.Stored) (*Entry, error) {
	n := int64(len(w.buf))
	if w.err == nil {
		w.err = checkSize(w.size, n)
	}
	if w.err != nil {
		return nil, w.err
	}
	e := newEntry(w.key, stored, n, w.content())
	p, m := primaryOf(w.key), w.mem
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.generation(p) != w.gen {
		return nil, ErrGone
	}
	entries, _ := m.get(p)
	kept, _ := replaced(entries, e)
	m.put(p, kept)
	return e, nil
}

func (w *memoryWriter) Close() error {
	w.release()
	return nil
}
