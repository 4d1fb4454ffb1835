package site

import (
	"sync"
	"sync/atomic"
	"time"
)

// hot keeps resources by clean path, the contents of all of them together
// within a budget. What has not been asked for lately goes first.
type hot struct {
	budget int64

	mu      sync.RWMutex
	entries map[string]*entry
	size    int64 // bytes, of all entries
}

// entry is the place of one path. mu is held while the files behind it are
// read, so that a change is read once and not by each request that meets it.
type entry struct {
	resource atomic.Pointer[Resource]
	// dir is the folder of the file, as it was before sidecars and index files were
	// looked for in it; zero if that was too soon after a change to be relied on.
	dir  atomic.Pointer[identity]
	used atomic.Bool // asked for since the last eviction looked

	mu sync.Mutex

	size int64 // guarded by hot.mu
}

// entryCost stands for what an entry takes besides the contents.
const entryCost = 2048

func (h *hot) init(budget int64) {
	h.budget = budget
	h.entries = make(map[string]*entry)
}

func (h *hot) get(p string) *entry {
	h.mu.RLock()
	e := h.entries[p]
	h.mu.RUnlock()
	return e
}

// looks is what is known of a resource's files without looking at them: that they
// give notice of changes, and what the tree's state was when they were last looked
// at. Files that have been found unchanged a few times are watched from then on.
type looks struct {
	state atomic.Uint64 // 0 while they are not watched
	last  atomic.Int64  // ns since 1970
	equal atomic.Int32  // how often they were as before while not watched
}

const (
	// watchAfter keeps files that change all the time, or are asked for seldom, from
	// being watched, which costs as much as looking at them some ten times.
	watchAfter = 16
	// watchAgain is how often more after that failed.
	watchAgain = 10_000
	// lookAgain is how long a state that has not changed is relied on. What a program
	// writes to memory that is mapped from a file, and what is mounted over a folder,
	// gives no notice. (The former shows in the file's times not at once either.)
	lookAgain = 100 * time.Millisecond
)

// fresh returns the entry's resource if it is still what its files hold: because they
// are watched and nothing at all has changed, or because they are the same as before.
// The latter takes a system call for the file, one for its folder, in which a
// sidecar or an index file may have come up, and one for each sidecar in use.
func (e *entry) fresh(t tree, now time.Time) *Resource {
	r, dir := e.resource.Load(), e.dir.Load()
	if r == nil || dir == nil || !r.settled {
		return nil
	}
	state, before := t.state(), r.looks.state.Load()
	if state == 0 || state != before || now.UnixNano()-r.looks.last.Load() > int64(lookAgain) {
		if state != 0 && (before == 0 || !sameFolders(state, before)) {
			state = r.looks.watch(t, r)
		}
		if !r.unchanged(t, *dir) {
			return nil
		}
		if state != 0 {
			r.looks.last.Store(now.UnixNano())
			r.looks.state.Store(state)
		}
	}
	if !e.used.Load() {
		e.used.Store(true)
	}
	return r
}

// watch returns the state of the tree, if r is being watched from now on.
func (l *looks) watch(t tree, r *Resource) (state uint64) {
	if l.equal.Add(1) < watchAfter {
		return 0
	}
	l.equal.Store(0)
	if state = t.watch(r.stamp); state == 0 {
		l.equal.Store(-watchAgain)
	}
	return state
}

// unchanged looks at the files.
func (r *Resource) unchanged(t tree, dir identity) bool {
	if id, ok := t.identity(r.Name); !ok || id != r.stamp.file {
		return false
	}
	if id, ok := t.identity(r.dir); !ok || id != dir {
		return false
	}
	for i, sidecar := range r.stamp.sidecars {
		if sidecar == (identity{}) {
			continue
		}
		if id, ok := t.identity(r.beside[i]); !ok || id != sidecar {
			return false
		}
	}
	return true
}

func (h *hot) getOrAdd(p string) *entry {
	h.mu.Lock()
	defer h.mu.Unlock()
	e := h.entries[p]
	if e == nil {
		e = &entry{size: entryCost}
		h.entries[p] = e
		h.size += e.size
		h.evict(e)
	}
	return e
}

// put makes r the resource of entry e of path p.
func (h *hot) put(p string, e *entry, r *Resource) {
	e.resource.Store(r)
	h.resize(p, e, r.memory())
}

// resize counts an entry's contents anew.
func (h *hot) resize(p string, e *entry, size int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.entries[p] != e {
		return // evicted in the meantime
	}
	h.size += entryCost + size - e.size
	e.size = entryCost + size
	h.evict(e)
}

func (h *hot) clear() {
	h.mu.Lock()
	defer h.mu.Unlock()
	clear(h.entries)
	h.size = 0
}

func (h *hot) remove(p string) {
	h.mu.RLock()
	_, ok := h.entries[p]
	h.mu.RUnlock()
	if !ok {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if e := h.entries[p]; e != nil {
		h.size -= e.size
		delete(h.entries, p)
	}
}

// evict brings the size below the budget without removing keep. An entry that
// was used since the last time is spared once.
func (h *hot) evict(keep *entry) {
	for pass := 0; pass < 2 && h.size > h.budget; pass++ {
		for p, e := range h.entries {
			if h.size <= h.budget {
				return
			}
			if e == keep || e.used.Swap(false) {
				continue
			}
			h.size -= e.size
			delete(h.entries, p)
		}
	}
}
