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
	stuff     bool // double the dots: DATA, not BDAT
	lineStart bool
	cr        bool // a CR has been read and not yet written
}

// NewWriter returns a Writer that makes line ends canonical.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w, lineStart: true} }

// NewDotWriter returns a Writer that also doubles a dot at the start of a line.
func NewDotWriter(w io.Writer) *Writer { return &Writer{w: w, lineStart: true, stuff: true} }

var crlf = []byte("\r\n")

// Write implements io.Writer.
func (c *Writer) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		if c.cr {
			c.cr = false
			if p[0] == '\n' {
				p = p[1:]
			}
			if err := c.newline(); err != nil {
				return 0, err
			}
			continue
		}
		if c.stuff && c.lineStart && p[0] == '.' {
			if _, err := c.w.Write(p[:1]); err != nil {
				return 0, err
			}
		}
		c.lineStart = false
		lf := bytes.IndexByte(p, '\n')
		line := p
		if lf >= 0 {
			line = p[:lf]
		}
		cr := bytes.IndexByte(line, '\r')
		switch {
		case cr >= 0 && cr == lf-1: // CRLF as it should be: the usual case
			if _, err := c.w.Write(p[:lf+1]); err != nil {
				return 0, err
			}
			c.lineStart = true
			p = p[lf+1:]
		case cr >= 0:
			if _, err := c.w.Write(p[:cr]); err != nil {
				return 0, err
			}
			c.cr = true
			p = p[cr+1:]
		case lf >= 0:
			if _, err := c.w.Write(line); err != nil {
				return 0, err
			}
			if err := c.newline(); err != nil {
				return 0, err
			}
			p = p[lf+1:]
		default:
			if _, err := c.w.Write(p); err != nil {
				return 0, err
			}
			p = nil
		}
	}
	return n, nil
}

func (c *Writer) newline() error {
	c.lineStart = true
	_, err := c.w.Write(crlf)
	return err
}

// Close finishes the last line. It does not close the writer below.
func (c *Writer) Close() error {
	if c.cr || !c.lineStart {
		c.cr = false
		return c.newline()
	}
	return nil
}
