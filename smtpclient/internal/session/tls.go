package session

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
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

// handshakeTimeout bounds the TLS handshake.
const handshakeTimeout = 2 * time.Minute

// ErrNoTLS says that encryption is required and not to be had.
var ErrNoTLS = errors.New("the server does not offer STARTTLS (STLS in POP3), which the TLS mode starttls requires")

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
	if strings.Contains(e.Err.Error(), "certificate required") || strings.Contains(e.Err.Error(), "bad certificate") {
		return text + "the server wants to see a certificate of yours: give it with --client-cert"
	}
	return text + e.Err.Error()
}

// TLSConfig is the way this program speaks TLS: version 1.2 or later, the
// certificate checked for host against roots, or the system's if nil.
func TLSConfig(host string, roots *x509.CertPool) *tls.Config {
	return &tls.Config{ServerName: host, RootCAs: roots, MinVersion: tls.VersionTLS12}
}
