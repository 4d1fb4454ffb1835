package origin

import (
	"errors"
	"io"
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

// errDied is what exchange returns when the connection ended before the first
// byte of an answer.
var errDied = errors.New("the connection died before any answer")

// maxInterim is how many 1xx responses may come before the final one.
const maxInterim = 64

// conn is one connection to an origin, in use by one exchange at a time.
type conn struct {
	*netio.Conn
	transport *Transport
	key       poolKey
	reused    bool
	idleSince time.Duration
	resp      httpmsg.Response
	// unbind ends the exchange's hold on the connection by its context, and
	// reports whether that has not closed it already.
	unbind func() bool
}

var scratch = sync.Pool{New: func() any { return new([]byte) }}

// exchange sends req and reads the head of the final response. On an error the
// connection is of no more use.
func (c *conn) exchange(req *exchange.Request) (*exchange.Response, error) {
	if c.transport.opts.Lab && req.Framing == httpmsg.Chunked {
		return nil, &exchange.Error{
			Status: 411, Type: "http_request_error", Step: "sending the request as HTTP/1.0",
			Err: errors.New("HTTP/1.0 needs a Content-Length"),
		}
	}
	out, _ := scratch.Get().(*[]byte)
	defer func() {
		if cap(*out) <= 64<<10 {
			scratch.Put(out)
		}
	}()
	var err error
	*out, err = c.appendHead((*out)[:0], req)
	if err != nil {
		return nil, &exchange.Error{Status: 400, Type: "http_request_error", Step: "writing the request", Err: err}
	}
	if req.Trace != nil {
		req.Trace(">", *out)
	}
	c.Timeout(c.transport.opts.ResponseTimeout)
	if _, err = c.Write(*out); err != nil {
		return nil, errDied
	}
	var up *upload
	if req.Body != nil {
		up = &upload{conn: c, body: req.Body, trailers: req.Trailers, chunked: req.Framing == httpmsg.Chunked}
		go up.run()
	}
	// The other exchanges first: with some luck the answer is there by then. A
	// miss of 1 KiB takes 6 % less processor time so (scripts/bench proxy).
	runtime.Gosched()
	return c.receive(req, up)
}

// appendHead appends the request's head as it goes to this origin.
func (c *conn) appendHead(dst []byte, req *exchange.Request) ([]byte, error) {
	opts := &c.transport.opts
	parent := opts.Dialer.Parent
	if !httpmsg.IsToken(req.Method) || strings.ContainsAny(req.Path, " \r\n\x00") {
		return dst, httpmsg.ErrUnsafe
	}
	b := append(append(dst, req.Method...), ' ')
	if parent != nil && req.Scheme != "https" {
		b = append(append(append(b, req.Scheme...), "://"...), req.Host...)
	}
	if req.Path != "*" || parent == nil {
		b = append(b, req.Path...)
	}
	if opts.Lab {
		b = append(b, " HTTP/1.0\r\n"...)
	} else {
		b = append(b, " HTTP/1.1\r\n"...)
	}
	b, err := httpmsg.AppendField(b, "Host", req.Host)
	if err != nil {
		return dst, err
	}
	if b, err = httpmsg.AppendFields(b, req.Fields); err != nil {
		return dst, err
	}
	if parent != nil && parent.Authorization != "" && req.Scheme != "https" {
		if b, err = httpmsg.AppendField(b, "Proxy-Authorization", parent.Authorization); err != nil {
			return dst, err
		}
	}
	switch {
	case req.Body == nil && (req.Method == "POST" || req.Method == "PUT" || req.Method == "PATCH"):
		b = append(b, "Content-Length: 0\r\n"...)
	case req.Body != nil && req.Framing == httpmsg.Chunked:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	case req.Body != nil:
		b = append(strconv.AppendInt(append(b, "Content-Length: "...), int64(req.Framing), 10), "\r\n"...)
	}
	switch {
	case opts.Lab:
		b = append(b, "Connection: close\r\nProxy-Connection: close\r\n"...)
	case req.Upgrade != "":
		if b, err = httpmsg.AppendField(b, "Upgrade", req.Upgrade); err != nil {
			return dst, err
		}
		b = append(b, "Connection: upgrade\r\n"...)
	case req.Body != nil:
		b = append(b, "Connection: close\r\n"...)
	}
	return append(b, "\r\n"...), nil
}

// receive reads heads until the final one and makes the response of it.
func (c *conn) receive(req *exchange.Request, up *upload) (*exchange.Response, error) {
	for n := range maxInterim {
		if err := c.Wait(); err != nil {
			switch {
			case up.failed() != nil:
				return nil, up.failed()
			case netio.IsTimeout(err):
				return nil, c.timeout()
			case n > 0:
				return nil, c.headError(io.EOF)
			}
			return nil, errDied
		}
		resp := &c.resp
		resp.Fields = make(httpmsg.Fields, 0, 16)
		if err := resp.Read(c, req.Method, httpmsg.Limits{}); err != nil {
			return nil, c.headError(err)
		}
		if req.Trace != nil {
			if head, err := httpmsg.AppendResponse(nil, resp); err == nil {
				req.Trace("<", head)
			}
		}
		switch {
		case resp.Status == 101:
			return c.upgraded(req)
		case resp.Status < 200:
			if req.Interim != nil {
				resp.Fields.RemoveHopByHop()
				resp.Fields.Del("Content-Length") // RFC 9110, 8.6: not in a 1xx
				req.Interim(resp)
			}
			c.Timeout(c.transport.opts.ResponseTimeout)
			continue
		}
		return c.final(req, up)
	}
	return nil, c.protocolError(errors.New("too many interim responses"))
}

func (c *conn) final(req *exchange.Request, up *upload) (*exchange.Response, error) {
	resp := &c.resp
	framing := resp.Framing
	if parent := c.transport.opts.Dialer.Parent; parent != nil && resp.Status == 407 && c.key.scheme != "https" {
		return nil, &exchange.Error{
			Status: 502, Type: "proxy_configuration_error", Step: "asking the parent proxy",
			Err: errors.New("the parent proxy does not accept this proxy's user name and password"),
		}
	}
	both := &struct {
		exchange.Response
		body
	}{}
	b := &both.body
	b.conn, b.received = c, req.Received
	// An origin that does not read a request's content takes it for the next
	// request (RFC 9110, section 9.3.1), and its answer would go to whoever uses
	// the connection next. No method is safe from that, so what carried content
	// carries nothing else; appendHead tells the origin so, which then does not
	// look for another request either.
	b.persistent = !c.transport.opts.Lab && up == nil && resp.Persistent() && framing != httpmsg.UntilClose
	b.Reset(c, framing, httpmsg.BodyLimits{})
	c.clean(framing)
	r := &both.Response
	r.Status, r.Reason, r.Fields = resp.Status, resp.Reason, resp.Fields
	r.Body, r.Framing = b, framing
	if framing == httpmsg.Chunked {
		r.Trailers = func() httpmsg.Fields { return safeTrailers(b.Trailers) }
	}
	resp.Fields = nil
	if framing == 0 {
		b.finish()
	}
	return r, nil
}

// clean makes the response's fields those of a message that is passed on.
func (c *conn) clean(framing httpmsg.Framing) {
	resp := &c.resp
	trailer := ""
	if framing == httpmsg.Chunked {
		trailer = resp.Fields.Get("Trailer")
	}
	resp.Fields.RemoveHopByHop()
	cleanLength(&resp.Fields)
	if trailer != "" {
		resp.Fields.Add("Trailer", trailer)
	}
	// A recipient with a clock that stores or passes on a response without a
	// Date adds one (RFC 9110, section 6.6.1).
	if !resp.Fields.Has("Date") {
		resp.Fields.Add("Date", string(httpmsg.AppendDate(nil, c.transport.opts.Now())))
	}
	resp.Fields.Add("Via", c.transport.via[resp.Minor])
}

// cleanLength makes one Content-Length of a repeated one. Where it frames
// nothing (HEAD, 304) it may be anything, and is dropped if it is no length.
func cleanLength(f *httpmsg.Fields) {
	length, members := "", 0
	for member := range f.List("Content-Length") {
		if members++; members > 1 && member != length {
			length = ""
			break
		}
		length = member
	}
	_, err := strconv.ParseUint(length, 10, 63)
	switch {
	case members == 0 && !f.Has("Content-Length"):
	case err != nil:
		f.Del("Content-Length")
	case members > 1:
		f.Set("Content-Length", length)
	}
}

func (c *conn) upgraded(req *exchange.Request) (*exchange.Response, error) {
	if req.Upgrade == "" {
		return nil, c.protocolError(errors.New("it changed the protocol unasked"))
	}
	resp := &c.resp
	protocol := resp.Fields.Get("Upgrade")
	resp.Fields.RemoveHopByHop()
	resp.Fields.Add("Upgrade", protocol)
	resp.Fields.Add("Via", c.transport.via[resp.Minor])
	c.Timeout(0)
	if !c.unbind() {
		return nil, errDied
	}
	return &exchange.Response{
		Status: 101, Reason: resp.Reason, Fields: resp.Fields,
		Body: noBody{}, Upgraded: c.Conn,
	}, nil
}

func (c *conn) headError(err error) error {
	switch {
	case netio.IsTimeout(err):
		return c.timeout()
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return c.failure("http_response_incomplete", "reading the answer of", errors.New("the connection was closed in the middle of the head"))
	case !isProtocol(err):
		return c.failure("connection_terminated", "reading the answer of", errors.New("the connection broke"+systemWords(err)))
	}
	return c.protocolError(err)
}

func isProtocol(err error) bool {
	_, ok := errors.AsType[*httpmsg.Error](err)
	return ok
}

func (c *conn) timeout() error {
	return c.failure("http_response_timeout", "waiting for the answer of", errLate)
}

func (c *conn) protocolError(err error) error {
	return c.failure("http_protocol_error", "reading the answer of", err)
}

// failure is what a client is told of err.
func (c *conn) failure(kind, step string, err error) error {
	status := 502
	if errors.Is(err, errLate) {
		status = 504
	}
	return &exchange.Error{Status: status, Type: kind, Step: step + " " + c.key.host, Err: err}
}

type noBody struct{}

func (noBody) Read([]byte) (int, error) { return 0, io.EOF }
func (noBody) Close() error             { return nil }

// upload sends the content of a request while the response may already come.
type upload struct {
	conn     *conn
	body     io.Reader
	trailers func() httpmsg.Fields
	chunked  bool

	err atomic.Pointer[exchange.Error]
}

// failed returns why the client's content could not be read, if that is so.
func (u *upload) failed() error {
	if u == nil {
		return nil
	}
	if err := u.err.Load(); err != nil {
		return err
	}
	return nil
}

func (u *upload) run() {
	buf := make([]byte, 32<<10)
	var chunk []byte
	limit := u.conn.transport.opts.ResponseTimeout
	for {
		u.conn.Timeout(0) // the client has limits of its own
		n, err := u.body.Read(buf)
		u.conn.Timeout(limit)
		if n > 0 {
			piece := buf[:n]
			if u.chunked {
				chunk = httpmsg.AppendChunk(chunk[:0], piece)
				piece = chunk
			}
			if _, werr := u.conn.Write(piece); werr != nil {
				return // the origin may have answered early; the answer tells
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			// The origin must not take a broken body for a whole one.
			u.err.Store(bodyError(err))
			u.conn.Shut()
			return
		}
	}
	if u.chunked {
		var trailers httpmsg.Fields
		if u.trailers != nil {
			trailers = safeTrailers(u.trailers())
		}
		last, err := httpmsg.AppendLastChunk(nil, trailers)
		if err == nil {
			_, err = u.conn.Write(last)
		}
		if err != nil {
			return
		}
	}
}

func bodyError(err error) *exchange.Error {
	if known, ok := errors.AsType[*exchange.Error](err); ok {
		return known
	}
	status := 400
	if known, ok := errors.AsType[*httpmsg.Error](err); ok {
		status = known.Status
	} else if netio.IsTimeout(err) {
		status = 408
	}
	return &exchange.Error{Status: status, Type: "http_request_error", Step: "reading the content of the request", Err: err}
}
