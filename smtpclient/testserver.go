package main

import (
	"context"
	"errors"
	"fmt"
	"net"

	"topdown/pkg/logging"
	"topdown/smtpclient/internal/listen"
	"topdown/smtpclient/internal/session"
	"topdown/smtpclient/internal/testserver"

	"go.uber.org/zap"
)

// testserverConfig are the flags of testserver.
type testserverConfig struct {
	smtpAddr, pop3Addr  string
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
	server := &testserver.Server{
		Password: "lab",
		Delivered: func(m testserver.Mail) {
			log.Info("mail received", zap.String("from", session.Printable(m.From)), zap.String("to", session.Printable(m.To)), zap.Int("bytes", len(m.Data)))
		},
	}
	fmt.Fprintf(p.out, "SMTP on %s, POP3 on %s; every mailbox's password is lab\n", smtpLn.Addr(), pop3Ln.Addr())
	return server.Serve(ctx, smtpLn, pop3Ln)
}

// listen binds an address of this machine.
func (p *program) listen(flag, addr string) (net.Listener, error) {
	ln, err := testserver.Listen(addr)
	if errors.Is(err, testserver.ErrNotLoopback) {
		return nil, usage("%s %q: an address of this machine is expected, as in 127.0.0.1:2525", flag, addr)
	}
	if err != nil {
		return nil, fail(exitRefused, "%w", listen.Explain(err, flag, addr))
	}
	return ln, nil
}
