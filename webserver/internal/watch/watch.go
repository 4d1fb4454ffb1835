// Package watch has a program read its files again when they change: a renewed
// certificate, a new password.
//
// There is no goroutine and no kernel notice: who uses what was read asks first,
// and at most once a second that costs a look at the files. So it works on every
// file system, and nothing has to be ended.
package watch

import (
	"fmt"
	"os"
	"sync"
	"time"
)

const (
	// Every is how often a change is looked for.
	Every = time.Second
	// settled is how old a file must be for its modification time to tell one
	// version from the next.
	settled = 2 * time.Second
)

// Files are some files that are read together.
type Files struct {
	paths []string
	load  func() error
	stays string

	mu        sync.Mutex // held by the one who looks and reads
	loaded    []version  // good or bad
	loadedAt  time.Time
	checkedAt time.Time
	lastErr   string // told about this version
}

// New calls load, which reads the files, and returns its error. stays says what is
// in force while a changed file cannot be used: "the old users stay".
func New(now time.Time, stays string, load func() error, paths ...string) (*Files, error) {
	f := &Files{paths: paths, load: load, stays: stays, checkedAt: now}
	return f, f.reload(f.look(), now)
}

// Refresh calls load again if the files have changed since the last time. An error
// is new: it is returned once, until the files change again. It may be called
// concurrently: while one caller reads, which may take long, the others go on with
// what was read before.
func (f *Files) Refresh(now time.Time) error {
	if !f.mu.TryLock() {
		return nil
	}
	defer f.mu.Unlock()
	if since := now.Sub(f.checkedAt); since >= 0 && since < Every {
		return nil
	}
	f.checkedAt = now
	current := f.look()
	if f.unchanged(current) {
		return nil
	}
	err := f.reload(current, now)
	if err == nil {
		f.lastErr = ""
		return nil
	}
	if err.Error() == f.lastErr {
		return nil
	}
	f.lastErr = err.Error()
	return fmt.Errorf("%w; %s", err, f.stays)
}

// reload reads the files, of which current is the state before.
func (f *Files) reload(current []version, now time.Time) error {
	f.loaded, f.loadedAt = current, now
	return f.load()
}

func (f *Files) look() []version {
	versions := make([]version, 0, len(f.paths))
	for _, path := range f.paths {
		info, err := os.Stat(path)
		if err != nil {
			versions = append(versions, version{err: err.Error()})
			continue
		}
		versions = append(versions, version{info: info})
	}
	return versions
}

func (f *Files) unchanged(current []version) bool {
	for i, v := range current {
		if !v.same(f.loaded[i]) || v.info != nil && f.unsettled(v.info.ModTime()) {
			return false
		}
	}
	return true
}

// unsettled reports whether a file of that time was read so soon that it may have
// changed since. A time ahead of ours is another machine's, or set by hand, and says
// nothing.
func (f *Files) unsettled(modified time.Time) bool {
	age := f.loadedAt.Sub(modified)
	return -settled < age && age <= settled
}

// version tells one state of a file from another.
type version struct {
	info os.FileInfo // nil if it cannot be looked at
	err  string
}

func (v version) same(w version) bool {
	if v.info == nil || w.info == nil {
		return v.info == w.info && v.err == w.err
	}
	return os.SameFile(v.info, w.info) && v.info.Size() == w.info.Size() && v.info.ModTime().Equal(w.info.ModTime())
}
