// Package session is what a session with a mail server consists of, whatever
// the protocol: it connects, moves to TLS, logs in by SASL, sends command lines
// and reads reply lines of bounded length, keeps a deadline on every read and
// write, and reports each line to a watcher with secrets masked.
//
// It knows no command and no reply code; smtp and pop3 have those. It refuses
// to put CR, LF or NUL inside a line (RFC 5321 section 2.3.8), to read a line
// without end, to carry bytes that arrived before a TLS handshake over into the
// secured session (RFC 3207 section 4.2), and to show a password to a link that
// others can read.
package session

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"
)

// A Config says how to reach a server and how to be let in.
type Config struct {
	Host string // name or address, also what the certificate must be for
	Port string
	Addr string // if not empty, the address to connect to instead of Host
	// Network is "tcp", or "tcp4" or "tcp6" for one kind of address only;
	// empty means "tcp".
	Network string
	TLS     TLSMode
	// Roots are the authorities that may sign the server's certificate; nil
	// means the system's.
	Roots *x509.CertPool
	// Certificate is shown to a server that asks the client for one; nil: none.
	Certificate *tls.Certificate
	// Opportunistic secures the link without checking the certificate, as mail
	// servers do among each other (RFC 7435). It rules out a password.
	Opportunistic bool
	Login         *Login // nil: nobody logs in
	// Timeout shortens the timeout of each step, 0 leaves those of the RFCs.
	Timeout time.Duration
	// FirstTimeout does the same for connecting and the greeting alone.
	FirstTimeout time.Duration
	// Limit bounds the time for connecting, and for each mail. 0 means none.
	Limit time.Duration
	Watch func(Event) // is told each line; may be nil
	// Trace, if not nil, gets the session too, with Lessons to explain it.
	Trace   *Tracer
	Lessons *Lessons
	// Waiting is told, once and from a goroutine of its own, what takes long:
	// connecting or the greeting. May be nil.
	Waiting func(what string)
	Mask    *Mask    // hides secrets; nil hides nothing
	Dial    DialFunc // replaces the network, for tests
}

// waitingAfter is how long users wait before they are told for what.
const waitingAfter = 3 * time.Second

// waiting tells the user what the program waits for, if that takes long. The
// function that it returns ends the wait.
func (cfg *Config) waiting(what string) func() {
	if cfg.Waiting == nil {
		return func() {}
	}
	timer := time.AfterFunc(waitingAfter, func() { cfg.Waiting(what) })
	return func() { timer.Stop() }
}

// A DialFunc opens a connection, as net.Dialer.DialContext does.
type DialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// connectTimeout bounds the TCP handshake.
const connectTimeout = 30 * time.Second

// Connect opens a TCP connection to a server; implicitPort is where the
// protocol begins with TLS. The connection ends when ctx is cancelled.
func Connect(ctx context.Context, cfg *Config, implicitPort string) (*Conn, error) {
	dial := cfg.Dial
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	addr := cmp.Or(cfg.Addr, net.JoinHostPort(cfg.Host, cfg.Port))
	connecting, cancel := context.WithTimeout(ctx, shorter(shorter(connectTimeout, cfg.Timeout), cfg.FirstTimeout))
	defer cancel()
	arrived := cfg.waiting("waiting for a connection to " + addr + "…")
	raw, err := dial(connecting, cmp.Or(cfg.Network, "tcp"), addr)
	arrived()
	if err != nil {
		return nil, connectError(addr, err)
	}
	c := New(raw)
	c.Watch, c.Mask, c.Timeout = cfg.Watch, cfg.Mask, cfg.Timeout
	c.cfg = cfg
	c.implicit = cfg.TLS == Implicit || cfg.TLS != None && cfg.TLS != StartTLS && cfg.Port == implicitPort
	c.stop = context.AfterFunc(ctx, func() { raw.Close() })
	if cfg.Limit > 0 {
		c.Limit = time.Now().Add(cfg.Limit)
	}
	c.trace = cfg.Trace.begin(c, cfg.Lessons)
	c.Step("connect")
	c.Emit(Note, fmt.Sprintf("connected to %s", raw.RemoteAddr()))
	if c.implicit {
		if err := c.Secure(ctx); err != nil {
			c.Close()
			return nil, err
		}
	}
	return c, nil
}

// shorter is the shorter of two times, of which the second counts if it is
// more than 0.
func shorter(a, b time.Duration) time.Duration {
	if b > 0 {
		return min(a, b)
	}
	return a
}

// connectError says in words for users why there is no connection. net's own
// text names the address twice, and the resolver.
func connectError(addr string, err error) error {
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		why := "the name cannot be looked up now: " + dns.Err
		if dns.IsNotFound {
			why = "there is no such host"
		}
		return &ConnectError{Text: fmt.Sprintf("%s: %s", dns.Name, why), Err: err}
	}
	cause := err
	if op, ok := errors.AsType[*net.OpError](err); ok {
		cause = op.Err
		if call := errors.Unwrap(cause); call != nil { // without the system call's name
			cause = call
		}
		if op.Timeout() {
			cause = errors.New("no answer")
		}
	}
	return &ConnectError{Text: fmt.Sprintf("connect to %s: %v", addr, cause), Err: err}
}

// A ConnectError is a connection that did not come about.
type ConnectError struct {
	Text string
	Err  error
}

func (e *ConnectError) Error() string { return e.Text }
func (e *ConnectError) Unwrap() error { return e.Err }

// Greeting begins the wait for the server's first words.
func (c *Conn) Greeting(timeout time.Duration) {
	c.Begin("greeting", shorter(timeout, c.cfg.FirstTimeout))
	what := "waiting for the greeting of " + net.JoinHostPort(c.cfg.Host, c.cfg.Port) + "…"
	if !c.implicit {
		what += " (a server that speaks TLS from the first byte says nothing here: --tls implicit)"
	}
	c.greeted = c.cfg.waiting(what)
}

// Hint adds to the error of a greeting that did not come what the reason may be.
func (c *Conn) Hint(err error) error {
	if c.implicit || !errors.Is(err, ErrTimeout) && !errors.Is(err, ErrClosed) {
		return err
	}
	return fmt.Errorf("%w; if port %s speaks TLS from the first byte, use implicit TLS (--tls implicit, --pop3-tls implicit)", err, c.cfg.Port)
}

// Secure makes the TLS handshake, checks the certificate as configured and
// continues the session inside. Bytes that the server sent before are fatal:
// anybody on the way could have put them there, and they would count as the
// certificate's owner's.
func (c *Conn) Secure(ctx context.Context) error {
	config := TLSConfig(c.cfg.Host, c.cfg.Roots)
	config.InsecureSkipVerify = c.cfg.Opportunistic
	if c.cfg.Certificate != nil {
		config.Certificates = []tls.Certificate{*c.cfg.Certificate}
	}
	c.Begin("TLS", handshakeTimeout)
	err := ErrInjected
	conn := tls.Client(c.conn, config)
	if c.r.Buffered() == 0 {
		err = c.Failure(conn.HandshakeContext(ctx))
	}
	if err != nil {
		c.broken = true
		return &TLSError{Server: c.cfg.Host, Err: err}
	}
	c.conn = conn
	c.r.Reset(conn)
	c.w.Reset(conn)
	state := conn.ConnectionState()
	c.TLS = &state
	checked := "certificate checked for " + c.cfg.Host
	if c.cfg.Opportunistic {
		checked = "certificate not checked"
	}
	how := fmt.Sprintf("%s, %s, %s", tls.VersionName(state.Version), tls.CipherSuiteName(state.CipherSuite), checked)
	c.Emit(Note, how)
	c.trace.secured(how)
	return nil
}

// Lost marks the connection as gone and says during which step.
func (c *Conn) Lost(step string, err error) error {
	c.broken = true
	return fmt.Errorf("%s: %w", step, err)
}

// Break marks the connection as of no further use.
func (c *Conn) Break() { c.broken = true }

// Broken tells whether the connection is of no further use.
func (c *Conn) Broken() bool { return c.broken }

// Command sends one line and begins the wait for its reply.
func (c *Conn) Command(step, line string, timeout time.Duration) error {
	c.Begin(step, timeout)
	if err := c.Send(line); err != nil {
		return c.Lost(step, err)
	}
	if err := c.Flush(); err != nil {
		return c.Lost(step, err)
	}
	return nil
}
