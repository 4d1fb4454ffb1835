// Package exchange is the one shape of everything between the proxy and an
// origin: the cache, the connections to origins and the FTP gateway are all
// transports, stacked on one another, none of which knows who stands above.
package exchange

import (
	"context"
	"io"

	"topdown/pkg/httpmsg"
)

// Request is a request on its way to an origin. Hop-by-hop fields, those named
// in Connection and Proxy-Authorization have been removed; Host is rewritten
// from the URI.
type Request struct {
	Method string
	Scheme string // "http", "https" or "ftp"
	Host   string // "host" or "host:port": lower case, default port dropped
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

	// Interim, if not nil, is called for each interim (1xx) response but 101,
	// in order, before Exchange returns.
	Interim func(*httpmsg.Response)
	// Explain, if not nil, is told each decision on the way with the section
	// of the RFC behind it.
	Explain func(section, decision string)
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
// fields have been removed.
type Response struct {
	Status int
	Reason string
	Fields httpmsg.Fields
	// Body is the content and never nil. It must be closed; closed before its
	// end it gives up the transfer. A read error other than io.EOF means that
	// the content is broken off, which the client must be shown as such.
	Body io.ReadCloser
	// Framing is the content's length, or Chunked or UntilClose if unknown.
	Framing httpmsg.Framing
	// Trailers is as in Request.
	Trailers func() httpmsg.Fields
	// Upgraded, for a 101, is the connection to the origin.
	Upgraded io.ReadWriteCloser
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
