package cache

import (
	"strings"
	"time"

	"topdown/pkg/httpmsg"
)

// notModified reports whether the client's own copy is as good as the selected
// response, so that 304 answers it (RFC 9111, section 4.3.2; RFC 9110, section
// 13.2.2). If-None-Match, where there is one, counts alone.
func notModified(req httpmsg.Fields, status int, m *meta) (r ruling) {
	if status < 200 || status > 299 {
		return ruling{}
	}
	if req.Has("If-None-Match") {
		for member := range req.List("If-None-Match") {
			if member == "*" || m.etag != "" && weakEqual(member, m.etag) {
				return ruling{ok: true, section: "RFC 9110, 13.1.2", why: "If-None-Match has the stored entity tag"}
			}
		}
		return ruling{}
	}
	if req.Count("If-Modified-Since") != 1 {
		return ruling{}
	}
	since, ok := httpmsg.ParseDate(req.Get("If-Modified-Since"), m.response)
	if !ok {
		return ruling{}
	}
	last, name := m.modified, "Last-Modified"
	if last.IsZero() {
		last, name = m.date, "Date"
	}
	if last.After(since) {
		return ruling{}
	}
	return ruling{ok: true, section: "RFC 9110, 13.1.3", why: name + " is not later than If-Modified-Since"}
}

// weakEqual is the weak comparison (RFC 9110, section 8.8.3.2).
func weakEqual(a, b string) bool {
	return strings.TrimPrefix(a, "W/") == strings.TrimPrefix(b, "W/")
}

// ifRangeHolds reports whether a range may be cut from the selected response:
// there is no If-Range, or its validator is strong and the response's
// (RFC 9110, section 13.1.5).
func ifRangeHolds(req httpmsg.Fields, m *meta) bool {
	switch req.Count("If-Range") {
	case 0:
		return true
	case 1:
	default:
		return false
	}
	value := req.Get("If-Range")
	if strings.HasPrefix(value, `"`) {
		return m.strongETag() != "" && value == m.etag
	}
	date, ok := httpmsg.ParseDate(value, m.response)
	return ok && m.strongModified() && date.Equal(m.modified)
}

// keptIn304 are the fields of a stored response that go with a 304 (RFC 9110,
// section 15.4.5), those that say how to cache it included.
func keptIn304(name string) bool {
	switch strings.ToLower(name) {
	case "cache-control", "content-location", "date", "etag", "expires", "vary", "last-modified",
		"cdn-cache-control", "set-cookie", "cache-status", "via":
		return true
	}
	return false
}

// conditions returns the request's fields with the preconditions of a
// validation in the place of the client's (RFC 9111, section 4.3.1): the
// entity tags of all stored responses and the date of the selected one.
func conditions(req httpmsg.Fields, etags []string, modified time.Time) httpmsg.Fields {
	f := make(httpmsg.Fields, 0, len(req)+2)
	for _, field := range req {
		if !strings.EqualFold(field.Name, "If-None-Match") && !strings.EqualFold(field.Name, "If-Modified-Since") {
			f = append(f, field)
		}
	}
	if len(etags) > 0 {
		f.Add("If-None-Match", strings.Join(etags, ", "))
	}
	if !modified.IsZero() {
		f.Add("If-Modified-Since", string(httpmsg.AppendDate(nil, modified)))
	}
	return f
}
