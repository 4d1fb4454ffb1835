// Package fetch is the client half of the web server lab: it sends one GET from
// a socket and shows what comes back.
//
// It follows no redirects, keeps no connection and sends no cookies: what it
// shows is one exchange of HTTP/1.1 (RFC 9112), as it was.
package fetch

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"topdown/pkg/httpmsg"
)

const (
	defaultTimeout = 30 * time.Second
	maxInterim     = 20 // interim (1xx) responses before the final one
)

// Options say what to get and where to put it.
type Options struct {
	URL      string        // http or https; without a scheme, http is meant
	Fields   []string      // further fields, "Name: value"; "Name:" takes one out
	Output   string        // file for the body, "-" for Stdout without the head; "" for both
	Verbose  bool          // show both heads on Stderr
	Insecure bool          // accept any certificate
	Timeout  time.Duration // for the whole exchange; 0 means 30 s

	UserAgent      string // default "topdown-webserver"
	Stdout, Stderr io.Writer
	Terminal       bool // Stdout is a terminal: what could do it harm is not shown
}

// Result is what came of it.
type Result struct {
	Status   int    // status code, 0 if there was no response
	Location string // where a redirect points
	Size     int64  // bytes of the body
	ExitCode int    // 0 for 2xx, 3, 4 or 5 for 3xx to 5xx, 2 for ErrUsage, 1 for all other failures
}

// ErrUsage is under every error that is due to the options alone.
var ErrUsage = errors.New("usage")

// Error says in which step an exchange failed.
type Error struct {
	Step string // "resolve", "connect", "TLS", "send", "receive" or "save"
	Err  error
	Hint string // what to do about it, or ""
}

func (e *Error) Error() string {
	s := e.Step + ": " + e.Err.Error()
	// Of what package net says, the step and the resolver's address are no help.
	op, isOp := errors.AsType[*net.OpError](e.Err)
	system, isSystem := errors.AsType[*os.SyscallError](e.Err)
	if dns, ok := errors.AsType[*net.DNSError](e.Err); ok {
		s = e.Step + " " + dns.Name + ": " + dns.Err
	} else if isOp && isSystem && op.Addr != nil {
		s = e.Step + " " + op.Addr.String() + ": " + system.Err.Error()
	}
	if e.Hint != "" {
		s += "; " + e.Hint
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Get sends the request, shows the response and saves its body. The result is
// valid as far as it goes even with an error; the exit code always is.
func Get(ctx context.Context, opts Options) (Result, error) {
	if opts.Timeout <= 0 {
		opts.Timeout = defaultTimeout
	}
	ctx, cancel := context.WithTimeoutCause(ctx, opts.Timeout, fmt.Errorf("not finished within %v: see --timeout", opts.Timeout))
	defer cancel()
	var result Result
	err := get(ctx, &opts, &result)
	switch class := result.Status / 100; {
	case errors.Is(err, ErrUsage):
		result.ExitCode = 2
	case err != nil:
		result.ExitCode = 1
	case class >= 3 && class <= 5:
		result.ExitCode = class
	case class != 2:
		result.ExitCode = 1
	}
	return result, err
}

func get(ctx context.Context, opts *Options, result *Result) error {
	t, err := newTarget(opts)
	if err != nil {
		return err
	}
	out := &output{opts: opts}
	if err = out.check(); err != nil {
		return err
	}
	head, err := httpmsg.AppendRequest(nil, &t.request)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUsage, err)
	}

	conn, err := dial(ctx, t, opts.Insecure)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) }) //nolint:errcheck // then the connection is gone already
	defer stop()
	if _, err = conn.Write(head); err != nil {
		return failed(ctx, "send", err)
	}
	out.requestHead(&t.request)

	src := bufio.NewReaderSize(conn, 16<<10)
	var resp httpmsg.Response
	for interim := 0; ; interim++ {
		if err = resp.Read(src, "GET", httpmsg.Limits{}); err != nil {
			return receiveError(ctx, t, err)
		}
		if resp.Status >= 200 || resp.Status == 101 {
			break
		}
		out.responseHead(&resp, true)
		if interim == maxInterim {
			return &Error{Step: "receive", Err: fmt.Errorf("more than %d interim responses and no final one", maxInterim)}
		}
	}
	result.Status, result.Location = resp.Status, resp.Fields.Get("Location")
	if resp.Status == 101 {
		return &Error{Step: "receive", Err: errors.New("the server switched protocols without being asked")}
	}
	out.responseHead(&resp, false)
	body := &counter{r: httpmsg.NewBody(src, resp.Framing, httpmsg.BodyLimits{})}
	err = out.body(body, &resp)
	result.Size = body.n
	if body.err != nil {
		return bodyError(ctx, body, resp.Framing)
	}
	return err
}

// dial resolves, connects and, for https, makes the TLS handshake.
func dial(ctx context.Context, t *target, insecure bool) (net.Conn, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", t.addr)
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		e := failed(ctx, "resolve", dns)
		if dns.IsNotFound {
			e.Hint = "is the name spelled right?"
		}
		return nil, e
	}
	if err != nil {
		e := failed(ctx, "connect", err)
		if errors.Is(err, errRefused) {
			e.Hint = "is a server running there, on that port?"
		}
		return nil, e
	}
	if !t.tls {
		return conn, nil
	}
	secure := tls.Client(conn, &tls.Config{
		ServerName: t.host, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
		InsecureSkipVerify: insecure,
	})
	if err = secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		e := failed(ctx, "TLS", err)
		if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
			e.Hint = "the server does not speak TLS on that port: try http://"
		} else if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
			e.Hint = "if you trust this server all the same, for example because it is yours, use --insecure"
		}
		return nil, e
	}
	return secure, nil
}

// failed returns the error of a step, which is that of ctx if it is done.
func failed(ctx context.Context, step string, err error) *Error {
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return &Error{Step: step, Err: err}
}

func receiveError(ctx context.Context, t *target, err error) error {
	e := failed(ctx, "receive", err)
	bad, notHTTP := errors.AsType[*httpmsg.Error](err)
	switch {
	case ctx.Err() != nil:
	case notHTTP:
		e.Err = fmt.Errorf("the response is not valid HTTP/1: %w", bad)
		if !t.tls {
			e.Hint = "perhaps the server speaks TLS on that port: try https://"
		}
	case errors.Is(err, io.EOF):
		e.Err = errors.New("the server closed the connection without a response")
	case errors.Is(err, io.ErrUnexpectedEOF):
		e.Err = errors.New("the server closed the connection in the middle of the head")
	}
	return e
}

func bodyError(ctx context.Context, body *counter, framing httpmsg.Framing) error {
	e := failed(ctx, "receive", body.err)
	if ctx.Err() == nil && errors.Is(body.err, io.ErrUnexpectedEOF) {
		of := ""
		if framing >= 0 {
			of = fmt.Sprintf(" of %d", framing)
		}
		e.Err = fmt.Errorf("the body is truncated: it ended after %d%s bytes: %w", body.n, of, body.err)
		return e
	}
	e.Err = fmt.Errorf("after %d bytes of the body: %w", body.n, e.Err)
	return e
}

// counter counts what is read and keeps the error that it ended with.
type counter struct {
	r   io.Reader
	n   int64
	err error
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		c.err = err
	}
	return n, err
}
