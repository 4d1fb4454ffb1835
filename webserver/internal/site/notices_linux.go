package site

import (
	"encoding/binary"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// notices are the kernel's word that nothing has changed (inotify(7)). A change
// puts its notice into the queue before the system call that makes it returns, so
// a queue that is empty after a request has come tells that nothing which is
// watched has changed before the request was sent. Asking whether it is empty costs
// one short system call, where looking at a file and its folder by name cost two
// long ones: of 15 µs for a small request it saved 4.
//
// Nothing is made of what the notices say: after any of them all files are looked at
// again. Not everything gives notice: see watch for what is not relied on, and
// lookAgain for the rest.
type notices struct {
	file *os.File // the queue
	fd   int      // of file
	// state counts the changes. Its upper half counts those of folders, after which
	// it is not known any more which of them a path leads through. It is odd while
	// notices are being read.
	state atomic.Uint64

	mu      sync.Mutex // held while notices are read and watches changed
	watches map[int32]struct{}
	buf     [4 << 10]byte
}

const (
	// watchesMax bounds the memory that the kernel spends on watches.
	watchesMax = 4096

	ofFolder = unix.IN_CREATE | unix.IN_DELETE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO | unix.IN_ATTRIB
	ofFile   = unix.IN_MODIFY | unix.IN_ATTRIB | unix.IN_CLOSE_WRITE
	// turning are the notices after which a path may lead elsewhere.
	turning = unix.IN_ISDIR | unix.IN_UNMOUNT | unix.IN_Q_OVERFLOW
)

// newNotices returns nil where the kernel gives none.
func newNotices() *notices {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		return nil
	}
	n := &notices{file: os.NewFile(uintptr(fd), "inotify"), fd: fd, watches: make(map[int32]struct{})}
	n.state.Store(2)
	return n
}

// empty reports whether no notice waits to be read.
func (n *notices) empty() bool {
	waiting, err := unix.IoctlGetInt(n.fd, unix.TIOCINQ)
	runtime.KeepAlive(n.file)
	return err == nil && waiting == 0
}

// now returns the state if it is known: no notice waits, none is being read. (One
// that has been read is counted before it is taken out of the queue, so whoever finds
// the queue empty finds the state changed.)
func (n *notices) now() uint64 {
	if !n.empty() {
		n.read()
		return 0
	}
	if state := n.state.Load(); state%2 == 0 {
		return state
	}
	return 0
}

// read takes notices out of the queue.
func (n *notices) read() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.empty() {
		return // another request has read them
	}
	state := n.state.Add(1)
	size, err := unix.Read(n.fd, n.buf[:])
	turned := err != nil
	// struct inotify_event: wd, mask, cookie, length of the name, name.
	for b := n.buf[:max(size, 0)]; len(b) >= unix.SizeofInotifyEvent; {
		mask := binary.NativeEndian.Uint32(b[4:])
		turned = turned || mask&turning != 0
		if mask&unix.IN_IGNORED != 0 {
			delete(n.watches, int32(binary.NativeEndian.Uint32(b)))
		}
		b = b[unix.SizeofInotifyEvent+int(binary.NativeEndian.Uint32(b[12:])):]
	}
	if turned {
		state = (state>>32 + 1) << 32
	}
	n.state.Store(state + state%2)
}

// watch sees to it that whatever happens to files and to the folders on the path
// of the first gives notice, and returns the state from which on it does; 0 if that
// cannot be relied on: where a link is on the path, on a file system that others may
// change (of the network, or one that shows another), where a watch is not allowed.
// Who has seen one of these states as before still has to look at the files. open
// opens a name without reading, and refuses links.
func (n *notices) watch(open func(name string) (*os.File, error), files []named) (state uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.watches) >= watchesMax {
		n.unwatch()
	}
	// From the root down: what is replaced after it was opened gives notice above.
	ok := n.add(open, ".", ofFolder, identity{})
	for i, c := range files[0].name {
		if ok && c == '/' {
			ok = n.add(open, files[0].name[:i], ofFolder, identity{})
		}
	}
	for _, file := range files {
		ok = ok && n.add(open, file.name, ofFile, file.id)
	}
	if !ok {
		return 0
	}
	return n.state.Load()
}

// add watches what a name stands for, which must be the file meant, if one is. n.mu
// is held.
func (n *notices) add(open func(string) (*os.File, error), name string, mask uint32, meant identity) bool {
	f, err := open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	if meant != (identity{}) {
		if id, ok := identityOf(f.Stat()); !ok || id != meant {
			return false
		}
	}
	fd := int(f.Fd())
	var system unix.Statfs_t
	if err = unix.Fstatfs(fd, &system); err != nil || !givesNotice(system.Type) {
		return false
	}
	wd, err := unix.InotifyAddWatch(n.fd, "/proc/self/fd/"+strconv.Itoa(fd), mask)
	if err != nil {
		return false
	}
	n.watches[int32(wd)] = struct{}{}
	return true
}

// unwatch begins anew with no watches. n.mu is held.
func (n *notices) unwatch() {
	for wd := range n.watches {
		_, _ = unix.InotifyRmWatch(n.fd, uint32(wd)) // its file may be gone, and the watch with it
	}
	clear(n.watches)
	n.state.Store((n.state.Load()>>32 + 1) << 32)
}

// givesNotice reports whether only this kernel changes a file system of that type,
// and tells of all that it changes.
func givesNotice(magic int64) bool {
	switch magic {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.F2FS_SUPER_MAGIC, unix.TMPFS_MAGIC:
		return true
	}
	return false
}
