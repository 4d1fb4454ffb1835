// Package httpmsg reads and writes HTTP/1.1 messages (RFC 9112) on anything
// that reads and writes bytes.
// The examples show how to read a request, a response and a body.
//
// Reading is strict. A message that two readers could understand differently
// (a bare LF, a folded line, two lengths) is refused with an *Error that says
// which status to answer with; nothing is repaired. Every read is bounded by
// Limits, so a peer decides neither how much memory nor how many fields a head
// takes.
//
// The package knows nothing of sockets, files, logs or clocks; deadlines are
// the caller's.
package httpmsg

// Request is the head of a request (RFC 9112, section 3). Its strings are
// slices of one copy of the head and stay valid after the next read.
type Request struct {
	// Method and Target as received; Target is checked for bytes that no
	// form of request target may hold, ParseTarget takes it apart.
	Method, Target string
	// Minor is the digit after "HTTP/1.": 0, or 1 for 1.1 and anything later.
	Minor  int
	Fields Fields
	// Framing tells how the body's end is found. Read sets it and has refused
	// every request for which it would be ambiguous.
	Framing Framing
}

// Response is the head of a response (RFC 9112, section 4).
type Response struct {
	Minor  int // as in Request
	Status int // 100 to 999
	Reason string
	Fields Fields
	// Framing as in Request; it depends on the method of the request, too.
	Framing Framing
}

// Persistent reports whether the sender of r wants the connection to stay open
// after this exchange (RFC 9112, section 9.3).
func (r *Request) Persistent() bool { return persistent(r.Minor, r.Fields) }

// Persistent reports whether the sender of r keeps the connection open after
// this response (RFC 9112, section 9.3). A body that ends with the connection
// is the caller's to notice.
func (r *Response) Persistent() bool { return persistent(r.Minor, r.Fields) }

func persistent(minor int, f Fields) bool {
	closes, keeps := false, minor >= 1
	for option := range f.List("Connection") {
		switch {
		case equalFold(option, "close"):
			closes = true
		case equalFold(option, "keep-alive"):
			keeps = true
		}
	}
	return keeps && !closes
}
