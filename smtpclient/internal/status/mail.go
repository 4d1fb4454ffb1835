package status

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"topdown/smtpclient/internal/mailbox"
	"topdown/smtpclient/internal/message"
	"topdown/smtpclient/internal/session"
)

// Bounds of what a page shows of a mail, in bytes.
const (
	maxText    = 1 << 20  // of a text
	maxPicture = 1 << 20  // of a picture within HTML
	maxInside  = 4 << 20  // of all pictures together
	maxFrame   = 16 << 20 // of the pictures in the places where they are shown
)

// A mail is what a page shows of one.
type mail struct {
	From, To, Cc, Subject, Date string
	Text                        string
	HTML                        string // as sent, UTF-8
	Parts                       []part
	Warnings                    []string
	pictures                    map[string]string // data: by Content-ID
}

type part struct{ Path, Type, Name, Size string }

// readMail reads all that is shown of a mail.
func readMail(data []byte) *mail {
	m := &mail{pictures: make(map[string]string)}
	inside := 0
	v := &message.Visitor{
		Head: func(h message.Header) error {
			m.From, m.To, m.Cc, m.Subject, m.Date = shown(h.Text("From")), shown(h.Text("To")), shown(h.Text("Cc")), shown(h.Text("Subject")), shown(h.Text("Date"))
			return nil
		},
		Part: func(p *message.Part) error {
			var size int64
			switch {
			case !p.Attachment() && p.Type == "text/plain" && m.Text == "":
				text, err := io.ReadAll(io.LimitReader(p.Text(), maxText))
				if m.Text, size = string(text), int64(len(text)); err != nil {
					return err
				}
			case !p.Attachment() && p.Type == "text/html" && m.HTML == "":
				text, err := io.ReadAll(io.LimitReader(p.Text(), maxText))
				if m.HTML, size = string(text), int64(len(text)); err != nil {
					return err
				}
			case p.ContentID != "" && slices.Contains([]string{"image/png", "image/jpeg", "image/gif", "image/webp"}, p.Type):
				content, err := io.ReadAll(io.LimitReader(p.Body, maxPicture))
				if err != nil {
					return err
				}
				size = int64(len(content))
				if inside += len(content); inside <= maxInside {
					m.pictures[p.ContentID] = "data:" + p.Type + ";base64," + base64.StdEncoding.EncodeToString(content)
				}
			}
			rest, err := io.Copy(io.Discard, p.Body)
			m.Parts = append(m.Parts, part{p.Path, shown(p.Type), shown(p.Filename), mailbox.SizeText(size + rest)})
			return err
		},
		Warn: func(text string) { m.Warnings = append(m.Warnings, shown(text)) },
	}
	if err := v.Read(bytes.NewReader(data)); err != nil {
		m.Warnings = append(m.Warnings, shown(err.Error()))
	}
	if m.Text == "" && m.HTML != "" {
		if text, err := message.PlainText(strings.NewReader(m.HTML)); err == nil {
			m.Text = text
		}
	}
	return m
}

// shown makes a stranger's line safe to show.
func shown(s string) string { return session.Printable(s) }

// reference is how HTML names a picture of its mail (RFC 2392).
var reference = regexp.MustCompile(`(?i)cid:[^"'()\s>]+`)

// frame is the HTML with the mail's own pictures in it, each as often as there is
// room for.
func (m *mail) frame() string {
	left := maxFrame
	return reference.ReplaceAllStringFunc(m.HTML, func(found string) string {
		id, err := url.PathUnescape(found[len("cid:"):])
		picture, ok := m.pictures[id]
		if left -= len(picture); err != nil || !ok || left < 0 {
			return found
		}
		return picture
	})
}

// html is the HTML of a mail, for the frame: whatever it says, it runs nothing,
// loads nothing and goes nowhere.
func (s *Server) html(w http.ResponseWriter, r *http.Request) {
	e, ok := s.find(w, r)
	if !ok {
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; base-uri 'none'; frame-ancestors 'self'")
	_, _ = io.WriteString(w, readMail(e.Data).frame()) // the browser has gone if this fails
}

// raw is the source of a mail.
func (s *Server) raw(w http.ResponseWriter, r *http.Request) {
	if e, ok := s.find(w, r); ok {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "sandbox; default-src 'none'; frame-ancestors 'none'")
		_, _ = w.Write(e.Data) // the browser has gone if this fails
	}
}

// errFound ends the search for a part.
var errFound = errors.New("found")

// part is one part of a mail, to be saved.
func (s *Server) part(w http.ResponseWriter, r *http.Request) {
	e, ok := s.find(w, r)
	if !ok {
		return
	}
	err := message.Read(bytes.NewReader(e.Data), func(p *message.Part) error {
		if p.Path != r.PathValue("path") {
			return nil
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": message.SafeName(p)}))
		_, _ = io.Copy(w, p.Body) // the browser has gone if this fails
		return errFound
	})
	if !errors.Is(err, errFound) {
		http.NotFound(w, r)
	}
}

// subject returns the subject of a mail.
func subject(data []byte) string {
	header, _ := message.ReadHeader(bytes.NewReader(data)) // what can be read of it
	return shown(header.Text("Subject"))
}
