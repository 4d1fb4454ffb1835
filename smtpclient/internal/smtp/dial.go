package smtp

import (
	"context"
	"crypto/x509"
	"net"
	"strings"

	"topdown/smtpclient/internal/session"
)

// ImplicitPort is where TLS comes before the greeting (RFC 8314 section 3.3).
const ImplicitPort = "465"

// A Config says how to reach a server.
type Config struct {
	session.Config
	Name     string // for EHLO; empty: the local address as a literal
	Chunking bool
}

// Dial connects to a server and takes the session to the point where mail can
// be sent: greeting, EHLO, TLS and AUTH as configured. The session ends when
// ctx is cancelled.
func Dial(ctx context.Context, cfg *Config) (*Session, error) {
	conn, err := session.Connect(ctx, &cfg.Config, ImplicitPort)
	if err != nil {
		return nil, err
	}
	s := &Session{conn: conn, name: cfg.Name, limit: cfg.Limit, Chunking: cfg.Chunking}
	if s.name == "" {
		s.name = literal(conn.LocalAddr())
	}
	if err := s.open(ctx, cfg); err != nil {
		if conn.Broken() {
			s.Close()
		} else if quit := s.Quit(); quit != nil {
			s.Close() // the first error says it all
		}
		return nil, err
	}
	return s, nil
}

// open is the session up to the first MAIL.
func (s *Session) open(ctx context.Context, cfg *Config) error {
	if err := s.greet(); err != nil {
		return err
	}
	if err := s.hello(); err != nil {
		return err
	}
	_, offered := s.Extensions["STARTTLS"]
	switch {
	case s.conn.TLS != nil || cfg.TLS == session.None:
	case offered:
		if err := s.startTLS(ctx); err != nil {
			return err
		}
	case cfg.TLS == session.StartTLS:
		return session.ErrNoTLS
	}
	if cfg.Login == nil {
		return nil
	}
	if err := s.conn.MayLogIn(); err != nil {
		return err
	}
	mechanism, err := s.conn.Mechanism(s.Mechanisms())
	if err != nil {
		return err
	}
	return s.authenticate(mechanism)
}

// Mechanisms are those that the server offers for AUTH, upper case. The form
// "AUTH=" comes from drafts and still occurs.
func (s *Session) Mechanisms() []string {
	list := strings.Fields(strings.ToUpper(s.Extensions["AUTH"]))
	for keyword, parameters := range s.Extensions {
		if first, ok := strings.CutPrefix(keyword, "AUTH="); ok {
			list = append(list, first)
			list = append(list, strings.Fields(strings.ToUpper(parameters))...)
		}
	}
	return list
}

// literal writes an address as EHLO wants it from a host without a name
// (RFC 5321 section 4.1.3).
func literal(addr net.Addr) string {
	tcp, ok := addr.(*net.TCPAddr)
	switch {
	case !ok:
		return "[127.0.0.1]"
	case tcp.IP.To4() != nil:
		return "[" + tcp.IP.String() + "]"
	}
	return "[IPv6:" + tcp.IP.String() + "]"
}

// Certificates are those that the server showed, its own first; nil without TLS.
func (s *Session) Certificates() []*x509.Certificate {
	if s.conn.TLS == nil {
		return nil
	}
	return s.conn.TLS.PeerCertificates
}
