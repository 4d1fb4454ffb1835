package store

import (
	"slices"
	"sync"
	"sync/atomic"
)

// hot holds the responses of keys in memory: all heads of a key together, and
// those bodies that are small. It evicts whole keys by octets, with SIEVE.
type hot struct{ shards [16]hotShard }

type hotShard struct {
	mu     sync.RWMutex
	sets   map[primary]*set
	newest *set
	oldest *set
	hand   *set
	bytes  int64
	limit  int64
}

// set is all that is stored under one key, the newest first. Its entries are
// replaced, never changed.
type set struct {
	p       primary
	entries []*Entry
	cost    int64
	used    atomic.Bool

	newer, older *set
}

func newHot(limit int64) *hot {
	h := new(hot)
	for i := range h.shards {
		h.shards[i].sets = map[primary]*set{}
		h.shards[i].limit = limit / int64(len(h.shards))
	}
	return h
}

func (h *hot) shard(p primary) *hotShard { return &h.shards[p[15]%uint8(len(h.shards))] }

// get returns the entries under p; ok is false if they are not held.
func (h *hot) get(p primary) (entries []*Entry, ok bool) {
	s := h.shard(p)
	s.mu.RLock()
	defer s.mu.RUnlock()
	set, ok := s.sets[p]
	if !ok {
		return nil, false
	}
	if !set.used.Load() {
		set.used.Store(true)
	}
	return set.entries, true
}

// put replaces all entries under p; none means to hold nothing.
func (h *hot) put(p primary, entries []*Entry) {
	s := h.shard(p)
	s.mu.Lock()
	defer s.mu.Unlock()
	old, ok := s.sets[p]
	if len(entries) == 0 {
		if ok {
			s.remove(old)
		}
		return
	}
	cost := int64(256)
	for _, e := range entries {
		cost += entryCost(e)
	}
	if ok {
		for _, e := range old.entries {
			if !slices.Contains(entries, e) {
				e.unmap()
			}
		}
		s.bytes += cost - old.cost
		old.entries, old.cost = entries, cost
	} else {
		n := &set{p: p, entries: entries, cost: cost, older: s.newest}
		if s.newest != nil {
			s.newest.newer = n
		} else {
			s.oldest = n
		}
		s.newest = n
		s.sets[p] = n
		s.bytes += cost
	}
	s.evict()
}

// grown notes that an entry under p now has its body in memory.
func (h *hot) grown(p primary, e *Entry, n int64) {
	s := h.shard(p)
	s.mu.Lock()
	defer s.mu.Unlock()
	set, ok := s.sets[p]
	if !ok {
		return
	}
	if slices.Contains(set.entries, e) {
		set.cost += n
		s.bytes += n
		s.evict()
	}
}

// mapped gives e, if it is held under p, one reference to its mapping; false if
// it has no use for it.
func (h *hot) mapped(p primary, e *Entry, m *mapping) bool {
	s := h.shard(p)
	s.mu.Lock()
	defer s.mu.Unlock()
	set, ok := s.sets[p]
	return ok && slices.Contains(set.entries, e) && e.mapped.CompareAndSwap(nil, m)
}

// unmap gives the mapping of an entry up that is no longer held.
func (e *Entry) unmap() {
	if m := e.mapped.Swap(nil); m != nil {
		m.release()
	}
}

// entryCost estimates the memory that an entry takes.
func entryCost(e *Entry) int64 {
	n := int64(768 + len(e.Head.Key) + 48*(len(e.Head.Fields)+len(e.Head.Vary)))
	for _, f := range e.Head.Fields {
		n += int64(len(f.Name) + len(f.Value))
	}
	if b := e.memory.Load(); b != nil {
		n += int64(cap(*b))
	}
	return n
}

func (s *hotShard) remove(v *set) {
	if s.hand == v {
		s.hand = v.newer
	}
	if v.newer != nil {
		v.newer.older = v.older
	} else {
		s.newest = v.older
	}
	if v.older != nil {
		v.older.newer = v.newer
	} else {
		s.oldest = v.newer
	}
	s.bytes -= v.cost
	delete(s.sets, v.p)
	for _, e := range v.entries {
		e.unmap()
	}
}

func (s *hotShard) evict() {
	v := s.hand
	for s.bytes > s.limit && s.oldest != nil {
		if v == nil {
			v = s.oldest
		}
		if v.used.Swap(false) {
			v = v.newer
			continue
		}
		next := v.newer
		s.remove(v)
		v = next
	}
	s.hand = v
}

func (h *hot) clear() {
	for i := range h.shards {
		s := &h.shards[i]
		s.mu.Lock()
		for _, v := range s.sets {
			for _, e := range v.entries {
				e.unmap()
			}
		}
		s.sets = map[primary]*set{}
		s.newest, s.oldest, s.hand, s.bytes = nil, nil, nil, 0
		s.mu.Unlock()
	}
}

// held returns how many keys and octets are in memory.
func (h *hot) held() (keys int, bytes int64) {
	for i := range h.shards {
		s := &h.shards[i]
		s.mu.RLock()
		keys += len(s.sets)
		bytes += s.bytes
		s.mu.RUnlock()
	}
	return keys, bytes
}
