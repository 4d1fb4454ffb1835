package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// spare is what a folder may grow by when it gets another file, in blocks.
const spare = 2

// tempSuffix ends the name of an unfinished file.
const tempSuffix = ".unfinished"

var errNoRoom = errors.New("no room can be made")

// tempFile is a file that is being written. Its blocks are reserved before they
// are written, and faults are reported here. It is for one goroutine, but for
// reading.
type tempFile struct {
	*os.File
	disk   *Disk
	length int64
	blocks int64
	placed bool
}

func (d *Disk) createTemp() (*tempFile, error) {
	path := filepath.Join(d.tempDir(), strconv.FormatUint(d.serial.Add(1), 36)+tempSuffix)
	create := func() (*os.File, error) { return os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600) }
	f, err := create()
	if errors.Is(err, fs.ErrNotExist) { // somebody has cleaned up
		if err = os.MkdirAll(d.tempDir(), 0o700); err == nil {
			f, err = create()
		}
	}
	if err != nil {
		return nil, d.failed("make a file", 1, err)
	}
	return &tempFile{File: f, disk: d}, nil
}

// Write appends to the file. Half of the store is for what is complete, whatever
// large files are being fetched.
func (t *tempFile) Write(p []byte) (int, error) {
	d, end := t.disk, t.length+int64(len(p))
	if more := blocksOf(end) - t.blocks; more > 0 {
		d.mem.mu.Lock()
		tooMuch := end > d.small && d.temps+more > d.size/2
		d.mem.mu.Unlock()
		if tooMuch {
			return 0, ErrTooLarge
		}
		if !d.reserve(more) {
			return 0, d.failed("make room", 0, errNoRoom)
		}
		t.take(more)
	}
	n, err := t.File.Write(p)
	t.length += int64(n)
	if err != nil {
		return n, d.failed("write a response", t.blocks, err)
	}
	return n, nil
}

func (t *tempFile) take(blocks int64) {
	t.disk.mem.mu.Lock()
	t.disk.temps += blocks
	t.disk.mem.mu.Unlock()
	t.blocks += blocks
}

// place moves the file to path, in the folder of n. Its blocks are the index's then.
func (t *tempFile) place(path string, n name) error {
	d, i := t.disk, n.primary().folder()
	if !d.reserve(spare) {
		return d.failed("make room", 0, errNoRoom)
	}
	defer d.unreserve(spare)
	err := os.Rename(t.Name(), path)
	for range 2 { // the folder is not there yet, or Clear has just removed it
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err = os.MkdirAll(d.folderPath(i), 0o700); err == nil {
			err = os.Rename(t.Name(), path)
		}
	}
	if err != nil {
		return d.failed("store a response", t.blocks, err)
	}
	d.writing.report("", nil)
	t.placed = true
	t.take(-t.blocks)
	d.measure(i)
	return nil
}

// placedAt describes the file, now that it is the one of that name, and right.
func (t *tempFile) placedAt(n name, sum uint32) *diskFile {
	at := &diskFile{disk: t.disk, name: n, sum: sum}
	if info, err := t.Stat(); err == nil {
		at.checked.Store(modified(info))
	}
	return at
}

// close removes the file if it was not placed.
func (t *tempFile) close() {
	t.Close()
	if t.placed {
		return
	}
	if err := os.Remove(t.Name()); err != nil {
		t.disk.writing.report("remove an unfinished file", err)
	}
	t.disk.unreserve(t.blocks)
	t.take(-t.blocks)
}

// failed reports err, of writing so many blocks, and returns it. If the disk is
// full although the store is not, since others write to it too, something is
// evicted.
func (d *Disk) failed(doing string, blocks int64, err error) error {
	d.writing.report(doing, err)
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		d.mem.mu.Lock()
		limit := d.index.blocks - 2*blocks - 1024
		d.mem.mu.Unlock()
		d.evict(func() bool { return d.index.blocks > limit })
	}
	return err
}
