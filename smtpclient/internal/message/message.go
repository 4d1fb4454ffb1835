// Package message composes and reads mail: header fields, MIME parts, encodings
// (RFC 5322, RFC 2045 to 2049, RFC 2231, RFC 2387, RFC 6532). Attachments are
// never held in memory: they stream through, in both directions, and the size
// of a composed message is known before its first byte is written.
//
// It reads no clock and no random source: date, Message-ID and boundary are
// handed to it. It refuses header text that could become another header field,
// and it cannot write Bcc.
package message

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"mime"
	"mime/quotedprintable"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"topdown/smtpclient/internal/crlf"
)

// A Mail is what a person wants to send.
type Mail struct {
	From    Address
	ReplyTo []Address
	To, Cc  []Address
	Subject string
	Text    string // empty if there is only HTML
	HTML    string // images as "cid:NAME", NAME being an Inline file's name
	Inline  []File
	Attach  []File
	Extra   []Field

	Date      time.Time
	MessageID string // without < and >
	// Boundary is a string that no part of the mail contains, of letters and
	// digits, at most 50.
	Boundary string
}

// A File is an attachment.
type File struct {
	Name string // shown to the recipient
	Type string // media type; empty: from the name's extension
	Size int64  // bytes
	Open func() (io.ReadCloser, error)
}

// A Composed message knows its size and can be written more than once.
type Composed struct {
	parts []part
	size  int64
	utf8  bool
}

// part is either bytes as they are or a file to be sent as base64.
type part struct {
	text []byte
	file *File
}

// Size implements smtp.Message: bytes, CRLF included.
func (c *Composed) Size() int64 { return c.size }

// EightBit implements smtp.Message: what we compose is always 7-bit.
func (c *Composed) EightBit() bool { return false }

// UTF8 implements smtp.Message: the header has an address beyond ASCII.
func (c *Composed) UTF8() bool { return c.utf8 }

// WriteTo implements io.WriterTo. It fails if a file no longer has its size.
func (c *Composed) WriteTo(w io.Writer) (int64, error) {
	var total int64
	for _, p := range c.parts {
		var n int64
		var err error
		if p.file != nil {
			n, err = writeFile(w, p.file)
		} else {
			var m int
			m, err = w.Write(p.text)
			n = int64(m)
		}
		total += n
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// own are the fields that Compose writes itself.
var own = []string{
	"From", "To", "Cc", "Bcc", "Reply-To", "Subject", "Date", "Message-ID", "MIME-Version",
	"Content-Type", "Content-Transfer-Encoding", "Content-Disposition", "Content-ID", "DKIM-Signature",
}

// Compose makes a message of m.
func Compose(m *Mail) (*Composed, error) {
	c := &Composed{}
	var b bytes.Buffer
	if err := writeHeader(&b, m); err != nil {
		return nil, err
	}
	for _, list := range [][]Address{{m.From}, m.ReplyTo, m.To, m.Cc} {
		for _, a := range list {
			c.utf8 = c.utf8 || !a.ASCII()
		}
	}
	w := &composer{c: c, b: &b, boundary: m.Boundary}
	if err := w.body(m); err != nil {
		return nil, err
	}
	w.flush()
	return c, nil
}

// writeHeader writes the fields of the message itself.
func writeHeader(b *bytes.Buffer, m *Mail) error {
	if m.From.Domain == "" {
		return fmt.Errorf("a mail needs a From address")
	}
	for _, text := range []string{m.Subject, m.MessageID} {
		if err := checkLine(text); err != nil {
			return fmt.Errorf("header text %q: %w", text, err)
		}
	}
	writeRaw(b, "Date", m.Date.Format("Mon, 02 Jan 2006 15:04:05 -0700"))
	writeAddresses(b, "From", []Address{m.From})
	writeAddresses(b, "Reply-To", m.ReplyTo)
	writeAddresses(b, "To", m.To)
	writeAddresses(b, "Cc", m.Cc)
	if len(m.To)+len(m.Cc) == 0 {
		// Everybody is a blind copy: an empty group says so without a name.
		writeRaw(b, "To", "undisclosed-recipients:;")
	}
	if strings.TrimSpace(m.Subject) != "" {
		writeUnstructured(b, "Subject", m.Subject)
	}
	writeRaw(b, "Message-ID", "<"+m.MessageID+">")
	for _, f := range m.Extra {
		if err := f.Check(); err != nil {
			return err
		}
		for _, name := range own {
			if strings.EqualFold(f.Name, name) {
				return fmt.Errorf("the header field %s is written by the program itself", name)
			}
		}
		writeUnstructured(b, f.Name, f.Value)
	}
	b.WriteString("MIME-Version: 1.0\r\n")
	return nil
}

// composer puts the MIME parts together.
type composer struct {
	c        *Composed
	b        *bytes.Buffer // text since the last file
	boundary string
	level    int
}

// body writes the tree of parts:
//
//	mixed
//	├── alternative
//	│   ├── text
//	│   └── related
//	│       ├── html
//	│       └── inline images
//	└── attachments
//
// leaving out each multipart that would have one part only.
func (w *composer) body(m *Mail) error {
	inline, attach := m.Inline, m.Attach
	if m.HTML == "" { // nothing can show them in its place
		inline, attach = nil, append(slices.Clip(inline), attach...)
	}
	if len(attach) == 0 {
		return w.content(m, inline)
	}
	return w.multipart("mixed", func(next func()) error {
		if m.Text != "" || m.HTML != "" {
			next()
			if err := w.content(m, inline); err != nil {
				return err
			}
		}
		return w.files(attach, next, "attachment")
	})
}

func (w *composer) content(m *Mail, inline []File) error {
	switch {
	case m.HTML == "":
		return w.text("plain", m.Text)
	case m.Text == "":
		return w.related(m, inline)
	}
	return w.multipart("alternative", func(next func()) error {
		next()
		if err := w.text("plain", m.Text); err != nil {
			return err
		}
		next()
		return w.related(m, inline)
	})
}

func (w *composer) related(m *Mail, inline []File) error {
	if len(inline) == 0 {
		return w.text("html", m.withContentIDs())
	}
	return w.multipart("related; type=\"text/html\"", func(next func()) error {
		next()
		if err := w.text("html", m.withContentIDs()); err != nil {
			return err
		}
		return w.files(inline, next, "inline")
	})
}

// multipart writes a multipart entity; parts calls next before each of its parts.
func (w *composer) multipart(subtype string, parts func(next func()) error) error {
	w.level++
	boundary := fmt.Sprintf("=_%s_%d", w.boundary, w.level)
	// "=_" cannot occur in base64 or quoted-printable text.
	writeRaw(w.b, "Content-Type", fmt.Sprintf("multipart/%s; boundary=%q", subtype, boundary))
	err := parts(func() { fmt.Fprintf(w.b, "\r\n--%s\r\n", boundary) })
	fmt.Fprintf(w.b, "\r\n--%s--\r\n", boundary)
	return err
}

// text writes a text part in the lightest encoding that carries it.
func (w *composer) text(subtype, text string) error {
	var lines bytes.Buffer
	canon := crlf.NewWriter(&lines)
	if _, err := canon.Write([]byte(text)); err != nil {
		return err
	}
	if err := canon.Close(); err != nil {
		return err
	}
	writeRaw(w.b, "Content-Type", "text/"+subtype+"; charset=utf-8")
	switch body := lines.Bytes(); textEncoding(body) {
	case "7bit":
		w.b.WriteString("Content-Transfer-Encoding: 7bit\r\n\r\n")
		w.b.Write(body)
	case "base64":
		w.b.WriteString("Content-Transfer-Encoding: base64\r\n\r\n")
		if _, err := writeBase64(w.b, bytes.NewReader(body)); err != nil {
			return err
		}
	default:
		w.b.WriteString("Content-Transfer-Encoding: quoted-printable\r\n\r\n")
		qp := quotedprintable.NewWriter(w.b)
		if _, err := qp.Write(body); err != nil {
			return err
		}
		return qp.Close()
	}
	return nil
}

// textEncoding chooses 7bit for short lines of ASCII, base64 for text that is
// mostly not ASCII, and quoted-printable for the rest.
func textEncoding(body []byte) string {
	high, odd := 0, false
	for line := range bytes.Lines(body) {
		line = bytes.TrimRight(line, "\r\n")
		odd = odd || len(line) > longestLine
		for _, b := range line {
			switch {
			case b >= 0x80:
				high++
			case b < ' ' && b != '\t' || b == 0x7f:
				odd = true
			}
		}
	}
	switch {
	case high > len(body)/3:
		return "base64"
	case high > 0 || odd:
		return "quoted-printable"
	}
	return "7bit"
}

// longestName is how long a file's name may be, in bytes: on one line, with three
// characters for each byte.
const longestName = 255

// files writes file parts.
func (w *composer) files(files []File, next func(), disposition string) error {
	for i := range files {
		f := &files[i]
		if err := checkLine(f.Name); err != nil {
			return fmt.Errorf("file name %q cannot be sent: %w", f.Name, err)
		}
		if len(f.Name) > longestName {
			return fmt.Errorf("file name %.40q… cannot be sent: it has %d bytes, more than %d", f.Name, len(f.Name), longestName)
		}
		next()
		writeRaw(w.b, "Content-Type", mediaType(f))
		w.b.WriteString("Content-Transfer-Encoding: base64\r\n")
		writeRaw(w.b, "Content-Disposition", mime.FormatMediaType(disposition, map[string]string{"filename": f.Name}))
		if disposition == "inline" {
			writeRaw(w.b, "Content-ID", "<"+ContentID(f.Name)+">")
		}
		w.b.WriteString("\r\n")
		w.flush()
		w.c.parts = append(w.c.parts, part{file: f})
		w.c.size += Base64Size(f.Size)
	}
	return nil
}

// flush moves the buffered text to the list of parts.
func (w *composer) flush() {
	text := bytes.Clone(w.b.Bytes())
	w.b.Reset()
	w.c.parts = append(w.c.parts, part{text: text})
	w.c.size += int64(len(text))
}

// mediaType is the file's Content-Type with its name, for readers that look
// there. Entities that must not be base64 go as plain bytes (RFC 2046 section
// 5.2.1).
func mediaType(f *File) string {
	kind := f.Type
	if kind == "" {
		kind = mime.TypeByExtension(strings.ToLower(filepath.Ext(f.Name)))
	}
	base, parameters, err := mime.ParseMediaType(kind)
	if err != nil || strings.HasPrefix(base, "message/") || strings.HasPrefix(base, "multipart/") {
		base, parameters = "application/octet-stream", nil
	}
	if parameters == nil {
		parameters = make(map[string]string)
	}
	parameters["name"] = f.Name
	return mime.FormatMediaType(base, parameters)
}

// ContentID is the identifier of an inline file, what HTML names as "cid:ID":
// its name, where everything but letters, digits, dot, dash and underscore is
// an underscore.
func ContentID(name string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x80 && (isAtext(byte(r)) || r == '.') && strings.IndexByte("%&'*/?`{|}=!#$^~", byte(r)) < 0 {
			return r
		}
		return '_'
	}, name)
}

const (
	lineBytes  = 57 // of content on one line of base64
	lineChars  = 76
	chunkLines = 512
)

// Base64Size is the size of n bytes as base64 in lines of 76, CRLF included.
func Base64Size(n int64) int64 {
	chars := (n + 2) / 3 * 4
	return chars + (chars+lineChars-1)/lineChars*2
}

func writeFile(w io.Writer, f *File) (int64, error) {
	r, err := f.Open()
	if err != nil {
		return 0, err
	}
	defer r.Close()
	counted := &io.LimitedReader{R: r, N: f.Size + 1}
	n, err := writeBase64(w, counted)
	if err == nil && counted.N != 1 {
		err = fmt.Errorf("%s no longer has its %d bytes", f.Name, f.Size)
	}
	return n, err
}

// writeBase64 encodes r in lines.
func writeBase64(w io.Writer, r io.Reader) (int64, error) {
	in := make([]byte, lineBytes*chunkLines)
	out := make([]byte, 0, (lineChars+2)*chunkLines)
	var total int64
	for {
		n, err := io.ReadFull(r, in)
		out = out[:0]
		for rest := in[:n]; len(rest) > 0; {
			line := rest[:min(lineBytes, len(rest))]
			rest = rest[len(line):]
			out = base64.StdEncoding.AppendEncode(out, line)
			out = append(out, "\r\n"...)
		}
		if len(out) > 0 {
			written, werr := w.Write(out)
			total += int64(written)
			if werr != nil {
				return total, werr
			}
		}
		switch err {
		case nil:
		case io.EOF, io.ErrUnexpectedEOF:
			return total, nil
		default:
			return total, err
		}
	}
}
