// Package rules is what RFC 9111 and its neighbours say about a shared HTTP
// cache, as functions of a request, a stored response and the time. Each
// decision comes with its reason and the section behind it.
//
// Covered are RFC 9111 (caching), RFC 5861 (stale-while-revalidate,
// stale-if-error), RFC 8246 (immutable), RFC 9213 (targeted fields), RFC 9875
// (groups), and of RFC 9110 what a cache evaluates itself: preconditions,
// ranges, the comparison of URIs and of what Vary names.
//
// The rules read no clock, keep nothing and do no I/O; package cache carries
// them out. They are read in this order: uri, request, directives, targeted,
// stored, freshness, vary, storing, reuse, precondition, ranges, validation,
// groups.
package rules

// Config says which kind of cache the rules are for. The zero value is a
// forward proxy's.
type Config struct {
	// Targeted names the targeted cache control fields that apply to this
	// cache, the first that is present and valid wins (RFC 9213); a reverse
	// proxy's is "CDN-Cache-Control".
	Targeted []string
	// Selecting names request fields, in lower case and in order, by which a
	// response is selected whatever its Vary says: those that tell an origin
	// under which name its reverse proxy was asked. Applications make their
	// links of them, and seldom say so.
	Selecting []string
	// Lab is the world of the course's handouts: origins that know nothing of
	// caching. Their 200 and 404 answers are kept for a short time all the same
	// (RFC 9111, section 4.2.2).
	Lab bool
	// Groups says that responses may be in groups, which are made invalid
	// together (RFC 9875). That is between an origin and its reverse proxy.
	Groups bool
}

// Ruling is a decision with its reason.
type Ruling struct {
	OK      bool
	Section string // "RFC 9111, 3.5"
	Why     string
	Detail  string // a token for Cache-Status
}

func no(section, detail, why string) Ruling {
	return Ruling{Section: section, Detail: detail, Why: why}
}
