package rules

import (
	"strings"

	"topdown/pkg/httpmsg"
)

// maxSeconds is what a larger number of seconds counts as (RFC 9111, section
// 1.2.2).
const maxSeconds = 1 << 31

// The number of seconds of a directive that is absent, or there but no number.
const (
	absent  = -1
	invalid = -2
)

// directives are the cache directives of a request or a response (RFC 9111,
// section 5.2; RFC 5861; RFC 8246).
type directives struct {
	present bool // there was any directive at all, known or not

	noStore, noCache, private, public     bool
	mustRevalidate, proxyRevalidate       bool
	mustUnderstand, immutable, onlyCached bool
	maxAge, sMaxAge, minFresh, maxStale   int64 // seconds, absent or invalid
	staleWhileRevalidate, staleIfError    int64
	noCacheFields, privateFields          []string // of the qualified forms
}

func noDirectives() directives {
	return directives{
		maxAge: absent, sMaxAge: absent, minFresh: absent, maxStale: absent,
		staleWhileRevalidate: absent, staleIfError: absent,
	}
}

// parseCacheControl reads Cache-Control. Of a directive given twice the first
// counts (section 4.2.1). A freshness directive with a malformed argument is
// invalid, which means stale; a restriction counts however it is written; a
// malformed permission does not count.
func parseCacheControl(f httpmsg.Fields) directives {
	d := noDirectives()
	for value := range f.Values("Cache-Control") {
		for member := range httpmsg.Members(value) {
			d.add(member)
		}
		if !balanced(value) {
			// Whatever the missing quote was meant to end: nothing that forbids
			// may hide behind it.
			for member := range strings.SplitSeq(value, ",") {
				d.addRestriction(httpmsg.TrimOWS(member))
			}
		}
	}
	return d
}

// balanced reports whether every quoted string in s ends.
func balanced(s string) bool {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		}
	}
	return !quoted
}

// add adds one directive: name [ "=" ( token / quoted-string ) ].
func (d *directives) add(member string) {
	d.present = true
	name, arg, hasArg := strings.Cut(member, "=")
	ok := true
	if !httpmsg.IsToken(name) {
		if name = httpmsg.TrimOWS(name); !httpmsg.IsToken(name) {
			return
		}
		ok = false
	}
	if hasArg && ok {
		arg, ok = argument(arg)
	}
	name = strings.ToLower(name)
	if seconds := d.seconds(name); seconds != nil {
		if *seconds == absent {
			*seconds = delta(name, arg, hasArg, ok)
		}
		return
	}
	switch name {
	case "no-cache":
		d.restrict(&d.noCache, &d.noCacheFields, arg, hasArg && ok)
	case "private":
		d.restrict(&d.private, &d.privateFields, arg, hasArg && ok)
	default:
		if flag := d.flag(name); flag != nil && (ok || restriction(name)) {
			*flag = true
		}
	}
}

func (d *directives) addRestriction(member string) {
	name, _, _ := strings.Cut(member, "=")
	name = strings.ToLower(httpmsg.TrimOWS(name))
	if restriction(name) {
		*d.flag(name) = true
	}
}

func (d *directives) seconds(name string) *int64 {
	switch name {
	case "max-age":
		return &d.maxAge
	case "s-maxage":
		return &d.sMaxAge
	case "min-fresh":
		return &d.minFresh
	case "max-stale":
		return &d.maxStale
	case "stale-while-revalidate":
		return &d.staleWhileRevalidate
	case "stale-if-error":
		return &d.staleIfError
	}
	return nil
}

func (d *directives) flag(name string) *bool {
	switch name {
	case "no-store":
		return &d.noStore
	case "no-cache":
		return &d.noCache
	case "private":
		return &d.private
	case "public":
		return &d.public
	case "must-revalidate":
		return &d.mustRevalidate
	case "proxy-revalidate":
		return &d.proxyRevalidate
	case "must-understand":
		return &d.mustUnderstand
	case "immutable":
		return &d.immutable
	case "only-if-cached":
		return &d.onlyCached
	}
	return nil
}

func restriction(name string) bool {
	switch name {
	case "no-store", "no-cache", "private", "must-revalidate", "proxy-revalidate", "only-if-cached":
		return true
	}
	return false
}

// restrict adds no-cache or private: with an argument it is about those fields
// only (sections 5.2.2.4 and 5.2.2.7).
func (d *directives) restrict(flag *bool, fields *[]string, arg string, qualified bool) {
	if !qualified {
		*flag = true
		return
	}
	n := 0
	for field := range httpmsg.Members(arg) {
		if !httpmsg.IsToken(field) {
			*flag = true
			return
		}
		*fields = append(*fields, field)
		n++
	}
	if n == 0 {
		*flag = true
	}
}

// argument reads the argument of a directive, both forms of it (section 5.2).
func argument(s string) (value string, ok bool) {
	if httpmsg.IsToken(s) {
		return s, true
	}
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return "", false
	}
	s = s[1 : len(s)-1]
	if !strings.ContainsAny(s, `"\`) {
		return s, true
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '"' {
			return "", false
		}
		if s[i] == '\\' {
			if i++; i == len(s) {
				return "", false
			}
		}
		b.WriteByte(s[i])
	}
	return b.String(), true
}

// delta reads the seconds of directive name.
func delta(name, arg string, hasArg, ok bool) int64 {
	if name == "max-stale" && !hasArg {
		return maxSeconds // any staleness will do (section 5.2.1.2)
	}
	if n, isDelta := parseDelta(arg); isDelta && ok {
		return n
	}
	switch name {
	case "max-stale", "min-fresh", "stale-while-revalidate", "stale-if-error":
		return absent
	}
	return invalid
}

// parseDelta reads delta-seconds (section 1.2.2).
func parseDelta(s string) (n int64, ok bool) {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		if n = n*10 + int64(s[i]-'0'); n > maxSeconds {
			n = maxSeconds
		}
	}
	return n, s != ""
}
