package cache

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"time"

	"topdown/pkg/httpmsg"
	"topdown/proxyserver/internal/rules"
	"topdown/proxyserver/internal/store"

	"go.uber.org/zap"
)

// The content of a response passes from the origin through the fetch's
// goroutine into the store, and from there to any number of readers while it
// grows. The goroutine does not wait for readers: the origin sets the pace, and
// nobody waits for a client that is slow or gone. When the store takes no more
// (the disk is full, the content larger than allowed) the rest passes through a
// window in memory, and the slowest reader sets the pace.

// window is how many bytes of content that the store does not have the readers
// may be apart: those are in memory alone.
const window = 1 << 20

// finishTime is how long a transfer may take that its clients have left.
const finishTime = 5 * time.Minute

var (
	errTooLong   = errors.New("the content is longer than was said")
	errAbandoned = errors.New("the transfer was given up: no client wants it any more")
)

// transfer is the part of a fetch that its goroutine and its readers share.
// All of it is guarded by mu, but for what is said to be set once.
type transfer struct {
	mu      sync.Mutex
	changed chan struct{} // closed at the next change; nil if nobody waits
	readers []*reader
	out     *outcome // nil until the head is there; set once

	// Set once, before out.
	w        store.Writer
	framing  httpmsg.Framing
	want     int64 // bytes of content that there must be, -1 if unknown
	trailers func() httpmsg.Fields
	entry    *store.Entry // what was committed; set before err

	size    int64  // bytes of content that readers may have
	kept    int64  // of these, how many w has
	storing bool   // w takes more
	tail    []byte // bytes from tailAt to size, once w takes no more
	tailAt  int64
	err     error // io.EOF when the content is whole, or why there is no more
	ended   bool  // the goroutine does nothing more

	background bool        // it was begun for nobody: to have no reader is no reason to end
	unattended bool        // it goes on without readers, up to limit and until timer
	limit      int64       // bytes
	timer      *time.Timer // ends it
}

// reader is one client's part in a fetch: first it waits for the outcome, then
// it reads the content. It is for one goroutine at a time.
type reader struct {
	fetch  *fetch
	ctx    context.Context //nolint:containedctx // io.Reader has no place for it
	leads  bool            // what the outcome has for the leader is this one's
	off    int64
	closed bool
}

// joinLeader adds the reader for whom the fetch is begun.
func (f *fetch) joinLeader(ctx context.Context) *reader {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.addReader(ctx)
	r.leads = true
	return r
}

// unneeded ends a fetch that has not been started: the store has meanwhile what
// its leader wants.
func (r *reader) unneeded() {
	r.fetch.settle(&outcome{kind: lookAgain})
	r.fetch.over()
	r.Close()
}

// joinFor adds a reader for q, if the fetch may be of use to it; nil if not.
func (f *fetch) joinFor(q *query) *reader {
	if f.invalidated {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.err != nil:
		return nil
	case f.out == nil:
		if !rules.SameVariant(q.found.vary, &f.rules, &q.rules) {
			return nil
		}
	case f.out.kind != readAlong || !f.storing || !f.out.stored.Selects(&q.rules) ||
		rules.Reuse(&q.rules, f.out.stored, q.now).Use == rules.Validate:
		return nil
	}
	return f.addReader(q.ctx)
}

func (f *fetch) addReader(ctx context.Context) *reader {
	r := &reader{fetch: f, ctx: ctx}
	f.readers = append(f.readers, r)
	f.attended()
	return r
}

// outcome waits until it is known. On an error the reader is closed.
func (r *reader) outcome() (*outcome, error) {
	f := r.fetch
	f.mu.Lock()
	for f.out == nil {
		if err := f.wait(r.ctx); err != nil && f.out == nil {
			f.mu.Unlock()
			r.Close()
			return nil, err
		}
	}
	defer f.mu.Unlock()
	return f.out, nil
}

// wait waits for the next change; f.mu is locked before and after.
func (f *fetch) wait(ctx context.Context) error {
	if f.changed == nil {
		f.changed = make(chan struct{})
	}
	changed := f.changed
	f.mu.Unlock()
	defer f.mu.Lock()
	select {
	case <-changed:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// wake tells all who wait that something changed. f.mu is locked.
func (f *fetch) wake() {
	if f.changed != nil {
		close(f.changed)
		f.changed = nil
	}
}

// settle makes the outcome known, to all at once.
func (f *fetch) settle(out *outcome) {
	if out.kind != readAlong {
		f.c.fetches.remove(f)
	}
	f.mu.Lock()
	f.setOutcome(out)
	f.mu.Unlock()
}

// setOutcome makes it known, once. What it has for a leader that is gone is
// released. f.mu is locked.
func (f *fetch) setOutcome(out *outcome) {
	if f.out != nil {
		return
	}
	f.out = out
	f.background = false
	f.wake()
	if slices.ContainsFunc(f.readers, func(r *reader) bool { return r.leads }) {
		return
	}
	if out.resp != nil && out.stored == nil {
		out.resp.Body.Close()
	}
	if out.found.opened != nil {
		out.found.opened.Close()
	}
}

// fail makes a failure known: as the outcome, or else as the end of the
// content.
func (f *fetch) fail(err error) {
	out := &outcome{kind: failed, err: err, now: f.c.Now()}
	if f.ctx.Err() != nil {
		out.kind = lookAgain // our own doing, and not the origin's
	}
	f.mu.Lock()
	f.setOutcome(out)
	f.finish(err)
	f.mu.Unlock()
}

// finish notes that no more content comes, and why. f.mu is locked.
func (f *fetch) finish(err error) {
	if f.err == nil {
		f.err = err
	}
	f.wake()
}

// carry carries the content of out.resp into w and to the readers, to its end.
// The head is told with the first of the content: then they can be sent
// together, and who has got a short response finds it stored.
func (f *fetch) carry(w store.Writer, want int64, out *outcome) {
	body := out.resp.Body
	defer body.Close()
	buf, _ := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	f.mu.Lock()
	f.w, f.want, f.storing = w, want, true
	f.framing, f.trailers = out.resp.Framing, out.resp.Trailers
	f.mu.Unlock()
	for {
		n, err := f.read(body, *buf)
		piece := (*buf)[:n]
		kept, failure := 0, error(nil)
		if f.storing && n > 0 {
			kept, failure = w.Write(piece)
		}
		if err != nil {
			if f.storing && failure == nil && errors.Is(err, io.EOF) {
				failure = f.commit(out.stored, f.size+int64(n))
			}
			// Before anybody can have seen the end: who looks into the store
			// from now on finds what was committed, and who looked before
			// finds this in the table, or Cache.fetches.ended changed.
			f.c.fetches.remove(f)
		}
		if !f.publish(out, piece, kept, failure, err) {
			return
		}
	}
}

// buffers are for what is on its way from the origin.
var buffers = sync.Pool{New: func() any {
	b := make([]byte, 32<<10)
	return &b
}}

// read reads the next piece of the content. Where its length is known the end
// comes with the last of it, so that a client who counts finds it stored.
func (f *fetch) read(body io.Reader, p []byte) (n int, err error) {
	if f.framing != 0 {
		n, err = body.Read(p)
	}
	if err == nil && f.framing >= 0 && f.size+int64(n) >= int64(f.framing) {
		var more [1]byte
		k := 0
		if k, err = body.Read(more[:]); k > 0 || f.size+int64(n) > int64(f.framing) {
			err = errTooLong
		}
	}
	if err == nil && f.ctx.Err() != nil {
		err = errAbandoned
	}
	return n, err
}

// publish lets the readers have a piece, of which the store has kept bytes;
// failure says why it takes no more, and err why no more will come. It reports
// whether to go on, as soon as there is room for more.
func (f *fetch) publish(out *outcome, piece []byte, kept int, failure, err error) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.kept += int64(kept)
	f.size += int64(len(piece))
	if f.storing && failure != nil {
		f.storing = false
		f.tailAt = f.kept // the window begins where the store ends
	}
	f.tail = append(f.tail, piece[kept:]...)
	if f.out == nil {
		f.setOutcome(out)
		if len(f.readers) == 0 {
			f.deserted()
		}
	}
	if f.unattended && f.size > f.limit {
		f.giveUp()
	}
	if err != nil {
		f.finish(err)
	}
	f.wake()
	f.trim()
	for f.err == nil && !f.storing && f.size-f.slowest() >= window {
		if f.wait(f.ctx) != nil {
			f.finish(errAbandoned)
		}
	}
	return f.err == nil
}

// commit stores the response, whose size bytes of content w has, and removes
// what it takes the place of: parts of the same variant, and a whole of another
// version. A store that fails costs a hit, and nobody's transfer.
func (f *fetch) commit(s *rules.Stored, size int64) error {
	if f.want >= 0 && size != f.want {
		return io.ErrUnexpectedEOF
	}
	stored, _ := f.c.Store.Lookup(f.ctx, f.key)
	for _, old := range stored {
		if s.IsOlderThan(old.Stored, f.c.Now()) {
			return nil
		}
	}
	e, err := f.w.Commit(s)
	if err != nil {
		if !errors.Is(err, store.ErrTooLarge) && !errors.Is(err, store.ErrGone) {
			f.c.Log.Warn("cache: store a response", zap.Error(err))
		}
		return err
	}
	f.entry = e
	for _, old := range stored {
		if s.Outdates(old.Stored) {
			f.c.Store.Remove(f.ctx, old)
		}
	}
	return nil
}

// slowest returns where the reader furthest behind is, of those past what the
// store has. f.mu is locked.
func (f *fetch) slowest() int64 {
	off := f.size
	for _, r := range f.readers {
		off = min(off, max(r.off, f.kept))
	}
	return off
}

// trim forgets what every reader has had. f.mu is locked.
func (f *fetch) trim() {
	if off := f.slowest(); !f.storing && off > f.tailAt {
		f.tail = f.tail[off-f.tailAt:]
		f.tailAt = off
		f.wake()
	}
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	f := r.fetch
	f.mu.Lock()
	for r.off == f.size {
		if err := f.err; err != nil {
			f.mu.Unlock()
			return 0, err
		}
		if err := f.wait(r.ctx); err != nil && r.off == f.size {
			f.mu.Unlock()
			return 0, err
		}
	}
	if r.off >= f.kept {
		n := copy(p, f.tail[r.off-f.tailAt:])
		r.off += int64(n)
		f.trim()
		f.mu.Unlock()
		return n, nil
	}
	p = p[:min(int64(len(p)), f.kept-r.off)]
	f.mu.Unlock()
	n, err := f.w.ReadAt(p, r.off)
	if n > 0 {
		f.mu.Lock()
		r.off += int64(n)
		f.trim()
		f.mu.Unlock()
		return n, nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return 0, err
}

// content returns all of the content, if it is stored already and in memory.
func (r *reader) content() []byte {
	f := r.fetch
	f.mu.Lock()
	defer f.mu.Unlock()
	if !errors.Is(f.err, io.EOF) || f.entry == nil {
		return nil
	}
	b, _ := f.entry.Bytes()
	return b
}

// Close implements io.Closer.
func (r *reader) Close() error {
	f := r.fetch
	f.mu.Lock()
	if r.closed {
		f.mu.Unlock()
		return nil
	}
	r.closed = true
	i := slices.Index(f.readers, r)
	f.readers = slices.Delete(f.readers, i, i+1)
	f.trim()
	release := false
	if len(f.readers) == 0 {
		release = f.ended
		f.deserted()
	}
	f.mu.Unlock()
	if release {
		f.release()
	}
	return nil
}

// deserted decides what becomes of a fetch that has no reader any more: a short
// rest is fetched for the store, a long one is not. f.mu is locked.
func (f *fetch) deserted() {
	c := f.c
	switch {
	case f.err != nil || f.background:
		return
	case f.out == nil || !f.storing || int64(f.framing)-f.size > c.Finish || !c.tasks.finished.take():
		f.giveUp()
		return
	}
	f.unattended = true
	f.limit = f.size + c.Finish
	f.timer = time.AfterFunc(finishTime, f.cancel)
}

// attended ends that: there is a reader again, or nothing more to read. f.mu is
// locked.
func (f *fetch) attended() {
	if f.unattended {
		f.unattended = false
		f.timer.Stop()
		f.c.tasks.finished.free()
	}
}

// giveUp ends the fetch before its end. f.mu is locked.
func (f *fetch) giveUp() {
	f.finish(errAbandoned)
	f.cancel()
}

// over is called at the end of the goroutine.
func (f *fetch) over() {
	f.c.fetches.remove(f)
	f.mu.Lock()
	f.attended()
	f.ended = true
	release := len(f.readers) == 0
	f.mu.Unlock()
	if release {
		f.release()
	}
}

// release gives up what the last one needed: the goroutine or a reader.
func (f *fetch) release() {
	f.cancel()
	if f.w != nil {
		f.w.Close()
	}
}

// ownBody is the content of a response that is read by the leader alone. With
// its context, or once it is closed, the transfer ends.
type ownBody struct {
	io.ReadCloser
	reader *reader
	stop   func() bool
}

// Close implements io.Closer.
func (b *ownBody) Close() error {
	err := b.ReadCloser.Close()
	b.stop()
	b.reader.Close()
	return err
}
