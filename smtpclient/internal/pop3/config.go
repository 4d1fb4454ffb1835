package pop3

import (
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"topdown/smtpclient/internal/wire"
)

// A Config says how to reach a mailbox.
type Config struct {
	Host  string
	Port  string
	TLS   wire.TLSMode
	Roots *x509.CertPool // nil: the system's
	User  string
	// Password, or with XOAUTH2 the access token.
	Password  string
	Mechanism string // a SASL mechanism, "USER" for USER and PASS, empty: the best offered
	Insecure  bool   // allow the password on a readable link to another machine
	Timeout   time.Duration
	Limit     time.Duration // for the whole session; 0 means none
	Watch     func(wire.Event)
	Mask      *wire.Mask
	Dial      wire.DialFunc
}

// An Error is a reply that starts with -ERR.
type Error struct {
	Step string
	Text string
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s: the server answered %q", e.Step, wire.Printable("-ERR "+e.Text))
}

// Code is the response code in brackets, such as IN-USE or AUTH, or empty
// (RFC 2449 section 8, RFC 3206).
func (e *Error) Code() string {
	if rest, ok := strings.CutPrefix(e.Text, "["); ok {
		if code, _, ok := strings.Cut(rest, "]"); ok {
			return strings.ToUpper(code)
		}
	}
	return ""
}

// ErrProtocol is wrapped by errors about replies that are not POP3.
var ErrProtocol = errors.New("the server does not speak POP3")

// An Entry is one message of the mailbox.
type Entry struct {
	Number int
	Size   int64  // bytes, as announced
	UID    string // empty if the server has no UIDL
}
