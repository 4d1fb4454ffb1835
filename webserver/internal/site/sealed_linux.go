package site

import (
	"io"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// hugePage is the size of what the kernel counts as one page where it can, which makes
// lending it cheaper.
const hugePage = 2 << 20

// newSealed returns a copy of the first size bytes of r, nil if that fails.
func newSealed(r io.Reader, size int64) *sealed {
	page := int64(unix.Getpagesize())
	if size >= hugePage {
		page = hugePage // or the kernel might not begin where one begins
	}
	mapped, err := unix.Mmap(-1, 0, int((size+page-1)/page*page), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil
	}
	if whole := size / hugePage * hugePage; whole > 0 {
		// Where the kernel does not do so, lending is slower or takes some memory more.
		_ = unix.Madvise(mapped[:whole], unix.MADV_HUGEPAGE)
		_ = unix.Madvise(mapped[whole:], unix.MADV_NOHUGEPAGE)
	}
	m := &sealed{mapped[:size], mapped}
	if _, err = io.ReadFull(r, m.text); err == nil {
		err = unix.Mprotect(mapped, unix.PROT_READ)
	}
	if err != nil {
		unmap(mapped)
		return nil
	}
	return m
}

func unmap(mapped []byte) { _ = unix.Munmap(mapped) }

// Lend puts what comes from at, and before end, of a sealed copy into a pipe (vmsplice(2)),
// as far as that takes it at once, and returns how much that was.
func (f *LargeFile) Lend(pipe int, at, end int64) (int, error) {
	m := f.sealed
	defer runtime.KeepAlive(m)
	text := m.text[at:end]
	iov := unix.Iovec{Base: unsafe.SliceData(text)}
	iov.SetLen(len(text))
	n, _, errno := unix.Syscall6(unix.SYS_VMSPLICE, uintptr(pipe), uintptr(unsafe.Pointer(&iov)), 1, unix.SPLICE_F_NONBLOCK, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
