package rules

import (
	"strconv"
	"strings"
	"time"

	"topdown/pkg/httpmsg"
)

// Conditions returns the request's fields with the preconditions of a
// validation in the place of the client's (RFC 9111, section 4.3.1): the
// entity tags of all stored responses and the date of the selected one.
func Conditions(req httpmsg.Fields, etags []string, modified time.Time) httpmsg.Fields {
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

// MayAskAbout reports whether the origin may be asked about a stored response
// that req does not select: it may choose that for this request as well
// (RFC 9111, section 4.3.1). Some origins give all codings of a representation
// the same tag, so one that the client does not accept is left out; many tag a
// version of what they know and not the links in it, so one for another name is.
func MayAskAbout(req *Request, s *Stored, c Config) bool {
	if s.Partial || s.etag == "" {
		return false
	}
	for _, name := range c.Selecting {
		if value, _ := selectingValue(name, req.Fields); value != s.Vary.Get(name) {
			return false
		}
	}
	for coding := range s.Fields.List("Content-Encoding") {
		accepted := false
		for offer := range req.Fields.List("Accept-Encoding") {
			name, quality, _ := strings.Cut(strings.ReplaceAll(offer, " ", ""), ";")
			if strings.EqualFold(name, coding) && (quality == "" || strings.Trim(strings.ToLower(quality), "q=0.") != "") {
				accepted = true
			}
		}
		if !accepted {
			return false
		}
	}
	return true
}

// Identify returns the position of the stored response that a 304 is about:
// the first of asked is the selected one or nil, the others are those of other
// variants that the origin was asked about. It is found by its strong
// validator, or by its only one, or because it was the only one (RFC 9111,
// section 4.3.4); -1 if it is none of them.
func Identify(update httpmsg.Fields, selected *Stored, others []*Stored) int {
	tag := update.Get("ETag")
	if tag == "" {
		if selected == nil {
			return -1
		}
		modified := update.Get("Last-Modified")
		if modified != "" && !selected.modified.IsZero() && modified != selected.Fields.Get("Last-Modified") {
			return -1
		}
		if len(others) == 0 || selected.etag == "" {
			return 0
		}
		return -1
	}
	if selected != nil && (selected.etag == tag || strings.HasPrefix(tag, "W/") && weakEqual(tag, selected.etag)) {
		return 0
	}
	for i, s := range others {
		if s.etag == tag {
			return i + 1
		}
	}
	return -1
}

// HeadAgrees reports whether the response to a HEAD has nothing against a
// stored response to GET, whose content is total bytes long, -1 if unknown
// (RFC 9111, section 4.3.5).
func HeadAgrees(s *Stored, total int64, head httpmsg.Fields) bool {
	if tag := head.Get("ETag"); tag != "" && tag != s.etag {
		return false
	}
	if modified := head.Get("Last-Modified"); modified != "" && modified != s.Fields.Get("Last-Modified") {
		return false
	}
	length := head.Get("Content-Length")
	return length == "" || total < 0 || length == strconv.FormatInt(total, 10)
}

// RefreshFields returns the fields of a background revalidation of what a
// client asked for with these: without the client's own conditions, ranges and
// directives (RFC 5861, section 3).
func RefreshFields(req httpmsg.Fields) (f httpmsg.Fields) {
	for _, field := range req {
		switch strings.ToLower(field.Name) {
		case "range", "if-range", "if-none-match", "if-modified-since", "cache-control", "pragma", "expect":
		default:
			f = append(f, field)
		}
	}
	return f
}
