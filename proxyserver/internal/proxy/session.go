package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"runtime"
	"strconv"
	"strings"
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

// prepare makes the request that goes on from the one that came in. done means
// that it has been answered here.
func (c *session) prepare() (done bool, err error) {
	c.out = exchange.Request{
		Method: c.req.Method, Scheme: c.where.scheme, Host: c.where.host, Path: c.where.path,
		Fields: c.out.Fields[:0], Framing: c.req.Framing,
	}
	if c.req.Method == "OPTIONS" && c.where.path == "/" && c.where.way == forward {
		// An absolute URI without a path stands for "*" (RFC 9112, section 3.2.4).
		if _, rest, _ := strings.Cut(c.req.Target, "://"); !strings.Contains(rest, "/") {
			c.out.Path = "*"
		}
	}
	if c.trace != nil {
		c.out.Explain, c.out.Trace = c.trace.explain, c.trace.origin
	}
	expect := false
	hops := -1
	via := ""
	connection := c.req.Fields.Has("Connection")
	for _, field := range c.req.Fields {
		switch hopField(field.Name) {
		case fieldHop:
			continue
		case fieldVia:
			if c.looped(field.Value) {
				return false, loopDetected()
			}
			if via != "" {
				via += ", "
			}
			via += field.Value
			continue
		case fieldExpect:
			if !strings.EqualFold(field.Value, "100-continue") {
				c.keep = false
				return false, &httpmsg.Error{Status: 417, Reason: "an expectation other than 100-continue"}
			}
			expect = true
			continue
		case fieldMaxForwards:
			if c.req.Method != "OPTIONS" && c.req.Method != "TRACE" {
				break
			}
			n, bad := strconv.Atoi(field.Value)
			if bad != nil || n < 0 || hops >= 0 {
				return false, &httpmsg.Error{Status: 400, Reason: "Max-Forwards is not a number"}
			}
			hops = n
			continue
		case fieldCookie:
			if c.where.way == pathStyle {
				continue // cookies of the proxy's own host are nobody's
			}
		case fieldForwarded:
			if c.where.way == reverse {
				continue // the client's word is worth nothing to the origin
			}
		case fieldAuthorization:
			if c.user != "" && c.ownAuthorization {
				continue // it was meant for the proxy
			}
		}
		if connection && c.req.Fields.HasMember("Connection", field.Name) && !strings.EqualFold(field.Name, "Host") {
			continue
		}
		c.out.Fields = append(c.out.Fields, field)
	}
	switch {
	case hops == 0:
		return true, c.answerHere()
	case hops > 0:
		c.out.Fields.Add("Max-Forwards", strconv.Itoa(hops-1))
	}
	if via == "" {
		via = c.server.via[c.req.Minor]
	} else {
		via += ", " + c.server.via[c.req.Minor]
	}
	c.out.Fields.Add("Via", via)
	if c.where.way == reverse {
		if c.forwardedFor == "" {
			c.forwardedFor = c.client.Addr().String()
		}
		c.out.Fields.Add("X-Forwarded-For", c.forwardedFor)
	}
	if c.where.login != "" && !c.out.Fields.Has("Authorization") {
		c.out.Fields.Add("Authorization", basic(c.where.login))
	}
	return false, c.prepareBody(expect)
}

func loopDetected() error {
	return policy(502, "proxy_loop_detected", "checking for a loop", errors.New("the request has passed through this proxy before"))
}

func (c *session) prepareBody(expect bool) error {
	if c.req.Minor >= 1 && connectionHas(c.req.Fields, "upgrade") && c.req.Framing == 0 {
		c.out.Upgrade = c.req.Fields.Get("Upgrade")
	}
	if c.req.Framing == 0 {
		return nil
	}
	if c.req.Method == "TRACE" {
		c.keep = false
		return &httpmsg.Error{Status: 400, Reason: "TRACE takes no content"}
	}
	if limit := c.server.MaxBody; limit > 0 && int64(c.req.Framing) > limit {
		c.keep = false
		return &httpmsg.Error{Status: 413, Reason: fmt.Sprintf("the content is larger than %d octets", limit)}
	}
	if expect && c.req.Minor >= 1 {
		c.out.Fields.Add("Expect", "100-continue")
	}
	c.out.Body = c.body
	if c.req.Framing == httpmsg.Chunked {
		c.out.Trailers = c.body.trailers
	}
	return nil
}

func connectionHas(f httpmsg.Fields, option string) bool { return f.HasMember("Connection", option) }

// looped reports whether a Via value names this proxy (RFC 9110, section 7.6.3).
func (c *session) looped(via string) bool {
	for member := range httpmsg.Members(via) {
		_, by, _ := strings.Cut(member, " ")
		by, _, _ = strings.Cut(httpmsg.TrimOWS(by), " ")
		if strings.EqualFold(by, c.server.Name) {
			return true
		}
	}
	return false
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

// What hopField tells of a field of a request.
const (
	fieldEnd = iota // end to end
	fieldHop
	fieldVia
	fieldExpect
	fieldMaxForwards
	fieldCookie
	fieldForwarded
	fieldAuthorization
)

// hopField tells how a request field is passed on. Host and Content-Length are
// written anew from the target and the framing.
func hopField(name string) int {
	is := func(s string) bool { return strings.EqualFold(name, s) }
	switch len(name) {
	case 2:
		if is("TE") {
			return fieldHop
		}
	case 3:
		if is("Via") {
			return fieldVia
		}
	case 4:
		if is("Host") {
			return fieldHop
		}
	case 6:
		switch {
		case is("Expect"):
			return fieldExpect
		case is("Cookie"):
			return fieldCookie
		}
	case 7:
		if is("Upgrade") || is("Trailer") {
			return fieldHop
		}
	case 9:
		if is("Forwarded") {
			return fieldForwarded
		}
	case 10:
		if is("Connection") || is("Keep-Alive") {
			return fieldHop
		}
	case 12:
		if is("Max-Forwards") {
			return fieldMaxForwards
		}
	case 13:
		switch {
		case is("Authorization"):
			return fieldAuthorization
		case is(explainField):
			return fieldHop
		}
	case 14:
		if is("Content-Length") || is("HTTP2-Settings") {
			return fieldHop
		}
	case 15, 16, 17, 19:
		switch {
		case is("X-Forwarded-For"), is("X-Forwarded-Host"), is("X-Forwarded-Proto"):
			return fieldForwarded
		case is("Proxy-Connection"), is("Transfer-Encoding"), is("Proxy-Authorization"):
			return fieldHop
		}
	}
	return fieldEnd
}

// clientBody is the content of a request, read by the transport while this
// session may already be writing the response.
type clientBody struct {
	httpmsg.Body
	session *session
	present bool

	mu      sync.Mutex
	aborted bool
	got     int64
	waited  time.Duration
}

// A client that sends content has bodyGrace, and then has to be faster than
// minRate octets a second, not counting time in which nobody reads.
const (
	bodyGrace = 30 * time.Second
	minRate   = 240
)

var errAborted = errors.New("the exchange is over")

// noBody stands for the content of every request that has none.
var noBody = &clientBody{}

func newBody(c *session) *clientBody {
	if c.req.Framing == 0 {
		return noBody
	}
	b := &clientBody{session: c, present: true}
	b.Reset(c.conn, c.req.Framing, httpmsg.BodyLimits{Size: c.server.MaxBody})
	return b
}

// Read implements io.Reader.
func (b *clientBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.aborted {
		if b.Done() {
			return 0, io.EOF
		}
		return 0, errAborted
	}
	clock := b.session.server.Clock
	b.session.conn.Timeout(b.session.server.BodyTimeout)
	start := clock.Now()
	n, err := b.Body.Read(p)
	b.got += int64(n)
	b.waited += clock.Now() - start
	if b.waited > bodyGrace+time.Duration(b.got/minRate)*time.Second {
		err = &exchange.Error{Status: 408, Type: "http_request_error", Step: "reading the content of the request", Err: errors.New("the content comes too slowly")}
	}
	return n, err
}

func (b *clientBody) trailers() httpmsg.Fields {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Trailers
}

// abort makes sure that nobody reads from the client any more, and reports
// whether the content had been read to its end.
func (b *clientBody) abort() (complete bool) {
	if !b.mu.TryLock() {
		b.session.conn.InterruptRead()
		b.mu.Lock()
		b.session.conn.Renew(b.session.server.BodyTimeout)
	}
	defer b.mu.Unlock()
	b.aborted = true
	return b.Done()
}

// complete reports whether the content has been read to its end.
func (b *clientBody) complete() bool {
	if !b.present {
		return true
	}
	if !b.mu.TryLock() {
		return false
	}
	defer b.mu.Unlock()
	return b.Done()
}
