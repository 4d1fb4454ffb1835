package server

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"go.uber.org/zap"

	"topdown/pkg/httpmsg"
	"topdown/webserver/internal/metrics"
)

// Serve accepts connections from the listeners until ctx ends, then lets what
// is in flight finish, for StopTime at most, and returns nil. Another error
// means that a listener failed.
func (s *Server) Serve(ctx context.Context, listeners ...net.Listener) error {
	s.setDefaults()
	s.conns.init()
	s.date.coarse.Store(time.Now().UnixNano())
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s.ctx = ctx
	watching := make(chan struct{})
	go func() {
		defer close(watching)
		s.watch(ctx)
	}()
	var accepting sync.WaitGroup
	for _, ln := range listeners {
		tune(ln)
		stop := context.AfterFunc(ctx, func() { ln.Close() })
		defer stop()
		accepting.Go(func() {
			if err := s.accept(ctx, ln); err != nil {
				cancel(err)
			}
		})
	}
	accepting.Wait()
	<-watching
	s.wg.Wait()
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// accept is step 4: it takes one connection after the other from the queue
// that listen made, and gives each a goroutine of its own.
func (s *Server) accept(ctx context.Context, ln net.Listener) error {
	for {
		// Step 4: accept.
		nc, err := ln.Accept()
		switch {
		case err == nil:
		case errors.Is(err, net.ErrClosed) || ctx.Err() != nil:
			return nil
		case temporary(err):
			// Out of descriptors, or the client is gone already: there is
			// nothing to do but to wait for connections to end.
			s.Log.Warn("accept failed, trying again", zap.Error(err))
			select {
			case <-time.After(50 * time.Millisecond):
			case <-ctx.Done():
			}
			continue
		default:
			return err
		}
		s.handleConn(nc)
	}
}

// handleConn gives a client a goroutine of its own, or refuses it.
func (s *Server) handleConn(nc net.Conn) {
	addr := peer(nc)
	if status := s.conns.admit(addr, s); status != 0 {
		s.refuse(nc, status)
		return
	}
	s.Metrics.ConnOpened()
	c := newConn(s, nc, addr)
	s.conns.add(c)
	s.wg.Go(c.serve)
}

// refuse answers a connection that is one too many. The answer fits the empty
// socket buffer, so this never waits.
func (s *Server) refuse(nc net.Conn, status int) {
	why := metrics.TooMany
	if status == 429 {
		why = metrics.TooManyAddr
	}
	s.Metrics.ConnRefused(why)
	if s.TLS == nil {
		// One that cannot be told needs no other treatment.
		_ = nc.SetWriteDeadline(time.Now().Add(time.Second))
		answer := append(httpmsg.AppendStatusLine(nil, status), "Retry-After: 5\r\nContent-Length: 0\r\nConnection: close\r\n"...)
		_, _ = nc.Write(append(s.date.append(answer, time.Now()), "\r\n"...))
	}
	nc.Close()
}

// peer returns the address of the other end, invalid for a Unix socket.
func peer(nc net.Conn) netip.Addr {
	if tcp, ok := nc.RemoteAddr().(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}
