package cache

import (
	"errors"
	"io"
	"sync"

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

var errTooLong = errors.New("the content is longer than was said")

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

// buffers are for what is on its way from the origin: with them a stored miss
// of 1 KiB allocates 6 KiB, without them 38 (BenchmarkMissStored).
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
	if _, err := f.w.Commit(s); err != nil {
		if !errors.Is(err, store.ErrTooLarge) && !errors.Is(err, store.ErrGone) {
			f.c.Log.Warn("cache: store a response", zap.Error(err))
		}
		return err
	}
	for _, old := range stored {
		if s.Outdates(old.Stored) {
			f.c.Store.Remove(f.ctx, old)
		}
	}
	return nil
}
