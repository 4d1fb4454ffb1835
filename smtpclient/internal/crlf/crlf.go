// Package crlf makes text canonical for the Internet: every line ends with CRLF
// and, for SMTP's DATA, no line starts with a single dot.
package crlf

import (
	"bytes"
	"io"
)

// A Writer is the one place where line ends and dots are made right on their
// way to the server. CR, LF and CRLF all become CRLF, so that no server can see
// a line end which another does not (RFC 5321 sections 2.3.8 and 4.1.1.4); a
// line that starts with a dot gets a second one (section 4.5.2).
type Writer struct {
	w         io.Writer
	err       error // the first of w
	stuff     bool  // double the dots: DATA, not BDAT
	lineStart bool
	cr        bool // a CR has been read and not yet written
}

// NewWriter returns a Writer that makes line ends canonical.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w, lineStart: true} }

// NewDotWriter returns a Writer that also doubles a dot at the start of a line.
func NewDotWriter(w io.Writer) *Writer { return &Writer{w: w, lineStart: true, stuff: true} }

var (
	cr   = []byte("\r")
	lf   = []byte("\n")
	crlf = []byte("\r\n")
)

// ahead is how far a line's end is looked for at a time, in bytes: in text that
// has only CRs the search for LF must not go to the end each time.
const ahead = 1 << 10

// Write implements io.Writer.
func (c *Writer) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0 && c.err == nil; {
		if c.cr {
			c.cr = false
			c.newline()
			rest = bytes.TrimPrefix(rest, lf)
			continue
		}
		if c.stuff && c.lineStart && rest[0] == '.' {
			c.put(rest[:1])
		}
		c.lineStart = false
		piece := rest[:min(len(rest), ahead)]
		line, _, hasLF := bytes.Cut(piece, lf)
		text, after, hasCR := bytes.Cut(line, cr)
		n := len(piece)
		switch {
		case hasCR && hasLF && len(after) == 0: // CRLF as it should be: the usual case
			n = len(line) + 1
			c.put(rest[:n])
			c.lineStart = true
		case hasCR:
			n = len(text) + 1
			c.put(text)
			c.cr = true
		case hasLF:
			n = len(line) + 1
			c.put(line)
			c.newline()
		default:
			c.put(piece)
		}
		rest = rest[n:]
	}
	if c.err != nil {
		return 0, c.err
	}
	return len(p), nil
}

func (c *Writer) newline() {
	c.lineStart = true
	c.put(crlf)
}

func (c *Writer) put(p []byte) {
	if c.err == nil {
		_, c.err = c.w.Write(p)
	}
}

// Close finishes the last line. It does not close the writer below.
func (c *Writer) Close() error {
	if c.cr || !c.lineStart {
		c.cr = false
		c.newline()
	}
	return c.err
}
