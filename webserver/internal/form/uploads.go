package form

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"
)

const (
	tempPrefix = ".upload-"
	tempSuffix = ".tmp"

	// recountEvery is how soon a full store is counted again, in case someone
	// has made room in it.
	recountEvery = 10 * time.Second
)

// Quota bounds an upload directory.
type Quota struct {
	PerRequest int64 // bytes of all files of one request; 0 means no bound of its own
	Total      int64 // bytes of all files in the directory, older ones included; 0 means no bound
	Files      int64 // files in the directory, empty ones as well; 0 means no bound
}

// Uploads is a directory that receives files. A file appears in it whole or not
// at all, under a name made by SafeName, and never replaces another: the second
// report.pdf becomes report-1.pdf. Files get the mode 0644, less the umask.
//
// One process at a time uses a directory. The methods are safe for concurrent
// use.
type Uploads struct {
	root  *os.Root
	quota Quota

	// naming is held while files get their names, and while all are counted: the disk
	// may be slow. Those who are receiving meanwhile need mu only.
	naming sync.Mutex
	next   map[string]int // by name: the number that the next file of that name tries first

	mu        sync.Mutex
	stored    usage // of finished files
	pending   usage // of files being received
	recounted time.Time
	now       func() time.Time                    // the clock
	link      func(oldname, newname string) error // root.Link, unless a test takes it away
}

// usage is what files take of a quota.
type usage struct{ bytes, files int64 }

func (u *usage) add(v usage) { u.bytes, u.files = u.bytes+v.bytes, u.files+v.files }

func (u *usage) remove(v usage) { u.bytes, u.files = u.bytes-v.bytes, u.files-v.files }

// OpenUploads opens the directory dir, which must exist, removes what an
// earlier process left unfinished, and counts what is there.
func OpenUploads(dir string, quota Quota) (*Uploads, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open upload directory: %w", err)
	}
	u := &Uploads{root: root, quota: quota, now: time.Now, link: root.Link, next: map[string]int{}}
	if err = u.removeTemporaries(); err == nil {
		u.stored, err = u.count()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("prepare upload directory %s: %w", dir, err), root.Close())
	}
	return u, nil
}

// Close releases the directory. Requests under way fail.
func (u *Uploads) Close() error { return u.root.Close() }

// Used returns the bytes that count against the total quota.
func (u *Uploads) Used() int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.stored.bytes + u.pending.bytes
}

func isTemporary(name string) bool {
	return strings.HasPrefix(name, tempPrefix) && strings.HasSuffix(name, tempSuffix)
}

func (u *Uploads) removeTemporaries() error {
	entries, err := fs.ReadDir(u.root.FS(), ".")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Type().IsRegular() && isTemporary(e.Name()) {
			if err := u.root.Remove(e.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

// count adds up the regular files at all depths, temporaries aside.
func (u *Uploads) count() (total usage, err error) {
	err = fs.WalkDir(u.root.FS(), ".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err == nil:
		case path != "." && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)):
			return nil // removed meanwhile, or not ours (lost+found)
		default:
			return err
		}
		if !d.Type().IsRegular() || isTemporary(d.Name()) {
			return nil
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		total.add(usage{info.Size(), 1})
		return nil
	})
	return total, err
}

// reserve admits more bytes and files, or says that the store is full.
func (u *Uploads) reserve(more usage) error {
	recount, err := u.tryReserve(more)
	if !recount {
		return err
	}
	u.naming.Lock()
	if stored, countErr := u.count(); countErr == nil {
		u.mu.Lock()
		u.stored = stored
		u.mu.Unlock()
	}
	u.naming.Unlock()
	_, err = u.tryReserve(more)
	return err
}

// tryReserve also reports whether it is time to count what is stored.
func (u *Uploads) tryReserve(more usage) (recount bool, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if err = u.full(more); err == nil {
		u.pending.add(more)
		return false, nil
	}
	now := u.now()
	if recount = now.Sub(u.recounted) >= recountEvery; recount {
		u.recounted = now
	}
	return recount, err
}

// full says which quota more would be over. The caller holds u.mu.
func (u *Uploads) full(more usage) error {
	switch {
	case u.quota.Total > 0 && more.bytes > u.quota.Total-u.stored.bytes-u.pending.bytes:
		return tooLarge("the upload directory is full: its quota is %d bytes", u.quota.Total)
	case u.quota.Files > 0 && more.files > u.quota.Files-u.stored.files-u.pending.files:
		return tooLarge("the upload directory is full: its quota is %d files", u.quota.Files)
	}
	return nil
}
