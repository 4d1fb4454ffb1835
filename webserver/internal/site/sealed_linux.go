package site

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// newMemory returns memory for size bytes, in whole pages; nil if there is none.
func newMemory(size int64) []byte {
	page := int64(unix.Getpagesize())
	if size >= hugePage {
		page = hugePage // or the kernel might not begin where one begins
	}
	memory, err := unix.Mmap(-1, 0, int((size+page-1)/page*page), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil
	}
	if whole := size / hugePage * hugePage; whole > 0 {
		// Where the kernel does not do so, lending is slower or takes some memory more.
		_ = unix.Madvise(memory[:whole], unix.MADV_HUGEPAGE)
		_ = unix.Madvise(memory[whole:], unix.MADV_NOHUGEPAGE)
	}
	return memory
}

// protect forbids, or allows, to write to memory. It is done for all of a block: where
// a huge page is half of one kind and half of the other, it is many small ones.
func protect(memory []byte, readOnly bool) error {
	if readOnly {
		return unix.Mprotect(memory, unix.PROT_READ)
	}
	return unix.Mprotect(memory, unix.PROT_READ|unix.PROT_WRITE)
}

func unmap(memory []byte) { _ = unix.Munmap(memory) }

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
