package proxy

import (
	"errors"
	"strconv"
	"strings"

	"topdown/pkg/httpmsg"
	"topdown/proxyserver/internal/exchange"
)

// fail answers with an error of the proxy's own: a short page that says which
// step failed, and the same for programs in Proxy-Status (RFC 9209).
func (c *session) fail(err error) {
	failure := explainFailure(err)
	c.answered = answered{failure: failure}
	if bad, isBad := errors.AsType[*httpmsg.Error](err); isBad && bad.Status != 421 {
		c.keep = false // after a malformed message nobody knows where the next begins
	}
	if !c.body.complete() {
		c.keep = false
	}
	c.server.Stats.Errors.Add(1)
	c.conn.Renew(c.server.BodyTimeout)
	fields := httpmsg.Fields{
		{Name: "Content-Type", Value: "text/html; charset=utf-8"},
		{Name: "Cache-Control", Value: "no-store"},
		{Name: "Content-Security-Policy", Value: "default-src 'none'; style-src 'unsafe-inline'"},
		{Name: "X-Content-Type-Options", Value: "nosniff"},
		{Name: "Proxy-Status", Value: proxyStatus(c.server.Name, failure)},
	}
	switch failure.Status {
	case 401:
		fields.Add("WWW-Authenticate", `Basic realm="proxyserver", charset="UTF-8"`)
	case 407:
		fields.Add("Proxy-Authenticate", `Basic realm="proxyserver", charset="UTF-8"`)
	case 429, 503:
		after := "30"
		if late, isLate := errors.AsType[*retryError](err); isLate {
			after = strconv.Itoa(int(late.after.Seconds()) + 1)
		}
		fields.Add("Retry-After", after)
	}
	c.answer(failure.Status, fields, errorPage(c.server.Name, failure))
}

// proxyStatus renders a Proxy-Status field value.
func proxyStatus(name string, failure *exchange.Error) string {
	return name + "; error=" + failure.Type + "; details=" + quote(failure.Step+": "+failure.Err.Error())
}

// quote renders a string of Structured Fields (RFC 9651, section 3.3.3), which
// is ASCII.
func quote(s string) string {
	ascii := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
	return `"` + escapeQuoted.Replace(ascii) + `"`
}

// escapeQuoted is made once: it has tables of 6 KiB.
var escapeQuoted = strings.NewReplacer(`"`, `\"`, `\`, `\\`)
