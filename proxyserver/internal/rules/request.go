package rules

import (
	"strings"

	"topdown/pkg/httpmsg"
)

// Request is what the rules look at of a request. It is made by NewRequest.
type Request struct {
	Method string
	Fields httpmsg.Fields

	directives directives
	shape      shape
}

// NewRequest reads a request's cache directives, or Pragma where there are none
// (RFC 9111, sections 5.2.1 and 5.4). f must not be changed any more.
func NewRequest(method string, f httpmsg.Fields) Request {
	r := Request{Method: method, Fields: f, shape: shapeOf(f), directives: noDirectives()}
	if r.shape&hasDirectives != 0 {
		r.directives = parseCacheControl(f)
		if !f.Has("Cache-Control") && f.HasMember("Pragma", "no-cache") {
			r.directives.noCache = true
		}
	}
	return r
}

// Conditional reports whether the client has asked whether its own copy is
// still right: If-None-Match or If-Modified-Since.
func (r *Request) Conditional() bool { return r.shape&hasCondition != 0 }

// HasRange reports whether there is a Range field.
func (r *Request) HasRange() bool { return r.shape&hasRange != 0 }

// ForOrigin reports whether there is a precondition that only the origin can
// evaluate: If-Match or If-Unmodified-Since.
func (r *Request) ForOrigin() bool { return r.shape&hasOther != 0 }

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

// shape tells which of the fields that matter here a request has.
type shape uint8

const (
	hasDirectives shape = 1 << iota // Cache-Control or Pragma
	hasCondition                    // If-None-Match or If-Modified-Since
	hasRange                        // Range
	hasOther                        // If-Match or If-Unmodified-Since
)

// shapeOf looks at each field once instead of once for each name, and tells
// most of them apart by their length.
func shapeOf(f httpmsg.Fields) (s shape) {
	for i := range f {
		name := f[i].Name
		switch len(name) {
		case 5, 6, 8, 13, 17, 19:
			switch {
			case strings.EqualFold(name, "Range"):
				s |= hasRange
			case strings.EqualFold(name, "Cache-Control"), strings.EqualFold(name, "Pragma"):
				s |= hasDirectives
			case strings.EqualFold(name, "If-None-Match"), strings.EqualFold(name, "If-Modified-Since"):
				s |= hasCondition
			case strings.EqualFold(name, "If-Match"), strings.EqualFold(name, "If-Unmodified-Since"):
				s |= hasOther
			}
		}
	}
	return s
}
