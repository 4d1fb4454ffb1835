package proxy

import (
	"time"

	"topdown/pkg/logging"
	"topdown/proxyserver/internal/mask"
)

// logAccess adds the exchange that is over to the access log.
func (c *session) logAccess(start time.Time) {
	if c.server.Access == nil {
		return
	}
	entry := logging.AccessEntry{
		Remote: c.ip(), User: c.user, Time: start,
		Status: c.status, Bytes: c.sent,
		Referer: mask.Login(c.req.Fields.Get("Referer")), UserAgent: c.req.Fields.Get("User-Agent"),
		Result: string(c.result), Duration: c.server.Now().Sub(start),
	}
	if c.req.Target != "" {
		entry.Method, entry.Target, entry.Minor = c.req.Method, mask.Login(c.req.Target), c.req.Minor
	}
	if entry.Result == "" {
		entry.Result = "-" // the column stays where it is
	}
	c.server.Access.Append(&entry)
}
