package site

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// dirTree is a directory of the file system. openat2 with RESOLVE_BENEATH makes
// the kernel itself refuse every path and every link out of the root, in one
// system call however deep the path is.
type dirTree struct {
	root    *os.File
	fd      int      // of root
	notices *notices // nil for none
}

// openRoot opens a directory to serve.
func openRoot(dir string) (tree, error) {
	root, err := os.OpenFile(dir, unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	t := &dirTree{root, int(root.Fd()), newNotices()}
	if _, err = t.stat("."); errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) {
		// A kernel before 5.6, or a container that forbids openat2.
		root.Close()
		return openPortableRoot(dir)
	}
	return t, err
}

func (t *dirTree) openat(name string, flags, resolve uint64) (*os.File, error) {
	how := unix.OpenHow{
		Flags:   flags | unix.O_CLOEXEC,
		Resolve: resolve | unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS,
	}
	for range 100 {
		fd, err := unix.Openat2(t.fd, name, &how)
		if errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN) {
			continue // a rename on the way made the kernel unsure: ask again
		}
		if err != nil {
			return nil, &fs.PathError{Op: "open", Path: name, Err: err}
		}
		return os.NewFile(uintptr(fd), name), nil
	}
	return nil, fmt.Errorf("open %s: directories on its path keep being renamed", name)
}

func (t *dirTree) stat(name string) (fs.FileInfo, error) { return t.look(name, 0) }

func (t *dirTree) lstat(name string) (fs.FileInfo, error) { return t.look(name, unix.O_NOFOLLOW) }

// look opens with O_PATH, which touches neither FIFO nor device.
func (t *dirTree) look(name string, flags uint64) (fs.FileInfo, error) {
	f, err := t.openat(name, unix.O_PATH|flags, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Stat()
}

func (t *dirTree) open(name string) (fs.File, error) {
	f, err := t.openat(name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (t *dirTree) identity(name string) (identity, bool) {
	var st unix.Stat_t
	for {
		err := unix.Fstatat(t.fd, name, &st, 0)
		if err == nil {
			return identity{
				dev: st.Dev, ino: st.Ino, size: st.Size,
				mtime: st.Mtim.Nano(), ctime: st.Ctim.Nano(),
			}, true
		}
		if !errors.Is(err, unix.EINTR) {
			return identity{}, false
		}
	}
}

func (t *dirTree) names(name string, limit int) ([]string, error) {
	f, err := t.openat(name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readNames(f, limit)
}

func (t *dirTree) state() uint64 {
	if t.notices == nil {
		return 0
	}
	return t.notices.now()
}

func (t *dirTree) watch(files []named) (state uint64) {
	if t.notices == nil {
		return 0
	}
	return t.notices.watch(func(name string) (*os.File, error) {
		return t.openat(name, unix.O_PATH, unix.RESOLVE_NO_SYMLINKS)
	}, files)
}

func (t *dirTree) close() error {
	if t.notices != nil {
		t.notices.file.Close()
	}
	return t.root.Close()
}

func identify(info fs.FileInfo) identity {
	id := identity{size: info.Size(), mtime: info.ModTime().UnixNano()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		id.dev, id.ino, id.ctime = st.Dev, st.Ino, st.Ctim.Nano()
	}
	return id
}
