package cache

import (
	"context"
	"errors"
	"io"
	"sync"

	"topdown/pkg/httpmsg"
	"topdown/proxyserver/internal/store"
)

// window is how far the readers of a fill that is not stored may be apart, in
// octets: what they share is then in memory alone.
const window = 1 << 20

var errTooLong = errors.New("the content is longer than was said")

var errAbandoned = errors.New("the transfer was given up: no client wants it any more")

// fill is the content of a response on its way from the origin into the store,
// read by any number of clients while it grows. There is no goroutine behind
// it: a reader at the end of what is there takes the next piece from the
// origin, for all. So the fastest sets the pace, and nobody waits for a client
// that is slow or gone; once the store takes no more (a full disk), the rest
// passes through a window in memory, and the slowest sets the pace.
type fill struct {
	head     *store.Head
	meta     *meta
	framing  httpmsg.Framing
	trailers func() httpmsg.Fields

	src    io.ReadCloser // of whoever has the pump
	w      store.Writer
	cancel context.CancelFunc
	// commit stores what w has, once src is at its end; ended is called when
	// nothing more will come, with the error or nil.
	commit func(w store.Writer, size int64) error
	ended  func(err error)
	// finish adds a reader that takes over when the last one left early, and
	// reports whether it did; mu is locked.
	finish func(f *fill) bool

	mu      sync.Mutex
	storing bool
	kept    int64  // octets that w has
	tail    []byte // octets from at on, once w takes no more
	at      int64
	n       int64 // octets in all
	err     error // io.EOF when whole; anything else, that it broke off
	pumping bool
	changed chan struct{} // closed at the next change; nil if nobody waits
	readers []*fillReader
	held    int  // readers to come
	alone   bool // finish has taken over once
	closed  bool
}

// fillReader is one client's view of a fill.
type fillReader struct {
	f      *fill
	ctx    context.Context //nolint:containedctx // io.Reader has no place for it
	off    int64
	closed bool
}

// join adds a reader; nil if the fill has been given up.
func (f *fill) join(ctx context.Context) *fillReader {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed || f.at > 0 {
		return nil
	}
	r := &fillReader{f: f, ctx: ctx}
	f.readers = append(f.readers, r)
	return r
}

// hold keeps the fill going for n readers to come; each calls release once it
// has joined or decided not to.
func (f *fill) hold(n int) {
	f.mu.Lock()
	f.held += n
	f.mu.Unlock()
}

func (f *fill) release() {
	f.mu.Lock()
	f.held--
	f.mu.Unlock()
	f.left()
}

// wake tells all who wait that something changed. f.mu is locked.
func (f *fill) wake() {
	if f.changed != nil {
		close(f.changed)
		f.changed = nil
	}
}

// Read implements io.Reader.
func (r *fillReader) Read(p []byte) (int, error) {
	f := r.f
	if len(p) == 0 {
		return 0, nil
	}
	f.mu.Lock()
	for {
		switch {
		case r.closed:
			f.mu.Unlock()
			return 0, errAbandoned
		case r.off < f.n:
			return r.copy(p)
		case f.err != nil:
			err := f.err
			f.mu.Unlock()
			return 0, err
		case !f.pumping && f.room():
			f.pumping = true
			f.mu.Unlock()
			n, err := f.src.Read(p)
			f.took(r, p[:n], err)
			if n > 0 {
				return n, nil
			}
			f.mu.Lock()
			continue
		}
		if f.changed == nil {
			f.changed = make(chan struct{})
		}
		changed := f.changed
		f.mu.Unlock()
		select {
		case <-changed:
		case <-r.ctx.Done():
			return 0, context.Cause(r.ctx)
		}
		f.mu.Lock()
	}
}

// copy reads what is there already. f.mu is locked, and unlocked on return.
func (r *fillReader) copy(p []byte) (n int, err error) {
	f := r.f
	if r.off < f.kept {
		off := r.off
		p = p[:min(int64(len(p)), f.kept-off)]
		f.mu.Unlock()
		n, err = f.w.ReadAt(p, off)
		f.mu.Lock()
		if n > 0 {
			err = nil
		} else if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
	} else {
		n = copy(p, f.tail[r.off-f.at:])
	}
	r.off += int64(n)
	f.trim()
	f.mu.Unlock()
	return n, err
}

// room reports whether more may be read. f.mu is locked.
func (f *fill) room() bool {
	return f.storing || f.n-f.slowest() < window
}

// slowest returns where the reader furthest behind is, of those past what the
// store has. f.mu is locked.
func (f *fill) slowest() int64 {
	off := f.n
	for _, r := range f.readers {
		off = min(off, max(r.off, f.kept))
	}
	return off
}

// trim forgets what every reader has had. f.mu is locked.
func (f *fill) trim() {
	if f.storing {
		return
	}
	if off := f.slowest(); off > f.at {
		f.tail = f.tail[off-f.at:]
		f.at = off
		f.wake()
	}
}

// took keeps what reader r, who has the pump, got from the origin and has read
// thereby, and lets go of the pump.
func (f *fill) took(r *fillReader, p []byte, err error) {
	n := 0
	storing := f.storing // changed by whoever has the pump alone
	var failed error
	if storing && len(p) > 0 {
		n, failed = f.w.Write(p)
	}
	if err == nil && f.framing >= 0 && f.n+int64(len(p)) == int64(f.framing) {
		err = f.end()
	}
	if failed == nil && storing && errors.Is(err, io.EOF) {
		// Before anybody sees the end: who has all of it will find it stored.
		failed = f.commit(f.w, f.n+int64(len(p)))
	}
	f.mu.Lock()
	f.kept += int64(n)
	f.n += int64(len(p))
	if failed != nil {
		f.storing = false
	}
	if failed != nil && len(f.tail) == 0 {
		f.at = f.kept // the window begins where the store ends
	}
	if n < len(p) {
		f.tail = append(f.tail, p[n:]...)
	}
	if r != nil {
		r.off = f.n
	}
	f.err = err
	f.pumping = false
	f.trim()
	f.wake()
	deserted := len(f.readers) == 0
	f.mu.Unlock()
	if err != nil {
		f.src.Close()
		f.cancel()
		if errors.Is(err, io.EOF) {
			err = nil
		}
		f.ended(err)
	}
	if deserted {
		f.left()
	}
}

// end reads the end that must come now that all octets are there: a client who
// knows how many there are need not ask for it.
func (f *fill) end() error {
	var more [1]byte
	n, err := f.src.Read(more[:])
	if n > 0 {
		return errTooLong
	}
	return err
}

// Close implements io.Closer.
func (r *fillReader) Close() error {
	r.leave()
	return nil
}

func (r *fillReader) leave() {
	f := r.f
	f.mu.Lock()
	if r.closed {
		f.mu.Unlock()
		return
	}
	r.closed = true
	for i, other := range f.readers {
		if other == r {
			f.readers = append(f.readers[:i], f.readers[i+1:]...)
			break
		}
	}
	f.trim()
	f.wake()
	f.mu.Unlock()
	f.left()
}

// left gives the fill up, or lets it go on, when no reader is left.
func (f *fill) left() {
	f.mu.Lock()
	if f.closed || f.held > 0 || len(f.readers) > 0 {
		f.mu.Unlock()
		return
	}
	if f.err != nil {
		f.closed = true
		f.mu.Unlock()
		f.w.Close()
		return
	}
	if f.pumping || f.storing && !f.alone && f.finish(f) {
		// Whoever has the pump comes here again.
		if f.pumping && !f.storing {
			f.cancel()
		}
		f.mu.Unlock()
		return
	}
	f.err = errAbandoned
	f.closed = true
	f.wake()
	f.mu.Unlock()
	f.cancel()
	f.src.Close()
	f.w.Close()
	f.ended(errAbandoned)
}

// drain reads the rest for nobody but the store, limit octets at most, until
// late says so.
func (r *fillReader) drain(limit int64, late func() bool) {
	defer r.leave()
	buf := make([]byte, 32<<10)
	for limit > 0 && !late() {
		n, err := r.Read(buf)
		if limit -= int64(n); err != nil {
			return
		}
	}
}
