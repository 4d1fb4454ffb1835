package store

import (
	"errors"
	"hash/crc32"
	"os"
	"slices"
)

// Small responses and new heads are in memory at once, and a goroutine writes
// them to disk a moment later. Whoever stores 1 KiB is held up for 5 µs, and
// would be for 60 to 700 µs if it waited for the file: ext4 takes that long to
// find an inode in a busy group (BenchmarkCommit, BenchmarkStore). What waits is
// bounded: when a disk cannot keep up, what does not fit stays in memory alone.
const maxQueue = 4096

var errBehind = errors.New("the disk cannot keep up")

// rewrite is the length in bytes of the largest body that is written again with
// a new head, rather than the head alone beside it in a block of its own.
const rewrite = 4 * blockSize

// copied is the length in bytes of the largest body that stays in memory once it
// is on disk. A larger one is sent from the page cache, which at 100 KiB takes the
// proxy 6 to 18 % less processor time than a copy, and a client on the same machine
// 12 to 22 %, since it reads what is in its own processor's cache already; at
// 64 KiB both take the same (scripts/bench proxy).
const copied = 64 << 10

func sumOf(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// enqueue has e written; false if it stays in memory alone. mem.mu is locked,
// and e is put into memory before it is unlocked.
func (d *Disk) enqueue(e *Entry) bool {
	if d.lock == nil || d.closed {
		return false
	}
	if len(d.queue) >= maxQueue || d.mem.pinned+e.memoryCost() > max(d.mem.limit/2, 1<<20) {
		if !d.behind {
			d.behind = true
			go d.writing.report("store a response", errBehind) // a log may take its time
		}
		return false
	}
	e.waits = true
	d.queue = append(d.queue, e)
	d.work.Signal()
	return true
}

// Flush waits until everything that is stored is on disk, as far as the disk
// takes it.
func (d *Disk) Flush() {
	d.mem.mu.Lock()
	defer d.mem.mu.Unlock()
	for len(d.queue) > 0 || d.busy {
		d.idle.Wait()
	}
}

// writeQueue writes what is in the queue, until the store is closed and all is
// written.
func (d *Disk) writeQueue() {
	d.mem.mu.Lock()
	defer d.mem.mu.Unlock()
	for {
		for len(d.queue) == 0 {
			d.busy, d.behind = false, false
			d.idle.Broadcast()
			if d.closed {
				return
			}
			d.work.Wait()
		}
		e := d.queue[0]
		d.queue[0] = nil
		d.queue = d.queue[1:]
		d.busy = true
		d.writeEntry(e)
	}
}

// writeEntry writes e, or its head where the body lies on disk already. mem.mu
// is locked, and unlocked meanwhile: then e may be replaced or removed, and what
// was written is removed.
func (d *Disk) writeEntry(e *Entry) {
	p := primaryOf(e.Key)
	stored := func() []*Entry {
		if s := d.mem.sets[p]; s != nil && slices.Contains(s.entries, e) {
			return s.entries
		}
		return nil
	}
	if stored() == nil {
		return
	}
	before := e.content.file
	d.mem.mu.Unlock()
	data, inMemory := e.Bytes()
	now, head := before, int64(0)
	var at *diskFile
	var err error
	if before == (name{}) || inMemory && e.Size <= rewrite {
		now, at, err = d.writeWhole(e, p, data)
	} else {
		head, err = d.writeHead(e, before)
	}
	d.mem.mu.Lock()
	e.waits = false
	entries := stored()
	var gone []file
	orphan := false
	switch {
	case err != nil:
		if entries != nil { // the file, if there is one, is out of date
			gone = d.drop(e)
			if !inMemory {
				entries = without(entries, e)
			}
		}
	case head > 0:
		// If e was replaced meanwhile, the next one will be written over it.
		f := d.index.find(now)
		if orphan = f == nil; orphan {
			d.used -= head
		} else {
			d.used -= d.index.setHead(f, head)
		}
	case entries == nil:
		gone = []file{{name: now}}
	default:
		gone = d.drop(e)
		d.index.add(now)
		e.content.file = now
		if e.Size > copied {
			e.content.source = at // before data is gone: without it this is read
			e.content.data.Store(nil)
		}
	}
	if entries != nil {
		d.mem.put(p, entries)
	}
	d.mem.mu.Unlock()
	d.removeFiles(gone)
	if orphan {
		os.Remove(d.path(now) + headSuffix) //nolint:errcheck // tried again at the next start
	}
	d.mem.mu.Lock()
}

// writeWhole writes a file of body and head.
func (d *Disk) writeWhole(e *Entry, p primary, data []byte) (name, *diskFile, error) {
	head, sum := encodeHead(e.Key, &e.Stored.Head), sumOf(data)
	n := newName(p, d.serial.Add(1), blocksOf(e.Size+int64(len(head))+trailerSize))
	at, err := d.writeFile(d.path(n), n, sum, data, appendTrailer(head, n, e.Size, sum))
	return n, at, err
}

// writeHead writes the head file of the file of that name, and returns its
// blocks.
func (d *Disk) writeHead(e *Entry, n name) (int64, error) {
	var sum uint32
	if at, ok := e.content.source.(*diskFile); ok {
		sum = at.sum
	} else {
		data, _ := e.Bytes() // it was written from memory
		sum = sumOf(data)
	}
	tail := appendTrailer(encodeHead(e.Key, &e.Stored.Head), n, e.Size, sum)
	_, err := d.writeFile(d.path(n)+headSuffix, n, sum, tail)
	return blocksOf(int64(len(tail))), err
}

// writeFile makes a file of some parts.
func (d *Disk) writeFile(path string, n name, sum uint32, parts ...[]byte) (*diskFile, error) {
	f, err := d.createTemp()
	if err != nil {
		return nil, err
	}
	defer f.close()
	for _, part := range parts {
		if _, err = f.Write(part); err != nil {
			return nil, err
		}
	}
	if err = f.place(path, n); err != nil {
		return nil, err
	}
	return f.placedAt(n, sum), nil
}
