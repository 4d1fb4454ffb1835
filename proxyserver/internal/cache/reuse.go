package cache

import (
	"fmt"
	"time"

	"topdown/pkg/httpmsg"
	"topdown/proxyserver/internal/exchange"
)

// use is what may be done with a stored response that matches a request.
type use int

const (
	useFresh     use = iota // answer with it
	useStale                // answer with it, as the client allows
	useMeanwhile            // answer with it and validate in the background
	useValidate             // ask the origin first
)

// verdict is a decision on reuse with its reason and arithmetic.
type verdict struct {
	use     use
	fwd     string // why forwarded, as Cache-Status says it: "stale" or "request"
	section string
	why     string
	ttl     time.Duration // freshness left; negative when stale
	age     time.Duration
}

// requestDirectives reads the request's Cache-Control, or Pragma where there is
// none (RFC 9111, sections 5.2.1 and 5.4).
func requestDirectives(f httpmsg.Fields) directives {
	if !f.Has("Cache-Control") && !f.Has("Pragma") {
		return noDirectives()
	}
	d := parseCacheControl(f)
	if !f.Has("Cache-Control") && f.HasMember("Pragma", "no-cache") {
		d.noCache = true
	}
	return d
}

// reuse decides on a stored response that the request selects (RFC 9111,
// section 4).
func reuse(rd *directives, m *meta, now time.Time) verdict {
	v := verdict{age: m.age(now)}
	v.ttl = m.lifetime.d - v.age
	validate := func(fwd, section, why string) verdict {
		v.use, v.fwd, v.section, v.why = useValidate, fwd, section, why
		return v
	}
	switch {
	case rd.noCache:
		return validate("request", "RFC 9111, 5.2.1.4", "the request says no-cache")
	case m.noCache:
		return validate("stale", "RFC 9111, 5.2.2.4", "the response says no-cache: validate each time")
	}
	// max-age=0 is a reload. Of a response that is said not to change while it
	// is fresh nobody need ask (RFC 8246, section 2).
	reload := rd.maxAge == 0 && !m.immutable || rd.maxAge == invalid
	switch {
	case (reload || rd.maxAge > 0 && v.age > time.Duration(rd.maxAge)*time.Second) && rd.maxStale <= 0:
		return validate("request", "RFC 9111, 5.2.1.1",
			fmt.Sprintf("age %d s, the request wants max-age %d", seconds(v.age), max(rd.maxAge, 0)))
	case rd.minFresh > 0 && v.ttl < time.Duration(rd.minFresh)*time.Second:
		return validate("request", "RFC 9111, 5.2.1.3",
			fmt.Sprintf("fresh for %d s more, the request wants min-fresh %d", seconds(v.ttl), rd.minFresh))
	case v.ttl > 0:
		v.use, v.section = useFresh, "RFC 9111, 4.2"
		return v
	}
	staleness := -v.ttl
	forbidden := staleForbidden(m)
	switch {
	case forbidden != "":
		return validate("stale", "RFC 9111, 4.2.4", "stale, and "+forbidden+" forbids to use it so")
	case rd.maxStale >= 0 && (rd.maxStale == maxSeconds || staleness <= time.Duration(rd.maxStale)*time.Second):
		v.use, v.section = useStale, "RFC 9111, 5.2.1.2"
		v.why = "the request accepts it with max-stale"
		return v
	case m.staleWhileRevalidate >= 0 && staleness < time.Duration(m.staleWhileRevalidate)*time.Second:
		v.use, v.section = useMeanwhile, "RFC 5861, 3"
		v.why = fmt.Sprintf("stale-while-revalidate %d", m.staleWhileRevalidate)
		return v
	}
	return validate("stale", "RFC 9111, 4.2", "stale")
}

// staleForbidden returns the directive that forbids to use the response stale
// (RFC 9111, section 4.2.4), "" if there is none.
func staleForbidden(m *meta) string {
	switch {
	case m.noCache:
		return "no-cache"
	case m.mustRevalidate:
		return "must-revalidate"
	case m.proxyRevalidate:
		return "proxy-revalidate"
	case m.sMaxAge != absent:
		return "s-maxage"
	}
	return ""
}

// maxDisconnected is for how long past its freshness a response is used while
// the origin cannot be reached and nothing forbids it (RFC 9111, section
// 4.2.4).
const maxDisconnected = 24 * time.Hour

// onError decides whether a stale response may stand in for a failure:
// status is the origin's 5xx, or 0 where the origin could not be reached or
// broke off (RFC 5861, section 4; RFC 9111, sections 4.2.4 and 4.3.3).
func onError(rd *directives, m *meta, status int, now time.Time) (r ruling) {
	if forbidden := staleForbidden(m); forbidden != "" {
		return no("RFC 9111, 4.2.4", "", forbidden+" forbids to use it stale")
	}
	if rd.noCache && rd.staleIfError < 0 {
		return no("RFC 9111, 5.2.1.4", "", "the request's no-cache forbids to use it unvalidated")
	}
	staleness := max(m.age(now)-m.lifetime.d, 0)
	window := max(m.staleIfError, rd.staleIfError)
	switch {
	case window >= 0 && staleness <= time.Duration(window)*time.Second:
		return ruling{ok: true, section: "RFC 5861, 4", why: fmt.Sprintf("stale-if-error %d, stale for %d s", window, seconds(staleness))}
	case status == 0 && window < 0 && staleness <= maxDisconnected:
		return ruling{ok: true, section: "RFC 9111, 4.2.4", why: fmt.Sprintf("the origin cannot be reached, stale for %d s", seconds(staleness))}
	}
	return no("RFC 5861, 4", "", fmt.Sprintf("stale for %d s, longer than is allowed", seconds(staleness)))
}

// failure reports whether a response is an error for stale-if-error.
func failure(status int) bool {
	return status == 500 || status == 502 || status == 503 || status == 504
}

// explainFresh is the arithmetic of a hit, for a reader.
func explainFresh(m *meta, v verdict, now time.Time) string {
	s := fmt.Sprintf("stored %d s ago, age %d, %s: ", seconds(max(now.Sub(m.response), 0)), seconds(v.age), m.lifetime.why())
	if v.ttl > 0 {
		return s + fmt.Sprintf("fresh for %d s", seconds(v.ttl))
	}
	return s + fmt.Sprintf("stale for %d s", seconds(-v.ttl))
}

// bypass tells the requests that the cache takes no part in; fwd is the reason
// in Cache-Status.
func bypass(req *exchange.Request, rd *directives) (r ruling, fwd string) {
	switch {
	case req.Upgrade != "":
		return no("RFC 9110, 7.8", "upgrade", "the request asks to leave HTTP"), "bypass"
	case req.Method != "GET" && req.Method != "HEAD":
		return no("RFC 9111, 3", "method", "only GET and HEAD are answered from the cache"), "method"
	case req.Body != nil || req.Framing != 0:
		return no("RFC 9110, 9.3.1", "body", "a GET with content is not cached"), "bypass"
	case req.Scheme != "http" && req.Scheme != "https" && req.Scheme != "ftp":
		return no("RFC 9111, 2", "scheme", "not a scheme that is cached"), "bypass"
	case rd.noStore && !rd.onlyCached:
		return no("RFC 9111, 5.2.1.5", "request-no-store", "the request says no-store"), "request"
	}
	return ruling{ok: true}, ""
}
