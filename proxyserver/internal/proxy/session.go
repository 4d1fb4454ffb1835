package proxy

import (
	"context"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"topdown/pkg/httpmsg"
	"topdown/proxyserver/internal/exchange"
	"topdown/proxyserver/internal/netio"
)

// session is one client's connection: requests and responses in turn.
type session struct {
	server  *Server
	ctx     context.Context //nolint:containedctx // of the server: every exchange of the session has it
	conn    *netio.Conn
	client  netip.AddrPort
	refusal error // set when a limit stands against this client

	clientIP string      // the client's address as text, once it has been needed
	busy     atomic.Bool // an exchange is under way

	// Of the exchange under way; the memory is used again for the next.
	req    httpmsg.Request
	target target
	out    exchange.Request
	body   *clientBody // never used again for the next request: an upload may still hold it
	user   string
	// ownAuthorization: user was named in Authorization, which is not the
	// origin's then.
	ownAuthorization bool
	keep             bool // the connection stays open after this response
	status           int
	sent             int64 // bytes of content
	result           exchange.Result
	trace            *trace
	traced           tracedConn
	answered         answered

	interimMu   sync.Mutex
	interimOpen bool
}

// reset makes the session ready for the request that has been read.
func (c *session) reset() {
	c.user, c.status, c.sent, c.result, c.trace = "", 0, 0, "", nil
	c.answered = answered{}
	c.target = target{}
	c.keep = c.req.Persistent() && !c.server.draining.Load()
	c.body = newBody(c.conn, c.req.Framing, c.server.Clock, c.server.BodyTimeout, c.server.MaxBody)
}

// now returns the time if the access log or the trace will want it.
func (c *session) now() time.Time {
	if c.server.Access == nil && c.trace == nil {
		return time.Time{}
	}
	return c.server.Now()
}

// ip returns the client's address as text.
func (c *session) ip() string {
	if c.clientIP == "" {
		c.clientIP = c.client.Addr().String()
	}
	return c.clientIP
}

// fromHere reports whether the request was made on the proxy's own machine, and
// not only passed on by a server there.
func (c *session) fromHere() bool {
	f := c.req.Fields
	return c.client.Addr().IsLoopback() && !f.Has("Forwarded") && !f.Has("X-Forwarded-For") && !f.Has("X-Real-IP") && !f.Has("Via")
}
