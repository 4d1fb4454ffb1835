// Package proxy is the server half of the proxy: it accepts clients, reads
// their requests, tells which of the ways in each has taken (absolute form,
// CONNECT, path style, reverse), has the exchange carried out by the transports
// below it, and writes the response. CONNECT and Upgrade become tunnels here.
//
// It refuses every request that another reader might understand differently,
// and it knows neither how responses are stored nor how origins are reached.
//
// Its files in the order in which a request passes through them, and best read:
// proxy, serve, explain, locate and pathstyle, permit, tunnel, request, forwarded,
// local, respond, fail, page, send, accesslog; then what they stand on:
// session, server, target, body, trace, errors, uri.
//
// RFC 9110 (semantics, intermediaries), RFC 9112 (HTTP/1.1), RFC 9209
// (Proxy-Status), RFC 7239 (Forwarded).
package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"runtime/debug"
	"time"

	"topdown/proxyserver/internal/access"
	"topdown/proxyserver/internal/exchange"
	"topdown/proxyserver/internal/netio"

	"go.uber.org/zap"
)

// Serve answers clients on ln until ctx is done, then lets exchanges under way
// come to their end for at most Drain, and returns nil. An error is one of
// accepting.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	s.defaults.Do(s.setDefaults)
	s.mu.Lock()
	s.own = addrPort(ln.Addr())
	s.mu.Unlock()
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()
	netio.LimitUnsent(ln)
	err := s.accept(ctx, work, ln)
	s.drain(cancel)
	return err
}

func (s *Server) accept(ctx, work context.Context, ln net.Listener) error {
	for pause := time.Duration(0); ; {
		// Step 3: accept a client.
		conn, err := ln.Accept()
		switch {
		case err == nil:
			pause = 0
			s.handleConn(work, conn)
			continue
		case ctx.Err() != nil || errors.Is(err, net.ErrClosed):
			return nil
		}
		// Out of descriptors, most likely: those who are served will leave.
		pause = min(max(2*pause, 5*time.Millisecond), time.Second)
		s.Log.Warn("cannot accept a client", zap.Error(err), zap.Duration("pause", pause))
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		}
	}
}

// handleConn starts a session for conn unless a limit stands against it.
func (s *Server) handleConn(ctx context.Context, conn net.Conn) {
	s.Stats.Accepted.Add(1)
	client := addrPort(conn.RemoteAddr())
	if s.TLS != nil {
		conn = tls.Server(conn, s.TLS)
	}
	c := &session{server: s, ctx: ctx, conn: netio.NewConn(conn, s.Clock), client: client}
	addr := access.Network(c.client.Addr())
	limit := s.MaxPerAddr
	if limit == 0 && !addr.IsLoopback() {
		limit = 256
	}
	s.mu.Lock()
	switch {
	case len(s.open) >= s.MaxConns:
		c.refusal = &exchange.Error{Status: 503, Type: "connection_limit_reached", Step: "accepting the connection", Err: errors.New("too many clients at the moment")}
	case limit > 0 && s.perAddr[addr] >= limit:
		c.refusal = &exchange.Error{Status: 429, Type: "connection_limit_reached", Step: "accepting the connection", Err: errors.New("too many connections from one address")}
	}
	// A few over the limit are told why, before they are sent away.
	if c.refusal != nil && (len(s.open) >= s.MaxConns+max(s.MaxConns/8, 1) ||
		limit > 0 && s.perAddr[addr] >= limit+max(limit/8, 1)) {
		s.mu.Unlock()
		s.Stats.Refused.Add(1)
		c.conn.Abort()
		return
	}
	s.open[c.conn] = &c.busy
	s.perAddr[addr]++
	s.mu.Unlock()
	s.Stats.Clients.Add(1)
	if s.Notify != nil {
		s.Notify("Received a connection from " + c.client.String())
	}
	s.wg.Go(func() {
		defer s.removeSession(c)
		defer s.recoverPanic()
		c.serve()
	})
}

// recoverPanic makes a fault of ours cost one client its connection and nobody
// else anything.
func (s *Server) recoverPanic() {
	if fault := recover(); fault != nil {
		s.Log.Error("fault while serving a client", zap.Any("fault", fault), zap.ByteString("stack", debug.Stack()))
	}
}

func (s *Server) removeSession(c *session) {
	// Step 7: close the connection.
	c.conn.Shut()
	c.conn.Release()
	s.mu.Lock()
	delete(s.open, c.conn)
	addr := access.Network(c.client.Addr())
	if s.perAddr[addr]--; s.perAddr[addr] <= 0 {
		delete(s.perAddr, addr)
	}
	s.mu.Unlock()
	s.Stats.Clients.Add(-1)
	s.Stats.Received.Add(c.conn.Received.Load())
	s.Stats.Sent.Add(c.conn.Sent.Load())
}

// drain closes idle clients at once and the others when they are done or the
// time is over; then everything that is still open is closed.
func (s *Server) drain(cancel context.CancelFunc) {
	s.draining.Store(true)
	s.mu.Lock()
	for conn, busy := range s.open {
		if !busy.Load() {
			conn.Shut()
		}
	}
	s.mu.Unlock()
	done := make(chan struct{})
	go func() {
		s.wg.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(s.Drain):
		s.Log.Warn("exchanges under way are broken off: the time for them is over")
	}
	cancel()
	s.Clock.CloseAll()
	select {
	case <-done:
	case <-time.After(time.Second / 4):
	}
}
