package store

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
)

// diskWriter takes a body: in memory while it is small, in a temporary file
// from then on.
type diskWriter struct {
	buffer
	disk  *Disk
	size  int64 // announced; -1 if unknown
	n     int64
	place place
	path  string // of the temporary file
	err   error

	temporary int64 // octets counted in Disk.unfinished

	mu   sync.RWMutex // guards file against a reader that comes too late
	file *os.File
}

func sumOf(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// Write implements Writer.
func (w *diskWriter) Write(p []byte) (n int, err error) {
	if w.err != nil {
		return 0, w.err
	}
	if w.n+int64(len(p)) > w.disk.limit {
		w.err = ErrTooLarge
		return 0, w.err
	}
	if w.file == nil && w.n+int64(len(p)) <= w.disk.small {
		w.append(p)
		n = len(p)
	} else {
		if w.file == nil {
			if w.err = w.spill(); w.err != nil {
				return 0, w.err
			}
		}
		if w.disk.unfinished.Add(int64(len(p))) > w.disk.size/2 {
			// Too much is being fetched at a time to keep all of it.
			w.disk.unfinished.Add(-int64(len(p)))
			w.err = ErrTooLarge
			return 0, w.err
		}
		w.temporary += int64(len(p))
		n, w.err = w.file.WriteAt(p, w.place.base()+w.n)
		if w.err != nil {
			w.disk.failed("write", w.n+int64(len(p)), w.err)
		}
	}
	w.place.sum = crc32.Update(w.place.sum, castagnoli, p[:n])
	w.n += int64(n)
	return n, w.err
}

// spill moves the body from memory to a temporary file.
func (w *diskWriter) spill() error {
	f, err := w.create()
	if err != nil {
		return err
	}
	if _, err = f.WriteAt(w.buf, w.place.base()); err != nil {
		f.Close()
		w.disk.removeFile(w.path)
		w.disk.failed("write", w.n, err)
		return err
	}
	w.mu.Lock()
	w.file = f
	w.mu.Unlock()
	w.buffer.mu.Lock()
	w.buf = nil
	w.buffer.mu.Unlock()
	return nil
}

func (w *diskWriter) create() (*os.File, error) {
	w.path = filepath.Join(w.disk.dir, "tmp", strconv.FormatUint(w.disk.temp.Add(1), 36))
	f, err := os.OpenFile(w.path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(filepath.Dir(w.path), 0o700); err == nil {
			f, err = os.OpenFile(w.path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		}
	}
	if err != nil {
		w.disk.failed("make a file", max(w.n, w.size), err)
		return nil, err
	}
	return f, nil
}

// ReadAt implements Writer.
func (w *diskWriter) ReadAt(p []byte, off int64) (int, error) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if w.file == nil {
		return w.readAt(p, off)
	}
	return w.file.ReadAt(p, w.place.base()+off)
}

// Commit implements Writer.
func (w *diskWriter) Commit(head *Head) (*Entry, error) {
	if w.err != nil {
		return nil, w.err
	}
	if w.size >= 0 && w.n != w.size {
		return nil, fmt.Errorf("a body of %d octets ended after %d: %w", w.size, w.n, io.ErrUnexpectedEOF)
	}
	e := &Entry{Head: head, Size: w.n, name: nameOf(head), disk: w.disk}
	encoded := encodeSlot(1, encodeHead(head))
	if len(encoded) > int(w.place.room) {
		if w.file != nil || len(encoded) > maxHead {
			return nil, fmt.Errorf("a head of %d octets has no room", len(encoded))
		}
		w.place.room = roomFor(len(encoded))
	}
	w.place.seq = 1
	e.place.copyFrom(&w.place)
	p := e.name.primary()
	mu := w.disk.keyLock(p)
	mu.Lock()
	if w.disk.removed.of(p).Load() != head.Since {
		mu.Unlock()
		return nil, ErrGone
	}
	entries := w.disk.load(p)
	if w.file == nil {
		body := w.buf
		e.memory.Store(&body)
		if w.disk.lock == nil || !w.disk.pending.add(e) {
			// In memory alone. What is on disk under its name is out of date.
			w.disk.pending.remove(e.name)
			if w.disk.index.remove(e.name) {
				w.disk.removeFile(w.disk.path(e.name))
			}
			if w.disk.lock != nil {
				w.disk.fault("store a response", errBehind)
			}
		}
	} else {
		w.disk.pending.remove(e.name)
		if err := w.settle(e, w.front(e, encoded, nil)); err != nil {
			mu.Unlock()
			return nil, err
		}
	}
	kept := replaced(entries, e)
	w.disk.hot.put(p, kept)
	if dropped := len(entries) + 1 - len(kept); dropped > 0 {
		for _, old := range entries {
			if old.name == e.name || hasName(kept, old.name) {
				continue
			}
			w.disk.pending.remove(old.name)
			if w.disk.index.remove(old.name) {
				w.disk.removeFile(w.disk.path(old.name))
			}
		}
	}
	mu.Unlock()
	w.disk.evict(max(w.disk.size-w.disk.unfinished.Load()+w.temporary, 0))
	return e, nil
}

// front is what a file begins with: prefix and head in its room, and a body
// that is not in the file yet, all in one write.
func (w *diskWriter) front(e *Entry, slot, body []byte) []byte {
	b := make([]byte, 0, w.place.base()+int64(len(body)))
	b = append(appendPrefix(b, e.name, &w.place, w.n), slot...)
	return append(b[:w.place.base()], body...)
}

func hasName(entries []*Entry, n name) bool {
	for _, e := range entries {
		if e.name == n {
			return true
		}
	}
	return false
}

// settle completes the file and renames it to where it belongs.
func (w *diskWriter) settle(e *Entry, front []byte) error {
	f := w.file
	if f == nil {
		var err error
		if f, err = w.create(); err != nil {
			return err
		}
		defer f.Close()
	}
	_, err := f.WriteAt(front, 0)
	if err == nil {
		err = w.rename(e.name)
	}
	if err != nil {
		w.disk.removeFile(w.path)
		w.disk.failed("store a response", w.n, err)
		return err
	}
	w.path = ""
	size := w.place.base() + w.n
	if w.file != nil { // else the body stays in memory, and is checked when it is read again
		if info, err := f.Stat(); err == nil {
			e.place.check(stampOf(info))
		}
	}
	e.place.slot.Store(w.disk.index.add(e.name, size))
	return nil
}

// rename moves the temporary file to its place; the directories above it are
// made when they are first needed.
func (w *diskWriter) rename(n name) error {
	path := w.disk.path(n)
	if w.disk.index.find(n) != nil {
		// Some file systems write a file out when it is renamed over another,
		// which takes a disk's time; nobody needs the old one.
		w.disk.removeFile(path)
	}
	err := os.Rename(w.path, path)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	dir := filepath.Dir(path)
	if err = os.Mkdir(dir, 0o700); errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(filepath.Dir(dir), 0o700); err == nil {
			err = os.Mkdir(dir, 0o700)
		}
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return os.Rename(w.path, path)
}

// Close implements Writer.
func (w *diskWriter) Close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.disk.unfinished.Add(-w.temporary)
	w.temporary = 0
	if w.file != nil {
		w.file.Close()
		if w.path != "" {
			w.disk.removeFile(w.path)
		}
		w.path = ""
	}
}

// failed logs why something could not be written. A disk that is full although
// the cache is not is the cache's to make room on.
func (d *Disk) failed(what string, size int64, err error) {
	d.fault(what, err)
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		select {
		case d.full <- 2*size + 4<<20:
		default:
		}
	}
}
