package server

import (
	"bytes"
	"crypto/rand"
	_ "embed"
	"net"
	"strconv"
	"strings"

	"go.uber.org/zap"

	"topdown/pkg/httpmsg"
	"topdown/webserver/internal/site"
	"topdown/webserver/www"
)

// Heads are collected in c.work.out and leave with the content that follows
// them, in one write.

// begin starts a head with a status line and prepared field lines.
func (c *conn) begin(x *exchange, status int, lines []byte) {
	x.status = status
	c.work.out = append(httpmsg.AppendStatusLine(c.work.out, status), lines...)
}

// line adds a field. Its value comes from this program or has passed
// site.EscapePath; one that would break the head is left out.
func (c *conn) line(name, value string) {
	out, err := httpmsg.AppendField(c.work.out, name, value)
	if err != nil {
		c.s.Log.Error("a field cannot be sent", zap.String("name", name), zap.Error(err))
		return
	}
	c.work.out = out
}

// end ends a head with the fields that belong to the connection.
func (c *conn) end(x *exchange) {
	w := c.work
	if !w.body.Done() && w.req.Framing > drainMax && !x.refused {
		c.closing = true // too much to read for the sake of the connection
	}
	w.out = c.s.date.append(w.out, x.start)
	switch {
	case c.closing || x.expect && !x.continued:
		c.closing = true
		w.out = append(w.out, "Connection: close\r\n"...)
		c.sayClosing(x)
	case w.req.Minor == 0:
		c.say("9112, 9.3", "an HTTP/1.0 client asks to keep the connection: it stays open")
		w.out = append(w.out, "Connection: keep-alive\r\n"...)
	}
	w.out = append(w.out, "\r\n"...)
	if c.trace != nil {
		c.trace.sent(w.out)
	}
}

// sayClosing tells the trace why the connection ends with this response.
func (c *conn) sayClosing(x *exchange) {
	switch {
	case c.trace == nil:
	case x.refused:
		c.say("9112, 9.6", "where the next request would begin is unknown: the connection closes")
	case c.s.draining.Load():
		c.say("9112, 9.6", "the server is stopping: the connection closes")
	case !c.work.req.Persistent() && c.work.req.Minor == 0:
		c.say("9112, 9.3", "HTTP/1.0 without keep-alive: the connection closes")
	case !c.work.req.Persistent():
		c.say("9112, 9.6", "the client asks with Connection: close: the connection closes")
	default:
		c.say("9112, 9.6", "the body will not be read: the connection closes")
	}
}

// status starts a head with fields that are not prepared.
func (c *conn) status(x *exchange, status int, fields []httpmsg.Field) {
	c.begin(x, status, nil)
	for _, field := range fields {
		c.line(field.Name, field.Value)
	}
}

// sendEmpty sends a response without content.
func (c *conn) sendEmpty(x *exchange, status int, fields ...httpmsg.Field) {
	c.status(x, status, fields)
	c.end(x)
}

// sendContent sends a page made for this request.
func (c *conn) sendContent(x *exchange, status int, media string, content []byte, fields ...httpmsg.Field) {
	c.status(x, status, fields)
	c.line("Content-Type", media)
	c.line("X-Content-Type-Options", "nosniff")
	c.line("Content-Length", strconv.Itoa(len(content)))
	c.end(x)
	c.content(x, content)
}

// content sends content that is in memory, or not, for HEAD.
func (c *conn) content(x *exchange, p []byte) {
	w := c.work
	if w.req.Method == "HEAD" && !x.refused {
		return
	}
	x.sent += int64(len(p))
	if c.trace != nil {
		begins := p
		if w.req.Method == "POST" {
			begins = nil // it repeats what the form said
		}
		c.trace.content(begins, int64(len(p)))
	}
	if len(w.out)+len(p) <= maxOut {
		w.out = append(w.out, p...)
		return
	}
	// Too much to copy: head and content leave in one call all the same.
	before, since := c.phase.Load(), c.since.Load()
	c.enter(writing)
	buffers := net.Buffers{w.out, p}
	_, err := buffers.WriteTo(c.nc)
	w.out = w.out[:0]
	c.resume(before, since, err)
}

//go:embed error.html
var errorText string

var errorPage = www.NewPage(errorText)

// sendError answers with a short page that says what is wrong. Redirects are
// sent this way too.
func (c *conn) sendError(x *exchange, status int, text string, fields ...httpmsg.Field) {
	var page bytes.Buffer
	err := errorPage.Execute(&page, struct{ Title, Text string }{strconv.Itoa(status) + " " + httpmsg.StatusText(status), text})
	if err != nil {
		panic(err) // the template and its data belong together, and memory takes all
	}
	c.sendContent(x, status, "text/html; charset=utf-8", page.Bytes(), fields...)
}

// sendErrorPage answers with the root's own page for that status code, if it
// has one.
func (c *conn) sendErrorPage(x *exchange, status int, text string) {
	page := c.s.Site.ErrorPage(strconv.Itoa(status)+".html", x.start)
	if page == nil || page.Plain().Body == nil {
		c.sendError(x, status, text)
		return
	}
	c.sendContent(x, status, page.Type, page.Plain().Body)
}

// sendWhole sends a representation as it is. It returns false, with nothing sent,
// if the file has been replaced since it was found.
func (c *conn) sendWhole(x *exchange, rep *site.Representation) (sent bool) {
	if rep.Body != nil {
		c.s.Metrics.HotHit()
		c.begin(x, 200, rep.OK)
		c.end(x)
		c.content(x, rep.Body)
		return true
	}
	f, err := c.s.Site.Open(rep)
	if f == nil {
		return c.cannotOpen(x, err)
	}
	defer f.Close()
	if f.Sealed() {
		c.s.Metrics.HotHit()
	} else {
		c.s.Metrics.HotMiss()
	}
	c.begin(x, 200, rep.OK)
	c.end(x)
	c.sendFile(x, f, httpmsg.ByteRange{First: 0, Last: rep.Size - 1}, true)
	return true
}

// cannotOpen answers where a file cannot be opened at all, and returns false where
// it only has to be found anew.
func (c *conn) cannotOpen(x *exchange, err error) (answered bool) {
	if err == nil {
		return false
	}
	c.s.Log.Error("cannot open a file", zap.String("path", x.path), zap.Error(err))
	c.sendError(x, 503, "The file cannot be opened at the moment.", httpmsg.Field{Name: "Retry-After", Value: "5"})
	return true
}

// sendRanges answers a request for parts of a representation (RFC 9110, section
// 14), or with the whole where that is not to be. It returns what sendWhole does.
func (c *conn) sendRanges(x *exchange, rep *site.Representation, v validators) (sent bool) {
	if !x.conditions.rangeHolds(v, x.start) {
		c.say("9110, 13.1.5", "If-Range is of another representation: the whole is sent")
		return c.sendWhole(x, rep)
	}
	spans, ok := ranges(x.rangeField, rep.Size)
	if !ok {
		c.say("9110, 14.2", "the Range cannot be understood or is too much: it is ignored")
		return c.sendWhole(x, rep)
	}
	if len(spans) == 0 {
		c.sayf("9110, 15.5.17", "no range lies within the %d bytes there are: 416", rep.Size)
		c.sendError(x, 416, "None of the ranges asked for lies within the file.",
			httpmsg.Field{Name: "Content-Range", Value: string(httpmsg.AppendContentRange(nil, nil, rep.Size))})
		return true
	}
	var f *site.LargeFile
	if rep.Body == nil {
		var err error
		if f, err = c.s.Site.Open(rep); f == nil {
			return c.cannotOpen(x, err)
		}
		defer f.Close()
	}
	c.sayf("9110, 15.3.7", "%d range(s) of %d bytes: 206", len(spans), rep.Size)
	c.status(x, 206, nil)
	c.work.out = append(c.work.out, rep.Fields...)
	if len(spans) == 1 {
		c.line("Content-Type", rep.Type)
		c.line("Content-Range", contentRange(spans[0], rep.Size))
		c.line("Content-Length", strconv.FormatInt(spans[0].Size(), 10))
		c.end(x)
		c.sendPart(x, rep, f, spans[0], true)
		return true
	}
	boundary := rand.Text()
	var heads [][]byte
	tail := []byte("\r\n--" + boundary + "--\r\n")
	total := int64(len(tail))
	for _, s := range spans {
		h := []byte("\r\n--" + boundary + "\r\nContent-Type: " + rep.Type +
			"\r\nContent-Range: " + contentRange(s, rep.Size) + "\r\n\r\n")
		heads = append(heads, h)
		total += int64(len(h)) + s.Size()
	}
	c.line("Content-Type", "multipart/byteranges; boundary="+boundary)
	c.line("Content-Length", strconv.FormatInt(total, 10))
	c.end(x)
	for i, s := range spans {
		c.content(x, heads[i])
		c.sendPart(x, rep, f, s, i == len(spans)-1)
		if c.closing && c.failed {
			return true
		}
	}
	c.content(x, tail)
	return true
}

func contentRange(r httpmsg.ByteRange, size int64) string {
	return string(httpmsg.AppendContentRange(nil, &r, size))
}

// sendPart sends a part of a representation.
func (c *conn) sendPart(x *exchange, rep *site.Representation, f *site.LargeFile, r httpmsg.ByteRange, last bool) {
	if f == nil {
		c.content(x, rep.Body[r.First:r.Last+1])
		return
	}
	c.sendFile(x, f, r, last)
}

// bodyLimit is how large the body of a request may be.
func (s *Server) bodyLimit(req *httpmsg.Request) int64 {
	if s.Uploads != nil && req.Method == "POST" {
		return max(s.MaxUpload, s.MaxBody)
	}
	return s.MaxBody
}

// wantsJSON reports whether Accept prefers JSON to HTML (RFC 9110, section
// 12.5.1). Of equals, the one that is named first is meant; a client that takes
// anything gets HTML.
func (c *conn) wantsJSON() bool {
	json, html, jsonFirst := -1, -1, false
	for member := range c.work.req.Fields.List("Accept") {
		media, params, _ := strings.Cut(member, ";")
		switch strings.ToLower(httpmsg.TrimOWS(media)) {
		case "application/json":
			json, jsonFirst = httpmsg.Weight(params), html < 0
		case "text/html":
			html = httpmsg.Weight(params)
		}
	}
	return json > 0 && (json > html || json == html && jsonFirst)
}

// drainMax is how much of an unwanted body is read for the sake of keeping the
// connection.
const drainMax = 256 << 10
