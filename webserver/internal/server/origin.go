package server

import (
	"strings"

	"topdown/pkg/httpmsg"
)

// host returns which host a request is for (RFC 9112, section 3.3), or which a
// proxy was asked for.
func (c *conn) host(x *exchange, target httpmsg.Target) string {
	if x.host != "" {
		return x.host
	}
	if target.Host != "" {
		return target.Host
	}
	return c.work.req.Fields.Get("Host")
}

// foreign reports whether a browser sends the request for a page of another site.
// The reader of such a page may know nothing of it, and may be let in here by a
// password that the browser remembers or by being on this machine. A program that
// is no browser says nothing of the kind, and is not meant.
func (c *conn) foreign(x *exchange, target httpmsg.Target) bool {
	fields := c.work.req.Fields
	switch fields.Get("Sec-Fetch-Site") {
	case "":
	case "same-origin", "none": // none: typed in, or a bookmark
		return false
	default:
		return true
	}
	origin := fields.Get("Origin")
	if origin == "" {
		return false
	}
	_, host, ok := strings.Cut(origin, "://") // "null" is nobody's
	return !ok || !strings.EqualFold(host, c.host(x, target))
}
