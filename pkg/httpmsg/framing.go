package httpmsg

import (
	"math"
	"strings"
)

// Framing tells where a message's body ends (RFC 9112, section 6.3): zero or
// more is its length in bytes, the other values are Chunked and UntilClose.
type Framing int64

// The framings that are not a length.
const (
	Chunked    Framing = -1 // the chunked transfer coding marks the end
	UntilClose Framing = -2 // the body ends with the connection; responses only
)

// requestFraming finds the framing of a request and refuses every request
// about which two readers could disagree (RFC 9112, sections 6.1 to 6.3).
func requestFraming(minor int, f Fields) (Framing, error) {
	length, err := contentLength(f)
	if err != nil {
		return 0, err
	}
	if !f.Has("Transfer-Encoding") {
		return max(length, 0), nil
	}
	if length >= 0 {
		return 0, bad("9112, 6.3", "there are both Transfer-Encoding and Content-Length")
	}
	if minor == 0 {
		return 0, bad("9112, 6.1", "there is a Transfer-Encoding in HTTP/1.0")
	}
	var last string
	known, codings, chunked := true, 0, 0
	for coding := range f.List("Transfer-Encoding") {
		last = coding
		codings++
		switch {
		case equalFold(coding, "chunked"):
			chunked++
		case !isCoding(coding):
			known = false
		}
	}
	switch {
	case codings == 0:
		return 0, bad("9112, 6.1", "the Transfer-Encoding is empty")
	case chunked > 1:
		return 0, bad("9112, 6.1", "the chunked coding is applied twice")
	case chunked == 0 && !known:
		return 0, &Error{Status: 501, Section: "9112, 6.1", Reason: "the transfer coding is unknown"}
	case !equalFold(last, "chunked"):
		return 0, bad("9112, 6.1", "the last transfer coding is not chunked")
	case f.Count("Transfer-Encoding") == 1 && equalFold(f.Get("Transfer-Encoding"), "chunked"):
		return Chunked, nil
	case codings == 1:
		return 0, bad("9112, 6.1", "the Transfer-Encoding has empty members")
	default:
		return 0, &Error{Status: 501, Section: "9112, 6.1", Reason: "the only transfer coding understood is chunked"}
	}
}

// isCoding reports whether s is a registered transfer coding besides chunked.
func isCoding(s string) bool {
	for _, known := range []string{"gzip", "x-gzip", "deflate", "compress", "x-compress"} {
		if equalFold(s, known) {
			return true
		}
	}
	return false
}

// contentLength returns the Content-Length, -1 where there is none. Several
// equal values count as one (RFC 9110, section 8.6).
func contentLength(f Fields) (Framing, error) {
	length := Framing(-1)
	for value := range f.Values("Content-Length") {
		for member := range strings.SplitSeq(value, ",") {
			n, ok := parseDigits(TrimOWS(member))
			if !ok {
				return 0, bad("9112, 6.3", "the Content-Length is not a number of bytes")
			}
			if length >= 0 && n != length {
				return 0, bad("9112, 6.3", "there are two different Content-Lengths")
			}
			length = n
		}
	}
	return length, nil
}

func parseDigits(s string) (Framing, bool) {
	var n Framing
	for i := 0; i < len(s); i++ {
		if !isDigit(s[i]) || n > (math.MaxInt64-9)/10 {
			return 0, false
		}
		n = n*10 + Framing(s[i]-'0')
	}
	return n, s != ""
}

// responseFraming finds the framing of the response to a request with that
// method (RFC 9112, section 6.3). A transfer coding other than plain chunked is
// left in the body, which then ends with the connection. A response about which
// two readers could disagree is refused.
func responseFraming(r *Response, method string) (Framing, error) {
	if method == "HEAD" || r.Status < 200 || r.Status == 204 || r.Status == 304 ||
		method == "CONNECT" && r.Status < 300 {
		return 0, nil
	}
	length, err := contentLength(r.Fields)
	if err != nil {
		return 0, err
	}
	if !r.Fields.Has("Transfer-Encoding") {
		if length < 0 {
			return UntilClose, nil
		}
		return length, nil
	}
	if length >= 0 {
		return 0, bad("9112, 6.3", "there are both Transfer-Encoding and Content-Length")
	}
	if r.Minor == 0 {
		return 0, bad("9112, 6.1", "there is a Transfer-Encoding in HTTP/1.0")
	}
	codings, last := 0, ""
	for coding := range r.Fields.List("Transfer-Encoding") {
		codings++
		last = coding
	}
	switch {
	case !equalFold(last, "chunked"):
		return UntilClose, nil
	case codings > 1:
		return 0, bad("9112, 6.1", "the transfer codings under chunked are not understood")
	}
	return Chunked, nil
}
