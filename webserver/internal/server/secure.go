package server

import (
	"context"
	"crypto/tls"
	"errors"
	"time"
)

// secure makes the connection a TLS one if the server speaks TLS. It returns
// false when there is nobody to talk to. A client that speaks plain HTTP to the
// TLS port is told so in the language it speaks.
func (c *conn) secure() bool {
	if c.s.TLS == nil {
		return true
	}
	secured := tls.Server(c.socket, c.s.TLS)
	c.enter(head)
	ctx, cancel := context.WithTimeout(context.Background(), c.s.HeadTimeout)
	defer cancel()
	err := secured.HandshakeContext(ctx)
	if err == nil {
		c.nc = secured
		state := secured.ConnectionState()
		if c.trace != nil {
			c.trace.secured(&state)
		}
		// An authority that wanted a proof (ACME, TLS-ALPN-01) has it with the
		// handshake, and speaks nothing more.
		return state.NegotiatedProtocol == "" || state.NegotiatedProtocol == "http/1.1"
	}
	if wrong, ok := errors.AsType[tls.RecordHeaderError](err); ok && wrong.Conn != nil && looksLikeHTTP(wrong.RecordHeader) {
		c.acquire()
		c.closing, c.more = true, true
		_ = wrong.Conn.SetDeadline(time.Now().Add(time.Second))
		x := &c.work.x
		*x = exchange{start: time.Now(), refused: true, client: c.addr}
		c.sendError(x, 400, "This port speaks https: begin the address with https:// instead of http://.")
		c.account(x)
	}
	return false
}

// looksLikeHTTP reports whether the first bytes, taken for a TLS record, are
// the letters of a method.
func looksLikeHTTP(header [5]byte) bool {
	for _, b := range header {
		if (b < 'A' || b > 'Z') && b != ' ' && b != '/' {
			return false
		}
	}
	return true
}
