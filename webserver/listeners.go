package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	"go.uber.org/zap"

	"topdown/webserver/internal/listen"
	"topdown/webserver/internal/server"
)

// listeners are the open ones.
type listeners struct {
	main     []net.Listener
	metrics  net.Listener // nil for none
	redirect net.Listener // to https; nil for none
}

// open opens the listeners, or takes those that systemd has opened.
func open(ctx context.Context, c *config) (l listeners, err error) {
	defer func() {
		if err != nil {
			l.close()
		}
	}()
	l.main, err = listen.Activated(os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS"))
	for _, variable := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		err = errors.Join(err, os.Unsetenv(variable))
	}
	if err != nil {
		return l, err
	}
	if len(l.main) == 0 {
		var ln net.Listener
		ln, err = listen.Listen(ctx, c.addr)
		if errors.Is(err, listen.ErrAddress) {
			err = usageError{error: err}
		}
		if err != nil {
			return l, err
		}
		l.main = []net.Listener{ln}
	}
	if c.metricsAddr != "" {
		if l.metrics, err = listen.Listen(ctx, c.metricsAddr); err != nil {
			return l, fmt.Errorf("--metrics-addr: %w", err)
		}
	}
	if c.redirectHTTP != "" {
		if l.redirect, err = listen.Listen(ctx, c.redirectHTTP); err != nil {
			return l, fmt.Errorf("--redirect-http: %w", err)
		}
	}
	return l, nil
}

// close closes all of them; closing one again does no harm.
func (l *listeners) close() {
	for _, ln := range append(l.main, l.metrics, l.redirect) {
		if ln != nil {
			ln.Close()
		}
	}
}

// private reports whether only this machine can reach the main ones.
func (l *listeners) private() bool {
	for _, ln := range l.main {
		if tcp, ok := ln.Addr().(*net.TCPAddr); ok && !tcp.IP.IsLoopback() {
			return false
		}
	}
	return true
}

// loopback reports whether they are ports that only this machine can reach, which
// its browsers do. (A Unix socket is out of their reach.)
func (l *listeners) loopback() bool {
	for _, ln := range l.main {
		if tcp, ok := ln.Addr().(*net.TCPAddr); !ok || !tcp.IP.IsLoopback() {
			return false
		}
	}
	return true
}

// serveOthers serves the listeners beside the main ones until ctx ends.
func (l *listeners) serveOthers(ctx context.Context, srv *server.Server) {
	if ln := l.metrics; ln != nil {
		go func() {
			if err := srv.Metrics.Serve(ctx, ln, listen.IsOwnHost, srv.Log); err != nil {
				srv.Log.Error("the metrics listener has ended", zap.Error(err))
			}
		}()
	}
	if ln := l.redirect; ln != nil {
		port := "443"
		if tcp, ok := l.main[0].Addr().(*net.TCPAddr); ok {
			port = fmt.Sprint(tcp.Port)
		}
		redirect := &server.Server{
			Site: srv.Site, Log: srv.Log, Access: srv.Access, Metrics: srv.Metrics, Trace: srv.Trace, RedirectTo: port, Challenge: srv.Challenge,
			MaxConns: srv.MaxConns, MaxConnsPerAddr: srv.MaxConnsPerAddr, CountLoopback: srv.CountLoopback,
			TrustProxy:  srv.TrustProxy,
			HeadTimeout: srv.HeadTimeout, IdleTimeout: srv.IdleTimeout, MinRate: srv.MinRate,
		}
		go func() {
			if err := redirect.Serve(ctx, ln); err != nil {
				srv.Log.Error("the redirect to https has ended", zap.Error(err))
			}
		}()
	}
}
