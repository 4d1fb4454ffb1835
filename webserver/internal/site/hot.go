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
			state = r.looks.watch(t, r.files())
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

// files returns what r was made of: the file, then its sidecars.
func (r *Resource) files() []named {
	files := []named{{r.Name, r.stamp.file}}
	for i, sidecar := range r.stamp.sidecars {
		if sidecar != (identity{}) {
			files = append(files, named{r.beside[i], sidecar})
		}
	}
	return files
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
