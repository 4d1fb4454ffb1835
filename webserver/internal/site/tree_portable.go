package site

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
)

// rootTree is a directory of the file system by way of os.Root, which checks
// every step of a path in user space: slower than openat2, and everywhere.
type rootTree struct {
	unwatched
	root *os.Root
}

func openPortableRoot(dir string) (tree, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return rootTree{root: root}, nil
}

func (t rootTree) stat(name string) (fs.FileInfo, error) {
	info, err := t.root.Stat(name)
	return info, escapes(err)
}

func (t rootTree) lstat(name string) (fs.FileInfo, error) {
	info, err := t.root.Lstat(name)
	return info, escapes(err)
}

func (t rootTree) open(name string) (fs.File, error) {
	f, err := t.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, escapes(err)
	}
	return f, nil
}

func (t rootTree) identity(name string) (identity, bool) { return identityOf(t.root.Stat(name)) }

func (t rootTree) names(name string, limit int) ([]string, error) {
	f, err := t.root.Open(name)
	if err != nil {
		return nil, escapes(err)
	}
	defer f.Close()
	return readNames(f, limit)
}

func (t rootTree) close() error { return t.root.Close() }

// escapes gives os.Root's error for a path out of the root, which it does not
// export, a name.
func escapes(err error) error {
	if err != nil && strings.HasSuffix(err.Error(), errLeavesRoot.Error()) {
		return errLeavesRoot
	}
	return err
}

// readNames returns at most limit names of a directory.
func readNames(dir *os.File, limit int) ([]string, error) {
	names, err := dir.Readdirnames(limit)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return names, err
}
