package proxy

import (
	"context"
	"strings"
	"sync/atomic"

	"topdown/pkg/httpmsg"
	"topdown/proxyserver/internal/exchange"
	"topdown/proxyserver/internal/netio"
)

// connect carries out CONNECT (RFC 9110, section 9.3.6).
func (c *session) connect() error {
	var chain []string
	for via := range c.req.Fields.Values("Via") {
		if c.looped(via) {
			return loopDetected()
		}
		chain = append(chain, via)
	}
	chain = append(chain, c.server.via[c.req.Minor])
	if c.req.Framing != 0 {
		c.keep = false
		return &httpmsg.Error{Status: 400, Reason: "CONNECT takes no content"}
	}
	if c.trace != nil {
		c.trace.explain("RFC 9110, 9.3.6", "a tunnel to "+c.target.host)
	}
	up, err := c.server.Tunnel(c.withTimes(), c.target.host, strings.Join(chain, ", "))
	if err != nil {
		return err
	}
	origin := netio.NewConn(up, c.server.Clock)
	defer origin.Shut()
	b := []byte("HTTP/1.1 200 Connection established\r\n\r\n")
	c.status = 200
	if c.trace != nil {
		c.trace.client("<", b)
		c.trace.flush()
	}
	c.conn.Timeout(c.server.BodyTimeout)
	if _, err = c.conn.Write(b); err != nil {
		c.keep = false
		return nil
	}
	c.relay(origin)
	return nil
}

// upgrade answers a 101 and joins the two connections (RFC 9110, section 7.8).
func (c *session) upgrade(resp *exchange.Response) error {
	defer resp.Upgraded.Close()
	c.status = 101
	b := []byte("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n")
	b, err := httpmsg.AppendFields(b, resp.Fields)
	if err != nil {
		return &exchange.Error{Status: 502, Type: "http_protocol_error", Step: "writing the response", Err: err}
	}
	b = append(b, "\r\n"...)
	if c.trace != nil {
		c.trace.client("<", b)
		c.trace.flush()
	}
	c.conn.Timeout(c.server.BodyTimeout)
	c.keep = false
	if _, err = c.conn.Write(b); err != nil {
		return nil
	}
	if origin, ok := resp.Upgraded.(*netio.Conn); ok {
		c.relay(origin)
	}
	return nil
}

// relay passes bytes both ways until both sides have ended, one has failed,
// or neither has sent anything for too long.
func (c *session) relay(origin *netio.Conn) {
	s := c.server
	s.Stats.Tunnels.Add(1)
	defer s.Stats.Tunnels.Add(-1)
	c.keep = false
	stop := context.AfterFunc(c.ctx, func() { origin.Shut() })
	defer stop()
	renew := func() {
		origin.Timeout(s.TunnelIdle)
		c.conn.Timeout(s.TunnelIdle)
	}
	renew()
	var up, down atomic.Int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		if netio.Relay(origin, c.conn, &up, renew) != nil {
			origin.Interrupt()
			c.conn.Interrupt()
		}
	}()
	if netio.Relay(c.conn, origin, &down, renew) != nil {
		origin.Interrupt()
		c.conn.Interrupt()
	}
	<-done
	c.sent = down.Load()
	origin.Shut()
	c.conn.Shut()
	origin.Release()
}
