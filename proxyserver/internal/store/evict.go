package store

import (
	"errors"
	"io/fs"
	"os"
)

// reserve sets blocks apart for what is about to be written, evicting as much as
// it takes. Files are removed before what they took counts as free, so the disk
// never holds more than the store's size. It is false if there is no room to be
// made.
func (d *Disk) reserve(blocks int64) bool {
	d.scanAll() // or nobody knows what there is
	for range 10 {
		ok := d.evict(func() bool { return d.used+blocks > d.size })
		d.mem.mu.Lock()
		if d.used+blocks <= d.size {
			d.used += blocks
			d.mem.mu.Unlock()
			return true
		}
		d.mem.mu.Unlock()
		if !ok {
			return false
		}
	}
	return false // others were faster each time
}

func (d *Disk) unreserve(blocks int64) {
	d.mem.mu.Lock()
	d.used -= blocks
	d.mem.mu.Unlock()
}

// evict removes files as long as more says so, which is asked with mem.mu
// locked; false if there are none left or one cannot be removed.
func (d *Disk) evict(more func() bool) bool {
	for {
		d.mem.mu.Lock()
		if !more() {
			d.mem.mu.Unlock()
			return true
		}
		n, ok := d.index.victim()
		if !ok {
			d.mem.mu.Unlock()
			return false
		}
		gone, _ := d.index.remove(n)
		d.evicted++
		p := n.primary()
		d.mem.counter(p).changes++
		if s := d.mem.sets[p]; s != nil {
			for _, e := range s.entries {
				if e.content.file == n {
					d.mem.put(p, without(s.entries, e))
					break
				}
			}
		}
		d.mem.mu.Unlock()
		if !d.removeFiles([]file{gone}) {
			return false
		}
	}
}

// removeFiles removes files that are no longer in the index, and counts their
// blocks as free; false if one could not be removed. mem.mu is not locked.
func (d *Disk) removeFiles(files []file) bool {
	if len(files) == 0 {
		return true
	}
	var failed error
	freed := int64(0)
	remove := func(path string, blocks int64) {
		if err := os.Remove(path); err == nil || errors.Is(err, fs.ErrNotExist) {
			freed += blocks
		} else {
			failed = err
		}
	}
	for _, f := range files {
		path := d.path(f.name)
		remove(path, f.name.blocks())
		if f.head > 0 { // last, or the file's own head would count after a kill
			remove(path+headSuffix, int64(f.head))
		}
	}
	d.open.remove(files)
	d.unreserve(freed)
	d.writing.report("remove a stored response", failed)
	return failed == nil
}
