package server

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"topdown/pkg/httpmsg"
)

// conn is one connection, with its buffers, its phase and its socket. What is done
// on it, request after request, is in serve.go.
type conn struct {
	s      *Server
	socket net.Conn   // what was accepted
	nc     net.Conn   // what is spoken on: socket, or TLS on it
	addr   netip.Addr // of the client; invalid for a Unix socket
	remote string     // the same as text, once it has been needed
	proxy  bool       // what it says of the client behind it is believed
	in     reader
	wait   *waiter // nil where waiting takes a buffer
	work   *work   // nil while idle

	// What the watch over deadlines looks at.
	phase     atomic.Int32
	since     atomic.Int64 // when the phase began, ns since 1970
	received  atomic.Int64 // bytes so far
	delivered atomic.Int64 // bytes of a lent file that the client has taken so far
	expired   atomic.Bool  // its time is up
	sample    sample       // the watch's own

	closing bool // this exchange is the last
	more    bool // the client may still be sending
	failed  bool // a response was broken off
	trace   *trace
}

// work is what a connection needs while there is something to do. It is shared
// by all connections, in turn.
type work struct {
	buf  [bufferSize]byte
	out  []byte // what is still to be written
	req  httpmsg.Request
	body httpmsg.Body
	x    exchange
}

var works = sync.Pool{New: func() any { return &work{out: make([]byte, 0, 4<<10)} }}

func newConn(s *Server, nc net.Conn, addr netip.Addr) *conn {
	c := &conn{s: s, socket: nc, nc: nc, addr: addr, proxy: trusts(s.TrustProxy, addr)}
	c.in.from = c
	c.enter(idle)
	if s.Trace != nil {
		c.trace = s.Trace.connection(nc)
	}
	return c
}

// phase is what a connection is waiting for.
type phase int32

const (
	idle       phase = iota // the first byte of a request
	head                    // the rest of a head
	body                    // a request's body
	responding              // this side: the client cannot be late
	writing                 // the client to read
	delivering              // the client to have read all that was lent to the kernel
	linger                  // the client to notice that the connection ends
)

// sample is how far a transfer had come at one moment.
type sample struct {
	phase    phase
	since    time.Time // when the transfer began
	at       time.Time
	progress int64 // bytes
}

// tooSlow compares the progress of a transfer with the last sample, once in
// each Grace, and reports whether it is below the minimum rate.
func (last *sample) tooSlow(s *Server, p phase, since, now time.Time, progress func() int64) bool {
	next := sample{p, since, now, 0}
	if last.phase != p || !last.since.Equal(since) {
		next.progress = progress()
		*last = next
		return false
	}
	window := now.Sub(last.at)
	if window < s.Grace {
		return false
	}
	next.progress = progress()
	slow := float64(next.progress-last.progress) < float64(s.MinRate)*window.Seconds()
	*last = next
	return slow
}

// acquire gives the connection its buffers.
func (c *conn) acquire() {
	if c.work == nil {
		c.work = works.Get().(*work)
		c.in.buf = c.work.buf[:]
	}
}

// release gives the buffers back. Nothing may be left in them.
func (c *conn) release() {
	if w := c.work; w != nil {
		c.work, c.in = nil, reader{from: c}
		if cap(w.out) > maxOut {
			w.out = nil
		}
		works.Put(w)
	}
}

// enter begins a phase: its deadline counts from now.
func (c *conn) enter(p phase) {
	c.since.Store(c.s.date.coarse.Load())
	c.phase.Store(int32(p))
}

// receive reads from the client into p. Before it waits, the client gets all
// that is there for it.
func (c *conn) receive(p []byte) (int, error) {
	if err := c.flush(); err != nil {
		return 0, err
	}
	n, err := c.nc.Read(p)
	c.received.Add(int64(n))
	return n, err
}

// maxOut is how much is collected before it is written.
const maxOut = 64 << 10

// flush writes what has been collected.
func (c *conn) flush() error {
	w := c.work
	if w == nil || len(w.out) == 0 {
		return nil
	}
	err := c.write(w.out)
	w.out = w.out[:0]
	return err
}

// write writes p at once, watched for a client that does not read.
func (c *conn) write(p []byte) error {
	before, since := c.phase.Load(), c.since.Load()
	c.enter(writing)
	_, err := c.nc.Write(p)
	c.resume(before, since, err)
	return err
}

// resume returns to the phase that writing interrupted. After a failed write
// nothing more can be said to the client.
func (c *conn) resume(before int32, since int64, err error) {
	c.since.Store(since)
	c.phase.Store(before)
	if err != nil {
		c.closing, c.more, c.failed = true, false, true
		c.work.out = c.work.out[:0]
	}
}

// say tells the trace, if there is one, what was decided and why.
func (c *conn) say(section, decision string) {
	if c.trace != nil {
		c.trace.say(section, decision)
	}
}

// sayf is say with a format.
func (c *conn) sayf(section, format string, args ...any) {
	if c.trace != nil {
		c.trace.say(section, fmt.Sprintf(format, args...))
	}
}

// revive gives a connection whose time was up a second to take its answer.
func (c *conn) revive() {
	_ = c.socket.SetReadDeadline(time.Time{})
	_ = c.socket.SetWriteDeadline(time.Now().Add(time.Second))
}

// abort gives the connection up in the middle of a response. With reset, what the
// kernel has not sent yet is thrown away: it was lent of a file that has changed.
func (c *conn) abort(reset bool) {
	c.closing, c.more, c.failed = true, false, true
	c.work.out = c.work.out[:0]
	if tcp, ok := c.socket.(*net.TCPConn); ok && reset {
		_ = tcp.SetLinger(0) // it is closed in a moment, whatever this says
	}
}

// unknown stands for a progress that cannot be measured: it is always enough.
func unknown() int64 { return time.Now().UnixNano() }
