package server

import (
	"errors"
	"runtime"
	"sync"

	"go.uber.org/zap"

	"topdown/pkg/httpmsg"
	"topdown/webserver/internal/site"
)

// fairShare is how much of a file is sent before another connection has its
// turn.
const fairShare = 512 << 10

// Memory for a piece of a file: a large one that nobody holds while waiting for a
// client, and a small one for where that cannot be helped.
var (
	pieces = sync.Pool{New: func() any { return new([128 << 10]byte) }}
	held   = sync.Pool{New: func() any { return new([16 << 10]byte) }}
)

// transfer is a part of a large file on its way to the client: the bytes from at
// to before end.
type transfer struct {
	c       *conn
	x       *exchange
	file    *site.LargeFile
	at, end int64
	last    bool // the response is complete with it
	lent    bool // some of it with lend
}

// sendFile sends a part of a file. Before the last bytes leave, the file must
// still be what the head said; otherwise the connection is closed, so that the
// client sees a broken transfer and not a mixture of two versions.
//
// Where it can be done, a sealed copy is lent to the kernel, or the greater part of
// the file (see lend), which saves copying it; the rest is read and written, and each
// piece is looked at again between the two.
func (c *conn) sendFile(x *exchange, f *site.LargeFile, r httpmsg.ByteRange, last bool) {
	if c.work.req.Method == "HEAD" {
		return
	}
	c.trace.content(nil, r.Size())
	t := &transfer{c: c, x: x, file: f, at: r.First, end: r.Last + 1, last: last}
	f.Start(r.First)
	err := t.lend()
	if err == nil {
		err = t.copy()
	}
	if err != nil {
		c.abort(t.lent)
		c.s.Log.Debug("a transfer was broken off", zap.String("path", x.path), zap.Error(err))
	}
}

// copy sends what is left by reading and writing it.
func (t *transfer) copy() error {
	if err := t.c.flush(); err != nil {
		return err
	}
	for turn := int64(0); t.at < t.end; {
		if turn >= fairShare {
			turn = 0
			runtime.Gosched() // a fast client must not keep others waiting
		}
		t.c.enter(writing)
		n, err := t.c.writePiece(t)
		t.c.enter(responding)
		turn += int64(n)
		if err != nil {
			return err
		}
	}
	return nil
}

// next reads the next piece into p. It may be asked again for the same one.
func (t *transfer) next(p []byte) ([]byte, error) {
	p = p[:min(t.end-t.at, int64(len(p)))]
	if n, err := t.file.ReadAt(p, t.at); n < len(p) {
		return nil, errors.Join(site.ErrShrunk, err)
	}
	return p, t.file.Check(t.last && t.at+int64(len(p)) == t.end)
}

// sent notes that p, the beginning of a piece, has been sent.
func (t *transfer) sent(p []byte) {
	t.file.Sent(p)
	t.at += int64(len(p))
	t.x.sent += int64(len(p))
}

// writeHeld is writePiece where waiting takes the memory: for TLS, and for
// systems without a way around it.
func (c *conn) writeHeld(t *transfer) (int, error) {
	p := held.Get().(*[16 << 10]byte)
	defer held.Put(p)
	text, err := t.next(p[:])
	if err != nil {
		return 0, err
	}
	n, err := c.nc.Write(text)
	t.sent(text[:n])
	return n, err
}
