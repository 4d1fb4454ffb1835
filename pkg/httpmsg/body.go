package httpmsg

import (
	"bufio"
	"errors"
	"io"
	"math"
	"strings"
)

// BodyLimits bound a body. Zero means the default.
type BodyLimits struct {
	Size     int64 // bytes of content; default: no limit
	Overhead int64 // bytes of chunk framing that the data does not justify; default 16,384
	Trailers int   // bytes of the trailer section; default 8,192
}

// Body reads the content of one message and stops at its end, leaving the
// source at the first byte after it. It is an io.Reader; besides src's own
// errors and io.EOF it returns an *Error with status 400 for broken framing or
// an early end of src (the cause is then io.ErrUnexpectedEOF), and with 413 for
// content over BodyLimits.Size.
type Body struct {
	// Trailers are the trailer fields, complete once Read has returned io.EOF.
	// They are kept apart from the head: none of them may change framing,
	// routing or authentication (RFC 9110, section 6.5.1).
	Trailers Fields

	src     Source
	limits  BodyLimits
	framing Framing
	left    int64 // bytes left of the content or of the current chunk
	total   int64 // bytes of content returned so far
	excess  int64 // bytes of chunk framing so far that the data did not justify
	inChunk bool  // the CRLF after the current chunk is still to come
	err     error
}

// NewBody returns the body that begins at src's next byte.
func NewBody(src Source, framing Framing, limits BodyLimits) *Body {
	b := new(Body)
	b.Reset(src, framing, limits)
	return b
}

// Reset makes b the body that begins at src's next byte.
func (b *Body) Reset(src Source, framing Framing, limits BodyLimits) {
	if limits.Size <= 0 {
		limits.Size = math.MaxInt64
	}
	if limits.Overhead <= 0 {
		limits.Overhead = 16 << 10
	}
	if limits.Trailers <= 0 {
		limits.Trailers = 8 << 10
	}
	*b = Body{src: src, limits: limits, framing: framing}
	switch {
	case framing == UntilClose:
		b.left = math.MaxInt64
	case framing == 0:
		b.err = io.EOF
	case framing > 0:
		b.left = int64(framing)
		if b.left > limits.Size {
			b.err = errTooLarge()
		}
	}
}

// Size returns how many bytes of content have been read.
func (b *Body) Size() int64 { return b.total }

// Done reports whether the body has been read to its end.
func (b *Body) Done() bool { return errors.Is(b.err, io.EOF) }

// Read implements io.Reader.
func (b *Body) Read(p []byte) (int, error) {
	if b.err == nil && b.framing == Chunked && b.left == 0 {
		b.err = b.nextChunk()
	}
	if b.err != nil || len(p) == 0 {
		return 0, b.err
	}
	// One byte more than the limit may be asked for, to tell a body that ends
	// at the limit from one that goes on.
	room := b.limits.Size - b.total
	if room < math.MaxInt64 {
		room++
	}
	n, err := b.src.Read(p[:min(int64(len(p)), b.left, room)])
	b.left -= int64(n)
	b.total += int64(n)
	switch {
	case b.total > b.limits.Size:
		b.err = errTooLarge()
		return 0, b.err
	case b.framing >= 0 && b.left == 0:
		b.err = io.EOF
	case errors.Is(err, io.EOF) && b.framing == UntilClose:
		b.err = io.EOF
	case err != nil:
		b.err = early(err)
	}
	if n > 0 {
		return n, nil
	}
	return 0, b.err
}

// nextChunk reads what stands between two chunks: the CRLF after the last one
// and the size line of the next; after the chunk of size 0 also the trailers,
// and then it returns io.EOF (RFC 9112, section 7.1).
func (b *Body) nextChunk() error {
	if b.inChunk {
		var crlf [2]byte
		if _, err := io.ReadFull(b.src, crlf[:]); err != nil {
			return early(err)
		}
		if crlf != [2]byte{'\r', '\n'} {
			return bad("9112, 7.1", "a chunk does not end with CRLF")
		}
	}
	line, err := b.readLine()
	if err != nil {
		return err
	}
	digits := 0
	for digits < len(line) && isHex(line[digits]) {
		digits++
	}
	// 15 digits are 60 bits: no chunk that long can be meant, none overflows.
	if digits == 0 || digits > 15 {
		return bad("9112, 7.1", "a chunk size is not a hexadecimal number")
	}
	var size int64
	for _, c := range []byte(line[:digits]) {
		d, _ := unhex(c)
		size = size<<4 | int64(d)
	}
	// Tiny chunks and long extensions would let a client have this side work
	// for much while it sends little content. What stands around a chunk is
	// paid for by its data, twice over, and by an allowance that lets honest
	// writers send a byte at a time; a long upload with a signature on each
	// chunk is no attack, however much the signatures come to.
	const allowance = 16
	spent := int64(len(line) + len("\r\n\r\n"))
	b.excess = max(0, b.excess+spent-allowance-2*min(size, math.MaxInt64/4))
	if b.excess > b.limits.Overhead {
		return bad("9112, 7.1.1", "the chunks have too much framing for their data")
	}
	if !isExtension(line[digits:]) {
		return bad("9112, 7.1.1", "a chunk extension is malformed")
	}
	if size > 0 {
		b.left, b.inChunk = size, true
		if size > b.limits.Size-b.total {
			return errTooLarge()
		}
		return nil
	}
	return b.readTrailers()
}

func (b *Body) readTrailers() error {
	for size := 0; ; {
		line, err := b.readLine()
		if err != nil {
			return err
		}
		if line == "" {
			return io.EOF
		}
		if size += len(line) + len("\r\n"); size > b.limits.Trailers {
			return &Error{Status: 431, Section: "6585, 5", Reason: "the trailer fields are too large"}
		}
		field, err := parseField(line)
		if err != nil {
			return err
		}
		b.Trailers = append(b.Trailers, field)
	}
}

// readLine reads a line of the framing, without its CRLF.
func (b *Body) readLine() (string, error) {
	line, err := b.src.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return "", bad("9112, 7.1", "a line of the chunked framing is too long")
	}
	if err != nil {
		return "", early(err)
	}
	if len(line) < 2 || line[len(line)-2] != '\r' {
		return "", bad("9112, 7.1", "a line of the chunked framing ends without CR")
	}
	return string(line[:len(line)-2]), nil
}

// isExtension reports whether s is a list of chunk extensions, which may be
// empty: *( BWS ";" BWS name [ BWS "=" BWS value ] ) (RFC 9112, section 7.1.1).
func isExtension(s string) bool {
	for s != "" {
		if s = trimLeft(s); s == "" || s[0] != ';' {
			return false
		}
		name := tokenPrefix(trimLeft(s[1:]))
		if name == "" {
			return false
		}
		s = trimLeft(s[1:])[len(name):]
		after := trimLeft(s)
		if after == "" || after[0] != '=' {
			if after == "" && s != "" {
				return false
			}
			continue
		}
		value := trimLeft(after[1:])
		n := len(tokenPrefix(value))
		if n == 0 {
			n = quotedPrefix(value)
		}
		if n == 0 {
			return false
		}
		s = value[n:]
	}
	return true
}

func trimLeft(s string) string { return strings.TrimLeft(s, " \t") }

func tokenPrefix(s string) string {
	for i := 0; i < len(s); i++ {
		if class[s[i]]&tokenByte == 0 {
			return s[:i]
		}
	}
	return s
}

// quotedPrefix returns the length of the quoted string that s begins with
// (RFC 9110, section 5.6.4), 0 if there is none.
func quotedPrefix(s string) int {
	if s == "" || s[0] != '"' {
		return 0
	}
	for i := 1; i < len(s); i++ {
		switch {
		case class[s[i]]&valueByte == 0:
			return 0
		case s[i] == '\\':
			i++
			if i == len(s) || class[s[i]]&valueByte == 0 {
				return 0
			}
		case s[i] == '"':
			return i + 1
		}
	}
	return 0
}

func errTooLarge() *Error {
	return &Error{Status: 413, Section: "9110, 15.5.14", Reason: "the body is too large"}
}

// early is what an error of the source means in the middle of a body.
func early(err error) error {
	if err = unexpected(err); errors.Is(err, io.ErrUnexpectedEOF) {
		return &Error{Status: 400, Section: "9112, 8", Reason: "the body ended early", Err: err}
	}
	return err
}
