package server

import (
	"fmt"
	"net"
	"time"
)

// What a connection does with its socket: buffers, phases, reading and writing.

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
		c.work, c.in = nil, reader{c: c}
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
