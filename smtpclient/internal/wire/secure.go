package wire

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"
)

// TLSMode says when a connection is secured.
type TLSMode string

// The modes. Auto is Implicit on port 465, elsewhere STARTTLS if it is offered.
const (
	Auto     TLSMode = "auto"
	StartTLS TLSMode = "starttls"
	Implicit TLSMode = "implicit"
	None     TLSMode = "none"
)

var modes = []TLSMode{Auto, StartTLS, Implicit, None}

// ParseTLSMode reads a mode; the empty string is Auto.
func ParseTLSMode(s string) (TLSMode, error) {
	if s == "" {
		return Auto, nil
	}
	if mode := TLSMode(strings.ToLower(s)); slices.Contains(modes, mode) {
		return mode, nil
	}
	return "", fmt.Errorf("TLS mode %q is unknown: use auto, starttls, implicit or none", s)
}

// connectTimeout bounds the TCP handshake.
const connectTimeout = 30 * time.Second

// Errors of the policy about secrets and links.
var (
	ErrPlainAuth = errors.New("the link is not encrypted and a password would be readable on it: use --tls starttls or implicit, or --insecure-auth if you must")
	ErrNoTLS     = errors.New("the server does not offer STARTTLS (STLS in POP3), which the TLS mode starttls requires")
)

// A TLSError is a failed handshake: a certificate that is not right, or a
// server that does not speak TLS there.
type TLSError struct {
	Server string
	Err    error
}

func (e *TLSError) Unwrap() error { return e.Err }

func (e *TLSError) Error() string {
	text := fmt.Sprintf("TLS with %s failed: ", e.Server)
	if _, ok := errors.AsType[x509.UnknownAuthorityError](e.Err); ok {
		return text + "the certificate is not signed by an authority known here; if it is your own, give it with --ca FILE"
	}
	if wrong, ok := errors.AsType[x509.HostnameError](e.Err); ok {
		return text + "the certificate is for another host: " + wrong.Error()
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](e.Err); ok && invalid.Reason == x509.Expired {
		return text + "the certificate has expired or is not valid yet: " + invalid.Detail
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](e.Err); ok {
		return text + "what it sent is not TLS; if the server speaks plain text first on this port, use --tls starttls (or none)"
	}
	return text + e.Err.Error()
}

// An AuthError is a failed AUTH.
type AuthError struct {
	Mechanism string
	Err       error
}

func (e *AuthError) Error() string {
	return fmt.Sprintf("authentication with %s failed: %v", e.Mechanism, e.Err)
}

func (e *AuthError) Unwrap() error { return e.Err }

// A DialFunc opens a connection, as net.Dialer.DialContext does.
type DialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// Dial connects to addr over TCP. A nil dial means the network; timeout, if not
// 0, shortens the patience of half a minute.
func Dial(ctx context.Context, dial DialFunc, addr string, timeout time.Duration) (net.Conn, error) {
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	patience := connectTimeout
	if timeout > 0 && timeout < patience {
		patience = timeout
	}
	connecting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := dial(connecting, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", addr, err)
	}
	return conn, nil
}

// TLSConfig is the way this program speaks TLS: version 1.2 or later, the
// certificate checked for host against roots, or the system's if nil.
func TLSConfig(host string, roots *x509.CertPool) *tls.Config {
	return &tls.Config{ServerName: host, RootCAs: roots, MinVersion: tls.VersionTLS12}
}

// Loopback tells whether an address is on this machine.
func Loopback(addr net.Addr) bool {
	tcp, ok := addr.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}
