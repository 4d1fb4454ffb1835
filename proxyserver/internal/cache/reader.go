package cache

import (
	"context"
	"errors"
	"io"
	"slices"

	"topdown/proxyserver/internal/rules"
)

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
			r.leave()
			return nil, err
		}
	}
	defer f.mu.Unlock()
	return f.out, nil
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
	if len(f.tail) == 0 {
		return // the usual case: the store has everything
	}
	if off := f.slowest(); off > f.tailAt {
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

// Close implements io.Closer.
func (r *reader) Close() error {
	r.leave()
	return nil
}

func (r *reader) leave() {
	f := r.fetch
	f.mu.Lock()
	if r.closed {
		f.mu.Unlock()
		return
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
	b.reader.leave()
	return err
}
