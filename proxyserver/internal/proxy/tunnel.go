package proxy

import (
	"context"
	"strconv"
	"strings"
	"sync/atomic"

	"topdown/pkg/httpmsg"
	"topdown/proxyserver/internal/exchange"
	"topdown/proxyserver/internal/netio"
)

// connect carries out CONNECT (RFC 9110, section 9.3.6).
func (c *session) connect() error {
	target, err := httpmsg.ParseTarget(c.req.Method, c.req.Target)
	if err != nil {
		return err
	}
	name, port, _ := splitPort(target.Host)
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || number == 0 {
		return &httpmsg.Error{Status: 400, Reason: "CONNECT needs a target of the form host:port"}
	}
	c.where.host = normalHost("", target.Host)
	if err = c.permit(); err != nil {
		return err
	}
	if err = c.server.Rules.Connect(uint16(number)); err != nil {
		return policy(403, "http_request_denied", "checking the port", err)
	}
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
		c.trace.explain("RFC 9110, 9.3.6", "a tunnel to "+name+" port "+port)
	}
	up, err := c.server.Tunnel(c.ctx, c.where.host, strings.Join(chain, ", "))
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
	c.tunnel(origin)
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
		c.tunnel(origin)
	}
	return nil
}

// tunnel passes octets both ways until both sides have ended, one has failed,
// or neither has sent anything for too long.
func (c *session) tunnel(origin *netio.Conn) {
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
