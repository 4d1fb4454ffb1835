package cache

import (
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// fetches are those under way that may be joined. The zero value is ready.
type fetches struct {
	mu    sync.Mutex
	byKey map[string][]*fetch
	ended atomic.Uint64 // how many have left the table
	alone [1024]struct {
		hash  uint64
		until int64
	}
}

// aloneFor is for how long requests for a URI do not wait for one another,
// after its response could not be shared.
const aloneFor = 10 * time.Second

var aloneSeed = maphash.MakeSeed()

// add lists f as one that may be joined; s.mu is locked.
func (s *fetches) add(f *fetch) {
	if s.byKey == nil {
		s.byKey = map[string][]*fetch{}
	}
	s.byKey[f.key] = append(s.byKey[f.key], f)
	f.listed = true
}

// remove takes f out of the list, once it is over or turned out to be its
// leader's alone.
func (s *fetches) remove(f *fetch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !f.listed {
		return
	}
	f.listed = false
	key := f.key
	list := s.byKey[key]
	i := slices.Index(list, f)
	if list = slices.Delete(list, i, i+1); len(list) == 0 {
		delete(s.byKey, key)
	} else {
		s.byKey[key] = list
	}
	s.ended.Add(1)
}

// addFirst lists f unless there is any fetch of its key.
func (s *fetches) addFirst(f *fetch) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.byKey[f.key]) > 0 {
		return false
	}
	s.add(f)
	return true
}

// has reports whether f may be joined.
func (s *fetches) has(f *fetch) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return f.listed
}

// isAlone reports whether there is no use in waiting for others' fetches of
// key.
func (s *fetches) isAlone(key string, now time.Time) bool {
	hash := maphash.String(aloneSeed, key)
	s.mu.Lock()
	defer s.mu.Unlock()
	slot := &s.alone[hash%uint64(len(s.alone))]
	return slot.hash == hash && now.UnixNano() < slot.until
}

// setAlone notes whether the last response under key could be shared.
func (s *fetches) setAlone(key string, now time.Time, alone bool) {
	hash := maphash.String(aloneSeed, key)
	s.mu.Lock()
	defer s.mu.Unlock()
	slot := &s.alone[hash%uint64(len(s.alone))]
	switch {
	case alone:
		slot.hash, slot.until = hash, now.Add(aloneFor).UnixNano()
	case slot.hash == hash:
		slot.until = 0
	}
}

// invalidate sees to it that nobody joins a fetch of key from now on.
func (s *fetches) invalidate(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.byKey[key] {
		f.invalidated = true
	}
}
