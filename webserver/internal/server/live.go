package server

import (
	"strconv"
	"strings"
	"time"

	"topdown/pkg/httpmsg"
	"topdown/webserver/internal/live"
)

// How often it is seen to whether a page that waits is still there, and how often
// something is sent to it, for those in between that end silent connections.
const (
	liveLook = time.Second
	livePing = 15 * time.Second
)

// serveLive answers the script that each page has at its end, and that script's
// question. It returns false if the request is for something else.
func (c *conn) serveLive(x *exchange, target httpmsg.Target) bool {
	switch x.path {
	case live.ScriptPath:
		c.sendContent(x, 200, "text/javascript; charset=utf-8", live.Script, httpmsg.Field{Name: "Cache-Control", Value: "no-cache"})
	case live.Path:
		if c.foreign(x, target) {
			c.sendError(x, 403, "A page of another site may not wait for changes here.")
			return true
		}
		c.waitForChange(x)
	default:
		return false
	}
	return true
}

// waitForChange sends an event (server-sent events, section 9.2 of the HTML standard)
// when a file has changed since the page was loaded. With it, or with the page's
// leaving, the connection ends.
func (c *conn) waitForChange(x *exchange) {
	age, err := strconv.ParseInt(strings.TrimPrefix(x.query, "age="), 10, 32)
	if err != nil || age < 0 {
		c.sendError(x, 400, "The age of the page is missing.")
		return
	}
	changed, leave, ok := c.s.Live.Wait(x.start.Add(-time.Duration(age) * time.Millisecond))
	if !ok {
		c.say("9110, 15.6.4", "as many pages as may be wait for changes: 503")
		c.sendError(x, 503, "Too many pages are waiting for changes.", httpmsg.Field{Name: "Retry-After", Value: "5"})
		return
	}
	defer leave()
	c.say("9112, 6.3", "the page waits for a change: the content ends with the connection")
	c.closing = true
	c.status(x, 200, []httpmsg.Field{{Name: "Content-Type", Value: "text/event-stream"}, {Name: "Cache-Control", Value: "no-store"}})
	c.end(x)
	send := func(text string) error {
		x.sent += int64(len(text))
		c.work.out = append(c.work.out, text...)
		return c.flush()
	}
	look := time.NewTicker(liveLook)
	defer look.Stop()
	err = send(": waiting\n\n")
	for pinged := time.Now(); err == nil && !c.gone(); {
		select {
		case <-changed:
			_ = send("data: changed\n\n") // if it fails, nobody is there
			return
		case <-c.s.ctx.Done():
			return
		case now := <-look.C:
			if now.Sub(pinged) >= livePing {
				pinged = now
				err = send(":\n\n")
			}
		}
	}
}
