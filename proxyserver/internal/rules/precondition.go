package rules

import (
	"strings"

	"topdown/pkg/httpmsg"
)

// NotModified reports whether the client's own copy is as good as the selected
// response, so that 304 answers it (RFC 9111, section 4.3.2; RFC 9110, section
// 13.2.2). If-None-Match, where there is one, counts alone.
func NotModified(r *Request, s *Stored) Ruling {
	if !r.Conditional() || s.Status < 200 || s.Status > 299 {
		return Ruling{}
	}
	req := r.Fields
	if req.Has("If-None-Match") {
		for member := range req.List("If-None-Match") {
			if member == "*" || s.etag != "" && weakEqual(member, s.etag) {
				return Ruling{OK: true, Section: "RFC 9110, 13.1.2", Why: "If-None-Match has the stored entity tag"}
			}
		}
		return Ruling{}
	}
	if req.Count("If-Modified-Since") != 1 {
		return Ruling{}
	}
	since, ok := httpmsg.ParseDate(req.Get("If-Modified-Since"), s.ResponseTime)
	if !ok {
		return Ruling{}
	}
	last, name := s.modified, "Last-Modified"
	if last.IsZero() {
		last, name = s.date, "Date"
	}
	if last.After(since) {
		return Ruling{}
	}
	return Ruling{OK: true, Section: "RFC 9110, 13.1.3", Why: name + " is not later than If-Modified-Since"}
}

// weakEqual is the weak comparison (RFC 9110, section 8.8.3.2).
func weakEqual(a, b string) bool {
	return strings.TrimPrefix(a, "W/") == strings.TrimPrefix(b, "W/")
}

// ifRangeHolds reports whether a range may be cut from the selected response:
// there is no If-Range, or its validator is strong and the response's
// (RFC 9110, section 13.1.5).
func ifRangeHolds(req httpmsg.Fields, s *Stored) bool {
	switch req.Count("If-Range") {
	case 0:
		return true
	case 1:
	default:
		return false
	}
	value := req.Get("If-Range")
	if strings.HasPrefix(value, `"`) {
		return s.StrongETag() != "" && value == s.etag
	}
	date, ok := httpmsg.ParseDate(value, s.ResponseTime)
	return ok && s.strongModified() && date.Equal(s.modified)
}

// KeptIn304 tells the fields of a stored response that go with a 304 (RFC 9110,
// section 15.4.5), those that say how to cache it included.
func KeptIn304(name string) bool {
	switch strings.ToLower(name) {
	case "cache-control", "content-location", "date", "etag", "expires", "vary", "last-modified",
		"cdn-cache-control", "set-cookie", "cache-status", "via":
		return true
	}
	return false
}
