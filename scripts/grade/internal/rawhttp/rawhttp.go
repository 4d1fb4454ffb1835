// Package rawhttp reads HTTP/1 messages as a grader must: it takes what wrong
// programs send, and says what is wrong with it (RFC 9112).
package rawhttp

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A Field is one header field, as sent.
type Field struct{ Name, Value string }

// A Message is a request or response, however broken.
type Message struct {
	Raw       []byte // everything that came
	StartLine string // without its line end
	Fields    []Field
	Body      []byte
	Faults    []string // what is wrong with the head, for a reader
	HasHead   bool     // a blank line ends the head
	Ended     bool     // the peer closed the connection
	Reset     bool     // … with a reset
	TimedOut  bool     // reading ended because nothing came any more
}

// Code returns the status code of a response, 0 if there is none.
func (m *Message) Code() int {
	parts := strings.Fields(m.StartLine)
	if len(parts) < 2 || !strings.HasPrefix(parts[0], "HTTP/") {
		return 0
	}
	n, _ := strconv.Atoi(parts[1])
	return n
}

// Get returns the value of the first field of that name.
func (m *Message) Get(name string) string {
	for _, f := range m.Fields {
		if strings.EqualFold(f.Name, name) {
			return f.Value
		}
	}
	return ""
}

// Count returns how many fields of that name there are.
func (m *Message) Count(name string) (n int) {
	for _, f := range m.Fields {
		if strings.EqualFold(f.Name, name) {
			n++
		}
	}
	return n
}

// Length returns Content-Length, -1 if it is missing or no number.
func (m *Message) Length() int {
	n, err := strconv.Atoi(m.Get("Content-Length"))
	if err != nil || n < 0 {
		return -1
	}
	return n
}

// Chunked reports whether the body comes in chunks.
func (m *Message) Chunked() bool {
	return strings.Contains(strings.ToLower(m.Get("Transfer-Encoding")), "chunked")
}

// Parse takes raw apart.
func Parse(raw []byte) *Message {
	m := &Message{Raw: raw}
	rest := raw
	if trimmed := bytes.TrimLeft(rest, " \t\r\n"); len(trimmed) < len(rest) && bytes.HasPrefix(trimmed, []byte("HTTP/")) {
		m.Faults = append(m.Faults, fmt.Sprintf("%s stands before the status line", name(rest[:len(rest)-len(trimmed)])))
		rest = trimmed
	}
	first := true
	lf := 0
	for len(rest) > 0 {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			break
		}
		line := rest[:i]
		rest = rest[i+1:]
		if !bytes.HasSuffix(line, []byte("\r")) {
			lf++
		}
		text := string(bytes.TrimRight(line, "\r"))
		if first {
			if !strings.HasPrefix(text, "HTTP/") && !strings.Contains(text, " HTTP/") {
				// No head at all: everything is the body, as in HTTP/0.9.
				m.Body = raw
				m.Faults = append(m.Faults, "there is no status line: the first line is "+strconv.Quote(text))
				return m
			}
			m.StartLine, first = text, false
			continue
		}
		if strings.TrimSpace(text) == "" {
			if text != "" {
				m.Faults = append(m.Faults, "the line that ends the header is not empty but "+strconv.Quote(text))
			}
			m.HasHead = true
			m.Body = rest
			break
		}
		n, v, ok := strings.Cut(text, ":")
		if !ok || n == "" || strings.ContainsAny(n, " \t<>") {
			m.Faults = append(m.Faults, "this header line is no \"Name: value\": "+strconv.Quote(clip(text)))
		}
		m.Fields = append(m.Fields, Field{n, strings.Trim(v, " \t")})
	}
	if first {
		m.Body = raw
		if len(raw) > 0 {
			m.Faults = append(m.Faults, "there is no status line")
		}
		return m
	}
	if !m.HasHead {
		m.Faults = append(m.Faults, "no blank line ends the header")
	}
	if lf > 0 {
		if m.HasHead && bytes.Contains(raw[:len(raw)-len(m.Body)], []byte("\n\n")) {
			m.Faults = append(m.Faults, "the header ends with LF LF instead of CRLF CRLF")
		} else {
			m.Faults = append(m.Faults, fmt.Sprintf("%d header lines end with LF instead of CRLF", lf))
		}
	}
	return m
}

func clip(s string) string { return s[:min(len(s), 80)] }

func name(b []byte) string {
	switch {
	case len(bytes.Trim(b, " ")) == 0:
		return "a space"
	case len(bytes.Trim(b, "\r\n")) == 0:
		return "an empty line"
	}
	return "white space"
}

// complete reports whether m is whole by its own framing, so that reading on
// would only wait.
func (m *Message) complete(bodiless bool) bool {
	if !m.HasHead {
		return false
	}
	code := m.Code()
	if bodiless || code/100 == 1 || code == 204 || code == 304 {
		return true
	}
	if m.Chunked() {
		_, whole := m.Dechunk()
		return whole
	}
	n := m.Length()
	return n >= 0 && len(m.Body) >= n
}

// Dechunk returns the body without its chunks' framing, and whether the last
// chunk was there.
func (m *Message) Dechunk() ([]byte, bool) {
	var out []byte
	rest := m.Body
	for {
		line, after, ok := bytes.Cut(rest, []byte("\n"))
		if !ok {
			return out, false
		}
		size, _, _ := strings.Cut(strings.TrimSpace(string(line)), ";")
		n, err := strconv.ParseUint(size, 16, 31)
		if err != nil {
			return out, false
		}
		if n == 0 {
			return out, bytes.Contains(append([]byte("\n"), after...), []byte("\n\r\n")) || bytes.HasPrefix(after, []byte("\n"))
		}
		if uint64(len(after)) < n {
			return append(out, after...), false
		}
		out = append(out, after[:n]...)
		rest = bytes.TrimPrefix(bytes.TrimPrefix(after[n:], []byte("\r")), []byte("\n"))
	}
}

// Content returns the body that a client would take from a response: without
// chunks, and no longer than Content-Length.
func (m *Message) Content() []byte {
	if m.Chunked() {
		body, _ := m.Dechunk()
		return body
	}
	if n := m.Length(); n >= 0 && n < len(m.Body) {
		return m.Body[:n]
	}
	return m.Body
}

// maxMessage is the most that is read of a message, in bytes.
const maxMessage = 8 << 20

// Options of Read.
type Options struct {
	Timeout  time.Duration // most that reading may take
	Bodiless bool          // the answer to HEAD
	ToEnd    time.Duration // read on this long behind the message's own end
}

// Read reads one response from conn, until it is whole, the peer closes, or time
// is up.
func Read(conn net.Conn, opt Options) *Message {
	deadline := time.Now().Add(opt.Timeout)
	extended := false
	var raw []byte
	m := &Message{}
	buf := make([]byte, 64<<10)
	reparse := func() {
		// A large body need not be parsed again for every piece.
		if m.HasHead && !m.Chunked() {
			head := len(m.Raw) - len(m.Body)
			m.Raw, m.Body = raw, raw[head:]
			return
		}
		m = Parse(raw)
	}
	for len(raw) < maxMessage {
		_ = conn.SetReadDeadline(deadline)
		n, err := conn.Read(buf)
		raw = append(raw, buf[:n]...)
		if n > 0 {
			reparse()
		}
		if err != nil {
			m = Parse(raw)
			switch {
			case errors.Is(err, io.EOF):
				m.Ended = true
			case errors.Is(err, os.ErrDeadlineExceeded):
				m.TimedOut = !extended
			case errors.Is(err, syscall.ECONNRESET):
				m.Ended, m.Reset = true, true
			default:
				m.Ended = true
			}
			return m
		}
		if !extended && m.complete(opt.Bodiless) {
			if opt.ToEnd == 0 {
				return Parse(raw)
			}
			extended = true
			deadline = time.Now().Add(opt.ToEnd)
		}
	}
	return Parse(raw)
}
