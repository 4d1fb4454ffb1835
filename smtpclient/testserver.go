package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"topdown/pkg/logging"
	"topdown/smtpclient/internal/listen"
	"topdown/smtpclient/internal/session"
	"topdown/smtpclient/internal/status"
	"topdown/smtpclient/internal/testserver"

	"go.uber.org/zap"
)

// testserverConfig are the flags of testserver.
type testserverConfig struct {
	smtpAddr, pop3Addr  string
	web                 string // address of the page; empty: none
	logLevel, logFormat string
}

// testserver runs the server until ctx ends.
func (p *program) testserver(ctx context.Context) error {
	t := &p.cfg.testing
	log, err := logging.New(p.err, t.logLevel, t.logFormat)
	if err != nil {
		return usage("%w", err)
	}
	smtpLn, err := p.listen("--smtp-addr", t.smtpAddr)
	if err != nil {
		return err
	}
	defer smtpLn.Close()
	pop3Ln, err := p.listen("--pop3-addr", t.pop3Addr)
	if err != nil {
		return err
	}
	defer pop3Ln.Close()
	var page *status.Server
	var webLn net.Listener
	if t.web != "" {
		if webLn, err = p.listen("--web", t.web); err != nil {
			return err
		}
		defer webLn.Close()
		page = &status.Server{Log: &testserver.Log{}, SMTP: smtpLn.Addr().String(), POP3: pop3Ln.Addr().String()}
	}
	server := &testserver.Server{
		Password: "lab",
		Delivered: func(m testserver.Mail) {
			log.Info("mail received", zap.String("from", session.Printable(m.From)), zap.String("to", session.Printable(m.To)), zap.Int("bytes", len(m.Data)))
		},
	}
	fmt.Fprintf(p.out, "SMTP on %s, POP3 on %s; every mailbox's password is lab\n", smtpLn.Addr(), pop3Ln.Addr())
	if page == nil {
		return server.Serve(ctx, smtpLn, pop3Ln)
	}
	server.Log = page.Log
	fmt.Fprintf(p.out, "What it receives is on http://%s/\n", webLn.Addr())
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	wg.Go(func() { cancel(page.Serve(ctx, webLn)) })
	err = server.Serve(ctx, smtpLn, pop3Ln)
	cancel(nil)
	wg.Wait()
	if cause := context.Cause(ctx); err == nil && !errors.Is(cause, context.Canceled) {
		err = cause
	}
	return err
}

// listen binds an address of this machine.
func (p *program) listen(flag, addr string) (net.Listener, error) {
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return nil, usage("%s %q: host:port is expected, as in 127.0.0.1:2525", flag, addr)
	}
	ln, err := testserver.Listen(addr)
	if errors.Is(err, testserver.ErrNotLoopback) {
		return nil, usage("%s %q: an address of this machine is expected, as in 127.0.0.1:2525", flag, addr)
	}
	if err != nil {
		return nil, fail(exitRefused, "%w", listen.Explain(err, flag, addr))
	}
	return ln, nil
}
