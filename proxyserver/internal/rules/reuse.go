package rules

import (
	"fmt"
	"time"
)

// Use is what may be done with a stored response that a request selects.
type Use int

// The uses.
const (
	Validate           Use = iota // ask the origin first
	Fresh                         // answer with it
	Stale                         // answer with it, as the client allows
	StaleAndRevalidate            // answer with it and validate in the background
)

// Verdict is a decision on reuse with its reason and arithmetic.
type Verdict struct {
	Use     Use
	Forward string // why forwarded, as Cache-Status says it: "stale" or "request"
	Section string
	Why     string
	TTL     time.Duration // freshness left; negative when stale
	Age     time.Duration
}

// Reuse decides on a stored response that the request selects (RFC 9111,
// section 4).
func Reuse(req *Request, s *Stored, now time.Time) Verdict {
	rd := &req.directives
	v := Verdict{Age: s.Age(now)}
	v.TTL = s.lifetime.d - v.Age
	validate := func(forward, section, why string) Verdict {
		v.Use, v.Forward, v.Section, v.Why = Validate, forward, section, why
		return v
	}
	switch {
	case rd.noCache:
		return validate("request", "RFC 9111, 5.2.1.4", "the request says no-cache")
	case s.noCache:
		return validate("stale", "RFC 9111, 5.2.2.4", "the response says no-cache: validate each time")
	}
	// max-age=0 is a reload. Of a response that is said not to change while it
	// is fresh nobody need ask (RFC 8246, section 2).
	reload := rd.maxAge == 0 && !s.immutable || rd.maxAge == invalid
	switch {
	case (reload || rd.maxAge > 0 && v.Age > time.Duration(rd.maxAge)*time.Second) && rd.maxStale <= 0:
		return validate("request", "RFC 9111, 5.2.1.1",
			fmt.Sprintf("age %d s, the request wants max-age %d", seconds(v.Age), max(rd.maxAge, 0)))
	case rd.minFresh > 0 && v.TTL < time.Duration(rd.minFresh)*time.Second:
		return validate("request", "RFC 9111, 5.2.1.3",
			fmt.Sprintf("fresh for %d s more, the request wants min-fresh %d", seconds(v.TTL), rd.minFresh))
	case v.TTL > 0:
		v.Use, v.Section = Fresh, "RFC 9111, 4.2"
		return v
	}
	staleness := -v.TTL
	forbidden := staleForbidden(s)
	switch {
	case forbidden != "":
		return validate("stale", "RFC 9111, 4.2.4", "stale, and "+forbidden+" forbids to use it so")
	case rd.maxStale >= 0 && (rd.maxStale == maxSeconds || staleness <= time.Duration(rd.maxStale)*time.Second):
		v.Use, v.Section = Stale, "RFC 9111, 5.2.1.2"
		v.Why = "the request accepts it with max-stale"
		return v
	case s.staleWhileRevalidate >= 0 && staleness < time.Duration(s.staleWhileRevalidate)*time.Second:
		v.Use, v.Section = StaleAndRevalidate, "RFC 5861, 3"
		v.Why = fmt.Sprintf("stale-while-revalidate %d", s.staleWhileRevalidate)
		return v
	}
	return validate("stale", "RFC 9111, 4.2", "stale")
}

// Shareable reports whether a response that has just come may be given to other
// clients that asked for it: those would be given it from the store.
func Shareable(s *Stored, now time.Time) bool {
	anyone := Request{directives: noDirectives()}
	return Reuse(&anyone, s, now).Use == Fresh
}

// staleForbidden returns the directive that forbids to use the response stale
// (RFC 9111, section 4.2.4), "" if there is none.
func staleForbidden(s *Stored) string {
	switch {
	case s.noCache:
		return "no-cache"
	case s.mustRevalidate:
		return "must-revalidate"
	case s.proxyRevalidate:
		return "proxy-revalidate"
	case s.sMaxAge != absent:
		return "s-maxage"
	}
	return ""
}

// maxDisconnected is for how long past its freshness a response is used while
// the origin cannot be reached and nothing forbids it (RFC 9111, section
// 4.2.4).
const maxDisconnected = 24 * time.Hour

// Life is for how long after it came a response is of use: as long as it is
// fresh or may be used stale (RFC 5861; RFC 9111, section 4.2.4), and for a day
// more if it can be validated, which costs less than to fetch it.
func (s *Stored) Life() time.Duration {
	var stale time.Duration
	if staleForbidden(s) == "" {
		stale = time.Duration(max(s.staleWhileRevalidate, s.staleIfError, 0)) * time.Second
		if s.staleIfError < 0 {
			stale = max(stale, maxDisconnected)
		}
	}
	if s.hasValidator() {
		stale = max(stale, maxDisconnected)
	}
	return max(s.TTL(s.ResponseTime), 0) + stale
}

// OnError decides whether a stale response may stand in for a failure: status
// is the origin's 5xx, or 0 where the origin could not be reached or broke off
// (RFC 5861, section 4; RFC 9111, sections 4.2.4 and 4.3.3).
func OnError(req *Request, s *Stored, status int, now time.Time) Ruling {
	rd := &req.directives
	if forbidden := staleForbidden(s); forbidden != "" {
		return no("RFC 9111, 4.2.4", "", forbidden+" forbids to use it stale")
	}
	if rd.noCache && rd.staleIfError < 0 {
		return no("RFC 9111, 5.2.1.4", "", "the request's no-cache forbids to use it unvalidated")
	}
	staleness := max(s.Age(now)-s.lifetime.d, 0)
	window := max(s.staleIfError, rd.staleIfError)
	switch {
	case window >= 0 && staleness <= time.Duration(window)*time.Second:
		return Ruling{OK: true, Section: "RFC 5861, 4", Why: fmt.Sprintf("stale-if-error %d, stale for %d s", window, seconds(staleness))}
	case status == 0 && window < 0 && staleness <= maxDisconnected:
		return Ruling{OK: true, Section: "RFC 9111, 4.2.4", Why: fmt.Sprintf("the origin cannot be reached, stale for %d s", seconds(staleness))}
	}
	return no("RFC 5861, 4", "", fmt.Sprintf("stale for %d s, longer than is allowed", seconds(staleness)))
}

// Failure reports whether a status is an error for stale-if-error (RFC 5861,
// section 4).
func Failure(status int) bool {
	return status == 500 || status == 502 || status == 503 || status == 504
}

// Explain tells a reader what the verdict on s comes from, with its arithmetic.
func (v *Verdict) Explain(s *Stored, now time.Time) string {
	text := fmt.Sprintf("stored %d s ago, age %d, %s: ", seconds(max(now.Sub(s.ResponseTime), 0)), seconds(v.Age), s.lifetime.why())
	if v.TTL > 0 {
		text += fmt.Sprintf("fresh for %d s", seconds(v.TTL))
	} else {
		text += fmt.Sprintf("stale for %d s", seconds(-v.TTL))
	}
	if v.Why != "" {
		text += "; " + v.Why
	}
	return text
}
