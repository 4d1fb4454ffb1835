package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync/atomic"
)

// diskFile is where a body lies on disk.
type diskFile struct {
	disk *Disk
	name name
	sum  uint32
	// checked is the file's time of modification when its body was last known
	// to be right, in nanoseconds since 1970: a file that was not touched since
	// is not read through again.
	checked atomic.Int64
}

// readHeads reads the entries in files, the newest first. gone are files that
// are damaged, missing or out of date; all is false if others could not be read.
func (d *Disk) readHeads(files []file) (entries []*Entry, gone []file, all bool) {
	all = true
	var found []*Entry
	for _, f := range files {
		e, err := d.readEntry(f)
		if err == nil {
			found = append(found, e)
			continue
		}
		if isGone(err) {
			gone = append(gone, f)
		} else {
			all = false
		}
		if !errors.Is(err, fs.ErrNotExist) {
			d.reading.report("read "+d.headPath(f), err)
		}
	}
	// A process that was killed may have left a response and its successor.
	sortEntries(found)
	for _, e := range slices.Backward(found) {
		var old []*Entry
		entries, old = replaced(entries, e)
		for _, e := range old {
			gone = append(gone, files[slices.IndexFunc(files, func(f file) bool { return f.name == e.content.file })])
		}
	}
	return entries, gone, all
}

// isGone reports whether a file is not there or not worth anything.
func isGone(err error) bool { return errors.Is(err, errDamaged) || errors.Is(err, fs.ErrNotExist) }

// readEntry reads the head of a file that counts.
func (d *Disk) readEntry(f file) (*Entry, error) {
	head, err := os.Open(d.headPath(f))
	if err != nil {
		return nil, err
	}
	defer head.Close()
	e, sum, err := readHead(head, f.name, f.head > 0, d.rules)
	if err != nil {
		return nil, err
	}
	e.content = &content{file: f.name, source: &diskFile{disk: d, name: f.name, sum: sum}}
	return e, nil
}

// open implements source.
func (f *diskFile) open(e *Entry) (*Body, error) {
	body, err := f.openBody(e)
	switch {
	case err == nil:
		f.disk.reading.report("", nil)
	case !errors.Is(err, fs.ErrNotExist):
		f.disk.reading.report("read "+f.disk.path(f.name), err)
	}
	if err != nil && isGone(err) {
		f.disk.remove(e)
		err = fmt.Errorf("%w: %w", ErrGone, err)
	}
	return body, err
}

// openBody opens the body of e and checks it; a small one goes to memory.
func (f *diskFile) openBody(e *Entry) (*Body, error) {
	d := f.disk
	if e.Size <= min(d.small, copied) {
		file, err := os.Open(d.path(f.name))
		if err != nil {
			return nil, err
		}
		defer file.Close()
		data := make([]byte, e.Size)
		if err = readFull(file, data, 0); err != nil {
			return nil, err
		}
		if sumOf(data) != f.sum {
			return nil, errDamaged
		}
		if e.content.data.CompareAndSwap(nil, &data) {
			d.mem.mu.Lock()
			d.mem.grown(f.name.primary())
			d.mem.mu.Unlock()
		}
		return &Body{data: data, size: e.Size}, nil
	}
	file, err := d.open.open(d, f.name)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && info.Size() < e.Size {
		err = errDamaged
	}
	if touched := modified(info); err == nil && f.checked.Load() != touched {
		if err = checkBody(file, e.Size, f.sum); err == nil {
			f.checked.Store(touched)
		}
	}
	if err != nil {
		file.Close() //nolint:errcheck // only read from
		return nil, err
	}
	return &Body{file: file, size: e.Size}, nil
}

func modified(info fs.FileInfo) int64 {
	if info == nil {
		return 0
	}
	return info.ModTime().UnixNano()
}

// List implements Managed.
func (d *Disk) List(visit func(Info) bool) {
	d.scanAll()
	d.mem.mu.Lock()
	all := make(map[primary]struct{}, len(d.index.first))
	for p := range d.index.first {
		all[p] = struct{}{}
	}
	for p := range d.mem.sets {
		all[p] = struct{}{}
	}
	d.mem.mu.Unlock()
	for p := range all {
		for _, info := range d.infos(p) {
			if !visit(info) {
				return
			}
		}
	}
}

// Find implements Managed.
func (d *Disk) Find(key string) []Info {
	p := primaryOf(key)
	d.scanFolder(p.folder())
	return slices.DeleteFunc(d.infos(p), func(i Info) bool { return i.Key != key })
}

// infos describes what is stored under p. It does not count as a use, and takes
// no place in memory from what is used.
func (d *Disk) infos(p primary) (infos []Info) {
	d.mem.mu.Lock()
	var entries []*Entry
	s, held := d.mem.sets[p]
	if held {
		entries = s.entries
	}
	files := d.index.files(p)
	d.mem.mu.Unlock()
	if !held {
		entries, _, _ = d.readHeads(files)
	}
	for _, e := range entries {
		info := Info{Entry: e}
		d.mem.mu.Lock()
		if e.content.file != (name{}) {
			info.Path = d.path(e.content.file)
		}
		d.mem.mu.Unlock()
		infos = append(infos, info)
	}
	return infos
}
