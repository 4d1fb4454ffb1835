package pop3

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// An Error is a reply that starts with -ERR.
type Error struct {
	Step string
	Text string
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s: the server answered %q", e.Step, "-ERR "+e.Text)
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

// Temporary tells whether the same may succeed later: the mailbox is in use, the
// server has trouble of its own, or the last login was a moment ago.
func (e *Error) Temporary() bool {
	return slices.Contains([]string{"IN-USE", "SYS/TEMP", "LOGIN-DELAY"}, e.Code())
}

// ErrProtocol is wrapped by errors about replies that are not POP3.
var ErrProtocol = errors.New("the server does not speak POP3")

// An Entry is one message of the mailbox.
type Entry struct {
	Number int
	Size   int64  // bytes, as announced
	UID    string // empty if the server has no UIDL
}
