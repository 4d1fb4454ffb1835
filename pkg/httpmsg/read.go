package httpmsg

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
)

// Source is what messages are read from: a *bufio.Reader, or something like it.
// Peek past the size of its buffer and ReadSlice of a longer line answer
// bufio.ErrBufferFull. A buffer of at least 256 bytes is needed.
type Source interface {
	io.Reader
	Peek(n int) ([]byte, error)
	Discard(n int) (int, error)
	Buffered() int
	ReadSlice(delim byte) ([]byte, error)
}

// Limits bound a head. Zero means the default.
type Limits struct {
	Target int // bytes of the request target; default 8,192 (RFC 9112 wants 8,000)
	Fields int // bytes of all field lines together; default 65,536
	Count  int // field lines; default 200
	// HostOptional accepts an HTTP/1.1 request without Host, which RFC 9112,
	// section 3.2 wants refused; some courses' clients send no other.
	HostOptional bool
}

const (
	defaultTarget = 8192
	defaultFields = 64 << 10
	defaultCount  = 200
	// maxMethod is how long a start line may be besides its target: method,
	// version, spaces; a response's reason phrase has to fit as well.
	maxMethod = 512
)

func (l Limits) withDefaults() Limits {
	if l.Target <= 0 {
		l.Target = defaultTarget
	}
	if l.Fields <= 0 {
		l.Fields = defaultFields
	}
	if l.Count <= 0 {
		l.Count = defaultCount
	}
	return l
}

// Read reads the head of a request from src and leaves src at the first byte
// of the body. It returns io.EOF when src ends before the first byte,
// io.ErrUnexpectedEOF when it ends within the head, an *Error when the request
// must be refused, and src's own error otherwise. Whatever r held is gone; the
// memory of r.Fields is used again.
//
// One empty line before the request line is passed over (RFC 9112, section
// 2.2). Checks come in this order: size, syntax, version, framing, Host.
func (r *Request) Read(src Source, limits Limits) error {
	fields := r.Fields[:0]
	*r = Request{Fields: fields}
	if err := skipEmptyLine(src); err != nil {
		return err
	}
	limits = limits.withDefaults()
	head, err := readHead(src, limits)
	if err != nil {
		return err
	}
	line, rest, _ := strings.Cut(head, "\r\n")
	if err = r.parseLine(line); err != nil {
		return err
	}
	if len(r.Target) > limits.Target {
		return errTargetTooLong()
	}
	if r.Fields, err = parseFields(fields, rest); err != nil {
		return err
	}
	if r.Framing, err = requestFraming(r.Minor, r.Fields); err != nil {
		return err
	}
	return checkHost(r.Minor, r.Fields, limits.HostOptional)
}

// Read reads the head of the response to a request with that method from src and
// leaves src at the first byte of the body. Its errors are those of Request.Read,
// with 502 in each *Error. Interim (1xx) responses are returned like any other.
func (r *Response) Read(src Source, method string, limits Limits) error {
	fields := r.Fields[:0]
	*r = Response{Fields: fields}
	head, err := readHead(src, limits.withDefaults())
	if err != nil {
		return badGateway(err)
	}
	line, rest, _ := strings.Cut(head, "\r\n")
	if err = r.parseLine(line); err != nil {
		return badGateway(err)
	}
	if r.Fields, err = parseFields(fields, rest); err != nil {
		return badGateway(err)
	}
	r.Framing, err = responseFraming(r, method)
	return badGateway(err)
}

// badGateway turns what is wrong with a request into what is wrong with a
// response: the client is not to blame for it.
func badGateway(err error) error {
	if e, ok := errors.AsType[*Error](err); ok {
		return &Error{Status: 502, Section: e.Section, Reason: e.Reason, Err: e.Err}
	}
	return err
}

func skipEmptyLine(src Source) error {
	first, err := src.Peek(1)
	if err != nil {
		return err
	}
	if first[0] != '\r' {
		return nil
	}
	two, err := src.Peek(2)
	if err != nil {
		return unexpected(err)
	}
	if two[1] == '\n' {
		_, err = src.Discard(2)
		if err == nil {
			_, err = src.Peek(1)
		}
	}
	return err
}

// readHead returns the lines of a head, each with its CRLF, without the empty
// line that ends it. The usual head lies whole in src's buffer and is copied
// once.
func readHead(src Source, limits Limits) (string, error) {
	scan := headScanner{limits: limits}
	for {
		buf, err := src.Peek(src.Buffered())
		if err != nil {
			return "", err
		}
		done, err := scan.next(buf)
		if err != nil {
			return "", err
		}
		if done {
			head := string(buf[:scan.off-len("\r\n")])
			_, err = src.Discard(scan.off)
			return head, err
		}
		_, err = src.Peek(len(buf) + 1)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			return readLongHead(src, limits)
		case err != nil && len(buf) > 0:
			return "", unexpected(err)
		case err != nil:
			return "", err
		}
	}
}

// readLongHead is readHead for a head that is longer than src's buffer.
func readLongHead(src Source, limits Limits) (string, error) {
	scan := headScanner{limits: limits}
	var head []byte
	for {
		piece, err := src.ReadSlice('\n')
		head = append(head, piece...)
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return "", unexpected(err)
		}
		done, err := scan.next(head)
		if err != nil {
			return "", err
		}
		if done {
			return string(head[:scan.off-len("\r\n")]), nil
		}
	}
}

// headScanner finds the end of a head and enforces the limits while the head
// is still arriving.
type headScanner struct {
	limits Limits
	off    int // bytes of buf that are whole lines
	start  int // length of the start line
	lines  int
}

// next looks at buf, the head as far as it has arrived, and reports whether it
// is whole; scan.off is then its length with the empty line.
func (s *headScanner) next(buf []byte) (done bool, err error) {
	for {
		i := bytes.IndexByte(buf[s.off:], '\n')
		if i < 0 {
			return false, s.check(len(buf))
		}
		end := s.off + i
		if i == 0 || buf[end-1] != '\r' {
			return false, bad("9112, 2.2", "a line of the head ends without CR")
		}
		if i == 1 && s.lines == 0 {
			return false, bad("9112, 2.2", "the start line is empty")
		}
		if err := s.check(end + 1); err != nil {
			return false, err
		}
		s.off = end + 1
		if i == 1 {
			return true, nil
		}
		if s.lines++; s.lines == 1 {
			s.start = s.off
		}
	}
}

// check refuses a head of which n bytes have arrived, the last of them in the
// line after s.lines whole ones, if it is over a limit.
func (s *headScanner) check(n int) error {
	switch {
	case s.lines == 0 && n > s.limits.Target+maxMethod:
		return errTargetTooLong()
	case s.lines > 0 && n-s.start > s.limits.Fields+len("\r\n"):
		return &Error{Status: 431, Section: "6585, 5", Reason: "the header fields are too large"}
	case s.lines > s.limits.Count+1:
		return &Error{Status: 431, Section: "6585, 5", Reason: "there are too many header fields"}
	}
	return nil
}

func errTargetTooLong() *Error {
	return &Error{Status: 414, Section: "9110, 15.5.15", Reason: "the request target is too long"}
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
