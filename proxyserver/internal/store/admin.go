package store

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// journal is the file through which another process tells the one that has the
// directory open what it removed: a line for each, the primary half of a name
// in hexadecimal, or "*" for all.
const journal = "purged"

// Dir is a cache directory seen from outside, beside a running proxy or
// without one. It never writes a response.
type Dir struct{ path string }

// OpenDir returns the store in a directory for looking into it and for
// removing.
func OpenDir(path string) (*Dir, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("open the cache directory: %w", err)
	}
	return &Dir{path}, nil
}

// Info describes a stored response.
type Info struct {
	Head *Head
	Size int64  // octets of body
	Path string // of its file
}

// List calls visit for each stored response, in no order, until it returns
// false. Files that are damaged are passed over.
func (d *Dir) List(visit func(Info) bool) error {
	return filepath.WalkDir(d.path, func(path string, f fs.DirEntry, err error) error {
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // evicted meanwhile
			}
			return err
		}
		n, ok := parseName(f.Name())
		if !ok || f.IsDir() {
			return nil
		}
		info, err := d.info(path, n)
		if err != nil {
			return nil //nolint:nilerr // damaged or gone: not stored
		}
		if !visit(info) {
			return fs.SkipAll
		}
		return nil
	})
}

func (d *Dir) info(path string, n name) (Info, error) {
	f, err := os.Open(path)
	if err != nil {
		return Info{}, err
	}
	defer f.Close()
	e, err := readEntry(f, n)
	if err != nil {
		return Info{}, err
	}
	return Info{Head: e.Head, Size: e.Size, Path: path}, nil
}

// Find returns what is stored under a key, the newest first.
func (d *Dir) Find(key string) ([]Info, error) {
	names, err := d.names(primaryOf(key))
	if err != nil {
		return nil, err
	}
	var found []Info
	for _, n := range names {
		if info, err := d.info(filePath(d.path, n), n); err == nil && info.Head.Key == key {
			found = append(found, info)
		}
	}
	for i := 1; i < len(found); i++ {
		for j := i; j > 0 && found[j].Head.ResponseTime > found[j-1].Head.ResponseTime; j-- {
			found[j], found[j-1] = found[j-1], found[j]
		}
	}
	return found, nil
}

func (d *Dir) names(p primary) ([]name, error) {
	var n name
	copy(n[:], p[:])
	files, err := os.ReadDir(filepath.Dir(filePath(d.path, n)))
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		return nil, err
	}
	var names []name
	for _, f := range files {
		if n, ok := parseName(f.Name()); ok && n.primary() == p {
			names = append(names, n)
		}
	}
	return names, nil
}

// Purge removes what is stored under a key and returns how many responses that
// were. A running proxy has forgotten them when it returns.
func (d *Dir) Purge(key string) (int, error) {
	p := primaryOf(key)
	names, err := d.names(p)
	if err != nil {
		return 0, err
	}
	if err = d.tell(hex.EncodeToString(p[:])); err != nil {
		return 0, err
	}
	for _, n := range names {
		if err = os.Remove(filePath(d.path, n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, err
		}
	}
	return len(names), nil
}

// PurgeAll removes everything and returns how many responses that were.
func (d *Dir) PurgeAll() (int, error) {
	count := 0
	err := filepath.WalkDir(d.path, func(path string, f fs.DirEntry, err error) error {
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		}
		if _, ok := parseName(f.Name()); ok && !f.IsDir() {
			if err = os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			count++
		}
		return nil
	})
	if err != nil {
		return count, err
	}
	return count, d.tell("*")
}

// tell writes a line for the proxy that has the directory open, if there is
// one, and waits until it has read it.
func (d *Dir) tell(line string) error {
	lock, err := lockDir(d.path, false)
	switch {
	case err == nil:
		lock.Close()
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case !errors.Is(err, errLocked):
		return err
	}
	path := filepath.Join(d.path, journal)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if err = lockFile(f); err != nil {
		return err
	}
	_, err = f.WriteString(line + "\n")
	if unlockErr := unlockFile(f); err == nil {
		err = unlockErr
	}
	if err != nil {
		return err
	}
	for range 100 {
		if info, err := f.Stat(); err == nil && info.Size() == 0 {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("the running proxy did not take note of it within 5 s")
}

// watch reads the journal for as long as the store is open.
func (d *Disk) watch() {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-d.stop:
			return
		case room := <-d.full:
			_, bytes := d.index.totals()
			d.evict(max(bytes-room, 0))
		case <-tick.C:
			if info, err := os.Stat(filepath.Join(d.dir, journal)); err == nil && info.Size() > 0 {
				if err = d.readJournal(); err != nil {
					d.fault("read the list of purged responses", err)
				}
			}
		}
	}
}

func (d *Disk) readJournal() error {
	f, err := os.OpenFile(filepath.Join(d.dir, journal), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if err = lockFile(f); err != nil {
		return err
	}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if lines.Text() == "*" {
			d.Clear()
			continue
		}
		var p primary
		if n, bad := hex.Decode(p[:], lines.Bytes()); bad != nil || n != len(p) {
			continue
		}
		mu := d.keyLock(p)
		mu.Lock()
		d.removePrimary(p)
		mu.Unlock()
	}
	if err = lines.Err(); err != nil {
		return err
	}
	return f.Truncate(0)
}
