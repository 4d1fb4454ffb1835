package proxy

import (
	"errors"
	"io"
	"mime"
	"path"
	"strconv"

	"topdown/pkg/httpmsg"
	"topdown/proxyserver/internal/exchange"
	"topdown/proxyserver/internal/mask"
)

// answerOptions answers a client that asks about the proxy itself.
func (c *session) answerOptions() error {
	c.answer(200, httpmsg.Fields{{Name: "Allow", Value: "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, TRACE, CONNECT"}}, nil)
	return nil
}

// answerHere answers OPTIONS and TRACE whose Max-Forwards is used up (RFC 9110,
// section 7.6.2).
func (c *session) answerHere() error {
	if c.req.Method == "OPTIONS" {
		return c.answerOptions()
	}
	// What TRACE returns must not give credentials away (RFC 9110, 9.3.8).
	req := c.req
	req.Fields = nil
	for _, field := range c.req.Fields {
		if !mask.Secret(field.Name) {
			req.Fields = append(req.Fields, field)
		}
	}
	content, err := httpmsg.AppendRequest(nil, &req)
	if err != nil {
		return err
	}
	c.answer(200, httpmsg.Fields{{Name: "Content-Type", Value: "message/http"}}, content)
	return nil
}

func (c *session) purge() error {
	if !c.fromHere() {
		return policy(403, "http_request_denied", "checking the client's address", errors.New("PURGE is for the proxy's own machine"))
	}
	if c.req.Framing != 0 {
		c.keep = false
	}
	n := c.server.Purge(c.target.scheme + "://" + c.target.host + c.target.path)
	status := 200
	if n == 0 {
		status = 404
	}
	text := strconv.Itoa(n) + " removed\n"
	c.answer(status, httpmsg.Fields{{Name: "Content-Type", Value: "text/plain"}}, []byte(text))
	return nil
}

// serveLocal answers a path-style request whose first segment is no host.
func (c *session) serveLocal() error {
	if c.target.redirect != "" {
		c.answer(307, httpmsg.Fields{
			{Name: "Location", Value: c.target.redirect},
			{Name: "Vary", Value: "Referer"},
			{Name: "Cache-Control", Value: "no-store"},
		}, nil)
		return nil
	}
	notFound := func(why string) error {
		return policy(404, "http_request_error", "finding out which host is meant", errors.New(why))
	}
	if c.target.path == "" {
		return notFound("the path names no host: use /www.example.com/page, or set this proxy in the browser")
	}
	if c.server.LocalRoot == nil {
		return notFound("the path begins with no host name: use /www.example.com/page")
	}
	if c.req.Method != "GET" && c.req.Method != "HEAD" {
		return policy(405, "http_request_error", "answering from a local file", errors.New("only GET and HEAD are understood here"))
	}
	if !c.server.hasLocal(c.target.path) {
		return notFound("the path begins with no host name, and there is no local file of that name")
	}
	f, err := c.server.LocalRoot.Open(c.target.path)
	if err != nil {
		return notFound("the local file cannot be opened")
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return notFound("the local file cannot be read")
	}
	kind := mime.TypeByExtension(path.Ext(c.target.path))
	if kind == "" {
		kind = "application/octet-stream"
	}
	c.respond(&exchange.Response{
		Status: 200, Reason: "OK",
		Fields: httpmsg.Fields{
			{Name: "Date", Value: string(httpmsg.AppendDate(nil, c.server.Now()))},
			{Name: "Content-Type", Value: kind},
			{Name: "Content-Length", Value: strconv.FormatInt(info.Size(), 10)},
			{Name: "X-Content-Type-Options", Value: "nosniff"},
		},
		Framing: httpmsg.Framing(info.Size()),
		Body:    io.NopCloser(f),
	})
	return nil
}
