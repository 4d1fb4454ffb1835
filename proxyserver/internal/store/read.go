package store

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.uber.org/zap"
)

// Lookup implements Store.
func (d *Disk) Lookup(key string) []*Entry {
	p := primaryOf(key)
	entries, ok := d.hot.get(p)
	if !ok {
		if d.scanned.Load() && !d.index.has(p) && !d.pending.has(p) {
			return nil
		}
		mu := d.keyLock(p)
		mu.Lock()
		entries = d.load(p)
		mu.Unlock()
	}
	if len(entries) == 0 || entries[0].Head.Key != key {
		return nil
	}
	for _, e := range entries {
		e.place.slot.Load().use()
	}
	return entries
}

// load returns the entries under p, read from their files if they are not in
// memory. The key is locked.
func (d *Disk) load(p primary) []*Entry {
	if entries, ok := d.hot.get(p); ok {
		return entries
	}
	if !d.scanned.Load() {
		d.probe(p)
	}
	entries := d.pending.under(p)
	complete := true
	for _, n := range d.index.names(p) {
		if hasName(entries, n) {
			continue // about to be replaced
		}
		e, err := d.read(n)
		if err != nil {
			complete = d.discard(n, err) && complete
			continue
		}
		entries = append(entries, e)
	}
	sortEntries(entries)
	if complete {
		d.hot.put(p, entries)
	}
	return entries
}

// probe adds the files under p to the index, for a request that comes before
// the scan has passed there.
func (d *Disk) probe(p primary) {
	dir := filepath.Dir(d.path(name(append(p[:], make([]byte, 16)...))))
	prefix := hex.EncodeToString(p[:])
	files, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, f := range files {
		if strings.HasPrefix(f.Name(), prefix) {
			d.found(f)
		}
	}
}

// found adds a file that a directory lists.
func (d *Disk) found(f fs.DirEntry) {
	n, ok := parseName(f.Name())
	if !ok {
		return
	}
	info, err := f.Info()
	if err == nil && info.Mode().IsRegular() {
		d.index.add(n, info.Size())
	}
}

// read reads the head of a stored response.
func (d *Disk) read(n name) (*Entry, error) {
	f, err := os.Open(d.path(n))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	e, err := readEntry(f, n)
	if err != nil {
		return nil, err
	}
	e.disk = d
	e.place.slot.Store(d.index.find(n))
	return e, nil
}

// discard forgets a file that is gone or damaged, and removes what is left of
// it. It returns false for any other error: the file may be read another time.
func (d *Disk) discard(n name, err error) bool {
	switch {
	case errors.Is(err, errDamaged) || errors.Is(err, errHead):
		d.log.Warn("cache: a damaged file was removed", zap.String("file", d.path(n)))
		d.removeFile(d.path(n))
	case !errors.Is(err, fs.ErrNotExist):
		d.fault("read a file of the cache", err)
		return false
	}
	d.index.remove(n)
	return true
}

// open opens the body of e, whose file may have changed since its head was
// read.
func (d *Disk) open(e *Entry) (Body, error) {
	body, err := d.openFile(e)
	if err == nil {
		return body, nil
	}
	p := e.name.primary()
	mu := d.keyLock(p)
	mu.Lock()
	defer mu.Unlock()
	entries, _ := d.hot.get(p)
	switch {
	case !slices.Contains(entries, e):
	case d.discard(e.name, err):
		d.hot.put(p, without(entries, e.name))
	default:
		return Body{}, err
	}
	return Body{}, fmt.Errorf("%w: %w", ErrGone, err)
}

func (d *Disk) openFile(e *Entry) (Body, error) {
	f, err := os.Open(d.path(e.name))
	if err != nil {
		return Body{}, err
	}
	body, err := d.section(e, f)
	if err != nil || body.file == nil {
		f.Close()
	}
	return body, err
}

// section finds the body in f. What has been checked before is not checked
// again as long as the file was not touched; a small body goes to memory.
func (d *Disk) section(e *Entry, f *os.File) (Body, error) {
	info, err := f.Stat()
	if err != nil {
		return Body{}, err
	}
	now := stampOf(info)
	known := e.place.checked(now)
	base := e.place.base()
	if !known {
		var buf [prefixSize]byte
		if _, err = f.ReadAt(buf[:], 0); err != nil {
			return Body{}, errDamaged
		}
		room, sum, size, bad := parsePrefix(buf[:], e.name)
		if bad != nil {
			return Body{}, bad
		}
		if size != e.Size || sum != e.place.sum {
			return Body{}, fs.ErrNotExist // replaced by another
		}
		base = prefixSize + int64(room)
	}
	if e.Size <= d.small {
		data := make([]byte, e.Size)
		if n, short := f.ReadAt(data, base); n < len(data) {
			return Body{}, fmt.Errorf("%w: %w", errDamaged, short)
		}
		if !known && sumOf(data) != e.place.sum {
			return Body{}, errDamaged
		}
		if e.memory.CompareAndSwap(nil, &data) {
			d.hot.grown(e.name.primary(), e, e.Size)
		}
		return Body{data: data, size: e.Size}, nil
	}
	if !known {
		if err = checkBody(f, base, e.Size, e.place.sum); err != nil {
			return Body{}, err
		}
		// Only if it was not touched meanwhile.
		if after, err := f.Stat(); err == nil && stampOf(after) == now {
			e.place.check(now)
		}
	}
	return Body{file: f, base: base, size: e.Size, m: d.mapping(e, f, now, base)}, nil
}

// mapping returns a reference to the mapping of e's file, whose stamp is now,
// and makes one if there is none; nil if there can be none.
func (d *Disk) mapping(e *Entry, f *os.File, now stamp, base int64) *mapping {
	m := e.mapped.Load()
	if m != nil && m.inode == now.inode && m.acquire() {
		return m
	}
	if m != nil {
		return nil // of another file; it goes with the entry
	}
	m, err := mapBody(f, now.inode, base, e.Size, &d.mappings)
	if err != nil {
		return nil
	}
	m.acquire()
	if !d.hot.mapped(e.name.primary(), e, m) {
		m.release() // for this time only
	}
	return m
}
