// Package origin is the client half of HTTP/1.1: it dials, keeps a pool of
// connections, sends a request, reads the response, and passes the content on
// as it comes. It checks where it connects to (Dialer) and refuses responses
// that two readers could understand differently; it follows no redirect,
// decodes nothing and stores nothing.
//
// RFC 9110 (semantics), RFC 9112 (HTTP/1.1), RFC 9209 (Proxy-Status types).
package origin

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"topdown/pkg/httpmsg"
	"topdown/proxyserver/internal/exchange"
	"topdown/proxyserver/internal/netio"
)

// Options are the transport's settings. The zero value of each means its
// default.
type Options struct {
	Dialer *Dialer
	Clock  *netio.Clock // for timeouts; required

	ResponseTimeout time.Duration // from the request to the response's head; default 60 s
	ReadTimeout     time.Duration // between two pieces of content, either way; default 60 s

	// Name is this proxy's name in the Via field.
	Name string
	// Lab sends HTTP/1.0 with "Connection: close" and "Proxy-Connection:
	// close", one request per connection, as the course handouts do.
	Lab bool
	// Now tells the time for a missing Date field; nil: time.Now.
	Now func() time.Time
}

// Transport exchanges requests for responses with origins; it implements
// exchange.Transport for the schemes http and https.
type Transport struct {
	opts     Options
	pool     *pool
	sessions tls.ClientSessionCache
	via      [2]string
}

// New returns a transport. It keeps idle connections until ctx is done.
func New(ctx context.Context, opts Options) *Transport {
	if opts.Dialer == nil {
		opts.Dialer = &Dialer{}
	}
	setDefault(&opts.ResponseTimeout, 60*time.Second)
	setDefault(&opts.ReadTimeout, 60*time.Second)
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Name == "" {
		opts.Name = "proxyserver"
	}
	t := &Transport{
		opts:     opts,
		pool:     newPool(),
		sessions: tls.NewLRUClientSessionCache(256),
		via:      [2]string{"1.0 " + opts.Name, "1.1 " + opts.Name},
	}
	go t.reap(ctx)
	return t
}

func setDefault(v *time.Duration, value time.Duration) {
	if *v <= 0 {
		*v = value
	}
}

func (t *Transport) reap(ctx context.Context) {
	ticker := time.NewTicker(5 * time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			t.pool.close()
			return
		case <-ticker.C:
			t.pool.reap(t.opts.Clock.Now() - idleTimeout)
		}
	}
}

// Idle returns the number of idle connections.
func (t *Transport) Idle() int { return t.pool.len() }

// Exchange implements exchange.Transport.
func (t *Transport) Exchange(ctx context.Context, req *exchange.Request) (*exchange.Response, error) {
	key := poolKey{req.Scheme, cmp.Or(req.Server, req.Host)}
	for {
		c, err := t.connect(ctx, key, req)
		if err != nil {
			return nil, err
		}
		if req.Trace != nil || req.Explain != nil {
			t.explainConn(req, c)
		}
		if req.Connected != nil {
			req.Connected(c.LocalAddr(), c.RemoteAddr(), c.reused)
		}
		// An exchange that nobody wants any more ends at once, in whatever read
		// or write it is.
		c.unbind = context.AfterFunc(ctx, c.Shut)
		resp, err := c.exchange(req)
		if err == nil {
			return resp, nil
		}
		c.unbind()
		c.Shut()
		if ctx.Err() != nil {
			return nil, connectError(req.Host, ctx.Err())
		}
		// An idle connection may die just as it is used again. Then, and only
		// then, the same request may go out once more (RFC 9112, section 9.3.1).
		if !errors.Is(err, errDied) {
			return nil, err
		}
		if !c.reused || !repeatable(req) {
			return nil, c.failure("http_response_incomplete", "waiting for the answer of", errors.New("the connection was closed before any answer"))
		}
		req.Say("RFC 9112, 9.3.1", "the kept connection had died before any answer: the request is sent again on another")
	}
}

func (t *Transport) explainConn(req *exchange.Request, c *conn) {
	how := "a new connection"
	if c.reused {
		how = "a kept connection"
	}
	req.Say("RFC 9112, 9.3", fmt.Sprintf("%s to %s", how, c.RemoteAddr()))
}

// surelyAlive is how long an idle connection is trusted with a request that
// cannot be sent again: origins close theirs after some seconds, and the news
// may be on its way.
const surelyAlive = time.Second

// repeatable reports whether a request may be sent again when a connection dies
// before any answer.
func repeatable(req *exchange.Request) bool { return req.Body == nil && idempotent(req.Method) }

// idempotent reports whether a method may be sent again (RFC 9110, section
// 9.2.2).
func idempotent(method string) bool {
	switch method {
	case "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE":
		return true
	}
	return false
}

// connect returns a kept connection or a new one.
func (t *Transport) connect(ctx context.Context, key poolKey, req *exchange.Request) (*conn, error) {
	if !t.opts.Lab {
		before := time.Duration(-1)
		if !repeatable(req) {
			before = t.opts.Clock.Now() - surelyAlive
		}
		if c := t.pool.take(key, before); c != nil {
			return c, nil
		}
	}
	d := t.opts.Dialer
	if req.Timed != nil {
		ctx = exchange.WithTimed(ctx, req.Timed)
	}
	ctx, cancel := context.WithTimeout(ctx, d.timeout())
	defer cancel()
	name, port := SplitHost(key.host, DefaultPort(key.scheme))
	if d.Parent != nil && key.scheme != "https" {
		if err := d.checkLiteral(key.host, port); err != nil {
			return nil, err
		}
		bare, err := d.dialParent(ctx)
		if err != nil {
			return nil, err
		}
		return t.newConn(netio.NewConn(bare, t.opts.Clock), key), nil
	}
	if key.scheme == "https" {
		bare, err := d.Tunnel(ctx, key.host, req.Fields.Get("Via"))
		if err != nil {
			return nil, err
		}
		secured, err := d.secure(ctx, bare, strings.TrimSuffix(name, "."), t.sessions)
		if err != nil {
			return nil, err
		}
		return t.newConn(netio.NewConn(secured, t.opts.Clock), key), nil
	}
	bare, err := d.dial(ctx, name, port, d.Check)
	if err != nil {
		return nil, err
	}
	return t.newConn(netio.NewConn(bare, t.opts.Clock), key), nil
}

func (t *Transport) newConn(wire *netio.Conn, key poolKey) *conn {
	return &conn{Conn: wire, transport: t, key: key}
}

// body is the content of a response, read from the connection as it comes.
type body struct {
	httpmsg.Body
	conn       *conn
	persistent bool // the connection may be used again afterwards
	over       bool

	received func(int64) // is told of the size in the end; nil: nobody is
	size     int64
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	if b.over {
		return 0, b.end()
	}
	b.conn.Timeout(b.conn.transport.opts.ReadTimeout)
	n, err := b.Body.Read(p)
	b.size += int64(n)
	if b.Done() {
		// The last byte and the news that it was the last come together, and
		// the connection is free for the next exchange at once.
		b.finish()
		return n, io.EOF
	}
	if err != nil && netio.IsTimeout(err) {
		err = b.conn.failure("http_response_timeout", "reading the content from", errLate)
	}
	return n, err
}

func (b *body) end() error {
	if b.Done() {
		return io.EOF
	}
	return errors.New("read after close")
}

// finish gives the connection back to the pool, or closes it.
func (b *body) finish() {
	if b.over {
		return
	}
	b.over = true
	if b.received != nil && b.size > 0 {
		b.received(b.size)
	}
	c := b.conn
	c.Timeout(0)
	if c.unbind() && b.Done() && b.persistent {
		c.transport.pool.put(c, c.transport.opts.Clock.Now())
		return
	}
	c.Shut()
	c.Release()
}

// Close implements io.Closer.
func (b *body) Close() error {
	b.finish()
	return nil
}
