package store

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"

	"topdown/proxyserver/internal/rules"
)

// Small responses and new heads are in memory at once, and a goroutine writes
// them to disk a moment later. What waits is bounded: when a disk cannot keep
// up, what does not fit stays in memory alone.
const maxQueue = 4096

var errBehind = errors.New("the disk cannot keep up")

// rewrite is the length in bytes of the largest body that is written again with
// a new head, rather than the head alone beside it in a block of its own.
const rewrite = 4 * blockSize

// spare is what a folder may grow by when it gets another file, in blocks.
const spare = 2

func sumOf(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// enqueue has e written; false if it stays in memory alone. mem.mu is locked,
// and e is put into memory before it is unlocked.
func (d *Disk) enqueue(e *Entry) bool {
	if d.lock == nil || d.closed {
		return false
	}
	if len(d.queue) >= maxQueue || d.mem.pinned+e.memoryCost() > max(d.mem.limit/2, 1<<20) {
		d.writing.report("store a response", errBehind)
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
			d.busy = false
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
	var now file
	var err error
	whole := before == name{} || inMemory && e.Size <= rewrite
	if whole {
		now.name, err = d.writeWhole(e, p, data)
	} else {
		now, err = d.writeHead(e, before)
	}
	d.writing.report("store a response", err)
	d.mem.mu.Lock()
	var gone []file
	entries := stored()
	switch {
	case entries == nil && err == nil:
		gone = append(gone, now)
	case entries == nil:
	case err != nil:
		// The file, if there is one, is out of date.
		gone = d.drop(e)
		if !inMemory {
			entries = without(entries, e)
		}
	case whole:
		gone = d.drop(e)
		d.index.add(now.name)
		e.content.file = now.name
	default:
		if was := d.index.setHead(d.index.find(before), now.head, int64(now.headBlocks)); was.head > 0 {
			gone = append(gone, headOnly(before, was.head, int64(was.headBlocks)))
		}
	}
	e.waits = false
	if entries != nil {
		d.mem.put(p, entries)
	}
	if len(gone) > 0 {
		d.mem.mu.Unlock()
		d.removeFiles(gone)
		d.mem.mu.Lock()
	}
}

// headOnly stands for a head file alone.
func headOnly(n name, head uint64, blocks int64) file {
	return file{name: n, head: head, headBlocks: int32(blocks), next: alone} //nolint:gosec // below maxHead
}

// writeWhole writes a file of body and head.
func (d *Disk) writeWhole(e *Entry, p primary, data []byte) (name, error) {
	head := encodeHead(e.Key, &e.Stored.Head)
	blocks := blocksOf(e.Size + int64(len(head)) + trailerSize)
	n := newName(p, d.serial.Add(1), blocks)
	tail := appendTrailer(head, n, e.Size, sumOf(data))
	return n, d.writeFile(n, 0, blocks, data, tail)
}

// writeHead writes a head file beside the file of that name.
func (d *Disk) writeHead(e *Entry, n name) (file, error) {
	at, ok := e.content.source.(*diskFile)
	sum := uint32(0)
	if ok {
		sum = at.sum
	} else {
		data, _ := e.Bytes() // it was written from memory
		sum = sumOf(data)
	}
	tail := appendTrailer(encodeHead(e.Key, &e.Stored.Head), n, e.Size, sum)
	blocks := blocksOf(int64(len(tail)))
	serial := d.serial.Add(1)
	return headOnly(n, serial, blocks), d.writeFile(n, serial, blocks, tail)
}

// writeFile makes a file of some parts, and reserves its blocks first.
func (d *Disk) writeFile(n name, head uint64, blocks int64, parts ...[]byte) error {
	if !d.reserve(blocks + spare) {
		return errNoRoom
	}
	defer d.unreserve(spare)
	f, err := d.createTemp()
	if err == nil {
		for _, part := range parts {
			if err == nil {
				_, err = f.Write(part)
			}
		}
		f.Close()
		if err == nil {
			err = d.place(f.Name(), n, head)
		}
		if err != nil {
			os.Remove(f.Name()) //nolint:errcheck // or it is removed at the next start
		}
	}
	if err != nil {
		d.unreserve(blocks)
		d.makeRoom(blocks, err)
	}
	return err
}

var errNoRoom = errors.New("no room can be made")

func (d *Disk) createTemp() (*os.File, error) {
	path := filepath.Join(d.tempDir(), strconv.FormatUint(d.serial.Add(1), 36))
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrNotExist) { // somebody has cleaned up
		if err = os.MkdirAll(d.tempDir(), 0o700); err == nil {
			f, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		}
	}
	return f, err
}

// place moves a temporary file to where it belongs.
func (d *Disk) place(temp string, n name, head uint64) error {
	err := os.Rename(temp, d.path(n, head))
	i := n.primary().folder()
	for range 2 { // Clear may remove the folder once more
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err = os.MkdirAll(d.folderPath(i), 0o700); err == nil {
			err = os.Rename(temp, d.path(n, head))
		}
	}
	if err == nil {
		d.measure(i)
	}
	return err
}

// diskWriter takes a body: in memory while it is small, in a temporary file
// from then on.
type diskWriter struct {
	*buffer
	disk *Disk
	key  string
	gen  Generation
	size int64 // announced; -1 if unknown

	n      int64
	sum    uint32
	err    error
	file   atomic.Pointer[os.File]
	temp   string // path of the file until it is renamed
	blocks int64  // reserved for it
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
			n, w.err = w.writeAt(f, p, w.n)
		}
	}
	w.sum = crc32.Update(w.sum, castagnoli, p[:n])
	w.n += int64(n)
	return n, w.err
}

// writeAt writes to the temporary file.
func (w *diskWriter) writeAt(f *os.File, p []byte, off int64) (int, error) {
	if err := w.reserve(blocksOf(off + int64(len(p)))); err != nil {
		return 0, err
	}
	n, err := f.WriteAt(p, off)
	w.disk.writing.report("write a response", err)
	if err != nil {
		w.disk.makeRoom(w.blocks, err)
	}
	return n, err
}

// reserve reserves blocks for the file as a whole. Half of the store is for what
// is complete, whatever is being fetched.
func (w *diskWriter) reserve(blocks int64) error {
	d, more := w.disk, blocks-w.blocks
	if more <= 0 {
		return nil
	}
	d.mem.mu.Lock()
	tooMuch := d.temps+more > d.size/2
	if !tooMuch {
		d.temps += more
		w.blocks += more
	}
	d.mem.mu.Unlock()
	if tooMuch {
		return ErrTooLarge
	}
	if !d.reserve(more) {
		w.release(more)
		d.writing.report("make room", errNoRoom)
		return errNoRoom
	}
	return nil
}

// release notes that so many blocks are no longer the temporary file's.
func (w *diskWriter) release(blocks int64) {
	w.disk.mem.mu.Lock()
	w.disk.temps -= blocks
	w.blocks -= blocks
	w.disk.mem.mu.Unlock()
}

// spill moves the body from memory to a temporary file.
func (w *diskWriter) spill() (*os.File, error) {
	if w.disk.lock == nil {
		return nil, fs.ErrPermission // it was logged when the directory was opened
	}
	f, err := w.disk.createTemp()
	if err != nil {
		w.disk.writing.report("make a file", err)
		w.disk.makeRoom(1, err)
		return nil, err
	}
	w.temp = f.Name()
	if _, err = w.writeAt(f, w.buf, 0); err != nil {
		f.Close()
		w.removeTemp()
		return nil, err
	}
	w.file.Store(f)
	w.buffer.release()
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
	if w.err == nil {
		w.err = checkSize(w.size, w.n)
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
func (w *diskWriter) finish(f *os.File, p primary, stored *rules.Stored) (*Entry, error) {
	d := w.disk
	head := encodeHead(w.key, &stored.Head)
	length := w.n + int64(len(head)) + trailerSize
	n := newName(p, d.serial.Add(1), blocksOf(length))
	if _, err := w.writeAt(f, appendTrailer(head, n, w.n, w.sum), w.n); err != nil {
		return nil, err
	}
	if !d.reserve(spare) {
		return nil, errNoRoom
	}
	defer d.unreserve(spare)
	if err := d.place(w.temp, n, 0); err != nil {
		d.writing.report("store a response", err)
		return nil, fmt.Errorf("store a response: %w", err)
	}
	w.temp = ""
	w.release(w.blocks)
	at := &diskFile{disk: d, name: n, sum: w.sum}
	if info, err := f.Stat(); err == nil {
		at.checked.Store(modified(info))
	}
	return newEntry(w.key, stored, w.n, &content{file: n, source: at}), nil
}

// Close implements Writer.
func (w *diskWriter) Close() error {
	w.buffer.release()
	if f := w.file.Load(); f != nil {
		f.Close()
		w.removeTemp()
	}
	return nil
}

// removeTemp removes the temporary file, if it is one still.
func (w *diskWriter) removeTemp() {
	if w.temp == "" {
		return
	}
	err := os.Remove(w.temp)
	w.disk.writing.report("remove an unfinished file", err)
	w.temp = ""
	blocks := w.blocks
	w.release(blocks)
	w.disk.unreserve(blocks)
}

var _ io.ReaderAt = (*diskWriter)(nil)

// makeRoom evicts something if err says that the disk is full although the
// store is not: others write to it too.
func (d *Disk) makeRoom(blocks int64, err error) {
	if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) {
		return
	}
	d.mem.mu.Lock()
	limit := d.index.blocks - 2*blocks - 1024
	d.mem.mu.Unlock()
	d.evict(func() bool { return d.index.blocks > limit })
}
