package session

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

// MaxLine is the longest line, in bytes and without its end, that ReadLine
// accepts: four times what RFC 5321 section 4.5.3.1.5 lets a server send.
const MaxLine = 2048

// BufferSize is the size of the read and of the write buffer in bytes.
const BufferSize = 32 << 10

// Errors of the lines, for errors.Is.
var (
	ErrTimeout  = errors.New("timed out waiting for the server")
	ErrClosed   = errors.New("the server closed the connection")
	ErrLineLong = fmt.Errorf("the server sent a line of more than %d bytes", MaxLine)
	ErrNUL      = errors.New("the server sent a NUL byte")
	ErrInjected = errors.New("the server sent data between its consent to TLS and the TLS handshake")
	ErrUnsafe   = errors.New("a command must not contain CR, LF or NUL")
)

// Speaker says who said a line.
type Speaker byte

// The two ends, remarks of the client itself, and its judgement on a reply that
// is not the one it needs.
const (
	Client  Speaker = 'C'
	Server  Speaker = 'S'
	Note    Speaker = '-'
	Verdict Speaker = '!'
)

// An Event is one line of the dialogue, safe to print: secrets are masked and
// control characters escaped.
type Event struct {
	At   time.Time
	From Speaker
	Step string // the command or phase it belongs to: "greeting", "EHLO", "RCPT"
	Line string // without the line end
}

// Conn is one connection to a server that speaks in lines.
type Conn struct {
	// Watch, if not nil, is called with every line sent and received, in order.
	Watch func(Event)
	// Mask hides secrets from Watch and from errors; nil hides nothing.
	Mask *Mask
	// Timeout shortens the timeout of every step; 0 leaves them as they are.
	Timeout time.Duration
	// Limit is the moment at which the dialogue ends whatever happens.
	// The zero time means never.
	Limit time.Time
	// TLS describes the secured link, nil if it is in the clear.
	TLS *tls.ConnectionState

	cfg      *Config
	trace    *trace
	implicit bool        // TLS came before the greeting
	broken   bool        // the connection is of no further use
	stop     func() bool // ends the watch over the context
	greeted  func()      // ends the wait for the greeting

	conn   net.Conn
	r      *bufio.Reader
	w      *bufio.Writer
	step   string
	served atomic.Int64 // the timeout in force, for the error text; Await reads it beside Extend
}

// New returns a Conn over conn.
func New(conn net.Conn) *Conn {
	return &Conn{
		cfg: &Config{}, greeted: func() {},
		conn: conn,
		r:    bufio.NewReaderSize(conn, BufferSize),
		w:    bufio.NewWriterSize(conn, BufferSize),
	}
}

// Begin names the step that follows and gives it a time: every read and write
// until the next Begin or Extend must be over by then. A server that drips one
// byte a second therefore gains nothing.
func (c *Conn) Begin(step string, timeout time.Duration) {
	c.greeted()
	c.Step(step)
	c.Extend(timeout)
}

// Step names the step that the following lines belong to.
func (c *Conn) Step(step string) { c.step = step }

// Extend gives the current step a further timeout, counted from now.
func (c *Conn) Extend(timeout time.Duration) {
	// The error of a closed connection shows at the next read or write.
	_ = c.conn.SetDeadline(c.deadline(timeout))
}

func (c *Conn) deadline(timeout time.Duration) time.Time {
	timeout = shorter(timeout, c.Timeout)
	c.served.Store(int64(timeout))
	t := time.Now().Add(timeout)
	if !c.Limit.IsZero() && c.Limit.Before(t) {
		t = c.Limit
	}
	return t
}

// Send puts a command line in the write buffer; Flush sends it. Commands of
// one round trip leave in one segment that way.
func (c *Conn) Send(line string) error { return c.SendSecret(line, line) }

// SendSecret is Send for a line that the watcher sees as shown.
func (c *Conn) SendSecret(line, shown string) error {
	if strings.ContainsAny(line, "\r\n\x00") {
		return ErrUnsafe
	}
	c.Emit(Client, shown)
	_, err := c.w.WriteString(line + "\r\n")
	return c.Failure(err)
}

// Emit reports a line to the watcher without sending it.
func (c *Conn) Emit(from Speaker, line string) {
	if c.Watch == nil && c.trace == nil {
		return
	}
	line = c.Mask.Hide(line)
	c.trace.said(from, c.step, line)
	if c.Watch != nil {
		c.Watch(Event{At: time.Now(), From: from, Step: c.step, Line: Printable(line)})
	}
}

// Flush sends what is buffered.
func (c *Conn) Flush() error { return c.Failure(c.w.Flush()) }

// Write sends raw bytes (message content) through the write buffer. The caller
// calls Extend before each block.
func (c *Conn) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.trace.content("client", p[:n])
	return n, c.Failure(err)
}

// ReadLine reads one line and returns it without its end. A bare LF ends a line
// as CRLF does. The errors are ErrLineLong, ErrNUL, ErrTimeout, ErrClosed, or
// that of the connection.
func (c *Conn) ReadLine() (string, error) {
	line, err := c.r.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull), err == nil && len(line) > MaxLine+2:
		return "", ErrLineLong
	case errors.Is(err, io.EOF) && len(line) > 0:
		return "", fmt.Errorf("%w in the middle of a line", ErrClosed)
	case err != nil:
		return "", c.Failure(err)
	case bytes.IndexByte(line, 0) >= 0:
		return "", ErrNUL
	}
	return string(bytes.TrimSuffix(line[:len(line)-1], []byte("\r"))), nil
}

// Raw gives the buffered reader itself, for content that is not made of reply
// lines. Its errors do not pass through Conn; see Failure.
func (c *Conn) Raw() *bufio.Reader { return c.r }

// Received tells the trace of content that was read from Raw.
func (c *Conn) Received(p []byte) { c.trace.content("server", p) }

// Await blocks until the server has sent something or the deadline passes, and
// leaves it unread. It may run beside Write, not beside another read.
func (c *Conn) Await() error {
	_, err := c.r.Peek(1)
	return c.Failure(err)
}

// Buffered tells how many received bytes wait to be read.
func (c *Conn) Buffered() int { return c.r.Buffered() }

// LocalAddr is our end of the connection.
func (c *Conn) LocalAddr() net.Addr { return c.conn.LocalAddr() }

// RemoteAddr is the server's end.
func (c *Conn) RemoteAddr() net.Addr { return c.conn.RemoteAddr() }

// Close closes the connection. It may be called at any time and more than once.
func (c *Conn) Close() {
	c.broken = true
	c.trace.ended()
	c.greeted()
	if c.stop != nil {
		c.stop()
	}
	c.conn.Close()
}

// Failure turns an error of the connection, or of Raw, into one of this package's:
// it names the failures that matter by themselves and keeps the rest.
func (c *Conn) Failure(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrTimeout), errors.Is(err, ErrClosed):
		return err
	case isAlert(err):
		return &TLSError{Server: c.cfg.Host, Err: err}
	case errors.Is(err, os.ErrDeadlineExceeded):
		if !c.Limit.IsZero() && !time.Now().Before(c.Limit) {
			return fmt.Errorf("%w: the time limit for the whole session is over", ErrTimeout)
		}
		return fmt.Errorf("%w (%v)", ErrTimeout, time.Duration(c.served.Load()))
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return ErrClosed
	}
	return err
}

// isAlert tells whether the server has ended TLS, as crypto/tls reports it.
func isAlert(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "remote error"
}
