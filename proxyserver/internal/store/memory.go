package store

import (
	"io"
	"slices"
	"sync"
)

// maxVariants is how many responses are kept under one key; beyond it the
// oldest go.
const maxVariants = 128

// Memory is a store in memory alone.
type Memory struct {
	hot     *hot
	limit   int64
	removed removals
	locks   [64]sync.Mutex // of keys, for whoever changes what is stored there
}

// NewMemory returns a store that holds that many octets, a thirty-second of
// them at most in one body. 0 means 64 MiB.
func NewMemory(bytes int64) *Memory {
	if bytes <= 0 {
		bytes = 64 << 20
	}
	// A key lives in one of the sixteen shards, and must not empty it.
	return &Memory{hot: newHot(bytes), limit: bytes / 16 / 2}
}

// Lookup implements Store.
func (m *Memory) Lookup(key string) []*Entry {
	entries, _ := m.hot.get(primaryOf(key))
	if len(entries) > 0 && entries[0].Head.Key != key {
		return nil
	}
	return entries
}

// Limit implements Store.
func (m *Memory) Limit() int64 { return m.limit }

// Close implements Store.
func (m *Memory) Close() error { return nil }

func (m *Memory) lock(p primary) *sync.Mutex { return &m.locks[p[0]%uint8(len(m.locks))] }

// Create implements Store.
func (m *Memory) Create(head *Head, size int64) (Writer, error) {
	if size > m.limit {
		return nil, ErrTooLarge
	}
	w := &memoryWriter{store: m, limit: m.limit}
	if size > 0 {
		w.buf = make([]byte, 0, size)
	}
	_ = head
	return w, nil
}

// Update implements Store.
func (m *Memory) Update(e *Entry, head *Head) (*Entry, error) {
	p := e.name.primary()
	mu := m.lock(p)
	mu.Lock()
	defer mu.Unlock()
	entries, _ := m.hot.get(p)
	if !slices.Contains(entries, e) {
		return nil, nil
	}
	updated := &Entry{Head: head, Size: e.Size, name: e.name}
	updated.memory.Store(e.memory.Load())
	m.hot.put(p, replaced(entries, updated))
	return updated, nil
}

// replaced returns entries with e in the place of the one of that name, the
// newest first.
func replaced(entries []*Entry, e *Entry) []*Entry {
	out := make([]*Entry, 0, len(entries)+1)
	out = append(out, e)
	for _, old := range entries {
		if old.name != e.name {
			out = append(out, old)
		}
	}
	sortEntries(out)
	if len(out) > maxVariants {
		out = out[:maxVariants]
	}
	return out
}

func sortEntries(entries []*Entry) {
	slices.SortStableFunc(entries, func(a, b *Entry) int {
		switch {
		case a.Head.ResponseTime > b.Head.ResponseTime:
			return -1
		case a.Head.ResponseTime < b.Head.ResponseTime:
			return 1
		}
		return 0
	})
}

// without returns entries without the one of that name.
func without(entries []*Entry, n name) []*Entry {
	out := make([]*Entry, 0, len(entries))
	for _, e := range entries {
		if e.name != n {
			out = append(out, e)
		}
	}
	return out
}

// Remove implements Store.
func (m *Memory) Remove(e *Entry) {
	p := e.name.primary()
	mu := m.lock(p)
	mu.Lock()
	defer mu.Unlock()
	entries, _ := m.hot.get(p)
	if slices.Contains(entries, e) {
		m.hot.put(p, without(entries, e.name))
	}
}

// RemoveKey implements Store.
func (m *Memory) RemoveKey(key string) int {
	p := primaryOf(key)
	mu := m.lock(p)
	mu.Lock()
	defer mu.Unlock()
	m.removed.of(p).Add(1)
	entries, _ := m.hot.get(p)
	m.hot.put(p, nil)
	return len(entries)
}

// Removals implements Store.
func (m *Memory) Removals(key string) uint32 { return m.removed.of(primaryOf(key)).Load() }

// buffer is a growing body in memory, read while it grows.
type buffer struct {
	mu  sync.Mutex
	buf []byte
}

func (b *buffer) append(p []byte) {
	b.mu.Lock()
	b.buf = append(b.buf, p...)
	b.mu.Unlock()
}

// readAt copies outside the lock: what has been written does not change.
func (b *buffer) readAt(p []byte, off int64) (int, error) {
	b.mu.Lock()
	buf := b.buf
	b.mu.Unlock()
	if off >= int64(len(buf)) {
		return 0, io.EOF
	}
	return copy(p, buf[off:]), nil
}

type memoryWriter struct {
	buffer
	store *Memory
	limit int64
}

func (w *memoryWriter) Write(p []byte) (int, error) {
	if int64(len(w.buf)+len(p)) > w.limit {
		return 0, ErrTooLarge
	}
	w.append(p)
	return len(p), nil
}

func (w *memoryWriter) ReadAt(p []byte, off int64) (int, error) { return w.readAt(p, off) }

func (w *memoryWriter) Commit(head *Head) (*Entry, error) {
	e := &Entry{Head: head, Size: int64(len(w.buf)), name: nameOf(head)}
	body := w.buf
	e.memory.Store(&body)
	p := e.name.primary()
	mu := w.store.lock(p)
	mu.Lock()
	defer mu.Unlock()
	if w.store.removed.of(p).Load() != head.Since {
		return nil, ErrGone
	}
	entries, _ := w.store.hot.get(p)
	w.store.hot.put(p, replaced(entries, e))
	return e, nil
}

func (w *memoryWriter) Close() {}
