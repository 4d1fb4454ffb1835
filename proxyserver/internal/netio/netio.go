// Package netio is what both halves of a proxy need of a TCP connection: a
// read buffer that is given back while the connection waits, and deadlines
// that cost one store instead of a timer.
//
// A Conn is an httpmsg.Source. It knows nothing of HTTP.
package netio

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// bufferSize holds the usual head; longer ones are read piecewise by httpmsg.
const bufferSize = 8 << 10

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// Conn is a connection with a read buffer. Reading belongs to one goroutine at
// a time, and so does writing; Expire and Close may be called from anywhere.
type Conn struct {
	net.Conn

	// Received and Sent count the bytes read and written so far.
	Received, Sent atomic.Int64

	tcp      *net.TCPConn
	raw      syscall.RawConn // nil where waiting needs a buffer
	under    syscall.RawConn // of the TCP connection below TLS
	first    func(fd uintptr) bool
	firstN   int
	firstErr error
	peek     func(fd uintptr)
	alive    bool

	buf  *[bufferSize]byte // nil while there is nothing in it
	r, w int

	clock    *Clock
	deadline atomic.Int64 // in the clock's time; 0 for none
	struck   atomic.Bool  // a timeout has struck, and the socket's deadline is still in the past
	closed   atomic.Bool
}

// NewConn wraps conn and has clock watch over its timeouts until it is closed.
func NewConn(conn net.Conn, clock *Clock) *Conn {
	c := &Conn{Conn: conn, clock: clock}
	c.tcp, _ = conn.(*net.TCPConn)
	if c.tcp != nil && canWaitBare {
		if raw, err := c.tcp.SyscallConn(); err == nil {
			c.raw = raw
			c.first, c.peek = c.readFirst, c.peekAlive
		}
	}
	if secured, ok := conn.(*tls.Conn); ok && canWaitBare {
		if tcp, ok := secured.NetConn().(*net.TCPConn); ok {
			if raw, err := tcp.SyscallConn(); err == nil {
				c.under, c.peek = raw, c.peekAlive
			}
		}
	}
	clock.add(c)
	return c
}

// Close closes the connection; closing it again does nothing. The read buffer
// is left to the reader.
func (c *Conn) Close() error {
	c.Shut()
	return nil
}

// Shut is Close where nobody could do anything about an error.
func (c *Conn) Shut() {
	if c.closed.Swap(true) {
		return
	}
	c.clock.remove(c)
	c.Conn.Close()
}

// CloseWrite sends the end of the stream and leaves reading open.
func (c *Conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// Abort closes the connection with a reset, so that the peer cannot take what
// it has got for the whole.
func (c *Conn) Abort() {
	if c.tcp != nil {
		c.tcp.SetLinger(0) //nolint:errcheck // a plain close is the best that is left
	}
	c.Shut()
}

// Timeout makes every read and write that is not finished d from now fail with
// os.ErrDeadlineExceeded, to the precision of the clock's tick; 0 takes the
// limit away. A limit that has passed while nothing was read or written does no
// harm.
func (c *Conn) Timeout(d time.Duration) {
	if c.struck.Load() && c.struck.Swap(false) {
		c.SetDeadline(time.Time{}) //nolint:errcheck // fails only on a closed connection
	}
	if d <= 0 {
		c.deadline.Store(0)
		return
	}
	c.deadline.Store(c.clock.now.Load() + int64(d+tick))
}

// Renew is Timeout for a connection that may also have been interrupted.
func (c *Conn) Renew(d time.Duration) {
	c.deadline.Store(0)
	c.SetDeadline(time.Time{}) //nolint:errcheck // fails only on a closed connection, as the next read will
	c.Timeout(d)
}

// Interrupt makes reads and writes under way fail as a timeout would.
func (c *Conn) Interrupt() {
	c.struck.Store(false)
	c.deadline.Store(0)
	c.SetDeadline(time.Unix(1, 0)) //nolint:errcheck // fails only on a closed connection
}

// InterruptRead does so for reads alone.
func (c *Conn) InterruptRead() {
	c.struck.Store(false)
	c.SetReadDeadline(time.Unix(1, 0)) //nolint:errcheck // fails only on a closed connection
}

// Wait blocks until at least one byte is buffered. Where the system allows it
// holds no buffer meanwhile, so that an idle connection costs little.
func (c *Conn) Wait() error {
	if c.w > c.r {
		return nil
	}
	if c.raw == nil {
		return c.fill()
	}
	c.release()
	if err := c.raw.Read(c.first); err != nil {
		return err
	}
	switch {
	case c.firstErr != nil:
		return &net.OpError{Op: "read", Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: c.firstErr}
	case c.firstN == 0:
		c.release()
		return io.EOF
	}
	c.r, c.w = 0, c.firstN
	c.Received.Add(int64(c.firstN))
	return nil
}

// Alive reports whether the peer has neither closed an idle connection nor sent
// anything on it.
func (c *Conn) Alive() bool {
	if c.closed.Load() || c.w > c.r {
		return false
	}
	raw := c.raw
	if raw == nil {
		if c.under == nil {
			return true
		}
		// What TLS has read ahead lies neither in our buffer nor in the kernel.
		c.SetReadDeadline(time.Unix(1, 0)) //nolint:errcheck // fails only on a closed connection, as the read will
		var b [1]byte
		n, err := c.Conn.Read(b[:])
		c.SetReadDeadline(time.Time{}) //nolint:errcheck // see above
		if n > 0 || !IsTimeout(err) {
			return false
		}
		raw = c.under
	}
	c.alive = false
	return raw.Control(c.peek) == nil && c.alive
}

// Release gives the read buffer back if there is nothing in it.
func (c *Conn) Release() {
	if c.r == c.w {
		c.release()
	}
}

func (c *Conn) release() {
	if c.buf != nil {
		buffers.Put(c.buf)
		c.buf = nil
	}
	c.r, c.w = 0, 0
}

// fill reads once into the free part of the buffer.
func (c *Conn) fill() error {
	if c.buf == nil {
		c.buf, _ = buffers.Get().(*[bufferSize]byte)
	}
	if c.r > 0 {
		copy(c.buf[:], c.buf[c.r:c.w])
		c.r, c.w = 0, c.w-c.r
	}
	if c.w == bufferSize {
		return bufio.ErrBufferFull
	}
	n, err := c.Conn.Read(c.buf[c.w:])
	c.w += n
	c.Received.Add(int64(n))
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// Read implements io.Reader: what is buffered first.
func (c *Conn) Read(p []byte) (int, error) {
	if c.w == c.r {
		if len(p) >= bufferSize || c.buf == nil && len(p) > 0 {
			n, err := c.Conn.Read(p)
			c.Received.Add(int64(n))
			return n, err
		}
		if err := c.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, c.buf[c.r:c.w])
	c.r += n
	return n, nil
}

// Write implements io.Writer.
func (c *Conn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.Sent.Add(int64(n))
	return n, err
}

// Buffered returns how many bytes are buffered.
func (c *Conn) Buffered() int { return c.w - c.r }

// Peek returns the next n bytes without passing over them, reading if need be.
func (c *Conn) Peek(n int) ([]byte, error) {
	if n > bufferSize {
		return nil, bufio.ErrBufferFull
	}
	for c.w-c.r < n {
		if err := c.fill(); err != nil {
			return c.window(), err
		}
	}
	if n == 0 {
		return nil, nil
	}
	return c.buf[c.r : c.r+n], nil
}

func (c *Conn) window() []byte {
	if c.buf == nil {
		return nil
	}
	return c.buf[c.r:c.w]
}

// Discard passes over n bytes.
func (c *Conn) Discard(n int) (int, error) {
	done := 0
	for {
		k := min(n-done, c.w-c.r)
		c.r += k
		if done += k; done == n {
			return done, nil
		}
		if err := c.fill(); err != nil {
			return done, err
		}
	}
}

// ReadSlice returns what comes up to and with delim, or bufio.ErrBufferFull and
// a full buffer's worth if that is longer.
func (c *Conn) ReadSlice(delim byte) ([]byte, error) {
	seen := 0
	for {
		window := c.window()
		if i := bytes.IndexByte(window[seen:], delim); i >= 0 {
			c.r += seen + i + 1
			return window[:seen+i+1], nil
		}
		seen = len(window)
		if err := c.fill(); err != nil {
			window = c.window()
			c.r = c.w
			return window, err
		}
	}
}

// Linger ends a conversation that broke off while the peer was still sending:
// the stream is ended, and what still arrives is read for a short while, so
// that the last answer is not destroyed by a reset.
func (c *Conn) Linger() {
	c.Renew(2 * time.Second)
	if c.CloseWrite() == nil {
		io.CopyN(io.Discard, c, 256<<10) //nolint:errcheck // read only to be thrown away
	}
	c.release()
	c.Shut()
}

// IsTimeout reports whether err comes from a timeout that struck.
func IsTimeout(err error) bool {
	return errors.Is(err, os.ErrDeadlineExceeded)
}

// WriteBuffers writes several buffers with one call where the system allows it.
func (c *Conn) WriteBuffers(buffers net.Buffers) (int64, error) {
	n, err := buffers.WriteTo(c.Conn)
	c.Sent.Add(n)
	return n, err
}
