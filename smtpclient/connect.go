package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"
	"unicode"

	"topdown/smtpclient/internal/account"
	"topdown/smtpclient/internal/draft"
	"topdown/smtpclient/internal/pop3"
	"topdown/smtpclient/internal/sasl"
	"topdown/smtpclient/internal/session"
	"topdown/smtpclient/internal/smtp"
)

// terminalWait is how long somebody at a terminal waits for a connection, and
// then for the greeting; RFC 5321 has minutes, for mail servers among each other.
const terminalWait = 30 * time.Second

// A server is a host with everything that is needed to be let in.
type server struct {
	addr                  string // "host", "host:port"
	tls, user, auth, helo string
	secret                account.Secret
}

// splitAddr splits "host:port", where the port may be missing and an IPv6
// address stands in brackets.
func splitAddr(addr, port string) (string, string, error) {
	host := strings.TrimSuffix(strings.TrimPrefix(addr, "["), "]")
	_, notIP := netip.ParseAddr(host)
	if h, p, err := net.SplitHostPort(addr); err == nil {
		host, port, notIP = h, p, nil
	}
	if host == "" || strings.ContainsAny(host, " \t\r\n/") || notIP != nil && strings.Contains(host, ":") {
		return "", "", usage("%q is no server: write HOST or HOST:PORT", addr)
	}
	if number, err := net.LookupPort("tcp", port); err != nil || number == 0 {
		return "", "", usage("%q: %q is no port", addr, port)
	}
	return host, port, nil
}

// roots reads the file given with --ca.
func roots(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fail(exitNoInput, "%w", draft.FileError("--ca ", err))
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, fail(exitConfig, "--ca %s: there is no certificate in PEM form in it", path)
	}
	return pool, nil
}

// clientCertificate reads the pair that a server may ask for.
func (c *config) clientCertificate() (*tls.Certificate, error) {
	if c.clientCert == "" {
		if c.clientKey != "" {
			return nil, usage("--client-key needs --client-cert")
		}
		return nil, nil
	}
	key := c.clientKey
	if key == "" {
		key = c.clientCert // one file with both
	}
	pair, err := tls.LoadX509KeyPair(c.clientCert, key)
	if err != nil {
		return nil, fail(exitConfig, "--client-cert %s: %w", c.clientCert, err)
	}
	return &pair, nil
}

// password gets the password and keeps it out of everything shown from here on.
func (p *program) password(ctx context.Context, secret *account.Secret) (string, error) {
	password, err := secret.Password(ctx)
	if err != nil {
		if isPath(err) {
			return "", fail(exitNoInput, "%w", draft.FileError("--password-file ", err))
		}
		return "", fail(exitAuth, "%w", err)
	}
	if strings.ContainsAny(password, "\r\n\x00") {
		return "", fail(exitAuth, "the password contains a line end or a NUL")
	}
	p.mask.Add(password)
	return password, nil
}

// session turns a server into what a session needs.
func (p *program) session(ctx context.Context, s *server, host, port string, detail session.Detail, lessons *session.Lessons) (*session.Config, error) {
	c := p.cfg
	cfg := &session.Config{
		Host: host, Port: port, Network: c.network(), Timeout: c.timeout, Limit: c.sessionLimit,
		Watch: session.Transcript(p.transcript(), detail, lessons), Mask: p.mask,
		Trace: p.trace, Lessons: lessons,
	}
	if p.terminal {
		cfg.FirstTimeout = terminalWait
		if detail != session.Nothing || !c.quiet {
			cfg.Waiting = func(what string) { p.warn("%s", what) }
		}
	}
	var err error
	if cfg.TLS, err = session.ParseTLSMode(s.tls); err != nil {
		return nil, usage("%w", err)
	}
	if cfg.Roots, err = roots(c.ca); err != nil {
		return nil, err
	}
	if cfg.Certificate, err = c.clientCertificate(); err != nil {
		return nil, err
	}
	if s.user == "" {
		return cfg, nil
	}
	if name := strings.ToUpper(s.auth); name != "" && name != "USER" && !slices.Contains(sasl.Names(), name) {
		return nil, usage("--auth %q: one of %s is expected", s.auth, strings.Join(sasl.Names(), ", "))
	}
	password, err := p.password(ctx, &s.secret)
	if err != nil {
		return nil, err
	}
	cfg.Login = &session.Login{Mechanism: s.auth, User: s.user, Password: password, Insecure: c.insecureAuth}
	return cfg, nil
}

// smtpConfig says how to reach a mail server. Without a port it is 25, that of
// mail servers; with a user the one for people (RFC 6409, RFC 8314).
func (p *program) smtpConfig(ctx context.Context, s *server, detail session.Detail) (*smtp.Config, error) {
	standard := "25"
	switch {
	case s.tls == string(session.Implicit):
		standard = smtp.ImplicitPort
	case s.user != "":
		standard = "587"
	}
	host, port, err := splitAddr(s.addr, standard)
	if err != nil {
		return nil, err
	}
	if strings.ContainsFunc(s.helo, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
		return nil, usage("--helo %q: a host name has no spaces", s.helo)
	}
	if s.user == "" && s.auth != "" {
		return nil, usage("--auth needs --user")
	}
	cfg, err := p.session(ctx, s, host, port, detail, smtp.Lessons)
	if err != nil {
		return nil, err
	}
	if port == smtp.ImplicitPort && (cfg.TLS == session.StartTLS || cfg.TLS == session.None) {
		p.warn("port 465 is for TLS from the first byte: if nothing answers, use --tls implicit")
	}
	return &smtp.Config{Config: *cfg, Name: s.helo, Chunking: p.cfg.chunking}, nil
}

// pop3Config says how to reach a mailbox.
func (p *program) pop3Config(ctx context.Context, detail session.Detail) (*session.Config, error) {
	s := &p.cfg.pop3
	standard := "110"
	if s.tls == string(session.Implicit) {
		standard = pop3.ImplicitPort
	}
	host, port, err := splitAddr(s.addr, standard)
	if err != nil {
		return nil, err
	}
	if s.user == "" {
		return nil, usage("--user is missing: whose mailbox is it?")
	}
	return p.session(ctx, s, host, port, detail, pop3.Lessons)
}

// openMailbox opens the mailbox, does something in it and closes it.
func (p *program) openMailbox(ctx context.Context, detail session.Detail, do func(*pop3.Session) error) error {
	cfg, err := p.pop3Config(ctx, detail)
	if err != nil {
		return err
	}
	box, err := pop3.Dial(ctx, cfg)
	if err != nil {
		return err
	}
	if err := do(box); err != nil {
		box.Close()
		return err
	}
	return box.Quit()
}
