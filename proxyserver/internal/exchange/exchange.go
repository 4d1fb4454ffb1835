// Package exchange is the one shape of everything between the proxy and an
// origin: the cache, the connections to origins and the FTP gateway are all
// transports, stacked on one another, none of which knows who stands above.
package exchange

import (
	"context"
	"errors"
	"io"
	"net"
	"time"

	"topdown/pkg/httpmsg"
)

// Request is a request on its way to an origin. Hop-by-hop fields, those named
// in Connection and Proxy-Authorization have been removed; Host is rewritten
// from the URI.
//
// It belongs to the caller again once Exchange has returned and the response's
// body is closed; what is kept longer is copied (strings never change).
type Request struct {
	Method string
	Scheme string // "http", "https" or "ftp"
	Host   string // "host" or "host:port": lower case, default port dropped
	Server string // where to connect to, as Host; "" is Host itself
	Path   string // path with query, as sent in the origin form; never empty
	Fields httpmsg.Fields

	// Body is the content, nil where there is none; it is read once, by
	// whoever sends it on. Framing says how it was framed and so whether its
	// length is known.
	Body    io.Reader
	Framing httpmsg.Framing
	// Trailers returns the trailer fields of Body once it has been read to its
	// end; nil where there can be none.
	Trailers func() httpmsg.Fields

	// Upgrade is the protocol that the client asks to change to (RFC 9110,
	// section 7.8), "" for none.
	Upgrade string

	// Interim, if not nil, is called for each interim (1xx) response but 101,
	// in order, before Exchange returns.
	Interim func(*httpmsg.Response)
	// Explain, if not nil, is told each decision on the way with the section
	// of the RFC behind it.
	Explain func(section, decision string)
	// Trace, if not nil, is shown each head that goes to the origin (">") or
	// comes from it ("<"), as on the wire but for masked credentials.
	Trace func(direction string, head []byte)
	// Connected, if not nil, is told of the connection to the origin that the
	// request goes out on, and whether that was kept from an earlier one.
	Connected func(local, remote net.Addr, kept bool)
	// Received, if not nil, is told how many bytes of content the origin has sent,
	// once there are no more to come.
	Received func(n int64)
	// Timed, if not nil, is told of each step to a new connection to the origin
	// (see WithTimed) and when it began.
	Timed func(step string, began time.Time)
}

// URI returns the request's absolute URI, the primary cache key.
func (r *Request) URI() string { return r.Scheme + "://" + r.Host + r.Path }

// Say calls r.Explain where there is one.
func (r *Request) Say(section, decision string) {
	if r.Explain != nil {
		r.Explain(section, decision)
	}
}

// Response is a final response, or a 101, on its way to the client. Hop-by-hop
// fields have been removed. Whoever receives it does not change it: it may be
// shared.
type Response struct {
	Status int
	Reason string
	Fields httpmsg.Fields
	Result Result // what the cache had to do with it
	Tier   string // where the cache had the content: "memory", "disk" or "shared store", or "nowhere" if it has none and nobody was asked; "" if from the origin
	// Body is the content and never nil. It must be closed; closed before its
	// end it gives up the transfer. A read error other than io.EOF means that
	// the content is broken off, which the client must be shown as such.
	//
	// It may implement io.WriterTo; what it writes to is then an io.ReaderFrom
	// as well, which has the kernel send a part of a file where it is given an
	// *io.SectionReader of an *os.File.
	Body io.ReadCloser
	// Framing is the content's length, or Chunked or UntilClose if unknown. For
	// HEAD and 304 there is no content, and Framing says nothing: a
	// Content-Length field, if any, is part of Fields.
	Framing httpmsg.Framing
	// Trailers is as in Request.
	Trailers func() httpmsg.Fields
	// Upgraded, for a 101, is the connection to the origin.
	Upgraded Upgraded

	// Content, if not nil, is the whole content, in memory that nobody changes;
	// Body need not be read then.
	Content []byte
}

// Upgraded is a connection that has left HTTP after a 101: what is read comes
// from the origin, what is written goes there.
type Upgraded interface {
	io.ReadWriteCloser
	CloseWrite() error
}

// Result says in one word what the cache had to do with a response, for the
// access log and the metrics. It is "" where no cache was asked.
type Result string

// The results.
const (
	Hit         Result = "HIT"         // fresh from the store
	Stale       Result = "STALE"       // stale from the store, as RFC 5861 or max-stale allows
	Revalidated Result = "REVALIDATED" // from the store after a 304
	Collapsed   Result = "COLLAPSED"   // from another client's fetch under way
	Miss        Result = "MISS"        // from the origin, perhaps stored
	Bypass      Result = "BYPASS"      // a request that the cache takes no part in
)

type timedKey struct{}

// WithTimed returns a context in which connecting tells timed of each step:
// "name", "connect" and "TLS".
func WithTimed(ctx context.Context, timed func(step string, began time.Time)) context.Context {
	return context.WithValue(ctx, timedKey{}, timed)
}

// StepDone tells whoever wants to know that a step is done.
func StepDone(ctx context.Context, step string, began time.Time) {
	if timed, ok := ctx.Value(timedKey{}).(func(string, time.Time)); ok {
		timed(step, began)
	}
}

// Transport carries out exchanges. It may be used by many goroutines at a time.
// Exchange returns once the head of the final response is there; its body
// follows through Response.Body. Errors are of a kind that a client can be
// told: see Error.
type Transport interface {
	Exchange(ctx context.Context, req *Request) (*Response, error)
}

// Error is a failure for which the proxy itself answers.
type Error struct {
	Status int    // status code to answer with
	Type   string // Proxy-Status error type (RFC 9209, section 2.3)
	Step   string // which step failed, in words for the client
	Err    error
}

func (e *Error) Error() string { return e.Step + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Schemes passes each request to the transport for its scheme.
type Schemes map[string]Transport

// Exchange implements Transport.
func (s Schemes) Exchange(ctx context.Context, req *Request) (*Response, error) {
	next, ok := s[req.Scheme]
	if !ok {
		return nil, &Error{Status: 501, Type: "http_request_error", Step: "choosing a protocol", Err: errors.New("nothing here speaks " + req.Scheme)}
	}
	return next.Exchange(ctx, req)
}
