package store

import (
	"errors"
	"io/fs"
	"os"
)

func (d *Disk) removeFile(path string) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.fault("remove a file of the cache", err)
	}
}

// forget removes an entry. The key is locked.
func (d *Disk) forget(p primary, entries []*Entry, e *Entry) {
	d.hot.put(p, without(entries, e.name))
	d.pending.remove(e.name)
	if d.index.remove(e.name) {
		d.removeFile(d.path(e.name))
	}
}

// Remove implements Store.
func (d *Disk) Remove(e *Entry) {
	p := e.name.primary()
	mu := d.keyLock(p)
	mu.Lock()
	defer mu.Unlock()
	entries := d.load(p)
	for _, have := range entries {
		if have == e || have.name == e.name && have.Head.ResponseTime == e.Head.ResponseTime {
			d.forget(p, entries, have)
			return
		}
	}
}

// RemoveKey implements Store.
func (d *Disk) RemoveKey(key string) int {
	p := primaryOf(key)
	d.removed.of(p).Add(1) // whether or not anything is stored yet
	if _, ok := d.hot.get(p); !ok && d.scanned.Load() && !d.index.has(p) && !d.pending.has(p) {
		return 0
	}
	mu := d.keyLock(p)
	mu.Lock()
	defer mu.Unlock()
	return d.removePrimary(p)
}

// Removals implements Store.
func (d *Disk) Removals(key string) uint32 { return d.removed.of(primaryOf(key)).Load() }

func (d *Disk) removePrimary(p primary) int {
	d.removed.of(p).Add(1) // also for a command beside this process
	if !d.scanned.Load() {
		d.probe(p)
	}
	entries := d.pending.under(p)
	for _, e := range entries {
		d.pending.remove(e.name)
	}
	n := len(entries)
	entries, _ = d.hot.get(p)
	n = max(n, len(entries))
	d.hot.put(p, nil)
	names := d.index.names(p)
	for _, file := range names {
		d.index.remove(file)
		d.removeFile(d.path(file))
	}
	return max(n, len(names))
}

// Clear removes everything that is stored.
func (d *Disk) Clear() { d.evict(-1) }

// evict removes files until no more than limit octets are left, all of them if
// limit is negative.
func (d *Disk) evict(limit int64) {
	if limit < 0 {
		// First what waits to be written: it would be in the index later.
		d.removed.all()
		d.clearPending()
	}
	for {
		n, ok := d.index.victim(limit)
		if !ok {
			break
		}
		p := n.primary()
		mu := d.keyLock(p)
		mu.Lock()
		if entries, ok := d.hot.get(p); ok {
			d.hot.put(p, without(entries, n))
		}
		d.pending.remove(n)
		if d.index.remove(n) {
			d.removeFile(d.path(n))
		}
		mu.Unlock()
	}
	if limit < 0 {
		d.hot.clear()
	}
}

func (d *Disk) clearPending() {
	d.pending.mu.Lock()
	var keys []primary
	for p := range d.pending.byKey {
		keys = append(keys, p)
	}
	d.pending.mu.Unlock()
	for _, p := range keys {
		mu := d.keyLock(p)
		mu.Lock()
		d.removePrimary(p)
		mu.Unlock()
	}
}
