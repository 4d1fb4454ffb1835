package mailbox

import (
	"errors"
	"fmt"

	"topdown/smtpclient/internal/message"
	"topdown/smtpclient/internal/pop3"
	"topdown/smtpclient/internal/session"
)

// A Line is one message in a list of the mailbox.
type Line struct {
	Number  int    `json:"number"`
	UID     string `json:"uid,omitempty"`
	Size    int64  `json:"size"` // bytes
	Date    string `json:"date"`
	From    string `json:"from"`
	To      string `json:"to"`
	Subject string `json:"subject"`
	// Unreadable says why the fields before are missing or incomplete.
	Unreadable string `json:"unreadable,omitempty"`
}

// List reads the line about one message. A message that cannot be read has its
// line too; an error is of the connection.
func List(box *pop3.Session, entry pop3.Entry) (*Line, error) {
	header, err := Header(box, entry)
	line := &Line{
		Number: entry.Number, UID: entry.UID, Size: entry.Size,
		Date: header.Text("Date"), From: header.Text("From"), To: header.Text("To"), Subject: header.Text("Subject"),
	}
	if _, refused := errors.AsType[*pop3.Error](err); refused || errors.Is(err, message.ErrTooComplex) {
		line.Unreadable = err.Error()
		return line, nil
	}
	return line, err
}

// String is the line as people read it.
func (l *Line) String() string {
	if l.Unreadable != "" {
		return fmt.Sprintf("%4d  %10s  (unreadable: %s)", l.Number, SizeText(l.Size), session.Printable(l.Unreadable))
	}
	return fmt.Sprintf("%4d  %10s  %-30s  %s", l.Number, SizeText(l.Size), clip(session.Printable(l.From), 30), session.Printable(l.Subject))
}

// clip cuts a text to n characters.
func clip(s string, n int) string {
	runes := []rune(s)
	if len(runes) > n {
		return string(runes[:n-1]) + "…"
	}
	return s
}
