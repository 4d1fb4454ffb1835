package site

import (
	"io"
	"runtime"
	"sync/atomic"
)

const (
	// sealMin is what is copied sooner than lent.
	sealMin = 64 << 10
	// sealMax is the most that is sealed: its entity tag is known at once.
	sealMax = hashNow
)

// sealed is a hot copy outside of Go's heap, which nobody can change and whose pages
// are given back to the system whole, never to be used for anything else. So they can
// be lent to connections without a thought, where pages of a served file would reach
// the client with whatever is written to them in the meantime, and pages of the heap
// with what comes to lie there next. Of nginx's CPU time 10 MiB, lent from the file, took
// 1.4, and so 0.8; 100 KiB, copied for each client, 1.25, and so 1.05. A client on this
// machine finds 100 KiB in its cache when they come again, which saves it a quarter.
//
// The memory is given back when the garbage collector finds that nothing leads to the
// sealed any more. So text must not leave its methods.
type sealed struct {
	text   []byte // the content
	mapped []byte // that, up to the end of a page, to be unmapped
}

// ReadAt implements io.ReaderAt.
func (m *sealed) ReadAt(p []byte, at int64) (n int, err error) {
	defer runtime.KeepAlive(m)
	if n = copy(p, m.text[min(at, int64(len(m.text))):]); n < len(p) {
		err = io.EOF
	}
	return n, err
}

// sealedMemory counts the bytes of all sealed copies, those too that wait for the
// garbage collector.
type sealedMemory struct {
	budget int64
	size   atomic.Int64
}

// seal returns a copy of the first size bytes of r; nil if there is no room, or the
// system cannot lend them.
func (s *sealedMemory) seal(r io.Reader, size int64) *sealed {
	if s.size.Add(size) > s.budget {
		s.size.Add(-size)
		return nil
	}
	m := newSealed(r, size)
	if m == nil {
		s.size.Add(-size)
		return nil
	}
	runtime.AddCleanup(m, func(mapped []byte) {
		unmap(mapped)
		s.size.Add(-size)
	}, m.mapped)
	return m
}
