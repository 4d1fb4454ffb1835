package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.uber.org/zap"
)

// folder is one of the folders that the files lie in.
type folder struct {
	mu      sync.Mutex // for whoever scans it; a request for what may be in it waits
	scanned bool
	blocks  int64 // of the folder itself; Memory.mu guards it
}

// scan finds the files of an earlier run: only their names, heads are read when
// they are asked for.
func (d *Disk) scan() {
	began := time.Now()
	d.scanAll()
	if s := d.Stats(); s.Entries > 0 {
		d.log.Info("cache: the stored responses are counted",
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
	var gone []file
	type headFile struct {
		name name
		head uint64
	}
	var heads []headFile
	for _, s := range names {
		n, head, ok := parseName(s)
		switch {
		case !ok || n.primary().folder() != i: // not ours
		case head > 0:
			heads = append(heads, headFile{n, head})
		default:
			gone = append(gone, d.found(n)...)
		}
	}
	for _, h := range heads {
		gone = append(gone, d.foundHead(h.name, h.head)...)
	}
	d.removeFiles(gone)
	f.scanned = true
	d.measure(i)
	return true
}

// found enters a file. It is gone if its key was invalidated since it was
// written, while the folder could not be read.
func (d *Disk) found(n name) (gone []file) {
	d.mem.mu.Lock()
	defer d.mem.mu.Unlock()
	d.used += n.blocks()
	if n.serial() <= d.mem.counter(n.primary()).since {
		return []file{{name: n}}
	}
	d.index.add(n)
	return nil
}

// foundHead enters a head file. It is gone if its file is, or has a later one.
func (d *Disk) foundHead(n name, head uint64) (gone []file) {
	blocks := int64(1)
	if info, err := os.Stat(d.path(n, head)); err == nil {
		blocks = blocksOf(info.Size())
	}
	d.mem.mu.Lock()
	defer d.mem.mu.Unlock()
	d.used += blocks
	f := d.index.find(n)
	if f == nil || f.head > head {
		return []file{headOnly(n, head, blocks)}
	}
	before := d.index.setHead(f, head, blocks)
	if before.head == 0 {
		return nil
	}
	return []file{headOnly(n, before.head, int64(before.headBlocks))}
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

// removeOldLayout removes the files of versions that had a folder ab/cd for each
// file abcd…, and the folders.
func (d *Disk) removeOldLayout() {
	outer, _ := filepath.Glob(filepath.Join(d.dir, "[0-9a-f][0-9a-f]"))
	for _, dir := range outer {
		inner, _ := filepath.Glob(filepath.Join(dir, "[0-9a-f][0-9a-f]"))
		for _, sub := range inner {
			files, _ := os.ReadDir(sub)
			for _, f := range files {
				if len(f.Name()) == 64 && f.Name()[:4] == filepath.Base(dir)+filepath.Base(sub) {
					os.Remove(filepath.Join(sub, f.Name())) //nolint:errcheck // tried again at the next start
				}
			}
			os.Remove(sub) //nolint:errcheck // not empty: not ours
		}
		os.Remove(dir) //nolint:errcheck // not empty: not ours
	}
}
