package proxy

import (
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"

	"topdown/pkg/httpmsg"
	"topdown/proxyserver/internal/exchange"
	"topdown/proxyserver/internal/netio"
)

// oneWrite is how large a head and body together may be to be copied into one
// buffer.
const oneWrite = 32 << 10

// maxMemo is the largest content kept once more together with its head.
const maxMemo = 16 << 10

// sendWritten writes a response that has been written to others before.
func (c *session) sendWritten(b []byte, content int) {
	c.conn.Timeout(c.server.BodyTimeout)
	n, err := c.conn.Write(b)
	c.sent += int64(max(n-(len(b)-content), 0))
	if err != nil {
		c.keep = false
	}
}

// send writes a head that is in b and content with as few calls as possible.
func (c *session) send(b, content []byte) {
	c.conn.Timeout(c.server.BodyTimeout)
	var n int64
	var err error
	head := len(b)
	if len(content) <= cap(b)-head && len(content) <= oneWrite {
		var k int
		k, err = c.conn.Write(append(b, content...))
		n = int64(k)
	} else {
		n, err = c.conn.WriteBuffers(net.Buffers{b, content})
	}
	c.sent += max(n-int64(head), 0)
	if err != nil {
		c.keep = false
	}
}

// appendConnection ends a head: the client learns whether the connection stays.
func (c *session) appendConnection(b []byte) []byte {
	switch {
	case !c.keep:
		b = append(b, "Connection: close\r\n"...)
	case c.req.Minor == 0:
		b = append(b, "Connection: keep-alive\r\n"...)
	}
	return append(b, "\r\n"...)
}

// hasContent reports whether a response has content at all (RFC 9110, section
// 6.4.1).
func hasContent(method string, status int) bool {
	return method != "HEAD" && status >= 200 && status != 204 && status != 304
}

// respond writes resp to the client. What goes wrong from here on can be told
// only by breaking the transfer off, so that it cannot pass for a whole one.
func (c *session) respond(resp *exchange.Response) {
	if !c.body.complete() {
		c.keep = false
	}
	usual := resp.Memo != nil && c.keep && c.req.Minor >= 1 && c.req.Method == "GET" && c.where.way != pathStyle && c.trace == nil
	if usual {
		if written := resp.Memo.Load(); written != nil {
			c.status = resp.Status
			c.sendWritten(*written, len(resp.Content))
			return
		}
	}
	buf, _ := writeBuffers.Get().(*[]byte)
	defer writeBuffers.Put(buf)
	content := hasContent(c.req.Method, resp.Status)
	framing := resp.Framing
	if content && framing < 0 {
		if framing = httpmsg.Chunked; c.req.Minor == 0 {
			framing = httpmsg.UntilClose
			c.keep = false
		}
	}
	b, err := c.appendHead((*buf)[:0], resp, content, framing)
	if err != nil {
		// Only a transport of our own could have made such a head.
		c.fail(&exchange.Error{Status: 502, Type: "http_protocol_error", Step: "writing the response", Err: err})
		return
	}
	c.status = resp.Status
	if c.trace != nil {
		c.trace.client("<", b)
	}
	if !content || framing == 0 {
		c.send(b, nil)
		return
	}
	if resp.Content != nil && int64(len(resp.Content)) == int64(framing) {
		if usual && len(resp.Content) <= maxMemo {
			written := append(append(make([]byte, 0, len(b)+len(resp.Content)), b...), resp.Content...)
			resp.Memo.Store(&written)
		}
		c.send(b, resp.Content)
		return
	}
	if body, ok := resp.Body.(io.WriterTo); ok && framing > oneWrite {
		c.sendBody(b, body, int64(framing))
		return
	}
	if file, ok := resp.Body.(section); ok && framing > oneWrite {
		if f, off, n, mapped := file.Section(); n == int64(framing) {
			c.sendFile(b, f, off, n, mapped)
			return
		}
	}
	c.stream(b, resp, framing)
}

// sendBody has a body write itself after the head that is in b.
func (c *session) sendBody(b []byte, body io.WriterTo, length int64) {
	out := netio.NewSender(c.conn, b, length, c.server.BodyTimeout)
	_, err := body.WriteTo(out)
	c.sent += out.Sent
	if err == nil && out.Left > 0 {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		c.breakOff(err, httpmsg.Framing(length))
	}
}

// section is a body that is a part of a file; mapped, if not nil, is that part
// in the address space, to be handed to the kernel and not to be read.
type section interface {
	Section() (f *os.File, off, n int64, mapped []byte)
}

// appendHead appends the response's head as this client gets it.
func (c *session) appendHead(b []byte, resp *exchange.Response, content bool, framing httpmsg.Framing) ([]byte, error) {
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(resp.Status), 10)
	b = append(b, ' ')
	if !httpmsg.IsValue(resp.Reason) {
		return b, httpmsg.ErrUnsafe
	}
	b = append(append(b, resp.Reason...), "\r\n"...)
	for _, field := range resp.Fields {
		value := field.Value
		switch len(field.Name) {
		case len("Trailer"):
			if strings.EqualFold(field.Name, "Trailer") && framing != httpmsg.Chunked {
				continue
			}
		case len("Content-Length"):
			if (content || resp.Status == 204) && strings.EqualFold(field.Name, "Content-Length") {
				continue
			}
		case len("Transfer-Encoding"):
			if strings.EqualFold(field.Name, "Transfer-Encoding") {
				continue
			}
		}
		if c.where.way == pathStyle {
			switch strings.ToLower(field.Name) {
			case "set-cookie", "set-cookie2", "clear-site-data", "service-worker-allowed", "alt-svc":
				continue // they would speak for the proxy's own host
			case "location":
				value = c.pathLocation(value)
			case "www-authenticate":
				value = c.pathChallenge(value)
			}
		}
		var err error
		if b, err = httpmsg.AppendField(b, field.Name, value); err != nil {
			return b, err
		}
	}
	if c.where.way == pathStyle {
		// All sites share one origin here: none may run as that origin.
		b = append(b, "Content-Security-Policy: sandbox\r\n"...)
	}
	switch {
	case !content:
	case framing == httpmsg.Chunked:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	case framing >= 0:
		b = append(b, "Content-Length: "...)
		b = append(strconv.AppendInt(b, int64(framing), 10), "\r\n"...)
	}
	return c.appendConnection(b), nil
}

// pathLocation turns the target of a redirect into path style, so that the
// client stays with the proxy.
func (c *session) pathLocation(location string) string {
	home := pathPrefix(c.where)
	u, err := url.Parse(location)
	if err != nil || strings.Contains(location, "\\") {
		return home + "/" // browsers read more into it than there is
	}
	scheme := u.Scheme
	switch {
	case scheme == "" && u.Host == "" && strings.HasPrefix(location, "/"):
		return home + location
	case scheme == "" && u.Host == "":
		return location
	case scheme == "":
		scheme, location = c.where.scheme, c.where.scheme+":"+location
	case scheme != "http" && scheme != "https" && scheme != "ftp":
		return location
	}
	if !httpmsg.IsHost(u.Host) || u.Host == "" {
		return home + "/"
	}
	if scheme == "http" {
		return "/" + location[len("http://"):]
	}
	return "/" + location
}

// pathChallenge gives a Basic challenge a realm that no other site has: browsers
// send a password again to whoever asks with the same realm on the same host,
// and in path style all sites are on one.
func (c *session) pathChallenge(challenge string) string {
	for member := range (httpmsg.Fields{{Name: "A", Value: challenge}}).List("A") {
		if scheme, _, _ := strings.Cut(member, " "); strings.EqualFold(scheme, "Basic") {
			return `Basic realm="` + c.where.scheme + "://" + c.where.host + `"`
		}
	}
	return challenge
}

// sendFile writes a head and a part of a file.
func (c *session) sendFile(b []byte, f *os.File, off, n int64, mapped []byte) {
	head := int64(len(b))
	var sent int64
	var err error
	if mapped != nil {
		sent, err = c.conn.SendMapped(b, mapped, c.server.BodyTimeout)
	} else {
		// The first octets travel with the head.
		var k int
		k, err = f.ReadAt(b[head:min(int64(cap(b)), head+min(8<<10, n))], off)
		if k > 0 {
			c.conn.Timeout(c.server.BodyTimeout)
			k, err = c.conn.Write(b[:head+int64(k)])
			sent = int64(k)
		}
		if err == nil {
			var rest int64
			rest, err = c.conn.SendFile(f, off+sent-head, n-(sent-head), c.server.BodyTimeout)
			sent += rest
		}
	}
	c.sent += max(sent-head, 0)
	if err != nil {
		c.breakOff(err, httpmsg.Framing(n))
	}
}

// chunkRoom is kept free in front of a chunk for its size line.
const chunkRoom = len("ffffffff\r\n")

// stream passes content on as it comes; the head, which is in b, travels with
// the first of it.
func (c *session) stream(b []byte, resp *exchange.Response, framing httpmsg.Framing) {
	left := int64(framing)
	for {
		start := len(b)
		room := start
		if framing == httpmsg.Chunked {
			room += chunkRoom
		}
		limit := cap(b) - len("\r\n")
		// A head that leaves little room goes alone.
		if limit-room < 1<<10 {
			if !c.write(b) {
				return
			}
			b = b[:0]
			continue
		}
		n, err := resp.Body.Read(b[room:limit])
		if framing >= 0 {
			if int64(n) > left {
				n, err = int(left), nil
			}
			left -= int64(n)
		}
		ended := errors.Is(err, io.EOF)
		if n > 0 {
			if framing == httpmsg.Chunked {
				b = closeChunk(b, start, n)
			} else {
				b = b[:start+n]
			}
			c.sent += int64(n)
		}
		if ended && framing == httpmsg.Chunked {
			b = c.appendLastChunk(b, resp)
		}
		if len(b) > 0 && !c.write(b) {
			return
		}
		b = b[:0]
		switch {
		case framing >= 0 && left == 0:
			return
		case ended && framing >= 0:
			c.breakOff(io.ErrUnexpectedEOF, framing)
			return
		case ended:
			return
		case err != nil:
			c.breakOff(err, framing)
			return
		}
	}
}

// closeChunk makes the n octets that lie chunkRoom behind start a chunk.
func closeChunk(b []byte, start, n int) []byte {
	var line [chunkRoom]byte
	size := append(strconv.AppendInt(line[:0], int64(n), 16), "\r\n"...)
	copy(b[start:cap(b)], size)
	copy(b[start+len(size):cap(b)], b[start+chunkRoom:start+chunkRoom+n])
	return append(b[:start+len(size)+n], "\r\n"...)
}

func (c *session) appendLastChunk(b []byte, resp *exchange.Response) []byte {
	var trailers httpmsg.Fields
	if resp.Trailers != nil {
		trailers = resp.Trailers()
	}
	b, err := httpmsg.AppendLastChunk(b, trailers)
	if err != nil {
		b = append(b, "0\r\n\r\n"...)
	}
	return b
}

func (c *session) write(b []byte) bool {
	c.conn.Timeout(c.server.BodyTimeout)
	if _, err := c.conn.Write(b); err != nil {
		c.keep = false
		return false
	}
	return true
}

// breakOff ends a transfer that cannot be completed. Where only the end of the
// connection marks the end of the content it has to be a reset.
func (c *session) breakOff(err error, framing httpmsg.Framing) {
	c.keep = false
	if c.trace != nil {
		c.trace.note("the transfer is broken off: " + err.Error())
	}
	if framing == httpmsg.UntilClose {
		c.conn.Abort()
		return
	}
	c.conn.Shut()
}
