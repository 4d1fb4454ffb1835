package message

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/quotedprintable"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/transform"
)

// Bounds on the structure of a message from a stranger.
const (
	maxDepth    = 20
	maxParts    = 1000
	maxBoundary = 200
	readBuffer  = 64 << 10
)

// ErrTooComplex is wrapped by errors about messages beyond these bounds.
var ErrTooComplex = errors.New("the message is too complex")

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

var wordDecoder = &mime.WordDecoder{CharsetReader: charsetReader}

// DecodeWords decodes the encoded words in a header value.
func DecodeWords(s string) string {
	if !utf8.ValidString(s) {
		s, _ = charmap.Windows1252.NewDecoder().String(s)
	}
	decoded, err := wordDecoder.DecodeHeader(s)
	if err != nil {
		return s
	}
	return decoded
}

func charsetReader(charset string, r io.Reader) (io.Reader, error) {
	enc, err := Charset(charset)
	if err != nil {
		return nil, err
	}
	return transform.NewReader(r, enc.NewDecoder()), nil
}

// Charset returns the named character set.
func Charset(charset string) (encoding.Encoding, error) {
	if charset == "" || strings.EqualFold(charset, "us-ascii") {
		charset = "utf-8"
	}
	enc, err := htmlindex.Get(charset)
	if err != nil {
		return nil, fmt.Errorf("the character set %q is unknown", charset)
	}
	return enc, nil
}

// A Part is a leaf of a message's tree: text, an image, an attachment.
type Part struct {
	Path        string // "1.2": the second part of the first; "1" if there is only one
	Header      Header
	Type        string // media type, lower case
	Charset     string // of text, as declared
	Disposition string // "inline", "attachment" or empty
	Filename    string // as the sender gave it: see SafeName
	ContentID   string // without < and >
	// Body is the content, transfer encoding undone. It is valid until the
	// visitor returns, which need not have read it to its end.
	Body io.Reader
}

// Text returns Body as UTF-8. An unknown character set passes as it is.
func (p *Part) Text() io.Reader {
	enc, err := Charset(p.Charset)
	if err != nil {
		return p.Body
	}
	return transform.NewReader(p.Body, enc.NewDecoder())
}

// Attachment tells a part to be saved from one to be read.
func (p *Part) Attachment() bool {
	return p.Disposition == "attachment" || p.Filename != "" || !strings.HasPrefix(p.Type, "text/")
}

// Read reads a message from r and calls visit for each leaf part in order. It
// needs the same memory for a mail of any size. It returns the message's header
// as soon as possible through head, which may be nil, and stops at the first
// error of r or of a visit. Structure that is broken is read as far as it goes.
func Read(r io.Reader, head func(Header) error, visit func(*Part) error) error {
	w := &walker{r: bufio.NewReaderSize(r, readBuffer), visit: visit, lineStart: true}
	header, err := w.header()
	if err != nil {
		return err
	}
	if head != nil {
		if err = head(header); err != nil {
			return err
		}
	}
	if err = w.entity(header, "", 0); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, w) // the epilogue
	return err
}

// ReadHeader reads only the header of a message.
func ReadHeader(r io.Reader) (Header, error) {
	w := &walker{r: bufio.NewReaderSize(r, readBuffer), lineStart: true}
	return w.header()
}

// walker reads a message line by line, always knowing all boundaries that are
// open: a delimiter of an outer multipart ends the inner ones too.
type walker struct {
	r          *bufio.Reader
	visit      func(*Part) error
	boundaries []string
	parts      int

	lineStart bool   // the next byte begins a line
	out, next []byte // to be returned by Read, in this order
	held      []byte // the line end after them: it belongs to a delimiter that follows
	hit       int    // 1 + index of the boundary whose delimiter was met, 0 if none
	closing   bool   // the delimiter was a closing one
}

// header reads fields up to the empty line, or up to a delimiter.
func (w *walker) header() (Header, error) {
	var h Header
	total := 0
	for {
		line, err := w.line()
		if err != nil {
			if errors.Is(err, io.EOF) {
				return h, nil
			}
			return nil, err
		}
		var whole strings.Builder
		whole.Write(bytes.TrimRight(line, "\r\n"))
		// A line longer than the buffer comes in pieces.
		for w.hit == 0 && !w.lineStart {
			if line, err = w.line(); err != nil {
				break
			}
			if total += len(line); total > maxHeaderBytes {
				break
			}
			whole.Write(bytes.TrimRight(line, "\r\n"))
		}
		text := whole.String()
		if w.hit != 0 || text == "" {
			return h, nil
		}
		if total += len(text); total > maxHeaderBytes || len(h) >= maxHeaderFields {
			return nil, fmt.Errorf("%w: a header of more than %d bytes or %d fields", ErrTooComplex, maxHeaderBytes, maxHeaderFields)
		}
		name, value, ok := strings.Cut(text, ":")
		switch {
		case isSpace(text[0]) && len(h) > 0:
			h[len(h)-1].Value += " " + strings.TrimSpace(text)
		case ok:
			h = append(h, Field{strings.TrimSpace(name), strings.TrimSpace(value)})
		default: // no field: real mail has such lines, readers skip them
		}
	}
}

// entity reads the body that belongs to h.
func (w *walker) entity(h Header, path string, depth int) error {
	if w.hit != 0 { // the header ended at a delimiter: there is no body
		return nil
	}
	p := newPart(h)
	boundary := p.boundary(h)
	if boundary == "" {
		return w.leaf(p, path)
	}
	if depth >= maxDepth {
		return fmt.Errorf("%w: multiparts nested more than %d deep", ErrTooComplex, maxDepth)
	}
	w.boundaries = append(w.boundaries, boundary)
	level := len(w.boundaries)
	if _, err := io.Copy(io.Discard, w); err != nil { // the preamble
		return err
	}
	for n := 1; w.hit == level && !w.closing; n++ {
		w.hit, w.held = 0, nil
		header, err := w.header()
		if err != nil {
			return err
		}
		if err := w.entity(header, fmt.Sprintf("%s%d.", path, n), depth+1); err != nil {
			return err
		}
	}
	w.boundaries = w.boundaries[:level-1]
	if w.hit != level {
		return nil // the end, or a delimiter of an outer multipart
	}
	w.hit, w.held = 0, nil
	_, err := io.Copy(io.Discard, w) // the epilogue
	return err
}

// leaf hands a part to the visitor.
func (w *walker) leaf(p *Part, path string) error {
	if w.parts++; w.parts > maxParts {
		return fmt.Errorf("%w: more than %d parts", ErrTooComplex, maxParts)
	}
	if p.Path = strings.TrimSuffix(path, "."); p.Path == "" {
		p.Path = "1"
	}
	switch strings.ToLower(strings.TrimSpace(p.Header.Get("Content-Transfer-Encoding"))) {
	case "base64":
		p.Body = base64.NewDecoder(base64.StdEncoding, &alphabet{r: w})
	case "quoted-printable":
		p.Body = quotedprintable.NewReader(w)
	default:
		p.Body = w
	}
	if err := w.visit(p); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, w)
	return err
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
			w.hit, w.closing, w.held = i+1, rest == "--", nil
			return
		}
	}
}

// newPart reads the fields that say what a part is. Broken ones count as
// missing.
func newPart(h Header) *Part {
	p := &Part{Header: h, Type: "text/plain"}
	kind, parameters := parseType(h.Get("Content-Type"))
	if strings.Contains(kind, "/") {
		p.Type = kind
	}
	p.Charset = parameters["charset"]
	disposition, more := parseType(h.Get("Content-Disposition"))
	if disposition != "" {
		p.Disposition = "attachment"
		if disposition == "inline" {
			p.Disposition = "inline"
		}
	}
	if p.Filename = DecodeWords(more["filename"]); p.Filename == "" {
		p.Filename = DecodeWords(parameters["name"])
	}
	p.ContentID = strings.Trim(h.Get("Content-ID"), "<> ")
	return p
}

// parseType parses a media type or disposition as far as it can be understood.
func parseType(value string) (string, map[string]string) {
	kind, parameters, err := mime.ParseMediaType(value)
	if err != nil && kind == "" {
		kind, _, _ = strings.Cut(value, ";")
		kind = strings.ToLower(strings.TrimSpace(kind))
	}
	return kind, parameters
}

// boundary returns what separates the parts of a multipart, else nothing.
func (p *Part) boundary(h Header) string {
	if !strings.HasPrefix(p.Type, "multipart/") {
		return ""
	}
	_, parameters := parseType(h.Get("Content-Type"))
	if b := parameters["boundary"]; len(b) <= maxBoundary {
		return b
	}
	return ""
}

// alphabet lets only the characters of base64 pass (RFC 2045 section 6.8 tells
// decoders to ignore the others), ends at padding and adds what is missing.
type alphabet struct {
	r    io.Reader
	n    int // characters so far
	done bool
}

// Read implements io.Reader.
func (a *alphabet) Read(p []byte) (int, error) {
	for !a.done {
		n, err := a.r.Read(p)
		kept := 0
		for _, b := range p[:n] {
			switch {
			case b >= 'A' && b <= 'Z', b >= 'a' && b <= 'z', b >= '0' && b <= '9', b == '+', b == '/':
				p[kept] = b
				kept++
			case b == '=':
				a.done = true
			}
			if a.done {
				break
			}
		}
		a.n += kept
		if err != nil {
			if !errors.Is(err, io.EOF) {
				return kept, err
			}
			a.done = true
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
