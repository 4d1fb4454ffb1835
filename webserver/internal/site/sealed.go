package site

import (
	"bytes"
	"io"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
)

const (
	// sealMin is what is copied sooner than lent.
	sealMin = 64 << 10
	// sealMax is the most that is sealed: its entity tag is known at once.
	sealMax = hashNow
	// hugePage is the size of what the kernel counts as one page where it can, which
	// makes lending it cheaper. What is at most half as large shares one with others.
	hugePage = 2 << 20
)

// sealed is a hot copy outside of Go's heap, which nobody can change and whose pages
// are given back to the system whole, never to be used for anything else. So they can
// be lent to connections without a thought, where pages of a served file would reach
// the client with whatever is written to them in the meantime, and pages of the heap
// with what comes to lie there next. Of nginx's CPU time 10 MiB, lent from the file, took
// 1.4, and so 1.0; 100 KiB, copied for each client, 1.04, and so 0.9. A client on this
// machine finds 100 KiB in its cache when they come again, which saves it a quarter.
type sealed struct {
	text []byte // the content; it must not leave the methods, see block
	in   *block
}

// ReadAt implements io.ReaderAt.
func (m *sealed) ReadAt(p []byte, at int64) (n int, err error) {
	defer runtime.KeepAlive(m)
	if n = copy(p, m.text[min(at, int64(len(m.text))):]); n < len(p) {
		err = io.EOF
	}
	return n, err
}

// block is memory that holds one copy, or several small ones. It is given back when
// the garbage collector finds that nothing leads to the block any more.
type block struct {
	memory []byte
	used   int // bytes, whole pages of the system's
}

// add seals the first size bytes of r in the block. It returns nil without a block, and
// if r or the system fails.
func (b *block) add(r io.Reader, size int64) *sealed {
	if b == nil || protect(b.memory, false) != nil {
		return nil
	}
	text := b.memory[b.used:][:size:size]
	_, err := io.ReadFull(r, text)
	if protect(b.memory, true) != nil || err != nil {
		return nil
	}
	page := os.Getpagesize()
	b.used += (int(size) + page - 1) / page * page
	return &sealed{text, b}
}

// sealedMemory is all blocks, those too that wait for the garbage collector.
type sealedMemory struct {
	budget int64
	size   atomic.Int64 // bytes

	mu     sync.Mutex
	shared *block // has room for more, perhaps
}

// seal returns a copy of the first size bytes of r; nil if there is no room, or the
// system cannot lend them.
func (s *sealedMemory) seal(r io.Reader, size int64) *sealed {
	if size > hugePage/2 {
		return s.newBlock(size).add(r, size)
	}
	text := make([]byte, size) // nobody waits for a disk below
	if _, err := io.ReadFull(r, text); err != nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shared == nil || int(size) > len(s.shared.memory)-s.shared.used {
		if s.shared = s.newBlock(hugePage); s.shared == nil {
			return s.newBlock(size).add(bytes.NewReader(text), size)
		}
	}
	return s.shared.add(bytes.NewReader(text), size)
}

// newBlock returns a block for size bytes, nil if there is no room.
func (s *sealedMemory) newBlock(size int64) *block {
	if s.size.Add(size) > s.budget {
		s.size.Add(-size)
		return nil
	}
	memory := newMemory(size)
	if memory == nil {
		s.size.Add(-size)
		return nil
	}
	b := &block{memory: memory}
	runtime.AddCleanup(b, func(memory []byte) {
		unmap(memory)
		s.size.Add(-size)
	}, memory)
	return b
}
