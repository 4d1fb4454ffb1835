package session

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"topdown/smtpclient/internal/sasl"
)

// A Login is how the client proves who it is.
type Login struct {
	// Mechanism is a SASL mechanism, or in POP3 "USER"; empty: the strongest
	// that the server offers.
	Mechanism string
	User      string
	Password  string // with XOAUTH2 and OAUTHBEARER the access token
	// Insecure allows a password over a readable link to another machine.
	Insecure bool
}

// ErrPlainAuth says that a password would be readable by others.
var ErrPlainAuth = errors.New("the link is not encrypted and a password would be readable on it: use --tls starttls or implicit, or --insecure-auth if you must")

// An AuthError is a failed login.
type AuthError struct {
	Mechanism string
	Err       error
}

func (e *AuthError) Error() string {
	return fmt.Sprintf("authentication with %s failed: %v", e.Mechanism, e.Err)
}

func (e *AuthError) Unwrap() error { return e.Err }

// MayLogIn refuses a login over a link that others can read.
func (c *Conn) MayLogIn() error {
	l := c.cfg.Login
	if (c.TLS == nil || c.cfg.Opportunistic) && !l.Insecure && !loopback(c.RemoteAddr()) {
		return &AuthError{Mechanism: "a password", Err: ErrPlainAuth}
	}
	return nil
}

// loopback tells whether an address is on this machine.
func loopback(addr net.Addr) bool {
	tcp, ok := addr.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// Mechanism returns the login's mechanism, which must be among those offered.
func (c *Conn) Mechanism(offered []string) (sasl.Mechanism, error) {
	l := c.cfg.Login
	name := strings.ToUpper(l.Mechanism)
	if name == "" {
		var ok bool
		if name, ok = sasl.Choose(offered); !ok {
			reason := "the server offers no AUTH"
			if len(offered) > 0 {
				reason = "the server offers only " + Printable(strings.Join(offered, " "))
			}
			if c.TLS == nil {
				reason += "; many servers offer it only after TLS (--tls starttls or implicit)"
			}
			return nil, &AuthError{Mechanism: "any known mechanism", Err: errors.New(reason)}
		}
	} else if len(offered) > 0 && !slices.Contains(offered, name) {
		return nil, &AuthError{Mechanism: name, Err: fmt.Errorf("the server offers %s, nothing else", Printable(strings.Join(offered, ", ")))}
	} else if len(offered) == 0 {
		return nil, &AuthError{Mechanism: name, Err: errors.New("the server offers no AUTH")}
	}
	mechanism, err := sasl.New(name, l.User, l.Password, c.cfg.Host, c.cfg.Port)
	if err != nil {
		return nil, &AuthError{Mechanism: name, Err: err}
	}
	return mechanism, nil
}

// An Exchange is how a protocol carries SASL (RFC 4422 section 4).
type Exchange struct {
	// Longest is how long the AUTH line may be, in bytes without CRLF; a longer
	// initial response is sent when the server asks.
	Longest int
	// Empty stands for an initial response of no bytes.
	Empty   string
	Timeout time.Duration
	// Answer reads the server's next answer: a challenge in base64 and more
	// true, or the end: nil for yes, an error for no.
	Answer func() (challenge string, more bool, err error)
}

// Authenticate runs a SASL exchange. No byte of it is shown to the watcher.
func (c *Conn) Authenticate(m sasl.Mechanism, x *Exchange) error {
	c.Begin("AUTH", x.Timeout)
	response, first, err := m.Start()
	if err != nil {
		return &AuthError{Mechanism: m.Name(), Err: err}
	}
	line := "AUTH " + m.Name()
	shown := line
	pending := false // an initial response too long for the command line
	if first {
		switch encoded := base64.StdEncoding.EncodeToString(response); {
		case encoded == "" && x.Empty != "":
			line, shown = line+" "+x.Empty, shown+" "+x.Empty
		case len(line)+1+len(encoded) <= x.Longest:
			line, shown = line+" "+encoded, shown+" "+Hidden
		default:
			pending = true
		}
	}
	var cancelled error
	for {
		if err := c.SendSecret(line, shown); err != nil {
			return c.Lost("AUTH", err)
		}
		if err := c.Flush(); err != nil {
			return c.Lost("AUTH", err)
		}
		challenge, more, err := x.Answer()
		switch {
		case cancelled != nil:
			c.broken = c.broken || more // it does not take the "*" for an end: nothing more is said
			return cancelled
		case err != nil:
			return err
		case !more:
			if err = m.Done(); err != nil {
				c.broken = true
				return &AuthError{Mechanism: m.Name(), Err: err}
			}
			return nil
		}
		decoded, err := base64.StdEncoding.DecodeString(strings.TrimSpace(challenge))
		switch {
		case pending:
			pending, err = false, nil
		case err != nil:
			err = errors.New("the server's challenge is not base64")
		default:
			response, err = m.Next(decoded)
		}
		if err != nil {
			// "*" is how a client leaves the exchange; the server says no.
			cancelled = &AuthError{Mechanism: m.Name(), Err: err}
			line, shown = "*", "*"
			continue
		}
		line, shown = base64.StdEncoding.EncodeToString(response), Hidden
	}
}
