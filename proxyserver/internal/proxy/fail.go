package proxy

import (
	"errors"
	"html"
	"strconv"
	"strings"

	"topdown/pkg/httpmsg"
	"topdown/proxyserver/internal/exchange"
)

// fail answers with an error of the proxy's own: a short page that says which
// step failed, and the same for programs in Proxy-Status (RFC 9209).
func (c *session) fail(err error) {
	failure, ok := errors.AsType[*exchange.Error](err)
	if !ok {
		failure = &exchange.Error{Status: 502, Type: "proxy_internal_error", Step: "passing the request on", Err: err}
		if bad, isBad := errors.AsType[*httpmsg.Error](err); isBad {
			failure = &exchange.Error{Status: bad.Status, Type: "http_request_error", Step: "reading the request", Err: bad}
			if bad.Status == 502 {
				failure.Type, failure.Step = "http_protocol_error", "reading the answer"
			}
			// After a malformed message nobody knows where the next begins.
			if bad.Status != 421 {
				c.keep = false
			}
		}
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
	c.answer(failure.Status, fields, errorPage(failure))
}

// proxyStatus renders a Proxy-Status field value.
func proxyStatus(name string, failure *exchange.Error) string {
	return name + "; error=" + failure.Type + "; details=" + quote(failure.Step+": "+failure.Err.Error())
}

// quote renders a string of Structured Fields (RFC 9651, section 3.3.3), which
// is ASCII.
func quote(s string) string {
	b := make([]byte, 0, len(s)+2)
	b = append(b, '"')
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] < ' ' || s[i] > '~':
			b = append(b, '?')
		case s[i] == '"' || s[i] == '\\':
			b = append(b, '\\', s[i])
		default:
			b = append(b, s[i])
		}
	}
	return string(append(b, '"'))
}

func errorPage(failure *exchange.Error) []byte {
	title := strconv.Itoa(failure.Status) + " " + httpmsg.StatusText(failure.Status)
	var b strings.Builder
	b.WriteString("<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>")
	b.WriteString(title)
	b.WriteString("</title>\n<style>body{font-family:sans-serif;max-width:40em;margin:4em auto;padding:0 1em;line-height:1.5}</style></head>\n<body>\n<h1>")
	b.WriteString(title)
	b.WriteString("</h1>\n<p>The proxy could not answer this request. The step that failed: <b>")
	b.WriteString(html.EscapeString(failure.Step))
	b.WriteString("</b>.</p>\n<p>")
	b.WriteString(html.EscapeString(failure.Err.Error()))
	b.WriteString(".</p>\n<hr><p>proxyserver</p>\n</body>\n</html>\n")
	return []byte(b.String())
}

// answer sends a response of the proxy's own.
func (c *session) answer(status int, fields httpmsg.Fields, content []byte) {
	c.status = status
	b := append(httpmsg.AppendStatusLine(nil, status), "Date: "...)
	b = append(httpmsg.AppendDate(b, c.server.Now()), "\r\n"...)
	b, err := httpmsg.AppendFields(b, fields)
	if err != nil {
		// A value that cannot be written was made of a peer's octets.
		c.keep = false
		return
	}
	if status != 204 {
		b = append(b, "Content-Length: "...)
		b = append(strconv.AppendInt(b, int64(len(content)), 10), "\r\n"...)
	}
	b = c.appendConnection(b)
	if c.trace != nil {
		c.trace.client("<", b)
	}
	if !hasContent(c.req.Method, status) {
		content = nil
	}
	c.send(b, content)
}
