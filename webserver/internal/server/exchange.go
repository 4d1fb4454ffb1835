package server

import (
	"net/netip"
	"time"

	"topdown/pkg/httpmsg"
)

// exchange is one request and what became of it.
type exchange struct {
	start   time.Time // the head was there
	refused bool      // the head could not be understood

	client  netip.Addr // who asks: the peer, or whom a proxy speaks for
	counted bool       // against the share of that client, behind a proxy
	host    string     // what a proxy was asked for; "" where there is none

	conditions     conditions
	acceptEncoding string
	hasEncoding    bool
	rangeField     string // Range; "" for none
	authorization  string
	referer        string
	userAgent      string
	expect         bool // the client waits for 100 before it sends the body
	badExpect      bool // or for something that nobody knows
	continued      bool // 100 has been sent

	path   string // clean, decoded; set once found to be good
	query  string
	user   string // who authenticated
	status int    // of the final response
	sent   int64  // bytes of content
}

// scan picks out the fields that matter here, in one pass.
func (x *exchange) scan(req *httpmsg.Request) {
	for i := range req.Fields {
		field := &req.Fields[i]
		switch len(field.Name) {
		case len("Range"):
			if is(field.Name, "Range") && x.rangeField == "" {
				x.rangeField = field.Value
			}
		case len("Expect"):
			if is(field.Name, "Expect") {
				if is(field.Value, "100-continue") && req.Minor >= 1 {
					x.expect = req.Framing != 0
				} else if req.Minor >= 1 {
					x.badExpect = true
				}
			}
		case len("Referer"):
			if is(field.Name, "Referer") {
				x.referer = field.Value
			}
		case len("If-Match"):
			switch {
			case is(field.Name, "If-Match"):
				x.conditions.hasMatch, x.conditions.isAny = true, true
				x.conditions.ifMatch = joinLines(x.conditions.ifMatch, field.Value)
			case is(field.Name, "If-Range"):
				x.conditions.hasRange = true
				x.conditions.ifRange = field.Value
			}
		case len("User-Agent"):
			if is(field.Name, "User-Agent") {
				x.userAgent = field.Value
			}
		case len("If-None-Match"):
			switch {
			case is(field.Name, "If-None-Match"):
				x.conditions.hasNoneMatch, x.conditions.isAny = true, true
				x.conditions.ifNoneMatch = joinLines(x.conditions.ifNoneMatch, field.Value)
			case is(field.Name, "Authorization"):
				x.authorization = field.Value
			}
		case len("Accept-Encoding"):
			if is(field.Name, "Accept-Encoding") {
				x.acceptEncoding = joinLines(x.acceptEncoding, field.Value)
				x.hasEncoding = true
			}
		case len("If-Modified-Since"):
			if is(field.Name, "If-Modified-Since") {
				x.conditions.isAny = true
				x.conditions.ifModifiedSince = field.Value
			}
		case len("If-Unmodified-Since"):
			if is(field.Name, "If-Unmodified-Since") {
				x.conditions.isAny = true
				x.conditions.ifUnmodifiedSince = field.Value
			}
		}
	}
}

// is compares names of the same length without regard to case: of letters, and
// "-", which has no other case.
func is(a, b string) bool {
	if a == b {
		return true
	}
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if a[i]|0x20 != b[i]|0x20 {
			return false
		}
	}
	return true
}

// joinLines makes one value of several lines of a list-based field.
func joinLines(a, b string) string {
	if a == "" {
		return b
	}
	return a + ", " + b
}
