package mailbox

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"topdown/smtpclient/internal/message"
	"topdown/smtpclient/internal/pop3"
	"topdown/smtpclient/internal/session"
)

// maxShown bounds how much of one text part show prints, in bytes.
const maxShown = 1 << 20

// A Shown message is the result of inbox show as JSON.
type Shown struct {
	Header map[string]string `json:"header"`
	Text   string            `json:"text"`
	Parts  []ShownPart       `json:"parts"`
}

// A ShownPart is one that is not shown as text.
type ShownPart struct {
	Part string `json:"part"`
	Type string `json:"type"`
	Name string `json:"name"`
	Size int64  `json:"size"` // bytes
}

// Show writes a message to w: who, when, what, its text, and a list of its
// parts. A nil w leaves all that to the result.
func Show(r io.Reader, w io.Writer) (*Shown, error) {
	v := &view{out: w, json: w == nil}
	if v.json {
		v.out = &v.text
	}
	if err := message.Read(r, v.head, v.part); err != nil {
		return nil, err
	}
	if err := v.end(); err != nil {
		return nil, err
	}
	v.shown.Text = v.text.String()
	return &v.shown, nil
}

// view shows a message while it is read. HTML waits: it is only shown if there
// is no plain text.
type view struct {
	out       io.Writer
	json      bool
	shown     Shown           // for JSON
	text      strings.Builder // for JSON: what would be printed as text
	htmlText  string
	plainSeen bool
	parts     []string
}

func (v *view) head(h message.Header) error {
	v.shown = Shown{Header: make(map[string]string), Parts: []ShownPart{}}
	for _, name := range []string{"Date", "From", "To", "Cc", "Reply-To", "Subject"} {
		if text := h.Text(name); text != "" {
			v.shown.Header[name] = text
			if !v.json {
				fmt.Fprintf(v.out, "%s: %s\n", name, session.Printable(text))
			}
		}
	}
	if !v.json {
		fmt.Fprintln(v.out)
	}
	return nil
}

func (v *view) part(p *message.Part) error {
	text := !p.Attachment() && (p.Type == "text/plain" || p.Type == "text/html")
	size := &countingReader{}
	var err error
	switch {
	case text && p.Type == "text/plain":
		v.plainSeen = true
		source := p.Text()
		if err = printText(v.out, source); err == nil {
			size.r = source // what is left over
		}
	case text && v.htmlText == "":
		v.htmlText, err = message.PlainText(p.Text())
	}
	if size.r == nil {
		size.r = p.Body
	}
	name := p.Filename
	if name == "" && p.ContentID != "" {
		name = "cid:" + p.ContentID
	}
	if err == nil {
		_, err = io.Copy(io.Discard, size)
	}
	note := ""
	if err != nil {
		if !damaged(err) {
			return err
		}
		note = fmt.Sprintf(" (damaged: %v)", err)
	}
	if !text {
		v.shown.Parts = append(v.shown.Parts, ShownPart{p.Path, p.Type, name, size.n})
		v.parts = append(v.parts, fmt.Sprintf("[%s] %s %s %s%s", p.Path, session.Printable(p.Type), session.Printable(name), SizeText(size.n), note))
	} else if note != "" {
		v.parts = append(v.parts, fmt.Sprintf("[%s] %s%s", p.Path, p.Type, note))
	}
	return nil
}

func (v *view) end() error {
	if !v.plainSeen && v.htmlText != "" {
		if err := printText(v.out, strings.NewReader(v.htmlText)); err != nil {
			return err
		}
	}
	if v.json {
		return nil // the parts are in the JSON
	}
	if len(v.parts) > 0 {
		fmt.Fprintln(v.out)
	}
	for _, line := range v.parts {
		fmt.Fprintln(v.out, line)
	}
	return nil
}

// printText prints a stranger's text line by line, made safe for a terminal.
func printText(w io.Writer, r io.Reader) error {
	lines := bufio.NewReaderSize(io.LimitReader(r, maxShown), 64<<10)
	for {
		line, err := lines.ReadSlice('\n')
		text, end := strings.CutSuffix(string(line), "\n")
		fmt.Fprint(w, session.Printable(strings.TrimSuffix(text, "\r")))
		if end || errors.Is(err, io.EOF) && text != "" {
			fmt.Fprintln(w)
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return err
		}
	}
}

// damaged tells errors of a part's encoding from those of the connection, after
// which there is nothing more to read.
func damaged(err error) bool {
	return !errors.Is(err, session.ErrClosed) && !errors.Is(err, session.ErrTimeout) && !errors.Is(err, pop3.ErrProtocol) &&
		!errors.Is(err, ErrOutput)
}
