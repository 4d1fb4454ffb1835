package server

import (
	"strings"
	"time"

	"topdown/pkg/httpmsg"
)

// conditions are the fields of a request that make it conditional (RFC 9110,
// section 13.1). Lists that came on several lines are joined.
type conditions struct {
	ifMatch, ifNoneMatch                    string
	ifModifiedSince, ifUnmodifiedSince      string
	ifRange                                 string
	hasMatch, hasNoneMatch, hasRange, isAny bool
}

// validators are what a representation is compared by.
type validators struct {
	etag    string    // strong, with quotes; "" for none
	modTime time.Time // zero for none
}

// outcome is what the preconditions of a request decide.
type outcome struct {
	status  int // 200 to go on, 304 or 412
	section string
	reason  string
}

var unconditional = outcome{status: 200}

// evaluate decides the preconditions in the order of RFC 9110, section 13.2.2.
// read is whether the method is GET or HEAD.
func (p *conditions) evaluate(read bool, v validators, now time.Time) outcome {
	if !p.isAny {
		return unconditional
	}
	if p.hasMatch {
		if !matches(p.ifMatch, v.etag, false) {
			return outcome{412, "9110, 13.1.1", "If-Match names no current entity tag: 412"}
		}
	} else if date, ok := httpmsg.ParseDate(p.ifUnmodifiedSince, now); ok && !v.modTime.IsZero() {
		if v.modTime.Truncate(time.Second).After(date) {
			return outcome{412, "9110, 13.1.4", "modified after If-Unmodified-Since: 412"}
		}
	}
	if p.hasNoneMatch {
		if matches(p.ifNoneMatch, v.etag, true) {
			if read {
				return outcome{304, "9110, 13.1.2", "If-None-Match names the current entity tag: 304, the client's copy is good"}
			}
			return outcome{412, "9110, 13.1.2", "If-None-Match names the current entity tag: 412"}
		}
		return outcome{200, "9110, 13.1.2", "If-None-Match names another entity tag: the content is sent"}
	}
	if date, ok := httpmsg.ParseDate(p.ifModifiedSince, now); ok && read && !v.modTime.IsZero() {
		if !v.modTime.Truncate(time.Second).After(date) {
			return outcome{304, "9110, 13.1.3", "not modified after If-Modified-Since: 304, the client's copy is good"}
		}
		return outcome{200, "9110, 13.1.3", "modified after If-Modified-Since: the content is sent"}
	}
	return unconditional
}

// rangeHolds decides If-Range (RFC 9110, section 13.1.5): a range may be sent
// only if the client's part is of the same representation, by strong
// comparison. A date is strong once its second is over.
func (p *conditions) rangeHolds(v validators, now time.Time) bool {
	if !p.hasRange {
		return true
	}
	if strings.HasPrefix(p.ifRange, `"`) || strings.HasPrefix(p.ifRange, "W/") {
		return v.etag != "" && p.ifRange == v.etag
	}
	date, ok := httpmsg.ParseDate(p.ifRange, now)
	return ok && !v.modTime.IsZero() && v.modTime.Truncate(time.Second).Equal(date) && now.Sub(date) > time.Second
}

// matches reports whether a list of entity tags names etag (RFC 9110, section
// 8.8.3.2). "*" names whatever there is. Weak comparison passes over "W/"; with
// strong comparison a weak tag names nothing. A member that is no entity tag
// names nothing.
func matches(list, etag string, weak bool) bool {
	if httpmsg.TrimOWS(list) == "*" {
		return true
	}
	if etag == "" {
		return false
	}
	for tag := range httpmsg.Members(list) {
		if weak {
			tag = strings.TrimPrefix(tag, "W/")
		}
		if tag == etag {
			return true
		}
	}
	return false
}
