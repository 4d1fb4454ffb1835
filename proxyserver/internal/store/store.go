// Package store keeps stored responses: a checksummed head and a body each,
// under the URI they answer. It knows nothing of HTTP's rules; those are
// package cache's. There are two stores, Disk and Memory.
//
// What it refuses to do: hand out a body whose checksum does not match, or a
// body that was not written to its end. A damaged file is removed and the
// response counts as never stored.
package store

import (
	"errors"
	"io"
	"os"
	"sync/atomic"

	"topdown/pkg/httpmsg"
)

// ErrGone is returned for the body of an entry that is no longer stored, or
// whose file turned out to be damaged.
var ErrGone = errors.New("the stored response is gone")

// ErrTooLarge is returned by Writer.Write for a body larger than the store
// takes.
var ErrTooLarge = errors.New("the response is larger than the store takes")

// Head is what is stored of a response besides its body. A Head that was given
// to a store or came from it must not be changed.
type Head struct {
	Key    string         // the primary key: the normalised URI
	Vary   httpmsg.Fields // selecting fields of the request, normalised
	Status int
	Reason string
	Fields httpmsg.Fields

	// Since is what Store.Removals was before the origin was asked: Commit
	// refuses a response that has been removed meanwhile. It is not stored.
	Since uint32

	// RequestTime and ResponseTime are when the request was sent and the
	// response came (RFC 9111, section 4.2.3), in nanoseconds since 1970.
	RequestTime, ResponseTime int64

	// First is the position of the body's first octet in the whole
	// representation, and Total the length of that, -1 if unknown. A whole
	// response has First 0 and Total equal to the body's length; it is not
	// partial.
	First, Total int64
	Partial      bool
}

// Entry is one stored response. It stays valid, unchanged, for as long as
// somebody holds it, even when the store has replaced or evicted it.
type Entry struct {
	Head *Head
	Size int64 // octets of body

	// Aux is for the user of the store: whatever it derives from Head and does
	// not want to derive again.
	Aux atomic.Value

	name   name
	memory atomic.Pointer[[]byte]  // the body, where it is held in memory
	mapped atomic.Pointer[mapping] // the body in the address space, held while the entry is hot
	disk   *Disk                   // nil in a memory store
	place  place                   // where in the directory
}

// Bytes returns the body where it is in memory. It must not be changed.
func (e *Entry) Bytes() ([]byte, bool) {
	if b := e.memory.Load(); b != nil {
		return *b, true
	}
	return nil, e.Size == 0
}

// Open opens the body. The error is ErrGone, perhaps wrapped, when there is
// none to be had any more; any other is one of opening a file.
func (e *Entry) Open() (Body, error) {
	if b, ok := e.Bytes(); ok {
		return Body{data: b, size: e.Size}, nil
	}
	if e.disk == nil {
		return Body{}, ErrGone
	}
	return e.disk.open(e)
}

// Body is an open body: in memory or a section of a file that nobody else
// uses.
type Body struct {
	data []byte
	file *os.File
	base int64
	size int64
	m    *mapping
}

// Size returns its length in octets.
func (b *Body) Size() int64 { return b.size }

// Bytes returns the whole body where it is in memory.
func (b *Body) Bytes() ([]byte, bool) { return b.data, b.file == nil }

// File returns the file and where in it the body begins.
func (b *Body) File() (f *os.File, base int64, ok bool) { return b.file, b.base, b.file != nil }

// Mapped returns the body of a file in the address space, nil if it is not
// there. It is for the kernel alone, to write it to a socket, and until Close:
// whoever reads it himself dies if the file is cut short meanwhile, where the
// kernel only reports a bad address.
func (b *Body) Mapped() []byte {
	if b.m == nil {
		return nil
	}
	return b.m.body
}

// ReadAt implements io.ReaderAt.
func (b *Body) ReadAt(p []byte, off int64) (int, error) {
	if off >= b.size {
		return 0, io.EOF
	}
	if b.file == nil {
		n := copy(p, b.data[off:])
		if n < len(p) {
			return n, io.EOF
		}
		return n, nil
	}
	if rest := b.size - off; int64(len(p)) > rest {
		n, err := b.file.ReadAt(p[:rest], b.base+off)
		if err == nil {
			err = io.EOF
		}
		return n, err
	}
	return b.file.ReadAt(p, b.base+off)
}

// Close releases the file, if there is one.
func (b *Body) Close() {
	if b.m != nil {
		b.m.release()
		b.m = nil
	}
	if b.file != nil {
		b.file.Close()
	}
}

// Writer takes the body of a new entry. Write may be called by one goroutine at
// a time; ReadAt by any number, for what has been written.
type Writer interface {
	// Write appends to the body. After an error nothing more can be written,
	// but what had been accepted, n octets of this call included, can still be
	// read.
	Write(p []byte) (n int, err error)
	// ReadAt reads what has been written; at its end it returns io.EOF.
	ReadAt(p []byte, off int64) (int, error)
	// Commit stores the response. It replaces a stored one with the same key,
	// Vary values and range. The error is ErrGone if RemoveKey was called since
	// head.Since. The writer can still be read from until Close.
	Commit(head *Head) (*Entry, error)
	// Close gives the writer up; what was not committed is gone.
	Close()
}

// Store keeps responses. All methods may be used by many goroutines at a time.
type Store interface {
	// Lookup returns the responses stored under key, the newest first. The
	// slice must not be changed.
	Lookup(key string) []*Entry
	// Create begins a new entry whose head will be much like head. size is its
	// length in octets, -1 if unknown. The error is ErrTooLarge, or that of a
	// closed store.
	Create(head *Head, size int64) (Writer, error)
	// Update replaces the head of e, body untouched, and returns the new entry,
	// nil if e is no longer stored. The key, Vary values and range of head must
	// be those of e.
	Update(e *Entry, head *Head) (*Entry, error)
	// Remove removes one entry, RemoveKey all under a key; RemoveKey returns
	// how many there were.
	Remove(e *Entry)
	RemoveKey(key string) int
	// Removals counts the calls of RemoveKey for key, and for some other keys.
	Removals(key string) uint32
	// Limit returns the largest body that the store takes, in octets.
	Limit() int64
	// Close writes what is pending and releases the store.
	Close() error
}
