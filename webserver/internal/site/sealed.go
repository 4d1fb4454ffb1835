package site

import (
	"io"
	"os"
	"runtime"
	"sync/atomic"
)

// A sealed file is a hot copy in the kernel's memory that nobody can change any more
// (memfd_create(2)). So its pages can be lent to connections without a thought, where
// pages of a served file would reach the client with whatever is written to them in
// the meantime, and where memory of this process would have to be copied for each:
// 10 MiB take 1.1 of nginx's CPU time and not 1.6, and a client on this machine finds
// 100 KiB in its cache when they come again.
const (
	// sealMin is what a sealed file is at least worth while for: less is copied sooner.
	sealMin = 64 << 10
	// sealMax is the most: the first request knows the entity tag.
	sealMax = hashNow
	// sealedFiles is how many there are at most: each takes a descriptor.
	sealedFiles = 256
)

// sealedCopies counts the sealed files that are there. One is closed when no transfer
// and no entry holds it any more, and that is found out only by the garbage collector;
// until then its memory is in use.
type sealedCopies struct {
	budget      int64 // bytes
	size, count atomic.Int64
}

// seal returns a sealed file with the first size bytes of r; nil if there are too many
// already, or the system has none.
func (s *sealedCopies) seal(r io.Reader, size int64) *os.File {
	forget := func(size int64) {
		s.size.Add(-size)
		s.count.Add(-1)
	}
	if s.size.Add(size) > s.budget || s.count.Add(1) > sealedFiles {
		forget(size)
		return nil
	}
	f, err := newSealed(r, size)
	if err != nil {
		forget(size)
		return nil
	}
	runtime.AddCleanup(f, forget, size)
	return f
}
