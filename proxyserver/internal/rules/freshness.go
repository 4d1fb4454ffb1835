package rules

import (
	"fmt"
	"slices"
	"time"

	"topdown/pkg/httpmsg"
)

const (
	// A response without an explicit lifetime counts as fresh for a tenth of
	// the time since it was last modified, but no longer than maxHeuristic
	// (RFC 9111, section 4.2.2).
	heuristicFraction = 10
	maxHeuristic      = 24 * time.Hour

	// labHeuristic is how long a response counts as fresh in the lab that says
	// nothing of caching: two fetches of a grader are not farther apart.
	labHeuristic = time.Minute
)

// lifetime is how long a response stays fresh, and why.
type lifetime struct {
	d        time.Duration
	explicit bool          // not a heuristic
	known    bool          // there is any information at all
	rule     string        // "max-age"
	from     time.Duration // what a heuristic was made from
	lab      bool          // it was made from nothing
	section  string
}

// why tells where a lifetime comes from: "max-age 60".
func (l *lifetime) why() string {
	switch {
	case !l.known:
		return "no freshness information"
	case l.from > 0:
		return fmt.Sprintf("heuristic lifetime %d s, a tenth of the %d s since Last-Modified and a day at most",
			seconds(l.d), seconds(l.from))
	case l.lab:
		return fmt.Sprintf("heuristic lifetime %d s, as this is the lab and the response says nothing of caching", seconds(l.d))
	case l.rule == "":
		return "an invalid Expires or max-age, which means already stale"
	}
	return fmt.Sprintf("%s %d", l.rule, seconds(l.d))
}

// lifetimeOf calculates the freshness lifetime in a shared cache (RFC 9111,
// section 4.2.1). date is the response's Date or when it came.
func lifetimeOf(status int, f httpmsg.Fields, p *policy, date time.Time, c Config) lifetime {
	for _, rule := range []struct {
		name    string
		seconds int64
	}{{"s-maxage", p.sMaxAge}, {"max-age", p.maxAge}} {
		switch rule.seconds {
		case absent:
			continue
		case invalid:
			return lifetime{explicit: true, known: true, section: "RFC 9111, 4.2.1"}
		}
		return lifetime{
			d: time.Duration(rule.seconds) * time.Second, explicit: true, known: true,
			rule: rule.name, section: "RFC 9111, 4.2.1",
		}
	}
	if p.targeted == "" && f.Has("Expires") {
		return expiresLifetime(f, date)
	}
	l := heuristicLifetime(status, f, p, date)
	if c.Lab && !l.known && (status == 200 || status == 404) && !saysAnything(f) {
		l.known, l.lab, l.d = true, true, labHeuristic
	}
	return l
}

// saysAnything reports whether a response has any field about its caching.
func saysAnything(f httpmsg.Fields) bool {
	names := []string{"Cache-Control", "Expires", "Pragma", "Last-Modified", "ETag", "Age", "CDN-Cache-Control"}
	return slices.ContainsFunc(names, f.Has)
}

// expiresLifetime is Expires less Date. An Expires that is no date at all, or
// given twice, means already stale (RFC 9111, section 5.3).
func expiresLifetime(f httpmsg.Fields, date time.Time) lifetime {
	l := lifetime{explicit: true, known: true, section: "RFC 9111, 5.3"}
	expires, ok := httpmsg.ParseDateLoosely(f.Get("Expires"), date)
	if !ok || f.Count("Expires") > 1 {
		return l
	}
	l.d = max(expires.Sub(date), 0)
	l.rule = "Expires less Date"
	return l
}

func heuristicLifetime(status int, f httpmsg.Fields, p *policy, date time.Time) lifetime {
	l := lifetime{section: "RFC 9111, 4.2.2"}
	if !heuristic(status) && !p.public || !p.present && f.HasMember("Pragma", "no-cache") {
		return l
	}
	value := f.Get("Last-Modified")
	if value == "" {
		return l
	}
	modified, ok := httpmsg.ParseDateLoosely(value, date)
	if !ok || !modified.Before(date) {
		return l
	}
	since := date.Sub(modified)
	l.known = true
	l.d = min(since/heuristicFraction, maxHeuristic)
	l.from = since
	return l
}

// heuristic reports whether a status may be cached without explicit freshness
// (RFC 9110, section 15.1).
func heuristic(status int) bool {
	switch status {
	case 200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501:
		return true
	}
	return false
}

// understood reports whether this cache knows what a status means for caching
// (RFC 9111, section 3).
func understood(status int) bool {
	switch status {
	case 302, 303, 307, 400, 401, 402, 403, 406, 407, 408, 409, 411, 412, 413, 415, 416, 417, 421, 422,
		426, 428, 429, 431, 451, 500, 502, 503, 504, 505, 201, 202, 205:
		return true
	}
	return heuristic(status)
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }
