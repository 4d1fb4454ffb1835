package store

import (
	"errors"
	"math"
	"os"
	"sync/atomic"
	"syscall"
)

// maxMappings bounds how many files are mapped at a time: a process may have
// some sixty thousand mappings, and Go's own memory is among them.
const maxMappings = 1024

var errNotMapped = errors.New("not mapped")

// mapping is the body of a file in the address space, from where the kernel
// takes it without a copy in between. It holds no memory of the process.
type mapping struct {
	pages []byte
	body  []byte // within pages
	inode uint64
	refs  atomic.Int32
	count *atomic.Int32 // of all mappings
}

// mapBody maps size octets of f from base on; the caller has one reference.
func mapBody(f *os.File, inode uint64, base, size int64, count *atomic.Int32) (*mapping, error) {
	if size <= 0 || base+size > math.MaxInt/2 || count.Load() >= maxMappings {
		return nil, errNotMapped
	}
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	m := &mapping{inode: inode, count: count}
	if failed := raw.Control(func(fd uintptr) {
		m.pages, err = syscall.Mmap(int(fd), 0, int(base+size), syscall.PROT_READ, syscall.MAP_SHARED)
	}); failed != nil {
		return nil, failed
	}
	if err != nil {
		return nil, err
	}
	m.body = m.pages[base:]
	m.refs.Store(1)
	count.Add(1)
	return m, nil
}

// acquire takes a reference; false if the last one is gone.
func (m *mapping) acquire() bool {
	for {
		n := m.refs.Load()
		if n == 0 {
			return false
		}
		if m.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// release gives a reference back.
func (m *mapping) release() {
	if m.refs.Add(-1) == 0 {
		syscall.Munmap(m.pages) //nolint:errcheck // what was mapped can be unmapped
		m.count.Add(-1)
	}
}
