package message

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"io"
)

// base64Reader decodes base64, whatever else stands between its characters. What
// is plainly something else is left as it is.
func base64Reader(r io.Reader, warn func(string)) io.Reader {
	buffered := bufio.NewReaderSize(r, innerBuffer)
	const sample = 512
	start, _ := buffered.Peek(sample)
	spaces := bytes.Count(bytes.TrimSpace(start), []byte(" "))
	if spaces > 4 && spaces*30 > len(start) { // words
		warn("it says that it is base64, and is not")
		return buffered
	}
	r = buffered
	return base64.NewDecoder(base64.StdEncoding, &alphabet{r: r, warn: warn})
}

// alphabet lets only the characters of base64 pass (RFC 2045 section 6.8 tells
// decoders to ignore the others), ends at padding and adds what is missing.
type alphabet struct {
	r      io.Reader
	warn   func(string)
	n      int // characters so far
	padded bool
	done   bool
}

// Read implements io.Reader.
func (a *alphabet) Read(p []byte) (int, error) {
	for !a.done {
		n, err := a.r.Read(p)
		kept := 0
		for _, b := range p[:n] {
			if b == '=' {
				a.padded = true
				a.done = a.n+kept > 0
				break
			}
			if isBase64(b) {
				p[kept] = b
				kept++
			}
		}
		a.n += kept
		if err != nil {
			if !errors.Is(err, io.EOF) {
				return kept, err
			}
			a.done = true
		}
		if a.done && (a.n%4 == 1 || a.n%4 != 0 && !a.padded) {
			a.warn("its base64 is cut off: this is what there is")
		}
		if kept > 0 {
			return kept, nil
		}
	}
	pad := 0
	switch a.n % 4 {
	case 2, 3:
		pad = 4 - a.n%4
	case 1: // six bits are no byte: make them one rather than fail
		pad = 3
	}
	if pad == 0 || len(p) == 0 {
		return 0, io.EOF
	}
	fill := "==="
	if a.n%4 == 1 {
		fill = "A=="
	}
	n := copy(p, fill[:pad])
	a.n += n
	return n, nil
}

// qpReader decodes quoted-printable (RFC 2045 section 6.7). What is none stays
// as it is.
type qpReader struct {
	r      *bufio.Reader
	out    []byte // decoded and not yet returned
	buf    []byte
	spaces []byte // read and perhaps at the end of a line, where they do not count
}

// Read implements io.Reader.
func (q *qpReader) Read(p []byte) (int, error) {
	if len(q.out) == 0 {
		q.buf = q.buf[:0]
		for len(q.buf) < innerBuffer {
			if err := q.next(); err != nil {
				if len(q.buf) == 0 {
					return 0, err
				}
				break
			}
		}
		q.out = q.buf
	}
	n := copy(p, q.out)
	q.out = q.out[n:]
	return n, nil
}

// next decodes a byte.
func (q *qpReader) next() error {
	b, err := q.r.ReadByte()
	if err != nil {
		return err
	}
	if isSpace(b) && len(q.spaces) < innerBuffer {
		q.spaces = append(q.spaces, b)
		return nil
	}
	if b == '\r' {
		if after, _ := q.r.Peek(1); len(after) == 1 && after[0] == '\n' {
			_, _ = q.r.Discard(1) // what was peeked at can be discarded
			q.spaces = q.spaces[:0]
			q.buf = append(q.buf, "\r\n"...)
			return nil
		}
	}
	if b == '\n' {
		q.spaces = q.spaces[:0]
	}
	q.buf = append(q.buf, q.spaces...)
	q.spaces = q.spaces[:0]
	if b != '=' {
		q.buf = append(q.buf, b)
		return nil
	}
	code, _ := q.r.Peek(2)
	if len(code) == 2 && isHex(code[0]) && isHex(code[1]) {
		q.buf = append(q.buf, unhex(code[0])<<4|unhex(code[1]))
		_, _ = q.r.Discard(2) // what was peeked at can be discarded
		return nil
	}
	if !q.softBreak() {
		q.buf = append(q.buf, '=')
	}
	return nil
}

// softBreak takes a line end away that "=" says is none, and the spaces before.
func (q *qpReader) softBreak() bool {
	const far = 80
	for n := 1; n < far; n++ {
		ahead, err := q.r.Peek(n)
		if err != nil { // "=" is the last
			_, _ = q.r.Discard(len(ahead)) // what was peeked at can be discarded
			return len(bytes.TrimSpace(ahead)) == 0
		}
		switch last := ahead[n-1]; {
		case last == '\n':
			_, _ = q.r.Discard(n) // what was peeked at can be discarded
			return true
		case !isSpace(last) && last != '\r':
			return false
		}
	}
	return false
}

// uuReader decodes what uuencode wrote, between its "begin" and its "end".
type uuReader struct {
	r     *bufio.Reader
	warn  func(string)
	begun bool
	ended bool
	out   []byte
	buf   [64]byte
}

// Read implements io.Reader.
func (u *uuReader) Read(p []byte) (int, error) {
	for len(u.out) == 0 {
		if u.ended {
			return 0, io.EOF
		}
		line, err := u.r.ReadSlice('\n')
		if err != nil && (len(line) == 0 || !errors.Is(err, io.EOF)) && !errors.Is(err, bufio.ErrBufferFull) {
			if errors.Is(err, io.EOF) {
				u.warn("what uuencode wrote has no end: this is what there is")
				u.ended = true
			}
			return 0, err
		}
		line = bytes.TrimRight(line, "\r\n")
		switch {
		case !u.begun:
			u.begun = bytes.HasPrefix(line, []byte("begin "))
		case bytes.Equal(line, []byte("end")):
			u.ended = true
		default:
			u.out = u.line(line)
		}
	}
	n := copy(p, u.out)
	u.out = u.out[n:]
	return n, nil
}

// line decodes a line: its length, then four characters for three bytes.
func (u *uuReader) line(line []byte) []byte {
	if len(line) == 0 {
		return nil
	}
	size := int(line[0]-' ') & 63
	line = line[1:]
	out := u.buf[:0]
	at := func(i int) byte {
		if i < len(line) {
			return (line[i] - ' ') & 63
		}
		return 0 // spaces at the end are easily lost
	}
	for i := 0; len(out) < size; i += 4 {
		a, b, c, d := at(i), at(i+1), at(i+2), at(i+3)
		out = append(out, a<<2|b>>4, b<<4|c>>2, c<<6|d)
		if len(out) > len(u.buf)-3 {
			break
		}
	}
	return out[:min(size, len(out))]
}
