package proxy

import (
	"context"
	"errors"
	"net/netip"
	"runtime"
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
	ctx     context.Context
	conn    *netio.Conn
	client  netip.AddrPort
	refusal error // set when a limit stands against this client

	forwardedFor string      // the client's address, once it has been needed
	busy         atomic.Bool // an exchange is under way

	// Of the exchange under way; the memory is used again for the next.
	req   httpmsg.Request
	where where
	out   exchange.Request
	body  *clientBody // never used again for the next request: an upload may still hold it
	user  string
	// ownAuthorization: user was named in Authorization, which is not the
	// origin's then.
	ownAuthorization bool
	keep             bool // the connection stays open after this response
	status           int
	sent             int64 // octets of content
	result           exchange.Result
	trace            *trace

	interimMu   sync.Mutex
	interimOpen bool
}

var writeBuffers = sync.Pool{New: func() any {
	b := make([]byte, 0, 36<<10)
	return &b
}}

// serve answers requests until one side wants no more.
func (c *session) serve() {
	for {
		c.busy.Store(false)
		if c.server.draining.Load() {
			return
		}
		c.conn.Timeout(c.server.IdleTimeout)
		if c.refusal != nil {
			c.conn.Timeout(time.Second) // somebody else may need the place
		}
		// The others first: by the time it is this session's turn again, the next
		// request has often come, and there is no need to wait for it.
		runtime.Gosched()
		if c.conn.Wait() != nil {
			return
		}
		c.busy.Store(true)
		c.conn.Timeout(c.server.HeadTimeout)
		// Step 4: receive and parse the request.
		if err := c.req.Read(c.conn, c.server.Limits); err != nil {
			c.refuseHead(err)
			return
		}
		if !c.handle() {
			return
		}
		c.conn.Release()
	}
}

// refuseHead answers a head that is malformed or does not come to its end.
func (c *session) refuseHead(err error) {
	c.begin()
	c.keep = false
	switch {
	case netio.IsTimeout(err):
		err = &httpmsg.Error{Status: 408, Reason: "the request did not come to its end in time"}
	case isProtocol(err):
	default:
		return // the client has gone
	}
	if c.req.Method == "" {
		c.req.Method = "GET"
	}
	c.fail(err)
	c.server.Stats.Requests.Add(1)
	if c.server.Access != nil {
		c.logAccess(c.server.Now())
	}
	c.conn.Linger()
}

func isProtocol(err error) bool {
	_, ok := errors.AsType[*httpmsg.Error](err)
	return ok
}

func (c *session) begin() {
	c.user, c.status, c.sent, c.result, c.trace = "", 0, 0, "", nil
	c.where = where{}
	c.keep = c.req.Persistent() && !c.server.draining.Load()
	c.body = newBody(c)
}

// handle carries out one exchange and reports whether another may follow.
func (c *session) handle() (again bool) {
	c.begin()
	if c.server.Trace != nil || c.explaining() {
		c.trace = c.server.newTrace(c)
		defer c.trace.flush()
	}
	var start time.Time
	if c.server.Access != nil {
		start = c.server.Now()
	}
	before := c.conn.Received.Load() + c.conn.Sent.Load()
	var err error
	switch {
	case c.req.Method != "CONNECT":
		err = c.forward()
	case c.server.Upstream != nil:
		err = policy(405, "http_request_denied", "reading the request", errors.New("a reverse proxy has no CONNECT"))
	default:
		err = c.connect()
	}
	if err != nil {
		if c.req.Method == "CONNECT" && c.conn.Buffered() > 0 {
			c.keep = false // what comes was meant for the tunnel, and is no request
		}
		c.fail(err)
	}
	c.server.Stats.Requests.Add(1)
	if c.server.Access != nil {
		c.logAccess(start)
	}
	if c.user != "" && c.server.Quota != nil {
		c.server.Quota.Add(c.user, c.conn.Received.Load()+c.conn.Sent.Load()-before, c.server.Now())
	}
	if c.body.present && !c.body.abort() && c.keep {
		c.keep = false
	}
	if !c.keep && (c.body.present && !c.body.Done() || c.conn.Buffered() > 0) {
		c.conn.Linger()
	}
	return c.keep
}

// forward passes a request on and its response back.
func (c *session) forward() error {
	var err error
	if c.where, err = c.server.locate(&c.req); err != nil {
		return err
	}
	if err = c.permit(); err != nil {
		return err
	}
	switch c.where.way {
	case itself:
		return c.answerOptions()
	case local:
		return c.serveLocal()
	}
	if c.req.Method == "PURGE" && c.server.Purge != nil {
		return c.purge()
	}
	done, err := c.prepare()
	if done || err != nil {
		return err
	}
	if c.req.Minor >= 1 {
		c.interimOpen = true
		c.out.Interim = c.interim
	}
	if c.explaining() {
		return c.answerExplained()
	}
	// Step 5: get the response, from the cache or from the origin.
	resp, err := c.server.Transport.Exchange(c.ctx, &c.out)
	c.closeInterim()
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	c.count(resp.Result)
	if resp.Upgraded != nil {
		return c.upgrade(resp)
	}
	// Step 6: send it to the client.
	c.respond(resp)
	// The transport must not read from the client any more once the body is
	// closed.
	if c.body.present {
		c.body.abort()
	}
	return nil
}

func (c *session) count(result exchange.Result) {
	c.result = result
	stats := &c.server.Stats
	switch result {
	case exchange.Hit, exchange.Stale, exchange.Revalidated:
		stats.Hits.Add(1)
	case exchange.Miss, exchange.Collapsed:
		stats.Misses.Add(1)
	default:
		stats.Other.Add(1)
	}
	if c.server.Notify != nil {
		switch result {
		case exchange.Hit, exchange.Stale:
			c.server.Notify("Read from cache")
		case exchange.Revalidated:
			c.server.Notify("Read from cache, which " + c.out.Host + " says is up to date")
		default:
			c.server.Notify("Fetched from " + c.out.Host)
		}
	}
}

// permit applies every rule that does not need the target's address.
func (c *session) permit() error {
	s := c.server
	if c.refusal != nil {
		c.keep = false
		s.Stats.Refused.Add(1)
		return c.refusal
	}
	if err := s.Rules.Client(c.client.Addr()); err != nil {
		c.keep = false
		return policy(403, "http_request_denied", "checking the client's address", err)
	}
	if users := s.users.Load(); users != nil {
		if err := c.authenticate(users); err != nil {
			return err
		}
	}
	if c.where.host != "" && c.where.way != reverse {
		name, _, _ := splitPort(c.where.host)
		if err := s.Rules.Host(name); err != nil {
			return policy(403, "http_request_denied", "checking the host's name", err)
		}
	}
	return nil
}

func policy(status int, kind, step string, err error) error {
	return &exchange.Error{Status: status, Type: kind, Step: step, Err: err}
}

// interim passes a 1xx response on (RFC 9110, section 15.2).
func (c *session) interim(resp *httpmsg.Response) {
	c.interimMu.Lock()
	defer c.interimMu.Unlock()
	if !c.interimOpen {
		return
	}
	head := *resp
	head.Minor = 1
	b, err := httpmsg.AppendResponse(nil, &head)
	if err != nil {
		return
	}
	c.conn.Timeout(c.server.BodyTimeout)
	c.conn.Write(b) //nolint:errcheck // a client that has gone shows at the final response
	if c.trace != nil {
		c.trace.client("<", b)
	}
}

func (c *session) closeInterim() {
	if c.out.Interim == nil {
		return
	}
	c.interimMu.Lock()
	c.interimOpen = false
	c.interimMu.Unlock()
}
