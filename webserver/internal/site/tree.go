package site

import (
	"errors"
	"io/fs"
	"syscall"
	"time"
)

// tree is a tree of files. Names are slash-separated and relative to its root,
// "." being the root itself. None of its methods leaves the root or blocks on a
// file that is no regular one.
type tree interface {
	stat(name string) (fs.FileInfo, error)
	// lstat is stat of a link itself, where the name is one.
	lstat(name string) (fs.FileInfo, error)
	open(name string) (fs.File, error)
	// identity is a quick look at the file that a name stands for now, to compare
	// it with one that stat has found before. It may lead out of the root, so
	// nothing but an identity that is known already tells anything.
	identity(name string) (id identity, ok bool)
	// state changes with every change of what is watched, and is 0 when it is not
	// known; watch begins to watch files of one folder. See notices.
	state() uint64
	watch(files []named) (state uint64)
	// names returns the names in a directory, at most limit of them.
	names(name string, limit int) ([]string, error)
	close() error
}

// named is a file and the name that it was found by.
type named struct {
	name string
	id   identity
}

// sameFolders reports whether no folder has changed from one state of a tree to the
// other, so that what was watched still is.
func sameFolders(a, b uint64) bool { return a>>32 == b>>32 }

// unwatched is for trees whose files give no notice of changes.
type unwatched struct{}

func (unwatched) state() uint64        { return 0 }
func (unwatched) watch([]named) uint64 { return 0 }

// fsTree is a tree in memory, the built-in site.
type fsTree struct {
	unwatched
	fs fs.FS
}

func (t fsTree) stat(name string) (fs.FileInfo, error) { return fs.Stat(t.fs, name) }

func (t fsTree) lstat(name string) (fs.FileInfo, error) { return fs.Lstat(t.fs, name) }

func (t fsTree) open(name string) (fs.File, error) { return t.fs.Open(name) }

func (t fsTree) identity(name string) (identity, bool) { return identityOf(t.stat(name)) }

func identityOf(info fs.FileInfo, err error) (identity, bool) {
	if err != nil {
		return identity{}, false
	}
	return identify(info), true
}

func (t fsTree) names(name string, limit int) ([]string, error) {
	entries, err := fs.ReadDir(t.fs, name)
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(entries))
	for _, entry := range entries[:min(limit, len(entries))] {
		names = append(names, entry.Name())
	}
	return names, nil
}

func (t fsTree) close() error { return nil }

// identity tells one state of one file from every other that it has had since
// it was last left alone for the time called settle.
type identity struct {
	dev, ino uint64
	size     int64
	mtime    int64 // ns since 1970
	ctime    int64 // ns since 1970; unlike mtime, nobody can set it
}

// unsettled reports whether the file was changed so lately that it may be in
// the middle of it.
func (id identity) unsettled(now time.Time) bool {
	// A time ahead of ours is another machine's and says nothing.
	age := now.Sub(time.Unix(0, id.ctime))
	return -settle < age && age < settle
}

// othersMayRead is the lab's rule for 403: the permission bit for others.
func othersMayRead(info fs.FileInfo) bool { return info.Mode().Perm()&0o004 != 0 }

// isMissing reports whether an error of the file system means that the name
// stands for nothing that may be served: no such file, a file where a directory
// should be, a link that loops or leaves the root, a name too long, a socket.
func isMissing(err error) bool {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) || errors.Is(err, errLeavesRoot) {
		return true
	}
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		switch errno {
		case syscall.ENOTDIR, syscall.ELOOP, syscall.EXDEV, syscall.ENAMETOOLONG, syscall.ENXIO, syscall.EINVAL:
			return true
		}
	}
	return false
}

// errLeavesRoot matches the error of os.Root for a path that leaves it.
var errLeavesRoot = errors.New("path escapes from parent")
