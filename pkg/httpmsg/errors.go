package httpmsg

import "fmt"

// Error says why a message is refused and with which status code to answer it:
// 400, 413, 414, 431, 501 or 505 for a request, 502 for a response. After any
// of them the rest of the connection's bytes mean nothing, so the connection
// must be closed.
type Error struct {
	Status  int    // status code to answer with
	Section string // the rule that is broken, for example "9112, 6.3": RFC and section
	Reason  string // what is wrong, for the peer and the log; no peer's bytes in it
	Err     error  // the cause, or nil
}

func (e *Error) Error() string {
	if e.Err != nil {
		return e.Reason + ": " + e.Err.Error()
	}
	return e.Reason
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

func bad(section, format string, args ...any) *Error {
	return &Error{Status: 400, Section: section, Reason: fmt.Sprintf(format, args...)}
}
