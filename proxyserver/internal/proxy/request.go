package proxy

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"topdown/pkg/httpmsg"
	"topdown/proxyserver/internal/exchange"
)

// prepare makes the request that goes on from the one that came in. done means
// that it has been answered here.
func (c *session) prepare() (done bool, err error) {
	c.out = exchange.Request{
		Method: c.req.Method, Scheme: c.target.scheme, Host: c.target.host, Server: c.target.server, Path: c.target.path,
		Fields: c.out.Fields[:0], Framing: c.req.Framing,
	}
	if c.req.Method == "OPTIONS" && c.target.path == "/" && c.target.mode == forward {
		// An absolute URI without a path stands for "*" (RFC 9112, section 3.2.4).
		if _, rest, _ := strings.Cut(c.req.Target, "://"); !strings.Contains(rest, "/") {
			c.out.Path = "*"
		}
	}
	if c.trace != nil {
		trace, secure := c.trace, c.target.scheme == "https"
		c.out.Explain, c.out.Trace, c.out.Received = trace.explain, trace.origin, trace.received
		c.out.Connected = func(local, remote net.Addr, kept bool) { trace.connected(local, remote, kept, secure) }
		if trace.kept != nil {
			c.out.Timed = trace.kept.timed
		}
	}
	if c.req.Method == "GET" && c.server.takeReload(c.target) {
		c.out.Fields.Add("Cache-Control", "no-cache")
	}
	expect := false
	hops := -1
	via := ""
	named := httpmsg.AnyOf(slices.Collect(c.req.Fields.List("Connection")))
	for _, field := range c.req.Fields {
		switch kindOf(field.Name) {
		case dropped:
			continue
		case viaField:
			if c.looped(field.Value) {
				return false, loopDetected()
			}
			if via != "" {
				via += ", "
			}
			via += field.Value
			continue
		case expectField:
			if !strings.EqualFold(field.Value, "100-continue") {
				c.keep = false
				return false, &httpmsg.Error{Status: 417, Reason: "an expectation other than 100-continue"}
			}
			expect = true
			continue
		case maxForwardsField:
			if c.req.Method != "OPTIONS" && c.req.Method != "TRACE" {
				break
			}
			n, bad := strconv.Atoi(field.Value)
			if bad != nil || n < 0 || hops >= 0 {
				return false, &httpmsg.Error{Status: 400, Reason: "Max-Forwards is not a number"}
			}
			hops = n
			continue
		case cookieField:
			if c.target.mode == pathStyle {
				continue // cookies of the proxy's own host are nobody's
			}
		case forwardedField:
			if c.target.mode == reverse {
				continue // addForwarded writes what is true
			}
		case authorizationField:
			if c.user != "" && c.ownAuthorization {
				continue // it was meant for the proxy
			}
		}
		if named(field.Name) && !strings.EqualFold(field.Name, "Host") {
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
	if c.target.mode == reverse {
		c.addForwarded()
	}
	if c.target.login != "" && !c.out.Fields.Has("Authorization") {
		c.out.Fields.Add("Authorization", basic(c.target.login))
	}
	return false, c.prepareBody(expect)
}

func loopDetected() error {
	return policy(502, "proxy_loop_detected", "checking for a loop", errors.New("the request has passed through this proxy before"))
}

func (c *session) prepareBody(expect bool) error {
	// HTTP/2 in clear text would be a tunnel past every rule.
	if c.req.Minor >= 1 && c.req.Fields.HasMember("Connection", "upgrade") && c.req.Framing == 0 && !c.req.Fields.HasMember("Upgrade", "h2c") {
		c.out.Upgrade = c.req.Fields.Get("Upgrade")
	}
	if c.req.Framing == 0 {
		return nil
	}
	if c.req.Method == "TRACE" {
		c.keep = false
		return &httpmsg.Error{Status: 400, Reason: "TRACE takes no content"}
	}
	if c.target.mode == reverse && !c.server.GetContent && (c.req.Method == "GET" || c.req.Method == "HEAD") {
		// It means nothing, and is a way to smuggle (RFC 9110, section 9.3.1).
		c.keep = false
		return &httpmsg.Error{Status: 400, Reason: c.req.Method + " takes no content here"}
	}
	if limit := c.server.MaxBody; limit > 0 && int64(c.req.Framing) > limit {
		c.keep = false
		return &httpmsg.Error{Status: 413, Reason: fmt.Sprintf("the content is larger than %d bytes", limit)}
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

// basic makes the Authorization value of a URL's user part.
func basic(login string) string {
	if decoded, err := url.PathUnescape(login); err == nil {
		login = decoded
	}
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(login))
}

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

// fieldKind tells how a field of a request is passed on.
type fieldKind int

const (
	endToEnd fieldKind = iota
	dropped            // hop-by-hop, or written anew from the target and the framing
	viaField
	expectField
	maxForwardsField
	cookieField
	forwardedField
	authorizationField
)

// special are the fields that are not simply passed on.
var special = [...]struct {
	name string
	kind fieldKind
}{
	{"Host", dropped},
	{"Content-Length", dropped},
	{"HTTP2-Settings", dropped},
	{"Via", viaField},
	{"Expect", expectField},
	{"Max-Forwards", maxForwardsField},
	{"Cookie", cookieField},
	{"Forwarded", forwardedField},
	{"X-Real-IP", forwardedField},
	{"Authorization", authorizationField},
}

func kindOf(name string) fieldKind {
	for _, field := range special {
		if len(field.name) == len(name) && strings.EqualFold(field.name, name) {
			return field.kind
		}
	}
	if len(name) > len("X-Forwarded-") && strings.EqualFold(name[:len("X-Forwarded-")], "X-Forwarded-") {
		return forwardedField
	}
	if httpmsg.IsHopByHop(name) {
		return dropped
	}
	return endToEnd
}
