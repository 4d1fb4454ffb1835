package smtp

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"topdown/smtpclient/internal/sasl"
	"topdown/smtpclient/internal/wire"
)

// ImplicitPort is where TLS comes before the greeting (RFC 8314 section 3.3).
const ImplicitPort = "465"

// A Login is how the client proves who it is.
type Login struct {
	Mechanism string // empty: the strongest that the server offers
	User      string
	Password  string // with XOAUTH2 the access token
	// Insecure allows AUTH over a readable link to another machine.
	Insecure bool
}

// A Config says how to reach a server.
type Config struct {
	Host string // name or address, also what the certificate must be for
	Port string
	Addr string // if not empty, the address to connect to instead of Host
	TLS  wire.TLSMode
	// Roots are the authorities that may sign the server's certificate; nil
	// means the system's.
	Roots *x509.CertPool
	// Opportunistic secures the link without checking the certificate, as mail
	// servers do among each other (RFC 7435). It rules out Login.
	Opportunistic bool
	Login         *Login // nil: no AUTH
	Name          string // for EHLO; empty: the local address as a literal
	// Timeout shortens the timeout of each step, 0 leaves those of RFC 5321.
	Timeout time.Duration
	// Limit bounds the time for connecting and for each mail. 0 means none.
	Limit    time.Duration
	Chunking bool
	Watch    func(wire.Event)
	Mask     *wire.Mask
	// Dial replaces the network, for tests.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// Dial connects to a server and takes the dialogue to the point where mail can
// be sent: greeting, EHLO, TLS and AUTH as configured. The session ends when
// ctx is cancelled.
func Dial(ctx context.Context, cfg *Config) (*Session, error) {
	conn, err := wire.Dial(ctx, cfg.Dial, cmp.Or(cfg.Addr, net.JoinHostPort(cfg.Host, cfg.Port)), cfg.Timeout)
	if err != nil {
		return nil, err
	}
	s := newSession(ctx, conn, cfg)
	if err := s.open(ctx, cfg); err != nil {
		if s.broken {
			s.Close()
		} else if quit := s.Quit(); quit != nil {
			s.Close() // the first error says it all
		}
		return nil, err
	}
	return s, nil
}

func newSession(ctx context.Context, conn net.Conn, cfg *Config) *Session {
	s := &Session{
		wire:     wire.New(conn),
		name:     cfg.Name,
		stop:     context.AfterFunc(ctx, func() { conn.Close() }),
		limit:    cfg.Limit,
		Chunking: cfg.Chunking,
		loosely:  cfg.Opportunistic,
	}
	s.wire.Watch, s.wire.Mask, s.wire.Timeout = cfg.Watch, cfg.Mask, cfg.Timeout
	if cfg.Limit > 0 {
		s.wire.Limit = time.Now().Add(cfg.Limit)
	}
	if s.name == "" {
		s.name = literal(conn.LocalAddr())
	}
	s.wire.Step("connect")
	s.wire.Emit(wire.Note, fmt.Sprintf("connected to %s", conn.RemoteAddr()))
	return s
}

// open is the dialogue up to the first MAIL.
func (s *Session) open(ctx context.Context, cfg *Config) error {
	implicit := cfg.TLS == wire.Implicit || cfg.TLS != wire.None && cfg.TLS != wire.StartTLS && cfg.Port == ImplicitPort
	config := wire.TLSConfig(cfg.Host, cfg.Roots)
	config.InsecureSkipVerify = cfg.Opportunistic
	if implicit {
		if err := s.handshake(ctx, config); err != nil {
			return err
		}
	}
	if err := s.greet(); err != nil {
		if (errors.Is(err, wire.ErrTimeout) || errors.Is(err, wire.ErrClosed)) && !implicit {
			return fmt.Errorf("%w; if port %s speaks TLS from the first byte, use --tls implicit", err, cfg.Port)
		}
		return err
	}
	if err := s.hello(); err != nil {
		return err
	}
	_, offered := s.Extensions["STARTTLS"]
	switch {
	case s.TLS != nil || cfg.TLS == wire.None:
	case offered:
		if err := s.startTLS(ctx, config); err != nil {
			return err
		}
	case cfg.TLS == wire.StartTLS:
		return wire.ErrNoTLS
	}
	if cfg.Login != nil {
		return s.login(cfg.Login)
	}
	return nil
}

// login chooses a mechanism and authenticates, if the link allows it.
func (s *Session) login(l *Login) error {
	if (s.TLS == nil || s.loosely) && !l.Insecure && !wire.Loopback(s.wire.RemoteAddr()) {
		return &wire.AuthError{Mechanism: "a password", Err: wire.ErrPlainAuth}
	}
	offered := s.Mechanisms()
	name := strings.ToUpper(l.Mechanism)
	if name == "" {
		var ok bool
		if name, ok = sasl.Choose(offered); !ok {
			reason := "the server offers no AUTH"
			if len(offered) > 0 {
				reason = "the server offers only " + wire.Printable(strings.Join(offered, " "))
			}
			if s.TLS == nil {
				reason += "; many servers offer it only after TLS (--tls starttls or implicit)"
			}
			return &wire.AuthError{Mechanism: "any known mechanism", Err: errors.New(reason)}
		}
	} else if !slices.Contains(offered, name) {
		return &wire.AuthError{Mechanism: name, Err: fmt.Errorf("the server offers %s", wire.Printable(strings.Join(append(offered, "nothing else"), ", ")))}
	}
	mechanism, err := sasl.New(name, l.User, l.Password)
	if err != nil {
		return &wire.AuthError{Mechanism: name, Err: err}
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
