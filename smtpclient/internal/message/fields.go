package message

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// A Header is a list of fields in their order, values unfolded.
type Header []Field

// Get returns the first value of the named field, or an empty string.
func (h Header) Get(name string) string {
	for _, f := range h {
		if strings.EqualFold(f.Name, name) {
			return f.Value
		}
	}
	return ""
}

// Text returns the first value of the named field with encoded words decoded
// (RFC 2047). Bytes that are not UTF-8 are taken for Windows-1252.
func (h Header) Text(name string) string { return DecodeWords(h.Get(name)) }

// header reads fields up to the empty line, or up to a delimiter. A line that
// is no field ends the header too, and begins the body: senders forget the empty
// line, and nothing may be lost.
func (w *walker) header() (h Header, _ error) {
	var over error
	var value []byte // of the last field, which may go on
	defer func() {
		if len(h) > 0 {
			h[len(h)-1].Value = string(value)
		}
	}()
	total := 0
	for n := 1; ; n++ {
		line, err := w.line()
		if err != nil {
			if errors.Is(err, io.EOF) {
				return h, over
			}
			return h, err
		}
		if w.hit != 0 {
			return h, over
		}
		first, end := cutLineEnd(line)
		if len(first) == 0 && end != nil {
			return h, over
		}
		kind := lineKind(first, n == 1, h)
		if kind == bodyLine {
			w.next, w.held = first, end
			return h, over
		}
		var whole strings.Builder
		whole.Write(bytes.TrimRight(first, "\r\n"))
		for !w.lineStart { // a line longer than the buffer comes in pieces
			if line, err = w.line(); err != nil {
				break
			}
			if whole.Len() <= maxHeaderBytes {
				whole.Write(bytes.TrimRight(line, "\r\n"))
			}
		}
		text := whole.String()
		if total += len(text); over == nil && (total > maxHeaderBytes || len(h) >= maxHeaderFields && kind == fieldLine) {
			over = fmt.Errorf("%w: a header of more than %d bytes or %d fields", ErrTooComplex, maxHeaderBytes, maxHeaderFields)
		}
		switch {
		case over != nil: // the fields so far have to do
		case kind == moreLine:
			value = append(append(value, ' '), strings.TrimSpace(text)...)
		case kind == fieldLine:
			if len(h) > 0 {
				h[len(h)-1].Value = string(value)
			}
			name, first, _ := strings.Cut(text, ":")
			h = append(h, Field{Name: strings.TrimSpace(name)})
			value = append(value[:0], strings.TrimSpace(first)...)
		}
	}
}

// The kinds of lines in a header.
const (
	fieldLine = iota
	moreLine  // continues the field before
	oddLine   // means nothing
	bodyLine  // is no header line at all
)

// forgotten is a parameter whose line should have begun with a space.
var forgotten = regexp.MustCompile(`^(?i:name|filename|boundary|charset|type|format|x-[a-z-]+)\*?[0-9]*\*?="?[^ ]`)

// lineKind tells what a line is of which the beginning is given, after the
// fields h.
func lineKind(line []byte, first bool, h Header) int {
	after := len(h) > 0
	switch {
	case len(line) == 0, isSpace(line[0]) && len(bytes.TrimSpace(line)) == 0 && !after:
		return oddLine
	case isSpace(line[0]) && after:
		return moreLine
	case isSpace(line[0]):
		return lineKind(bytes.TrimLeft(line, " \t"), first, h) // as if it began at the left
	case after && len(h[len(h)-1].Name) > 8 && strings.EqualFold(h[len(h)-1].Name[:8], "Content-") && forgotten.Match(line):
		return moreLine
	case mboxMark(line):
		return oddLine
	case line[0] == ':' && !first:
		return oddLine
	}
	colon := bytes.IndexByte(line, ':')
	if colon < 1 && len(line) > 8 && strings.EqualFold(string(line[:8]), "Content-") {
		return oddLine // a field that is beyond repair
	}
	if colon < 1 {
		return bodyLine
	}
	for _, b := range bytes.TrimRight(line[:colon], " \t") {
		if b <= ' ' || b >= 0x7f {
			return bodyLine
		}
	}
	return fieldLine
}

// mboxMark tells whether a line is what an mbox file has before each message, and
// not the field "From : ann@example.com".
func mboxMark(line []byte) bool {
	rest, ok := bytes.CutPrefix(bytes.TrimPrefix(line, []byte(">")), []byte("From "))
	return ok && !bytes.HasPrefix(bytes.TrimLeft(rest, " \t"), []byte(":"))
}
