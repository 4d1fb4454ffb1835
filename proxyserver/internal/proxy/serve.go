package proxy

import (
	"crypto/tls"
	"errors"
	"io"
	"runtime"
	"time"

	"topdown/pkg/httpmsg"
	"topdown/proxyserver/internal/exchange"
	"topdown/proxyserver/internal/netio"
)

// serve answers requests until one side wants no more.
func (c *session) serve() {
	if !c.handshake() {
		return
	}
	defer func() { c.traced.closed(c.server.TraceFile) }()
	for c.waitRequest() {
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

// handshake agrees on TLS where the server wants it.
func (c *session) handshake() bool {
	secured, ok := c.conn.Conn.(*tls.Conn)
	if !ok {
		return true
	}
	c.conn.Timeout(c.server.HeadTimeout)
	err := secured.HandshakeContext(c.ctx)
	if plain, isPlain := errors.AsType[tls.RecordHeaderError](err); isPlain && plain.Conn != nil {
		// A client that speaks plain HTTP should learn why nothing comes.
		io.WriteString(plain.Conn, "HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\nThis port speaks TLS: use https://.\n") //nolint:errcheck // as well as it goes
	}
	return err == nil
}

// waitRequest waits until a request begins, and reports whether one does.
func (c *session) waitRequest() bool {
	c.busy.Store(false)
	if c.server.draining.Load() {
		return false
	}
	c.conn.Timeout(c.server.IdleTimeout)
	if c.refusal != nil {
		c.conn.Timeout(time.Second) // somebody else may need the place
	}
	// The others first: by the time it is this session's turn again, the next
	// request has often come, and there is no need to wait for it. A hit of 1 KiB
	// takes 3 % less processor time so, a miss 4 % (scripts/bench proxy).
	runtime.Gosched()
	if c.conn.Wait() != nil {
		return false
	}
	c.busy.Store(true)
	c.conn.Timeout(c.server.HeadTimeout)
	return true
}

// refuseHead answers a head that is malformed or does not come to its end.
func (c *session) refuseHead(err error) {
	c.reset()
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
	start, tick := c.now(), c.server.Clock.Now()
	c.fail(err)
	c.server.Stats.Requests.Add(1)
	c.logAccess(start)
	c.remember(start, tick)
	c.conn.Linger()
}

// handle answers one request and reports whether another may follow.
func (c *session) handle() (again bool) {
	c.reset()
	tick := c.server.Clock.Now()
	watched := c.server.History.WantsTrace()
	if watched || c.server.Trace != nil || c.server.TraceFile != nil {
		c.trace = newTrace(c, watched)
		defer c.trace.flush()
	}
	start := c.now()
	before := c.conn.Received.Load() + c.conn.Sent.Load()
	if err := c.exchange(); err != nil {
		if c.req.Method == "CONNECT" && c.conn.Buffered() > 0 {
			c.keep = false // what comes was meant for the tunnel, and is no request
		}
		if c.trace != nil {
			c.trace.note(err.Error())
		}
		c.fail(err)
	}
	c.server.Stats.Requests.Add(1)
	c.logAccess(start)
	if c.trace != nil {
		c.trace.over(c.sent)
	}
	c.remember(start, tick)
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

// exchange carries out one request: it finds out what is meant, whether that is
// allowed, and has it answered here or by the transport.
func (c *session) exchange() error {
	var err error
	if c.target, err = c.server.locate(&c.req); err != nil {
		return err
	}
	c.rememberBegin()
	if err = c.permit(); err != nil {
		return err
	}
	switch c.target.mode {
	case tunnel:
		return c.connect()
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
	resp, err := c.fetch()
	if err != nil {
		return err
	}
	defer resp.Body.Close()
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

// fetch gets the response. Interim ones go to the client meanwhile.
func (c *session) fetch() (*exchange.Response, error) {
	if c.req.Minor >= 1 {
		c.interimOpen = true
		c.out.Interim = c.interim
	}
	// Step 5: get the response, from the cache or from the origin.
	var asked time.Time
	if c.trace != nil {
		asked = time.Now()
	}
	resp, err := c.server.Transport.Exchange(c.ctx, &c.out)
	if c.out.Interim != nil {
		c.interimMu.Lock()
		c.interimOpen = false
		c.interimMu.Unlock()
	}
	if err == nil {
		if c.trace != nil {
			c.trace.looked(asked, &c.out, resp)
		}
		c.answered.tier, c.answered.fields = resp.Tier, resp.Fields
		c.count(resp.Result)
	}
	return resp, err
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

// count adds a response to the statistics, and to the lab's lines.
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
