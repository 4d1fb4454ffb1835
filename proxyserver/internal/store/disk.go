package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"topdown/proxyserver/internal/rules"

	"go.uber.org/zap"
)

// DiskOptions are the options of OpenDisk.
type DiskOptions struct {
	Dir    string       // created if need be
	Size   int64        // bytes on disk at most, in blocks of 4 KiB, folders included; default 1 GiB
	Memory int64        // bytes of heads and small bodies held in memory; default 64 MiB
	Object int64        // bytes of the largest body; default a quarter of Size
	Small  int64        // bytes of the largest body that waits in memory to be written; default 256 KiB, at most Memory/64
	Rules  rules.Config // what heads are read with; Lab evicts the least recently used
	Log    *zap.Logger  // default: none
}

// Disk is a store in a directory: a file for each response, in sixteen folders.
// Small responses are in memory at once and on disk a moment later. What lies
// in the directory when it is opened is found by a scan in the background, or
// earlier by the first request for something in a folder.
//
// A disk that is full, read-only or broken costs hits, never answers: small
// responses are then kept in memory alone, and the log has a line.
type Disk struct {
	dir    string
	size   int64 // blocks
	object int64
	small  int64
	rules  rules.Config
	log    *zap.Logger

	mem     *memory  // its mu guards all down to closed
	index   *index   // of the files
	used    int64    // blocks of all that is on disk, or about to be
	temps   int64    // blocks of them in temporary files
	queue   []*Entry // to be written, in order
	busy    bool     // one is being written
	behind  bool     // the queue has been full since it was empty
	closed  bool
	evicted uint64

	work    sync.Cond // something to write, or closed
	idle    sync.Cond // nothing to write
	lock    *os.File  // nil if the directory cannot be written
	serial  atomic.Uint64
	folders [folders]folder
	scanned atomic.Bool // all folders are
	open    *openFiles

	reading, writing health
	tasks            sync.WaitGroup
}

// ErrInUse is returned by OpenDisk, wrapped, for a directory that another
// process has open.
var ErrInUse = errors.New("the cache directory is in use by another process")

var errLocked = errors.New("locked by another process")

// NewMemory returns a store without a directory: of size bytes, default 64 MiB,
// and bodies of object bytes at most, default a quarter of size.
func NewMemory(size, object int64) *Disk {
	if size <= 0 {
		size = 64 << 20
	}
	if object <= 0 {
		object = size / 4
	}
	d := newDisk(DiskOptions{Memory: size, Object: min(object, size), Small: min(object, size), Log: zap.NewNop()})
	d.scanned.Store(true)
	return d
}

func newDisk(o DiskOptions) *Disk {
	d := &Disk{
		dir: o.Dir, size: o.Size / blockSize, object: o.Object, small: o.Small,
		rules: o.Rules, log: o.Log, mem: newMemory(o.Memory, o.Rules.Lab), index: newIndex(o.Rules.Lab),
		reading: health{log: o.Log, what: "the disk cannot be read", well: "the disk can be read again"},
		writing: health{log: o.Log, what: "the disk cannot be written; small responses are kept in memory", well: "the disk can be written again"},
	}
	d.open = newOpenFiles()
	d.work.L, d.idle.L = &d.mem.mu, &d.mem.mu
	d.serial.Store(uint64(time.Now().UnixMicro()))
	return d
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
	o.Object, o.Small = min(o.Object, o.Size), min(o.Small, o.Memory/64)
	d := newDisk(o)
	if err := os.MkdirAll(d.tempDir(), 0o700); err != nil {
		if _, unreadable := os.ReadDir(d.dir); unreadable != nil {
			return nil, fmt.Errorf("make the cache directory: %w", err)
		}
	}
	lock, err := lockDir(d.dir)
	switch {
	case errors.Is(err, errLocked):
		return nil, fmt.Errorf("%w: %s", ErrInUse, d.dir)
	case err != nil:
		d.writing.report("open the cache directory", err)
	default:
		d.lock = lock
		d.cleanTemp()
		d.tasks.Go(d.writeQueue)
	}
	d.used = folderBlocks(d.dir) + folderBlocks(d.tempDir())
	d.tasks.Go(d.scan)
	return d, nil
}

// lockDir takes the lock that tells that a process has the directory open.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err = tryLock(f); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (d *Disk) tempDir() string { return filepath.Join(d.dir, "tmp") }

// cleanTemp removes what a process that was killed left unfinished. Whatever else
// lies there is the user's, who has named a directory in use.
func (d *Disk) cleanTemp() {
	files, err := os.ReadDir(d.tempDir())
	for _, f := range files {
		if strings.HasSuffix(f.Name(), tempSuffix) {
			err = errors.Join(err, os.Remove(filepath.Join(d.tempDir(), f.Name())))
		}
	}
	d.writing.report("remove unfinished files", err)
}

// folderBlocks returns the blocks that a folder itself takes.
func folderBlocks(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return blocksOf(info.Size())
}

// Limit implements Store.
func (d *Disk) Limit() int64 { return d.object }

// Lookup implements Store.
func (d *Disk) Lookup(_ context.Context, key string) ([]*Entry, Generation) {
	p := primaryOf(key)
	entries := d.lockKey(p)
	defer d.mem.mu.Unlock()
	d.index.use(p)
	return under(entries, key), d.mem.generation(p)
}

// lockKey locks mem.mu and returns all that is stored under p, reading the heads
// if they are not in memory. That is done unlocked, so it counts only if nothing
// under p has changed meanwhile.
func (d *Disk) lockKey(p primary) []*Entry {
	if !d.scanned.Load() {
		d.scanFolder(p.folder())
	}
	for {
		d.mem.mu.Lock()
		if entries, ok := d.mem.get(p); ok {
			return entries
		}
		files := d.index.files(p)
		if len(files) == 0 {
			return nil
		}
		before := d.mem.counter(p).changes
		d.mem.mu.Unlock()
		entries, gone, all := d.readHeads(files)
		d.mem.mu.Lock()
		if d.mem.counter(p).changes != before {
			d.mem.mu.Unlock()
			continue
		}
		for _, f := range gone {
			d.index.remove(f.name)
		}
		if all {
			d.mem.put(p, entries)
		}
		if len(gone) == 0 {
			return entries
		}
		d.mem.mu.Unlock()
		d.removeFiles(gone)
	}
}

// current returns the entry that e is in entries, nil if it is no longer there.
// It is another one if the heads were read again meanwhile.
func current(entries []*Entry, e *Entry) *Entry {
	i := slices.IndexFunc(entries, func(have *Entry) bool {
		return have == e || have.Key == e.Key && have.content.file != name{} && have.content.file == e.content.file &&
			have.Stored.ResponseTime.Equal(e.Stored.ResponseTime)
	})
	if i < 0 {
		return nil
	}
	return entries[i]
}

// Update implements Store. The old head counts until the new one is whole.
func (d *Disk) Update(_ context.Context, e *Entry, stored *rules.Stored) (*Entry, error) {
	p := primaryOf(e.Key)
	entries := d.lockKey(p)
	old := current(entries, e)
	if old == nil {
		d.mem.mu.Unlock()
		return nil, ErrGone
	}
	updated := newEntry(e.Key, stored, old.Size, old.content)
	var gone []file
	if !d.enqueue(updated) {
		// The file cannot follow, so it goes: it would be out of date.
		gone = d.drop(old)
	}
	if _, ok := updated.Bytes(); !ok && len(gone) > 0 {
		d.mem.put(p, without(entries, old))
		updated = nil
	} else {
		d.mem.put(p, exchanged(entries, old, updated))
	}
	d.mem.mu.Unlock()
	d.removeFiles(gone)
	if updated == nil {
		return nil, errBehind
	}
	return updated, nil
}

// Remove implements Store.
func (d *Disk) Remove(_ context.Context, e *Entry) { d.remove(e) }

func (d *Disk) remove(e *Entry) {
	p := primaryOf(e.Key)
	entries := d.lockKey(p)
	var gone []file
	if e = current(entries, e); e != nil {
		gone = d.drop(e)
		d.mem.put(p, without(entries, e))
	}
	d.mem.mu.Unlock()
	d.removeFiles(gone)
}

// drop takes the files of entries out of the index. mem.mu is locked, and
// whoever calls removes the files once it is not.
func (d *Disk) drop(entries ...*Entry) (gone []file) {
	for _, e := range entries {
		if f, ok := d.index.remove(e.content.file); ok {
			gone = append(gone, f)
		}
		e.content.file = name{}
	}
	return gone
}

// Invalidate implements Store. What waits to be written, or is being written,
// is dropped when it is looked for in memory again.
func (d *Disk) Invalidate(_ context.Context, key string) int {
	p := primaryOf(key)
	if !d.scanned.Load() {
		d.scanFolder(p.folder())
	}
	d.mem.mu.Lock()
	entries, _ := d.mem.get(p)
	gone := d.index.files(p)
	for _, f := range gone {
		d.index.remove(f.name)
	}
	d.mem.invalidate(p)
	d.mem.counter(p).since = d.serial.Load()
	d.mem.put(p, nil)
	d.mem.mu.Unlock()
	d.removeFiles(gone)
	return max(len(entries), len(gone))
}

// Clear implements Store. Folders go too.
func (d *Disk) Clear(context.Context) int {
	d.scanAll()
	m := d.mem
	m.mu.Lock()
	n := d.index.queue.count
	for _, s := range m.sets {
		for _, e := range s.entries {
			if e.content.file == (name{}) {
				n++
			}
		}
	}
	gone := make([]file, 0, d.index.queue.count)
	for p := range d.index.first {
		gone = append(gone, d.index.files(p)...)
	}
	m.clear()
	for i := range m.counters {
		m.counters[i].since = d.serial.Load()
	}
	d.index = newIndex(d.rules.Lab)
	m.mu.Unlock()
	d.removeFiles(gone)
	for i := range folders {
		if os.Remove(d.folderPath(i)) == nil {
			d.measure(i)
		}
	}
	return n
}

// Stats are figures of a store.
type Stats struct {
	Entries   int    // stored responses
	Bytes     int64  // bytes on disk, in blocks, with folders and unfinished files
	Size      int64  // bytes that may be
	HotBytes  int64  // bytes of them
	Evictions uint64 // responses evicted to make room, since the start
	Failing   bool   // the disk fails
}

// Stats returns the figures of now.
func (d *Disk) Stats() Stats {
	s := Stats{Size: d.size * blockSize, Failing: !d.reading.ok() || !d.writing.ok()}
	d.mem.mu.Lock()
	defer d.mem.mu.Unlock()
	s.HotBytes = d.mem.bytes
	if d.dir == "" {
		s.Entries, s.Bytes, s.Size, s.Evictions = d.mem.entries, d.mem.bytes, d.mem.limit, d.mem.evicted
	} else {
		s.Entries, s.Bytes, s.Evictions = d.index.queue.count, d.used*blockSize, d.evicted
	}
	return s
}

// Close writes what waits and lets another process open the directory.
func (d *Disk) Close() error {
	d.mem.mu.Lock()
	closed := d.closed
	d.closed = true
	d.work.Broadcast()
	d.mem.mu.Unlock()
	if closed {
		return nil
	}
	d.tasks.Wait()
	d.open.close()
	if d.lock == nil {
		return nil
	}
	return d.lock.Close()
}
