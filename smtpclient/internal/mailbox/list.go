package mailbox

import (
	"fmt"

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
}

// List reads the line about one message.
func List(box *pop3.Session, entry pop3.Entry) (*Line, error) {
	header, err := Header(box, entry)
	if err != nil {
		return nil, err
	}
	return &Line{
		entry.Number, entry.UID, entry.Size, header.Text("Date"), header.Text("From"), header.Text("To"), header.Text("Subject"),
	}, nil
}

// String is the line as people read it.
func (l *Line) String() string {
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
