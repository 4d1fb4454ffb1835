package store

import (
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"sync/atomic"

	"topdown/proxyserver/internal/rules"
)

// diskWriter takes a body: in memory while it is small, in a temporary file
// from then on.
type diskWriter struct {
	*buffer
	disk *Disk
	key  string
	gen  Generation
	size int64 // announced; -1 if unknown

	n    int64
	sum  uint32
	err  error
	file atomic.Pointer[tempFile]
}

// Create implements Store.
func (d *Disk) Create(_ context.Context, key string, gen Generation, size int64) (Writer, error) {
	if size > d.object {
		return nil, ErrTooLarge
	}
	return &diskWriter{buffer: newBuffer(min(size, d.small), d.mem), disk: d, key: key, gen: gen, size: size}, nil
}

// Write implements Writer.
func (w *diskWriter) Write(p []byte) (n int, err error) {
	if w.err != nil {
		return 0, w.err
	}
	end := w.n + int64(len(p))
	switch f := w.file.Load(); {
	case end > w.disk.object:
		w.err = ErrTooLarge
	case f == nil && end <= w.disk.small && w.append(p):
		n = len(p)
	default:
		if f == nil {
			f, w.err = w.spill()
		}
		if w.err == nil {
			n, w.err = f.Write(p)
		}
	}
	w.sum = crc32.Update(w.sum, castagnoli, p[:n])
	w.n += int64(n)
	return n, w.err
}

// spill moves the body from memory to a temporary file.
func (w *diskWriter) spill() (*tempFile, error) {
	if w.disk.lock == nil {
		return nil, ErrTooLarge
	}
	f, err := w.disk.createTemp()
	if err != nil {
		return nil, err
	}
	if _, err = f.Write(w.buf); err != nil {
		f.close()
		return nil, err
	}
	w.file.Store(f)
	w.release()
	return f, nil
}

// ReadAt implements Writer.
func (w *diskWriter) ReadAt(p []byte, off int64) (int, error) {
	if f := w.file.Load(); f != nil {
		return f.ReadAt(p, off)
	}
	n, err := w.buffer.ReadAt(p, off)
	if f := w.file.Load(); f != nil { // the buffer was given up meanwhile, perhaps
		return f.ReadAt(p, off)
	}
	return n, err
}

// Commit implements Writer.
func (w *diskWriter) Commit(stored *rules.Stored) (*Entry, error) {
	if w.err == nil && w.size >= 0 && w.n != w.size {
		w.err = fmt.Errorf("a body of %d bytes ended after %d: %w", w.size, w.n, io.ErrUnexpectedEOF)
	}
	if w.err != nil {
		return nil, w.err
	}
	d, p := w.disk, primaryOf(w.key)
	var e *Entry
	f := w.file.Load()
	if f == nil {
		e = newEntry(w.key, stored, w.n, w.content())
	} else if e, w.err = w.finish(f, p, stored); w.err != nil {
		return nil, w.err
	}
	entries := d.lockKey(p)
	var gone []file
	var err error
	if d.mem.generation(p) != w.gen {
		if err = ErrGone; f != nil {
			gone = append(gone, file{name: e.content.file})
		}
	} else {
		var old []*Entry
		entries, old = replaced(entries, e)
		gone = d.drop(old...)
		if f != nil {
			d.index.add(e.content.file)
		} else {
			d.enqueue(e)
		}
		d.mem.put(p, entries)
	}
	d.mem.mu.Unlock()
	d.removeFiles(gone)
	if err != nil {
		return nil, err
	}
	return e, nil
}

// finish completes the temporary file and moves it to its place, where nobody
// looks for it yet.
func (w *diskWriter) finish(f *tempFile, p primary, stored *rules.Stored) (*Entry, error) {
	d, head := w.disk, encodeHead(w.key, &stored.Head)
	n := newName(p, d.serial.Add(1), blocksOf(w.n+int64(len(head))+trailerSize))
	if _, err := f.Write(appendTrailer(head, n, w.n, w.sum)); err != nil {
		return nil, err
	}
	if err := f.place(d.path(n), n); err != nil {
		return nil, err
	}
	return newEntry(w.key, stored, w.n, &content{file: n, source: f.placedAt(n, w.sum)}), nil
}

// Close implements Writer.
func (w *diskWriter) Close() error {
	w.release()
	if f := w.file.Load(); f != nil {
		f.close()
	}
	return nil
}
