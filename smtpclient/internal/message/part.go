package message

import (
	"bufio"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/html/charset"
	"golang.org/x/text/transform"
)

// A Part is a leaf of a message's tree: text, an image, an attachment, or
// another message.
type Part struct {
	Path        string // "1.2": the second part of the first; "1" if there is only one
	Header      Header
	Type        string // media type, lower case
	Parameters  map[string]string
	Charset     string // of text, as declared
	Disposition string // "inline", "attachment" or empty
	Filename    string // as the sender gave it: see SafeName
	ContentID   string // without < and >
	// Body is the content, transfer encoding undone. It is valid until the
	// visitor returns, which need not have read it to its end.
	Body io.Reader

	boundary string
	walker   *walker
	depth    int
}

// newPart reads the fields that say what a part is; standard is its type if
// they do not. What is broken counts as missing.
func newPart(h Header, standard string) *Part {
	p := &Part{Header: h, Type: standard}
	kind, parameters := parseParameters(h.Get("Content-Type"))
	if major, minor, ok := strings.Cut(kind, "/"); ok && major != "" && minor != "" && !strings.Contains(minor, "/") {
		p.Type = kind
	} else if kind != "" {
		p.Type = "text/plain"
	}
	p.Parameters = parameters
	p.Charset = strings.Trim(parameters["charset"], " '\"")
	disposition, more := parseParameters(h.Get("Content-Disposition"))
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
	if b := strings.TrimRight(parameters["boundary"], " \t"); len(b) <= maxBoundary {
		p.boundary = b
	}
	return p
}

// Attachment tells a part to be saved from one to be read.
func (p *Part) Attachment() bool {
	return p.Disposition == "attachment" || p.Filename != "" || !strings.HasPrefix(p.Type, "text/")
}

// IsMessage tells whether the part is a mail of its own, as a forwarded one.
func (p *Part) IsMessage() bool {
	return p.Type == "message/rfc822" || p.Type == "message/global" || p.Type == "message/news"
}

// Read reads the mail that the part is. Its parts have paths below the part's.
func (p *Part) Read(v *Visitor) error {
	if p.depth >= maxDepth {
		p.walker.warn("part %s: it is nested more than %d deep, and left closed", p.Path, maxDepth)
		return nil
	}
	inner := &walker{Visitor: v, r: bufio.NewReaderSize(p.Body, innerBuffer), parts: p.walker.parts, root: p.Path + ".", lineStart: true}
	return inner.message(inner.root, p.depth+1)
}

// decoded undoes the transfer encoding (RFC 2045 section 6).
func (p *Part) decoded(r io.Reader) io.Reader {
	name, _ := parseParameters(p.Header.Get("Content-Transfer-Encoding"))
	warn := func(text string) { p.walker.warn("part %s: %s", p.Path, text) }
	switch strings.Trim(name, "\"' ") {
	case "base64":
		return base64Reader(r, warn)
	case "quoted-printable":
		return &qpReader{r: bufio.NewReaderSize(r, innerBuffer)}
	case "x-uuencode", "uuencode", "x-uue", "uue":
		return &uuReader{r: bufio.NewReaderSize(r, innerBuffer), warn: warn}
	case "", "7bit", "8bit", "binary":
	default:
		warn("its transfer encoding is unknown, and not undone")
	}
	return r
}

// Text returns Body as UTF-8. Without a character set that is known, what is no
// UTF-8 is taken for Windows-1252.
func (p *Part) Text() io.Reader {
	r := bufio.NewReaderSize(p.Body, innerBuffer)
	if start, _ := r.Peek(3); string(start) == "\xef\xbb\xbf" {
		_, _ = r.Discard(3) // what was peeked at can be discarded
		return transform.NewReader(r, guess{})
	}
	name := p.Charset
	if name == "" && p.Type == "text/html" {
		start, _ := r.Peek(1024)
		if enc, _, certain := charset.DetermineEncoding(start, ""); certain {
			return transform.NewReader(r, enc.NewDecoder())
		}
	}
	d, err := decoder(name)
	if err != nil {
		p.walker.warn("part %s: %v", p.Path, err)
	}
	return transform.NewReader(r, d)
}

// guess passes UTF-8 and takes other bytes for Windows-1252.
type guess struct{ transform.NopResetter }

// Transform implements transform.Transformer.
func (guess) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	for nSrc < len(src) {
		r, size := utf8.DecodeRune(src[nSrc:])
		if r == utf8.RuneError && size == 1 {
			if !atEOF && !utf8.FullRune(src[nSrc:]) {
				return nDst, nSrc, transform.ErrShortSrc
			}
			r = windows1252(src[nSrc])
		}
		if nDst+utf8.RuneLen(r) > len(dst) {
			return nDst, nSrc, transform.ErrShortDst
		}
		nDst += utf8.EncodeRune(dst[nDst:], r)
		nSrc += size
	}
	return nDst, nSrc, nil
}
