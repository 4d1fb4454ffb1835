package proxy

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"

	"topdown/pkg/httpmsg"
	"topdown/proxyserver/internal/exchange"
	"topdown/proxyserver/internal/netio"
)

// respond writes resp to the client. What goes wrong from here on can be told
// only by breaking the transfer off, so that it cannot pass for a whole one.
func (c *session) respond(resp *exchange.Response) {
	if !c.body.complete() {
		c.keep = false
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
		if framing > netio.SendPiece {
			c.sendBody(b, bytes.NewReader(resp.Content), int64(framing))
		} else {
			c.send(b, resp.Content)
		}
		return
	}
	if body, ok := resp.Body.(io.WriterTo); ok && framing > oneWrite {
		c.sendBody(b, body, int64(framing))
		return
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
		if c.target.mode == pathStyle {
			var kept bool
			if value, kept = c.target.pathField(field); !kept {
				continue
			}
		}
		var err error
		if b, err = httpmsg.AppendField(b, field.Name, value); err != nil {
			return b, err
		}
	}
	if c.target.mode == pathStyle {
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

// closeChunk makes the n bytes that lie chunkRoom behind start a chunk.
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
