package store

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// DiskOptions are the options of OpenDisk.
type DiskOptions struct {
	Dir    string      // created if need be
	Size   int64       // octets on disk, in blocks of 4 KiB; default 1 GiB
	Memory int64       // octets of heads and small bodies held in memory; default 64 MiB
	Object int64       // octets of the largest body; default a quarter of Size
	Small  int64       // octets of the largest body held in memory; default 256 KiB, at most Memory/64
	Log    *zap.Logger // default: none
}

// Disk is a store in a directory: a file for each response, below two levels of
// directories, ab/cd/<name>. A file is written in tmp/ and renamed when it is
// whole. What lies in the directory when it is opened is found by a scan in the
// background, and by looking for it where a request asks earlier.
//
// A disk that is full, read-only or broken costs hits, never answers: small
// responses are then kept in memory alone, and the reason is logged.
type Disk struct {
	dir   string
	size  int64
	limit int64
	small int64
	log   *zap.Logger

	index   *index
	hot     *hot
	pending pending
	removed removals
	locks   [256]sync.Mutex // of keys, for whoever loads or changes them
	lock    *os.File
	temp    atomic.Uint64

	mappings   atomic.Int32 // how many files are mapped
	unfinished atomic.Int64 // octets in temporary files

	scanned atomic.Bool // every file is in the index
	full    chan int64  // octets to make room for, because the disk is full
	stop    chan struct{}
	tasks   sync.WaitGroup

	faults struct {
		sync.Mutex
		last    time.Time
		skipped int
	}
}

// OpenDisk opens or makes a store in a directory. Only one process at a time
// may have it open.
func OpenDisk(o DiskOptions) (*Disk, error) {
	if o.Size <= 0 {
		o.Size = 1 << 30
	}
	if o.Memory <= 0 {
		o.Memory = 64 << 20
	}
	if o.Object <= 0 {
		o.Object = o.Size / 4
	}
	if o.Small <= 0 {
		o.Small = 256 << 10
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	d := &Disk{
		dir: o.Dir, size: o.Size, limit: min(o.Object, o.Size), small: min(o.Small, o.Memory/64), log: o.Log,
		index: newIndex(), hot: newHot(o.Memory), full: make(chan int64, 1), stop: make(chan struct{}),
	}
	if err := os.MkdirAll(filepath.Join(d.dir, "tmp"), 0o700); err != nil && !readable(d.dir) {
		return nil, fmt.Errorf("make the cache directory: %w", err)
	}
	lock, err := lockDir(d.dir, true)
	for range 10 { // a command that looks whether a proxy runs holds it for a moment
		if !errors.Is(err, errLocked) {
			break
		}
		time.Sleep(20 * time.Millisecond)
		lock, err = lockDir(d.dir, true)
	}
	switch {
	case errors.Is(err, errLocked):
		return nil, fmt.Errorf("%w: %s", ErrInUse, d.dir)
	case err != nil:
		d.log.Warn("the cache directory cannot be written; keeping what fits in memory", zap.Error(err))
	default:
		d.lock = lock
		d.clean()
	}
	d.pending.init()
	d.tasks.Go(d.scan)
	d.tasks.Go(d.write)
	d.tasks.Go(d.watch)
	return d, nil
}

func readable(dir string) bool {
	_, err := os.ReadDir(dir)
	return err == nil
}

// ErrInUse is returned by OpenDisk, wrapped, for a directory that another
// process has open.
var ErrInUse = errors.New("the cache directory is in use by another process")

var errLocked = errors.New("locked by another process")

// lockDir takes the lock that tells that a proxy has the directory open; create
// makes the lock's file where there is none.
func lockDir(dir string, create bool) (*os.File, error) {
	flags := os.O_RDWR
	if create {
		flags |= os.O_CREATE
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), flags, 0o600)
	if err != nil {
		return nil, err
	}
	if err = tryLock(f); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// clean removes what a process that was killed left unfinished.
func (d *Disk) clean() {
	tmp := filepath.Join(d.dir, "tmp")
	files, _ := os.ReadDir(tmp)
	for _, f := range files {
		d.removeFile(filepath.Join(tmp, f.Name()))
	}
	d.removeFile(filepath.Join(d.dir, journal))
}

// fault logs that the disk failed, at most once in ten seconds.
func (d *Disk) fault(what string, err error) {
	d.faults.Lock()
	defer d.faults.Unlock()
	if time.Since(d.faults.last) < 10*time.Second {
		d.faults.skipped++
		return
	}
	d.log.Warn("cache: "+what, zap.Error(err), zap.Int("like it before", d.faults.skipped))
	d.faults.last, d.faults.skipped = time.Now(), 0
}

// path returns where the file of a name lies.
func (d *Disk) path(n name) string { return filePath(d.dir, n) }

func filePath(dir string, n name) string {
	var b [2*len(n) + 6]byte
	hex.Encode(b[6:], n[:])
	copy(b[:], []byte{b[6], b[7], '/', b[8], b[9], '/'})
	return dir + "/" + string(b[:])
}

// parseName reads the name of a file.
func parseName(s string) (n name, ok bool) {
	if len(s) != 2*len(n) || strings.ToLower(s) != s {
		return n, false
	}
	_, err := hex.Decode(n[:], []byte(s))
	return n, err == nil
}

func (d *Disk) keyLock(p primary) *sync.Mutex { return &d.locks[p[0]] }

// Limit implements Store.
func (d *Disk) Limit() int64 { return d.limit }

// Create implements Store.
func (d *Disk) Create(head *Head, size int64) (Writer, error) {
	if size > d.limit {
		return nil, ErrTooLarge
	}
	w := &diskWriter{disk: d, size: size}
	w.place.room = roomFor(len(encodeHead(head)))
	if size > d.small {
		w.place.room += 4096 // a head that grows must not cost a large body its place
	}
	if size > 0 && size <= d.small {
		w.buf = make([]byte, 0, min(size, 64<<10)) // what an origin says costs it nothing
	}
	return w, nil
}

// Update implements Store. The old head stays valid until the new one is whole.
func (d *Disk) Update(e *Entry, head *Head) (*Entry, error) {
	p := e.name.primary()
	mu := d.keyLock(p)
	mu.Lock()
	defer mu.Unlock()
	entries := d.load(p)
	i := slices.IndexFunc(entries, func(have *Entry) bool {
		return have == e || have.name == e.name && have.Head.ResponseTime == e.Head.ResponseTime &&
			have.place.sum == e.place.sum && have.Size == e.Size
	})
	if i < 0 {
		return nil, nil
	}
	old := entries[i]
	updated := &Entry{Head: head, Size: e.Size, name: e.name, disk: d}
	updated.place.copyFrom(&old.place)
	updated.memory.Store(old.memory.Load())
	if old.place.slot.Load() == nil {
		// Not written yet, or never: the room for its head is not fixed.
		updated.place.room = max(updated.place.room, roomFor(len(encodeHead(head))))
	}
	if !d.pending.replace(old, updated) && old.place.slot.Load() != nil {
		if err := d.rewriteHead(updated); err != nil {
			// Its file cannot be trusted to follow: the response is forgotten.
			d.fault("update a stored response", err)
			d.forget(p, entries, old)
			return nil, err
		}
	}
	d.hot.put(p, replaced(entries, updated))
	return updated, nil
}

// rewriteHead writes the head of e to the place that does not count now.
func (d *Disk) rewriteHead(e *Entry) error {
	f, err := os.OpenFile(d.path(e.name), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	known := e.place.checked(stampOf(info))
	slot := encodeSlot(e.place.seq+1, encodeHead(e.Head))
	off := e.place.base() + e.Size
	if e.place.inB {
		if len(slot) > int(e.place.room) {
			return fmt.Errorf("a head of %d octets has no room", len(slot))
		}
		off = prefixSize
	}
	if _, err = f.WriteAt(slot, off); err != nil {
		return err
	}
	e.place.seq++
	e.place.inB = !e.place.inB
	info, err = f.Stat()
	if err == nil {
		d.index.add(e.name, info.Size())
	}
	if err == nil && known {
		e.place.check(stampOf(info))
	} else {
		e.place.check(stamp{})
	}
	return nil
}

// Stats are figures of a store.
type Stats struct {
	Entries     int   // files known
	Bytes       int64 // octets on disk, in blocks
	Size        int64 // octets that may be
	HotKeys     int   // keys in memory
	HotBytes    int64 // octets of them
	Scanning    bool  // the files of an earlier run are still being found
	ReadOnly    bool  // the directory could not be locked for writing
	Description string
}

// Stats returns the figures of now.
func (d *Disk) Stats() Stats {
	s := Stats{Size: d.size, Scanning: !d.scanned.Load(), ReadOnly: d.lock == nil, Description: d.dir}
	s.Entries, s.Bytes = d.index.totals()
	s.HotKeys, s.HotBytes = d.hot.held()
	return s
}

// Close ends the store's own work and lets another process open the directory.
func (d *Disk) Close() error {
	close(d.stop)
	d.tasks.Wait()
	if d.lock == nil {
		return nil
	}
	return d.lock.Close()
}
