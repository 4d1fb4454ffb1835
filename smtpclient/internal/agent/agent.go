// Package agent is the mail user agent: what the commands send, inbox and
// roundtrip do with the protocols below. It reads no flags and no environment;
// what it prints goes to the writers that it is given.
package agent

import (
	"context"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"topdown/smtpclient/internal/account"
	"topdown/smtpclient/internal/pop3"
	"topdown/smtpclient/internal/smtp"
	"topdown/smtpclient/internal/wire"
)

// An Agent has what all commands share.
type Agent struct {
	Out, Err io.Writer
	In       io.Reader
	Detail   Detail
	JSON     bool
	Terminal bool // Err is a terminal: show progress
	Now      func() time.Time
	Random   io.Reader
	Mask     *wire.Mask // gets every secret, hides it in all that is shown
}

// A Server is a host with everything that is needed to be let in.
type Server struct {
	Addr         string // "host", "host:port"
	TLS          string
	CA           string // PEM file with authorities to trust, instead of the system's
	User         string
	Auth         string
	Secret       account.Secret
	InsecureAuth bool
	Helo         string
	Timeout      time.Duration
	Limit        time.Duration
}

// out is where a dialogue goes: beside the JSON, not into it.
func (a *Agent) out() io.Writer {
	if a.JSON {
		return a.Err
	}
	return a.Out
}

// warn tells about something that does not stop the command.
func (a *Agent) warn(format string, args ...any) {
	fmt.Fprintf(a.Err, "smtpclient: warning: "+format+"\n", args...)
}

// Hide masks the secrets known so far in a text that is going to be shown.
func (a *Agent) Hide(s string) string { return a.Mask.Hide(s) }

// unique returns n random bytes as hexadecimal digits.
func (a *Agent) unique(n int) (string, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(a.Random, b); err != nil {
		return "", fmt.Errorf("random source: %w", err)
	}
	return hex.EncodeToString(b), nil
}

// printJSON writes one value on one line.
func (a *Agent) printJSON(v any) error {
	encoder := json.NewEncoder(a.Out)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}

// splitAddr splits "host:port", where the port may be missing and an IPv6
// address stands in brackets.
func splitAddr(addr, port string) (string, string, error) {
	host := addr
	if h, p, err := net.SplitHostPort(addr); err == nil {
		host, port = h, p
	} else {
		host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	}
	if host == "" || strings.ContainsAny(host, " \t\r\n/") {
		return "", "", Usage("%q is no server: write HOST or HOST:PORT", addr)
	}
	if _, err := net.LookupPort("tcp", port); err != nil {
		return "", "", Usage("%q: %q is no port", addr, port)
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
		return nil, fail(ExitNoInput, "--ca: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, fail(ExitConfig, "--ca: %s holds no certificate in PEM form", path)
	}
	return pool, nil
}

// password gets the password and keeps it out of everything shown from here on.
func (a *Agent) password(ctx context.Context, secret *account.Secret) (string, error) {
	password, err := secret.Password(ctx)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
			return "", fail(ExitNoInput, "%w", err)
		}
		return "", fail(ExitAuth, "%w", err)
	}
	if strings.ContainsAny(password, "\r\n\x00") {
		return "", fail(ExitAuth, "the password contains a line end or a NUL")
	}
	a.Mask.Add(password)
	return password, nil
}

// smtpConfig turns a Server into the dialogue's configuration.
func (a *Agent) smtpConfig(ctx context.Context, s *Server) (*smtp.Config, error) {
	host, port, err := splitAddr(s.Addr, "25")
	if err != nil {
		return nil, err
	}
	cfg := &smtp.Config{
		Host: host, Port: port, Name: s.Helo, Timeout: s.Timeout, Limit: s.Limit,
		Watch: dialogue(a.out(), a.Detail, smtpLessons), Mask: a.Mask,
	}
	if strings.ContainsAny(s.Helo, " \t") {
		return nil, Usage("--helo %q: a host name has no spaces", s.Helo)
	}
	if cfg.TLS, err = wire.ParseTLSMode(s.TLS); err != nil {
		return nil, Usage("%w", err)
	}
	if port == smtp.ImplicitPort && (cfg.TLS == wire.StartTLS || cfg.TLS == wire.None) {
		a.warn("port 465 is for TLS from the first byte: if nothing answers, use --tls implicit")
	}
	if cfg.Roots, err = roots(s.CA); err != nil {
		return nil, err
	}
	if s.User != "" {
		password, err := a.password(ctx, &s.Secret)
		if err != nil {
			return nil, err
		}
		cfg.Login = &smtp.Login{Mechanism: s.Auth, User: s.User, Password: password, Insecure: s.InsecureAuth}
	} else if s.Auth != "" {
		return nil, Usage("--auth needs --user")
	}
	return cfg, nil
}

// pop3Config does the same for a mailbox.
func (a *Agent) pop3Config(ctx context.Context, s *Server) (*pop3.Config, error) {
	port := "110"
	if s.TLS == string(wire.Implicit) {
		port = pop3.ImplicitPort
	}
	host, port, err := splitAddr(s.Addr, port)
	if err != nil {
		return nil, err
	}
	cfg := &pop3.Config{
		Host: host, Port: port, User: s.User, Mechanism: s.Auth, Insecure: s.InsecureAuth, Timeout: s.Timeout, Limit: s.Limit,
		Watch: dialogue(a.out(), a.Detail, pop3Lessons), Mask: a.Mask,
	}
	if s.User == "" {
		return nil, Usage("a mailbox needs --user")
	}
	if cfg.TLS, err = wire.ParseTLSMode(s.TLS); err != nil {
		return nil, Usage("%w", err)
	}
	if cfg.Roots, err = roots(s.CA); err != nil {
		return nil, err
	}
	cfg.Password, err = a.password(ctx, &s.Secret)
	return cfg, err
}
