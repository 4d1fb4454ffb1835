// Package site finds the file that a URL path names, below one root and
// nowhere else, and keeps small files ready to send.
//
// What it refuses: paths that leave the root in any spelling, symbolic links
// that do, hidden files, files that others may not read, and everything that is
// no regular file or directory. What it promises: a request that is sent after a
// change has ended gets the new form, and one entity tag never stands for two contents
// (RFC 9110, section 8.8).
//
// It knows nothing of requests and responses but header fields. Reading order:
// site.go (find), path.go, tree.go, hot.go, looks.go and notices_linux.go (unchanged?), resource.go
// (read), sealed.go, file.go (large files), hashes.go, negotiate.go, types.go.
package site

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync/atomic"
	"time"

	"topdown/webserver/internal/listing"
)

// Options say what to serve. The zero value of a field means its default.
type Options struct {
	Root         string // directory to serve; "" means Builtin
	Builtin      fs.FS  // the sample site, and the error pages that a root lacks
	SPA          bool   // what is not found and looks like a page is index.html
	PageEnd      string // HTML to send behind each page of at most 1 MiB, as if it stood in its file
	CacheControl string // Cache-Control for every file; default: see cacheControl
	HotTotal     int64  // bytes of file contents kept in memory; default 64 MiB
	Seal         bool   // keep hot copies of more than 64 KiB in memory that can be lent to the kernel, where there is such: of use without TLS
}

const (
	// hotMax is the size up to which a file is kept in memory whole.
	hotMax = 1 << 20
	// hashNow is the size up to which the first request waits for the content
	// hash; a larger file has no entity tag until it is computed.
	hashNow = 16 << 20
	// settle is how long a file must have been left alone for its identity to
	// tell it from every later state: longer than a tick of the file system's
	// clock, so that whatever is written later has another time.
	settle = 20 * time.Millisecond
	// settleMax is how long a large file that never comes to rest is waited for.
	settleMax = 250 * time.Millisecond
	// MaxEntries is the most entries that a listing shows.
	MaxEntries = 10_000
)

// Kind is what a path turned out to be.
type Kind int

// The kinds.
const (
	NotFound  Kind = iota
	File           // Result.Resource is set
	Directory      // a directory without an index file; Result.Path is its path
	Moved          // it is at Result.Path instead
	Forbidden      // it exists, and others may not read it
	Failed         // Result.Err is set: the file system said no
)

// Result is what Find found.
type Result struct {
	Kind     Kind
	Resource *Resource
	Path     string
	Err      error
}

// Site serves one tree. Make it with New; it may be used by many goroutines.
type Site struct {
	options Options
	tree    atomic.Pointer[servedTree]
	builtin tree
	hot     hot
	hashes  hashes
	sealed  sealedMemory
}

// New opens the root. It fails when the root is not a directory that can be
// opened.
func New(options Options) (*Site, error) {
	if options.HotTotal <= 0 {
		options.HotTotal = 64 << 20
	}
	s := &Site{options: options, builtin: fsTree{fs: options.Builtin}}
	s.tree.Store(&servedTree{tree: s.builtin})
	if options.Root != "" {
		if _, err := s.Reopen(); err != nil {
			return nil, err
		}
	}
	s.hot.init(options.HotTotal)
	s.sealed.budget = 2 * options.HotTotal // some are no longer in hot
	s.hashes.init()
	return s, nil
}

// Close gives up the root and ends background work.
func (s *Site) Close() error {
	s.hashes.close()
	return s.root().close()
}

// servedTree is the tree that is served, and which directory that is.
type servedTree struct {
	tree
	dir fs.FileInfo // nil for the built-in site
}

func (s *Site) root() tree { return s.tree.Load().tree }

// Reopen finds out whether the root is another directory by now, because a link
// has been pointed elsewhere or a folder made anew, and goes on with that one. On
// an error the old one stays. It does nothing for the built-in site.
func (s *Site) Reopen() (changed bool, err error) {
	if s.options.Root == "" {
		return false, nil
	}
	info, err := os.Stat(s.options.Root)
	if err != nil {
		return false, err
	}
	old := s.tree.Load()
	if old.dir != nil && os.SameFile(old.dir, info) {
		return false, nil
	}
	t, err := openRoot(s.options.Root)
	if err != nil {
		return false, err
	}
	s.tree.Store(&servedTree{t, info})
	s.hot.clear()
	// Requests under way may still look into the old directory. Whoever holds it
	// as a file closes it when it is no longer reachable.
	return old.dir != nil, nil
}

// index are the names looked for in a directory, in this order.
var index = [...]string{"index.html", "index.htm"}

// Find finds what a clean path (see CleanPath) names now.
func (s *Site) Find(p string, now time.Time) Result {
	t := s.root()
	seal := false
	if entry := s.hot.get(p); entry != nil {
		if r := entry.fresh(t, now); r != nil && (!r.hashing || !s.hashes.has(r.stamp.file)) {
			if !r.sealable.Load() || !r.sealable.Swap(false) {
				return Result{Kind: File, Resource: r}
			}
			seal = true
		}
	}
	result := s.find(t, p, now, seal)
	if result.Kind == NotFound && s.options.SPA && looksLikePage(p) {
		return s.Find("/"+index[0], now)
	}
	return result
}

// looksLikePage tells a route of a single-page application from a file that is
// missing: its last segment has no extension.
func looksLikePage(p string) bool { return path.Ext(p) == "" }

// find looks at the files and reads them if they have changed or shall be sealed.
func (s *Site) find(t tree, p string, now time.Time, seal bool) Result {
	if hidden(p) {
		return Result{Kind: NotFound}
	}
	seen, dir, result := look(t, p, now)
	if result.Kind != File {
		s.hot.remove(p)
		return result
	}
	entry := s.hot.getOrAdd(p)
	entry.mu.Lock()
	defer entry.mu.Unlock()
	old := entry.resource.Load()
	if old != nil && !seal && old.settled && old.stamp == seen && (!old.hashing || !s.hashes.has(seen.file)) {
		entry.dir.Store(&dir)
		return Result{Kind: File, Resource: old}
	}
	r, err := s.load(t, seen, seal)
	if err != nil {
		s.hot.remove(p)
		return failure(err)
	}
	entry.dir.Store(&dir)
	s.hot.put(p, entry, r)
	return Result{Kind: File, Resource: r}
}

// stamp tells one state of a resource from every other: the files behind it.
type stamp struct {
	name     string // of the file, below the root
	file     identity
	sidecars [len(sidecars)]identity // zero where there is none
	usable   [len(sidecars)]bool     // not older than the file, readable by others, …
}

// look finds which files a path stands for, without reading them. dir is the
// folder of the file, before it was looked into; zero if it has just been changed.
func look(t tree, p string, now time.Time) (seen stamp, dir identity, result Result) {
	name := strings.Trim(p, "/")
	if name == "" {
		name = "."
	}
	info, err := t.stat(name)
	if err != nil {
		return stamp{}, dir, failure(err)
	}
	slash := strings.HasSuffix(p, "/")
	if info.IsDir() {
		if !slash {
			return stamp{}, dir, Result{Kind: Moved, Path: p + "/"}
		}
		dir = rested(identify(info), now)
		for _, file := range index {
			in, err := t.stat(path.Join(name, file))
			if err == nil && in.Mode().IsRegular() {
				seen, result = lookFile(t, path.Join(name, file), in)
				return seen, dir, result
			}
		}
		return stamp{}, dir, Result{Kind: Directory, Path: p}
	}
	if slash {
		return stamp{}, dir, Result{Kind: NotFound}
	}
	if id, ok := t.identity(path.Dir(name)); ok {
		dir = rested(id, now)
	}
	seen, result = lookFile(t, name, info)
	return seen, dir, result
}

// rested returns the identity if it can be relied on.
func rested(id identity, now time.Time) identity {
	if id.unsettled(now) {
		return identity{}
	}
	return id
}

func lookFile(t tree, name string, info fs.FileInfo) (stamp, Result) {
	if !info.Mode().IsRegular() {
		return stamp{}, Result{Kind: NotFound}
	}
	if !othersMayRead(info) {
		return stamp{}, Result{Kind: Forbidden}
	}
	seen := stamp{name: name, file: identify(info)}
	for i, sidecar := range sidecars {
		id, ok := t.identity(name + sidecar.suffix)
		if !ok {
			continue // the usual case, found out at the least cost
		}
		// One that is not to be used is noted, too: it may become usable without
		// its folder being changed.
		seen.sidecars[i] = id
		in, err := t.stat(name + sidecar.suffix)
		// A sidecar older than its source is of an earlier version.
		seen.usable[i] = err == nil && identify(in) == id && in.Mode().IsRegular() && othersMayRead(in) && !in.ModTime().Before(info.ModTime())
	}
	return seen, Result{Kind: File}
}

// failure tells what an error of the file system means for the client.
func failure(err error) Result {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return Result{Kind: Forbidden, Err: err}
	case isMissing(err):
		return Result{Kind: NotFound, Err: err}
	}
	return Result{Kind: Failed, Err: err}
}

// ErrorPage returns the page for a status code, 403 or 404: the root's own if
// it has one, else the built-in one; nil if there is neither.
func (s *Site) ErrorPage(name string, now time.Time) *Resource {
	if result := s.Find("/"+name, now); result.Kind == File {
		return result.Resource
	}
	if s.options.Root == "" {
		return nil
	}
	seen, _, result := look(s.builtin, "/"+name, now)
	if result.Kind != File {
		return nil
	}
	r, err := s.load(s.builtin, seen, false)
	if err != nil {
		return nil
	}
	return r
}

// Entries returns what a listing of a directory shows: at most 10,000 entries,
// without hidden ones, names that no URL can have here, files that others may not
// read, and everything that is neither file nor directory.
func (s *Site) Entries(p string) ([]listing.Entry, error) {
	name := strings.Trim(p, "/")
	if name == "" {
		name = "."
	}
	t := s.root()
	names, err := t.names(name, MaxEntries)
	if err != nil {
		return nil, err
	}
	entries := make([]listing.Entry, 0, len(names))
	for _, base := range names {
		if hidden("/"+strings.TrimPrefix(name+"/", "./")+base) || !servable(base) {
			continue
		}
		info, err := t.stat(path.Join(name, base))
		if err != nil || !info.IsDir() && (!info.Mode().IsRegular() || !othersMayRead(info)) {
			continue
		}
		entries = append(entries, listing.Entry{
			Name: base, IsDir: info.IsDir(), Size: info.Size(), ModTime: info.ModTime(),
		})
	}
	return entries, nil
}
