// Package store keeps stored responses: a head and a body each, under the URI
// that they answer. What a response means is package rules' business, what is
// done with it package cache's. The store is a Disk: memory, and a directory
// behind it unless it has none.
//
// What they refuse to do: hand out a body whose checksum does not match or that
// was not written to its end, and find again what was invalidated. A damaged
// file is removed, and the response counts as never stored.
package store

import (
	"bytes"
	"context"
	"errors"
	"io"

	"topdown/proxyserver/internal/rules"
)

// ErrGone is returned where an entry is no longer stored: it was removed,
// replaced or evicted, its file turned out to be damaged, or its key was
// invalidated while it was written.
var ErrGone = errors.New("the stored response is gone")

// ErrTooLarge is returned for a body larger than the store takes.
var ErrTooLarge = errors.New("the response is larger than the store takes")

// Generation counts the invalidations of a key, and of some other keys. It
// means something only to the store that it came from, and to compare.
type Generation uint64

// Store keeps responses. Its methods may be called by many goroutines at a
// time. A store that fails costs hits, never answers: what cannot be read is
// not there.
type Store interface {
	// Lookup returns what is stored under key, the newest first, and the key's
	// generation, both of one moment. The slice must not be changed.
	Lookup(ctx context.Context, key string) ([]*Entry, Generation)
	// Create begins a new entry. gen is what Lookup returned before the origin
	// was asked. size is the body's length in bytes, -1 if it is not known. The
	// error is ErrTooLarge, or that of a store that takes nothing now. ctx
	// holds for the writer as well.
	Create(ctx context.Context, key string, gen Generation, size int64) (Writer, error)
	// Update replaces the head of e, as a 304 does, and returns the new entry;
	// the body stays. The error is ErrGone if e is no longer stored. Where the
	// new head cannot be stored, e is removed and the error says why.
	Update(ctx context.Context, e *Entry, stored *rules.Stored) (*Entry, error)
	// Remove removes one entry.
	Remove(ctx context.Context, e *Entry)
	// Invalidate removes all that is stored under key and returns how many
	// entries that were. What is being fetched since an earlier Lookup will not
	// be stored. Once it has returned, no Lookup finds what was stored before.
	Invalidate(ctx context.Context, key string) int
	// Clear invalidates every key and returns how many entries there were.
	Clear(ctx context.Context) int
	// Limit returns the length in bytes of the largest body that is taken.
	Limit() int64
	// Close writes what waits to be written and gives the store up.
	Close() error
}

// Managed is a store that can be looked into.
type Managed interface {
	Store
	// List calls visit for each stored response, in no order, until it returns
	// false. What is removed or stored meanwhile may be told or not.
	List(visit func(Info) bool)
	// Find returns what is stored under a key, the newest first.
	Find(key string) []Info
	Stats() Stats
}

// Info describes a stored response.
type Info struct {
	*Entry
	Path string // of its file or its key in a shared store, "" if it is in memory alone
}

// Writer takes the body of a new entry. Write, Commit and Close are for one
// goroutine; ReadAt is for any number, at any time before Close.
type Writer interface {
	// Write appends to the body. After an error nothing more can be written or
	// committed, but what was accepted, n bytes of this call included, can
	// still be read.
	io.Writer
	// ReadAt reads what has been written, and returns io.EOF at its end.
	io.ReaderAt
	// Commit stores the response in the place of one with the same Vary values
	// and range. The error is ErrGone if the key was invalidated since the
	// generation that Create was given.
	Commit(stored *rules.Stored) (*Entry, error)
	// Close gives the writer up. What was not committed is gone.
	Close() error
}

// Entry is one stored response. It never changes, also when the store has
// replaced or evicted it.
type Entry struct {
	Key    string
	Stored *rules.Stored
	Size   int64 // bytes of body

	content *content
	cost    int64 // bytes that it takes in memory, without the body
	waits   bool  // to be written; memory.mu guards it

	local *Entry // Redis: the same in the local store, which has another key for it
}

// Bytes returns the body where it is in memory. It must not be changed.
func (e *Entry) Bytes() ([]byte, bool) {
	if e.Size == 0 {
		return nil, true
	}
	if b := e.content.data.Load(); b != nil {
		return *b, true
	}
	return nil, false
}

// Tier says where the body is: "memory", "disk" or "shared store".
func (e *Entry) Tier() string {
	if e.local != nil {
		return e.local.Tier()
	}
	if _, inMemory := e.Bytes(); inMemory {
		return "memory"
	}
	if _, shared := e.content.source.(*redisBody); shared {
		return "shared store"
	}
	return "disk"
}

// Open opens the body, which stays as it is until it is closed, whatever
// happens to the entry. The error is ErrGone, perhaps wrapped, if there is none
// any more; any other one may be gone at the next try.
func (e *Entry) Open() (*Body, error) {
	if b, ok := e.Bytes(); ok {
		return &Body{data: b, size: e.Size}, nil
	}
	if e.local != nil {
		return e.local.Open()
	}
	if e.content.source == nil {
		return nil, ErrGone
	}
	return e.content.source.open(e)
}

// Body is an open body, in memory or in a file. It is for one goroutine at a
// time.
type Body struct {
	data []byte
	file *openFile // the body begins where the file does
	size int64
}

// Size returns the body's length in bytes.
func (b *Body) Size() int64 { return b.size }

// Bytes returns the body where it is in memory. It must not be changed.
func (b *Body) Bytes() ([]byte, bool) { return b.data, b.file == nil }

// ReadAt implements io.ReaderAt.
func (b *Body) ReadAt(p []byte, off int64) (int, error) {
	if off >= b.size {
		return 0, io.EOF
	}
	var n int
	var err error
	if rest := p[:min(int64(len(p)), b.size-off)]; b.file == nil {
		n = copy(rest, b.data[off:])
	} else if n, err = b.file.ReadAt(rest, off); err != nil {
		return n, err
	}
	if n < len(p) {
		err = io.EOF
	}
	return n, err
}

// WriteTo writes n bytes of the body from off on. A file is handed to w as an
// *io.SectionReader of an *os.File, so that w can have the kernel send it.
func (b *Body) WriteTo(w io.Writer, off, n int64) (written int64, err error) {
	n = min(n, b.size-off)
	if n <= 0 {
		return 0, nil
	}
	if b.file == nil {
		return io.Copy(w, bytes.NewReader(b.data[off:off+n]))
	}
	written, err = io.Copy(w, io.NewSectionReader(b.file.File, off, n))
	if err == nil && written < n {
		err = io.ErrUnexpectedEOF // the file has been cut short
	}
	return written, err
}

// Close releases the file, if there is one.
func (b *Body) Close() error {
	if b.file == nil {
		return nil
	}
	return b.file.Close()
}
