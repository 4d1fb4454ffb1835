package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
)

// folder is one of the folders that the files lie in.
type folder struct {
	mu      sync.Mutex // for whoever scans it; a request for what may be in it waits
	scanned bool
	blocks  int64 // of the folder itself; memory.mu guards it
}

// scan finds the files of an earlier run: only their names, heads are read when
// they are asked for.
func (d *Disk) scan() {
	began := time.Now()
	d.scanAll()
	if s := d.Stats(); s.Entries > 0 {
		d.log.Debug("cache: the stored responses are counted",
			zap.Int("responses", s.Entries), zap.Int64("bytes", s.Bytes), zap.Duration("took", time.Since(began)))
	}
	d.reserve(0)
	if d.lock != nil {
		d.removeOldLayout()
	}
}

// scanAll returns when all folders are scanned, or cannot be read now.
func (d *Disk) scanAll() {
	if d.scanned.Load() {
		return
	}
	whole := true
	for i := range folders {
		whole = d.scanFolder(i) && whole
	}
	d.scanned.Store(whole)
}

// scanFolder enters the files in a folder into the index, once; false if the
// folder cannot be read now. Nothing is written into a folder before that.
func (d *Disk) scanFolder(i int) bool {
	f := &d.folders[i]
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.scanned {
		return true
	}
	path := d.folderPath(i)
	dir, err := os.Open(path)
	var names []string
	if err == nil {
		names, err = dir.Readdirnames(-1) // unsorted, and without a look at each file
		dir.Close()
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.reading.report("read "+path, err)
		return false
	}
	var heads []name
	for _, s := range names {
		n, isHead, ok := parseName(s)
		switch {
		case !ok || n.primary().folder() != i: // not ours
		case isHead:
			heads = append(heads, n)
		default:
			d.found(n)
		}
	}
	for _, n := range heads {
		d.foundHead(n)
	}
	f.scanned = true
	d.measure(i)
	return true
}

// found enters a file, unless its key was invalidated since it was written,
// while the folder could not be read.
func (d *Disk) found(n name) {
	d.mem.mu.Lock()
	d.used += n.blocks()
	gone := n.serial() <= d.mem.counter(n.primary()).since
	if !gone {
		d.index.add(n)
	}
	d.mem.mu.Unlock()
	if gone {
		d.removeFiles([]file{{name: n}})
	}
}

// foundHead enters a head file. If its file is gone, so is it.
func (d *Disk) foundHead(n name) {
	path := d.path(n) + headSuffix
	info, err := os.Stat(path)
	if err != nil {
		d.reading.report("read "+path, err)
		return
	}
	d.mem.mu.Lock()
	f := d.index.find(n)
	if f != nil {
		d.index.setHead(f, max(1, blocksOf(info.Size())))
		d.used += int64(f.head)
	}
	d.mem.mu.Unlock()
	if f == nil {
		os.Remove(path) //nolint:errcheck // tried again at the next start
	}
}

// measure notes what a folder takes now. Few file systems make one smaller that
// has grown, so an emptied one is worth removing.
func (d *Disk) measure(i int) {
	blocks := folderBlocks(d.folderPath(i))
	d.mem.mu.Lock()
	defer d.mem.mu.Unlock()
	d.used += blocks - d.folders[i].blocks
	d.folders[i].blocks = blocks
}

// removeOldLayout removes the files ab/cd/abcd… of earlier versions, and their
// folders as far as they are empty then.
func (d *Disk) removeOldLayout() {
	const digit = "[0-9a-f]"
	outer, _ := filepath.Glob(filepath.Join(d.dir, digit+digit))
	for _, dir := range outer {
		files, _ := filepath.Glob(filepath.Join(dir, digit+digit, strings.Repeat(digit, 64)))
		inner, _ := filepath.Glob(filepath.Join(dir, digit+digit))
		for _, path := range append(append(files, inner...), dir) {
			os.Remove(path) //nolint:errcheck // a folder with something else in it stays
		}
	}
}
