package rules

import "topdown/pkg/httpmsg"

// Request is what the rules look at of a request. It is made by NewRequest.
type Request struct {
	Method string
	Fields httpmsg.Fields

	directives  directives
	conditional bool // If-None-Match or If-Modified-Since
	hasRange    bool
	forOrigin   bool // If-Match or If-Unmodified-Since
}

// NewRequest reads a request's cache directives, or Pragma where there are none
// (RFC 9111, sections 5.2.1 and 5.4). f must not be changed any more.
func NewRequest(method string, f httpmsg.Fields) Request {
	r := Request{
		Method: method, Fields: f, directives: parseCacheControl(f),
		conditional: f.Has("If-None-Match") || f.Has("If-Modified-Since"),
		hasRange:    f.Has("Range"),
		forOrigin:   f.Has("If-Match") || f.Has("If-Unmodified-Since"),
	}
	if f.HasMember("Pragma", "no-cache") && !f.Has("Cache-Control") {
		r.directives.noCache = true
	}
	return r
}

// AsGet returns the request as a GET: what a response to HEAD, or a 304, tells of
// the stored response to one.
func (r *Request) AsGet() *Request {
	get := *r
	get.Method = "GET"
	return &get
}

// Conditional reports whether the client has asked whether its own copy is
// still right.
func (r *Request) Conditional() bool { return r.conditional }

// HasRange reports whether there is a Range field.
func (r *Request) HasRange() bool { return r.hasRange }

// ForOrigin reports whether there is a precondition that only the origin can
// evaluate.
func (r *Request) ForOrigin() bool { return r.forOrigin }

// OnlyIfCached reports whether the client wants nothing but what is stored
// (RFC 9111, section 5.2.1.7).
func (r *Request) OnlyIfCached() bool { return r.directives.onlyCached }

// NoStore reports whether nothing about the request may be stored (RFC 9111,
// section 5.2.1.5).
func (r *Request) NoStore() bool { return r.directives.noStore }

// Bypass tells the requests that a cache takes no part in, by method, scheme,
// protocol to change to and whether there is content; fwd is the reason as
// Cache-Status has it (RFC 9211, section 2.2).
func (r *Request) Bypass(scheme, upgrade string, content bool) (ruling Ruling, fwd string) {
	switch {
	case upgrade != "":
		return no("RFC 9110, 7.8", "upgrade", "the request asks to leave HTTP"), "bypass"
	case r.Method != "GET" && r.Method != "HEAD":
		return no("RFC 9111, 3", "method", "only GET and HEAD are answered from the cache"), "method"
	case content:
		return no("RFC 9110, 9.3.1", "body", "a GET with content is not cached"), "bypass"
	case scheme != "http" && scheme != "https" && scheme != "ftp":
		return no("RFC 9111, 2", "scheme", "not a scheme that is cached"), "bypass"
	case r.directives.noStore && !r.directives.onlyCached:
		return no("RFC 9111, 5.2.1.5", "request-no-store", "the request says no-store"), "request"
	}
	return Ruling{OK: true}, ""
}

// Safe reports whether a method is registered as safe (RFC 9110, section 9.2.1
// and its registry). An unknown one is not.
func Safe(method string) bool {
	switch method {
	case "GET", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "REPORT", "SEARCH", "QUERY":
		return true
	}
	return false
}
