package server

import (
	"errors"
	"net"
	"strings"
	"time"

	"go.uber.org/zap"

	"topdown/pkg/httpmsg"
	"topdown/webserver/internal/archive"
	"topdown/webserver/internal/auth"
	"topdown/webserver/internal/listing"
	"topdown/webserver/internal/live"
	"topdown/webserver/internal/site"
)

const allow = "GET, HEAD, OPTIONS, POST"

// respond decides what to answer to a request whose head is good, and answers.
func (c *conn) respond(x *exchange) {
	w := c.work
	req := &w.req
	w.body.Reset(&c.in, req.Framing, httpmsg.BodyLimits{Size: c.s.bodyLimit(req)})
	if x.badExpect {
		c.say("9110, 10.1.1", "Expect asks for something unknown: 417")
		c.sendError(x, 417, "The only expectation that can be met is 100-continue.")
		return
	}
	switch req.Method {
	case "GET", "HEAD", "POST", "OPTIONS":
	case "PUT", "DELETE", "PATCH", "TRACE", "CONNECT":
		c.sayf("9110, 15.5.6", "%s is known and not allowed here: 405 with Allow", req.Method)
		c.sendError(x, 405, "This method is not allowed here.", httpmsg.Field{Name: "Allow", Value: allow})
		return
	default:
		c.say("9110, 15.6.2", "the method is unknown: 501")
		c.sendError(x, 501, "This method is not implemented.")
		return
	}
	target, err := httpmsg.ParseTarget(req.Method, req.Target)
	if err == nil && target.Form == httpmsg.AbsoluteForm && target.Scheme != "http" && target.Scheme != "https" {
		err = &httpmsg.Error{Status: 400, Section: "9110, 4.2", Reason: "only http and https are served here"}
	}
	if err == nil && target.Host == "" && req.Fields.Has("Host") && req.Fields.Get("Host") == "" {
		err = &httpmsg.Error{Status: 400, Section: "9110, 4.2.1", Reason: "an http address has a host"}
	}
	if err == nil && target.Form != httpmsg.AsteriskForm {
		if target.Path == "" {
			target.Path = "/"
		}
		x.path, err = site.CleanPath(target.Path)
	}
	if err != nil {
		section := "9112, 3.2"
		if refusal, ok := errors.AsType[*httpmsg.Error](err); ok {
			section = refusal.Section
		}
		c.say(section, "the request target cannot be understood: 400")
		c.sendError(x, 400, "The address in the request cannot be understood.")
		return
	}
	x.query = target.Query
	if c.s.Challenge != nil && req.Method == "GET" {
		if text, ok := c.s.Challenge(x.path); ok {
			c.say("8555, 8.3", "an authority asks whether this is the server of the name")
			c.sendContent(x, 200, "application/octet-stream", []byte(text))
			return
		}
	}
	if c.s.RedirectTo != "" {
		c.redirectToTLS(x, target)
		return
	}
	if c.s.OwnHost != nil && !c.proxy && !c.s.OwnHost(c.host(x, target)) {
		c.say("9110, 15.5.20", "a name of somebody else has been pointed to this server: 421")
		c.sendError(x, 421, "This server is for this machine only and does not go by that name.")
		return
	}
	if req.Method == "POST" && c.foreign(x, target) {
		c.say("9110, 15.5.4", "a page of another site sends this, which its reader may not know: 403")
		c.sendError(x, 403, "A page of another site may not send forms here.")
		return
	}
	if c.s.Users != nil && !c.authenticated(x) {
		return
	}
	if req.Method == "OPTIONS" && target.Form == httpmsg.AsteriskForm {
		c.say("9110, 9.3.7", "OPTIONS * asks about the server as a whole")
		c.sendEmpty(x, 204, httpmsg.Field{Name: "Allow", Value: allow})
		return
	}
	if c.s.Live != nil && req.Method == "GET" && c.serveLive(x, target) {
		return
	}
	c.serveFile(x)
}

// admitted finds out for whom a proxy speaks, if the peer is one, and reports
// whether that client may have one more request; if not it has been answered.
func (c *conn) admitted(x *exchange) bool {
	if !c.proxy {
		return true
	}
	said := c.s.readForwarded(c.work.req.Fields)
	x.host = said.host
	if !said.client.IsValid() {
		return true
	}
	x.client = said.client
	if x.counted = c.s.conns.admitClient(x.client, c.s); !x.counted {
		c.work.body.Reset(&c.in, c.work.req.Framing, httpmsg.BodyLimits{Size: c.s.MaxBody})
		c.say("6585, 4", "this client has too many requests in flight behind the proxy: 429")
		c.sendError(x, 429, "There are too many requests from your address at the moment.", httpmsg.Field{Name: "Retry-After", Value: "5"})
	}
	return x.counted
}

// released gives back what admitted took.
func (c *conn) released(x *exchange) {
	if x.counted {
		c.s.conns.releaseClient(x.client, c.s)
	}
}

// maxFinds is how often a file is found anew that is replaced between being found
// and being opened.
const maxFinds = 10

// serveFile is step 7: it finds the file that the request names.
func (c *conn) serveFile(x *exchange) {
	// Step 7: open. Small files are usually in memory already.
	for range maxFinds {
		if c.serveFound(x, c.s.Site.Find(x.path, time.Now())) {
			return
		}
	}
	c.sendError(x, 503, "The file is being replaced faster than it can be opened.", httpmsg.Field{Name: "Retry-After", Value: "1"})
}

// serveFound answers with what was found. It returns false, with nothing sent, if
// that is no longer there.
func (c *conn) serveFound(x *exchange, found site.Result) (sent bool) {
	req := &c.work.req
	c.traceFound(x, found)
	switch found.Kind {
	case site.Moved:
		status := 301
		if req.Method == "POST" {
			status = 308 // 301 would let the client turn it into a GET
		}
		location := site.EscapePath(found.Path)
		if x.query != "" {
			location += "?" + x.query
		}
		c.sendError(x, status, "This directory's address ends with a slash.", httpmsg.Field{Name: "Location", Value: location})
	case site.Forbidden:
		c.sendErrorPage(x, 403, "Others may not read this file.")
	case site.NotFound:
		c.sendErrorPage(x, 404, "There is nothing at this address.")
	case site.Directory:
		switch {
		case c.s.Listing && req.Method != "POST":
			c.list(x)
			return true
		case c.s.Listing && c.s.Uploads != nil:
			c.post(x, validators{})
			return true
		}
		c.sendErrorPage(x, 403, "This directory has no page and its contents are not listed.")
	case site.Failed:
		return c.cannotOpen(x, found.Err)
	case site.File:
		switch req.Method {
		case "OPTIONS":
			c.sendEmpty(x, 204, httpmsg.Field{Name: "Allow", Value: allow})
		case "POST":
			plain := found.Resource.Plain()
			c.post(x, validators{plain.ETag, plain.ModTime})
		default:
			return c.sendResource(x, found.Resource)
		}
	}
	return true
}

// sendResource is step 8 for GET and HEAD: it chooses an encoding, decides the
// preconditions and ranges, and sends what is asked for.
func (c *conn) sendResource(x *exchange, r *site.Resource) (sent bool) {
	rep := r.Select(x.acceptEncoding, x.hasEncoding)
	if rep == nil {
		c.say("9110, 12.5.3", "Accept-Encoding refuses every encoding, identity too: 406")
		c.sendError(x, 406, "Every encoding that this file could be sent in is refused by Accept-Encoding.",
			httpmsg.Field{Name: "Vary", Value: "Accept-Encoding"})
		return true
	}
	if c.trace != nil {
		c.traceChoice(x, r, rep)
	}
	v := validators{rep.ETag, rep.ModTime}
	decided := x.conditions.evaluate(true, v, x.start)
	if decided.reason != "" {
		c.say(decided.section, decided.reason)
	}
	switch decided.status {
	case 304:
		c.begin(x, 304, rep.NotModified)
		c.end(x)
		return true
	case 412:
		c.sendError(x, 412, "The file is not in the state that the request asks for.")
		return true
	}
	if x.rangeField != "" && c.work.req.Method == "GET" {
		return c.sendRanges(x, rep, v)
	}
	return c.sendWhole(x, rep)
}

// authenticated reports whether the request names a user with a right password
// (RFC 7617); if not it has been answered.
func (c *conn) authenticated(x *exchange) bool {
	user, verdict := c.s.Users.Check(c.s.ctx, network(x.client), x.authorization, c.gone)
	switch verdict {
	case auth.TooMany:
		c.say("6585, 4", "too many wrong passwords: 429")
		c.sendError(x, 429, "There were too many wrong passwords. Come back in a minute.", httpmsg.Field{Name: "Retry-After", Value: "60"})
		return false
	case auth.Refused:
		c.say("9110, 11.6.1", "no valid user and password: 401 with WWW-Authenticate")
		c.sendError(x, 401, "This site asks for a user name and a password.",
			httpmsg.Field{Name: "WWW-Authenticate", Value: challenge})
		return false
	}
	x.user = user
	c.say("9110, 11.6.2", "the user and password are right")
	return true
}

// challenge asks for a user name and a password (RFC 7617, section 2).
const challenge = `Basic realm="webserver", charset="UTF-8"`

// redirectToTLS answers with the same address under https.
func (c *conn) redirectToTLS(x *exchange, target httpmsg.Target) {
	host := c.host(x, target)
	if host == "" || target.Form == httpmsg.AsteriskForm {
		c.sendError(x, 400, "The request does not say which host it is for.")
		return
	}
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
		if strings.Contains(name, ":") {
			host = "[" + name + "]"
		}
	}
	if c.s.RedirectTo != "443" {
		host += ":" + c.s.RedirectTo
	}
	location := "https://" + host + site.EscapePath(x.path)
	if target.HasQuery {
		location += "?" + target.Query
	}
	c.say("9110, 15.4.9", "this address only leads to the one with https: 308")
	c.sendError(x, 308, "This site is served over https.", httpmsg.Field{Name: "Location", Value: location})
}

// list answers with the contents of a directory.
func (c *conn) list(x *exchange) {
	req := &c.work.req
	if req.Method == "OPTIONS" {
		c.sendEmpty(x, 204, httpmsg.Field{Name: "Allow", Value: allow})
		return
	}
	if format, asked := archive.ParseQuery(x.query); asked {
		c.sendArchive(x, format)
		return
	}
	entries, err := c.s.Site.Entries(x.path)
	if err != nil {
		c.s.Log.Warn("cannot list a directory", zap.String("path", x.path), zap.Error(err))
		c.sendErrorPage(x, 403, "This directory cannot be listed.")
		return
	}
	page := listing.Page{Path: x.path, Entries: entries, Archive: c.s.MaxArchive > 0}
	if c.s.Uploads != nil {
		page.Upload = c.s.MaxUpload
	}
	if len(entries) >= site.MaxEntries {
		page.Note = "The directory holds more than is shown."
	}
	page.Sort, page.Desc = listing.ParseQuery(x.query)
	fields := []httpmsg.Field{{Name: "Vary", Value: "Accept"}, {Name: "Cache-Control", Value: "no-cache"}}
	if c.wantsJSON() {
		c.sendContent(x, 200, "application/json", listing.AppendJSON(nil, page), fields...)
		return
	}
	text := listing.AppendHTML(nil, page)
	if c.s.Live != nil {
		text = append(text, live.Tag...)
	}
	c.sendContent(x, 200, "text/html; charset=utf-8", text, fields...)
}

// traceFound tells what the path turned out to be.
func (c *conn) traceFound(x *exchange, found site.Result) {
	if c.trace == nil {
		return
	}
	path := visible(x.path)
	c.trace.step = "7 open"
	defer func() { c.trace.step = "8 respond" }()
	switch found.Kind {
	case site.File:
		c.sayf("9110, 15.3.1", "%s is the file %s, %d bytes of %s", path, visible(found.Resource.Name),
			found.Resource.Plain().Size, found.Resource.Type)
	case site.Directory:
		c.sayf("9110, 9.3", "%s is a directory without an index file", path)
	case site.Moved:
		c.sayf("9110, 15.4", "%s is a directory: relative links in its page need the final slash", path)
	case site.Forbidden:
		c.sayf("9110, 15.5.4", "%s is there, and others may not read it: 403", path)
	case site.NotFound:
		c.sayf("9110, 15.5.5", "%s names no file that may be seen: 404", path)
	case site.Failed:
		c.sayf("9110, 15.6.4", "%s cannot be opened: 503", path)
	}
}

// traceChoice tells which representation was chosen.
func (c *conn) traceChoice(x *exchange, r *site.Resource, rep *site.Representation) {
	if !r.Negotiable() {
		return
	}
	coding := rep.Encoding
	if coding == "" {
		coding = "no coding"
	}
	accept := "there is no Accept-Encoding"
	if x.hasEncoding {
		accept = "Accept-Encoding is " + visible(x.acceptEncoding)
	}
	c.sayf("9110, 12.5.3", "%s: %s is sent, %d bytes", accept, coding, rep.Size)
}
