package proxy

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"topdown/pkg/httpmsg"
	"topdown/proxyserver/internal/exchange"
)

// prepare makes the request that goes on from the one that came in. done means
// that it has been answered here.
func (c *session) prepare() (done bool, err error) {
	c.out = exchange.Request{
		Method: c.req.Method, Scheme: c.where.scheme, Host: c.where.host, Path: c.where.path,
		Fields: c.out.Fields[:0], Framing: c.req.Framing,
	}
	if c.req.Method == "OPTIONS" && c.where.path == "/" && c.where.way == forward {
		// An absolute URI without a path stands for "*" (RFC 9112, section 3.2.4).
		if _, rest, _ := strings.Cut(c.req.Target, "://"); !strings.Contains(rest, "/") {
			c.out.Path = "*"
		}
	}
	if c.trace != nil {
		c.out.Explain, c.out.Trace = c.trace.explain, c.trace.origin
	}
	expect := false
	hops := -1
	via := ""
	connection := c.req.Fields.Has("Connection")
	for _, field := range c.req.Fields {
		switch hopField(field.Name) {
		case fieldHop:
			continue
		case fieldVia:
			if c.looped(field.Value) {
				return false, loopDetected()
			}
			if via != "" {
				via += ", "
			}
			via += field.Value
			continue
		case fieldExpect:
			if !strings.EqualFold(field.Value, "100-continue") {
				c.keep = false
				return false, &httpmsg.Error{Status: 417, Reason: "an expectation other than 100-continue"}
			}
			expect = true
			continue
		case fieldMaxForwards:
			if c.req.Method != "OPTIONS" && c.req.Method != "TRACE" {
				break
			}
			n, bad := strconv.Atoi(field.Value)
			if bad != nil || n < 0 || hops >= 0 {
				return false, &httpmsg.Error{Status: 400, Reason: "Max-Forwards is not a number"}
			}
			hops = n
			continue
		case fieldCookie:
			if c.where.way == pathStyle {
				continue // cookies of the proxy's own host are nobody's
			}
		case fieldForwarded:
			if c.where.way == reverse {
				continue // the client's word is worth nothing to the origin
			}
		case fieldAuthorization:
			if c.user != "" && c.ownAuthorization {
				continue // it was meant for the proxy
			}
		}
		if connection && c.req.Fields.HasMember("Connection", field.Name) && !strings.EqualFold(field.Name, "Host") {
			continue
		}
		c.out.Fields = append(c.out.Fields, field)
	}
	switch {
	case hops == 0:
		return true, c.answerHere()
	case hops > 0:
		c.out.Fields.Add("Max-Forwards", strconv.Itoa(hops-1))
	}
	if via == "" {
		via = c.server.via[c.req.Minor]
	} else {
		via += ", " + c.server.via[c.req.Minor]
	}
	c.out.Fields.Add("Via", via)
	if c.where.way == reverse {
		if c.forwardedFor == "" {
			c.forwardedFor = c.client.Addr().String()
		}
		c.out.Fields.Add("X-Forwarded-For", c.forwardedFor)
	}
	if c.where.login != "" && !c.out.Fields.Has("Authorization") {
		c.out.Fields.Add("Authorization", basic(c.where.login))
	}
	return false, c.prepareBody(expect)
}

func loopDetected() error {
	return policy(502, "proxy_loop_detected", "checking for a loop", errors.New("the request has passed through this proxy before"))
}

func (c *session) prepareBody(expect bool) error {
	if c.req.Minor >= 1 && connectionHas(c.req.Fields, "upgrade") && c.req.Framing == 0 {
		c.out.Upgrade = c.req.Fields.Get("Upgrade")
	}
	if c.req.Framing == 0 {
		return nil
	}
	if c.req.Method == "TRACE" {
		c.keep = false
		return &httpmsg.Error{Status: 400, Reason: "TRACE takes no content"}
	}
	if c.where.way == reverse && !c.server.GetContent && (c.req.Method == "GET" || c.req.Method == "HEAD") {
		// It means nothing, and is a way to smuggle (RFC 9110, section 9.3.1).
		c.keep = false
		return &httpmsg.Error{Status: 400, Reason: c.req.Method + " takes no content here"}
	}
	if limit := c.server.MaxBody; limit > 0 && int64(c.req.Framing) > limit {
		c.keep = false
		return &httpmsg.Error{Status: 413, Reason: fmt.Sprintf("the content is larger than %d octets", limit)}
	}
	if expect && c.req.Minor >= 1 {
		c.out.Fields.Add("Expect", "100-continue")
	}
	c.out.Body = c.body
	if c.req.Framing == httpmsg.Chunked {
		c.out.Trailers = c.body.trailers
	}
	return nil
}

func connectionHas(f httpmsg.Fields, option string) bool { return f.HasMember("Connection", option) }

// looped reports whether a Via value names this proxy (RFC 9110, section 7.6.3).
func (c *session) looped(via string) bool {
	for member := range httpmsg.Members(via) {
		_, by, _ := strings.Cut(member, " ")
		by, _, _ = strings.Cut(httpmsg.TrimOWS(by), " ")
		if strings.EqualFold(by, c.server.Name) {
			return true
		}
	}
	return false
}

// What hopField tells of a field of a request.
const (
	fieldEnd = iota // end to end
	fieldHop
	fieldVia
	fieldExpect
	fieldMaxForwards
	fieldCookie
	fieldForwarded
	fieldAuthorization
)

// hopField tells how a request field is passed on. Host and Content-Length are
// written anew from the target and the framing.
func hopField(name string) int {
	is := func(s string) bool { return strings.EqualFold(name, s) }
	switch len(name) {
	case 2:
		if is("TE") {
			return fieldHop
		}
	case 3:
		if is("Via") {
			return fieldVia
		}
	case 4:
		if is("Host") {
			return fieldHop
		}
	case 6:
		switch {
		case is("Expect"):
			return fieldExpect
		case is("Cookie"):
			return fieldCookie
		}
	case 7:
		if is("Upgrade") || is("Trailer") {
			return fieldHop
		}
	case 9:
		if is("Forwarded") {
			return fieldForwarded
		}
	case 10:
		if is("Connection") || is("Keep-Alive") {
			return fieldHop
		}
	case 12:
		if is("Max-Forwards") {
			return fieldMaxForwards
		}
	case 13:
		switch {
		case is("Authorization"):
			return fieldAuthorization
		case is(explainField):
			return fieldHop
		}
	case 14:
		if is("Content-Length") || is("HTTP2-Settings") {
			return fieldHop
		}
	case 15, 16, 17, 19:
		switch {
		case is("X-Forwarded-For"), is("X-Forwarded-Host"), is("X-Forwarded-Proto"):
			return fieldForwarded
		case is("Proxy-Connection"), is("Transfer-Encoding"), is("Proxy-Authorization"):
			return fieldHop
		}
	}
	return fieldEnd
}
