package mailbox

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"topdown/smtpclient/internal/message"
	"topdown/smtpclient/internal/session"
)

// maxShown bounds how much text of one mail show prints, in bytes.
const maxShown = 4 << 20

// A Shown message is the result of showing it.
type Shown struct {
	Header   map[string]string `json:"header"`
	Text     string            `json:"text"`
	Parts    []ShownPart       `json:"parts"`
	Warnings []string          `json:"warnings,omitempty"` // what is broken or left out

	left int64 // bytes of text that may still be shown; below 0 once some was left out
}

// A ShownPart is one that is not shown as text.
type ShownPart struct {
	Part string `json:"part"`
	Type string `json:"type"`
	Name string `json:"name"`
	Size int64  `json:"size"` // bytes
}

// Show writes a message to w: who, when, what, its text, those of the messages in
// it, and a list of its parts. A nil w leaves all that to the result.
func Show(r io.Reader, w io.Writer) (*Shown, error) {
	shown := &Shown{Header: make(map[string]string), Parts: []ShownPart{}, left: maxShown}
	var text strings.Builder
	json := w == nil
	if json {
		w = &text
	}
	v := &view{out: w, shown: shown, json: json}
	if err := v.visitor().Read(r); err != nil {
		return nil, err
	}
	if err := v.end(); err != nil {
		return nil, err
	}
	shown.Text = text.String()
	if json {
		return shown, nil
	}
	if len(shown.Parts) > 0 {
		fmt.Fprintln(w)
	}
	for _, p := range shown.Parts {
		fmt.Fprintf(w, "[%s] %s %s %s\n", p.Part, session.Printable(p.Type), session.Printable(p.Name), SizeText(p.Size))
	}
	return shown, nil
}

// view shows a message while it is read. HTML waits: it is only shown if there
// is no plain text.
type view struct {
	out       io.Writer
	shown     *Shown
	json      bool // the header is in the JSON, not in the text
	inner     bool // of a message in a message
	htmlText  string
	plainSeen bool
}

func (v *view) visitor() *message.Visitor {
	return &message.Visitor{Head: v.head, Part: v.part, Warn: func(text string) {
		v.shown.Warnings = append(v.shown.Warnings, text)
	}}
}

func (v *view) head(h message.Header) error {
	for _, name := range []string{"Date", "From", "To", "Cc", "Reply-To", "Subject"} {
		text := h.Text(name)
		if text == "" {
			continue
		}
		if !v.inner {
			v.shown.Header[name] = text
		}
		if v.inner || !v.json {
			fmt.Fprintf(v.out, "%s: %s\n", name, session.Printable(text))
		}
	}
	if v.inner || !v.json {
		fmt.Fprintln(v.out)
	}
	return nil
}

func (v *view) part(p *message.Part) error {
	switch {
	case p.IsMessage():
		return v.forwarded(p)
	case p.Type == "message/delivery-status", p.Type == "message/global-delivery-status":
		return v.deliveries(p)
	case p.Type == "text/calendar":
		return v.event(p)
	case !p.Attachment() && p.Type == "text/plain":
		v.plainSeen = true
		return v.print(p.Text())
	case !p.Attachment() && p.Type == "text/html":
		if v.htmlText != "" {
			return nil
		}
		var err error
		v.htmlText, err = message.PlainText(p.Text())
		return err
	}
	return v.list(p)
}

// list names a part that is not shown.
func (v *view) list(p *message.Part) error {
	size, err := io.Copy(io.Discard, p.Body)
	name := p.Filename
	if name == "" && p.ContentID != "" {
		name = "cid:" + p.ContentID
	}
	v.shown.Parts = append(v.shown.Parts, ShownPart{p.Path, p.Type, name, size})
	return err
}

// forwarded shows a message in the message.
func (v *view) forwarded(p *message.Part) error {
	fmt.Fprintf(v.out, "\n-------- Message in the message [%s] --------\n", p.Path)
	inner := &view{out: v.out, shown: v.shown, json: v.json, inner: true}
	if err := p.Read(inner.visitor()); err != nil {
		return err
	}
	if err := inner.end(); err != nil {
		return err
	}
	fmt.Fprintf(v.out, "-------- End of the message [%s] --------\n", p.Path)
	return nil
}

// deliveries tells a delivery report, a sentence for each recipient.
func (v *view) deliveries(p *message.Part) error {
	list, err := message.ReadDeliveries(p.Text())
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return v.list(p)
	}
	fmt.Fprintln(v.out, "\nDelivery report:")
	for _, d := range list {
		fmt.Fprintf(v.out, "  %s\n", session.Printable(d.String()))
	}
	return nil
}

// event tells an invitation.
func (v *view) event(p *message.Part) error {
	e, err := message.ReadEvent(p.Text())
	if err != nil {
		return err
	}
	if e == nil {
		return v.list(p)
	}
	kind, known := map[string]string{"": "Event", "REQUEST": "Invitation", "CANCEL": "Cancelled", "REPLY": "Answer to an invitation", "PUBLISH": "Event"}[e.Method]
	if !known {
		kind = "Calendar, " + e.Method
	}
	fmt.Fprintln(v.out)
	for _, line := range []struct{ name, text string }{{kind, e.Summary}, {"When", e.When}, {"Where", e.Where}, {"Organizer", e.Organizer}} {
		if line.text != "" {
			fmt.Fprintf(v.out, "%s: %s\n", session.Printable(line.name), session.Printable(strings.ReplaceAll(line.text, "\n", ", ")))
		}
	}
	return nil
}

func (v *view) end() error {
	if v.plainSeen || v.htmlText == "" {
		return nil
	}
	return v.print(strings.NewReader(v.htmlText))
}

// print prints a stranger's text line by line, made safe for a terminal.
func (v *view) print(r io.Reader) error {
	lines := bufio.NewReader(io.LimitReader(r, v.shown.left))
	for {
		line, err := lines.ReadString('\n')
		v.shown.left -= int64(len(line))
		if line != "" {
			fmt.Fprintln(v.out, session.Printable(strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")))
		}
		switch {
		case errors.Is(err, io.EOF):
			if n, _ := io.ReadFull(r, make([]byte, 1)); n > 0 && v.shown.left == 0 {
				v.shown.left = -1
				v.shown.Warnings = append(v.shown.Warnings, fmt.Sprintf("there is more text than %s: the rest is left out", SizeText(maxShown)))
			}
			return nil
		case err != nil:
			return err
		}
	}
}
