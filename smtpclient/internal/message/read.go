package message

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Bounds on the structure of a message from a stranger.
const (
	maxDepth    = 20
	maxParts    = 1000
	maxBoundary = 4096
	maxPreamble = 64 << 10
	readBuffer  = 64 << 10
	innerBuffer = 8 << 10 // of a message in a message
)

// ErrTooComplex is wrapped by errors about messages beyond these bounds.
var ErrTooComplex = errors.New("the message is too complex")

// A Visitor is told what a message consists of, while it is read.
type Visitor struct {
	// Head gets the message's header; may be nil.
	Head func(Header) error
	// Part gets each leaf of the tree of parts, in order.
	Part func(*Part) error
	// Warn is told what is broken or left out; may be nil.
	Warn func(text string)
}

// Read reads a message from r. It needs the same memory for a mail of any size,
// and stops at the first error of r or of the visitor. There is no other error:
// structure that is broken is read as far as it makes sense, what makes no sense
// is text, and what goes beyond a bound is left out, of which the visitor is
// warned.
func (v *Visitor) Read(r io.Reader) error {
	return (&walker{Visitor: v, r: bufio.NewReaderSize(r, readBuffer), parts: new(int), lineStart: true}).message("", 0)
}

// Read calls visit for each leaf part of the message in r.
func Read(r io.Reader, visit func(*Part) error) error {
	return (&Visitor{Part: visit}).Read(r)
}

// ReadHeader reads only the header of a message. If it is too large, what is
// within the bounds is returned with an error that wraps ErrTooComplex.
func ReadHeader(r io.Reader) (Header, error) {
	return readHeader(bufio.NewReaderSize(r, readBuffer))
}

func readHeader(r *bufio.Reader) (Header, error) {
	return (&walker{Visitor: &Visitor{}, r: r, lineStart: true}).header()
}

// walker reads a message line by line, always knowing all boundaries that are
// open: a delimiter of an outer multipart ends the inner ones too.
type walker struct {
	*Visitor
	r          *bufio.Reader
	boundaries []string
	root       string // what the paths begin with: empty, or "2." in a message in a message
	parts      *int   // so far, those of messages in the message included

	lineStart bool   // the next byte begins a line
	out, next []byte // to be returned by Read, in this order
	held      []byte // the line end after them: it belongs to a delimiter that follows
	hit       int    // 1 + index of the boundary whose delimiter was met, 0 if none
	closing   bool   // the delimiter was a closing one
	fresh     int    // 1 + index of the boundary of which no part has begun, or 0
}

func (w *walker) warn(format string, args ...any) {
	if w.Warn != nil && *w.parts <= maxParts+1 { // what is left out needs no remarks
		w.Warn(fmt.Sprintf(format, args...))
	}
}

// message reads a whole message; path and depth are of the part that it is.
func (w *walker) message(path string, depth int) error {
	header, err := w.header()
	if errors.Is(err, ErrTooComplex) {
		w.warn("%v: the rest of it is left out", err)
		err = nil
	}
	if err == nil && w.Head != nil {
		err = w.Head(header)
	}
	if err == nil {
		err = w.entity(header, "text/plain", path, depth)
	}
	if err != nil {
		return err
	}
	return w.drain() // the epilogue
}

// drain reads to the end or the next delimiter.
func (w *walker) drain() error {
	_, err := io.Copy(io.Discard, w)
	return err
}

// entity reads the body that belongs to h.
func (w *walker) entity(h Header, standard, path string, depth int) error {
	if w.hit != 0 { // the header ended at a delimiter: there is no body
		return w.leaf(newPart(h, standard), path, depth)
	}
	p := newPart(h, standard)
	if !strings.HasPrefix(p.Type, "multipart/") {
		return w.leaf(p, path, depth)
	}
	switch boundary := p.boundary; {
	case boundary == "":
		return w.textInstead(p, path, depth, "it does not say what separates its parts")
	case depth >= maxDepth:
		return w.textInstead(p, path, depth, fmt.Sprintf("it is nested more than %d deep", maxDepth))
	default:
		w.boundaries = append(w.boundaries, boundary)
	}
	level := len(w.boundaries)
	w.fresh = level
	preamble, err := w.preamble()
	w.fresh = 0
	if err != nil {
		return err
	}
	if w.hit != level { // the parts never begin: the text is all there is
		w.out = preamble
		alone := path
		if len(preamble) >= maxPreamble {
			alone += "0." // its parts may still come
		}
		if err := w.textInstead(p, alone, depth, "nothing separates its parts"); err != nil {
			return err
		}
	}
	standard = "text/plain"
	if p.Type == "multipart/digest" {
		standard = "message/rfc822" // RFC 2046 section 5.1.5
	}
	for n := 1; w.hit == level && !w.closing; n++ {
		w.hit, w.held = 0, nil
		header, err := w.header()
		if err != nil && !errors.Is(err, ErrTooComplex) {
			return err
		}
		if header == nil && w.hit == level {
			n-- // two delimiters in a row have no part between them
			continue
		}
		if err := w.entity(header, standard, fmt.Sprintf("%s%d.", path, n), depth+1); err != nil {
			return err
		}
	}
	w.boundaries = w.boundaries[:level-1]
	if w.hit != level {
		return nil // the end, or a delimiter of an outer multipart
	}
	w.hit, w.held = 0, nil
	return w.drain() // the epilogue
}

// preamble reads what stands before the first delimiter, as far as it is worth
// keeping in case that there is none.
func (w *walker) preamble() ([]byte, error) {
	var b bytes.Buffer
	_, err := io.Copy(&b, io.LimitReader(w, maxPreamble))
	if b.Len() == maxPreamble && err == nil && w.hit == 0 {
		rest := append(b.Bytes(), w.out...)
		w.out = nil
		return rest, nil // too long: it is taken for the text
	}
	return b.Bytes(), err
}

// textInstead takes a multipart without parts for text.
func (w *walker) textInstead(p *Part, path string, depth int, why string) error {
	w.warn("%s: %s, so it is taken for text", p.Type, why)
	p.Type = "text/plain"
	return w.leaf(p, path, depth)
}

// leaf hands a part to the visitor.
func (w *walker) leaf(p *Part, path string, depth int) error {
	if *w.parts++; *w.parts > maxParts {
		if *w.parts == maxParts+1 {
			w.warn("%v: more than %d parts, the rest is left out", ErrTooComplex, maxParts)
		}
		return w.drain()
	}
	if path == w.root {
		path += "1" // a message that is one part
	}
	p.Path = strings.TrimSuffix(path, ".")
	p.walker, p.depth = w, depth
	p.Body = p.decoded(w)
	if err := w.Part(p); err != nil {
		return err
	}
	return w.drain()
}

// Read gives the body of the current entity up to the next delimiter.
func (w *walker) Read(p []byte) (int, error) {
	for len(w.out)+len(w.next) == 0 {
		if w.hit != 0 {
			return 0, io.EOF
		}
		line, err := w.line()
		switch {
		case w.hit != 0:
			continue // what is held belongs to the delimiter
		case err != nil && w.held != nil:
			w.out, w.held = w.held, nil
			continue
		case err != nil:
			return 0, err
		}
		w.out = w.held
		w.next, w.held = cutLineEnd(line)
	}
	if len(w.out) == 0 {
		w.out, w.next = w.next, nil
	}
	n := copy(p, w.out)
	w.out = w.out[n:]
	return n, nil
}

var (
	endCRLF = []byte("\r\n")
	endLF   = []byte("\n")
)

// cutLineEnd splits a line from its end, which outlives the read buffer.
func cutLineEnd(line []byte) (text, end []byte) {
	switch {
	case bytes.HasSuffix(line, endCRLF):
		return line[:len(line)-2], endCRLF
	case bytes.HasSuffix(line, endLF):
		return line[:len(line)-1], endLF
	}
	return line, nil
}

// line reads the next line with its end, or a piece of one that is longer than
// the buffer. If it is a delimiter of an open multipart it sets hit. The line is
// valid until the next call.
func (w *walker) line() ([]byte, error) {
	line, err := w.r.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull), errors.Is(err, io.EOF) && len(line) > 0:
		err = nil
	case err != nil:
		return nil, err
	}
	starts := w.lineStart
	w.lineStart = line[len(line)-1] == '\n'
	if starts && len(line) > 2 && line[0] == '-' && line[1] == '-' {
		w.delimiter(string(bytes.TrimRight(line[2:], " \t\r\n")))
	}
	return line, err
}

// delimiter looks a line up among the boundaries, innermost first.
func (w *walker) delimiter(text string) {
	for i, boundary := range slices.Backward(w.boundaries) {
		if rest, ok := strings.CutPrefix(text, boundary); ok && (rest == "" || rest == "--") {
			if rest == "--" && w.fresh == i+1 {
				return // an end before the beginning is text
			}
			w.hit, w.closing, w.held = i+1, rest == "--", nil
			return
		}
	}
}
