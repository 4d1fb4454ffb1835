package proxy

import (
	"net"
	"strconv"
	"sync"

	"topdown/pkg/httpmsg"
)

// oneWrite is how large a head and body together may be to be copied into one
// buffer.
const oneWrite = 32 << 10

var writeBuffers = sync.Pool{New: func() any {
	b := make([]byte, 0, 36<<10)
	return &b
}}

// answer sends a response of the proxy's own.
func (c *session) answer(status int, fields httpmsg.Fields, content []byte) {
	c.status = status
	b := append(httpmsg.AppendStatusLine(nil, status), "Date: "...)
	b = append(httpmsg.AppendDate(b, c.server.Now()), "\r\n"...)
	b, err := httpmsg.AppendFields(b, fields)
	if err != nil {
		// A value that cannot be written was made of a peer's bytes.
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
