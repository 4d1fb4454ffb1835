package draft

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"topdown/smtpclient/internal/bulk"
	"topdown/smtpclient/internal/dkim"
	"topdown/smtpclient/internal/message"
	"topdown/smtpclient/internal/smtp"
)

// A Series is one mail for each row of a list, made of one draft with
// placeholders.
type Series struct {
	Problems []string // what is odd about the draft

	draft               *Draft
	parts               message.Mail
	envelope            smtp.Envelope
	subject, text, html *bulk.Template
	signer              *dkim.Signer
	files               Mail
}

// Series reads the draft and its placeholders. The caller closes it.
func (d *Draft) Series() (*Series, error) {
	if len(d.To)+len(d.Cc)+len(d.Bcc) > 0 {
		return nil, mistake("--each takes the recipients from the list: leave out --to, --cc and --bcc")
	}
	if d.Message != "" {
		return nil, mistake("--each composes each mail: leave out --message")
	}
	s := &Series{draft: d}
	if err := s.prepare(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Series) prepare() error {
	d := s.draft
	parts, err := d.parts(&s.files)
	if err != nil {
		return err
	}
	s.parts = *parts
	s.envelope.From = parts.From.Spec()
	if s.signer, err = d.signer(s.envelope.From); err != nil {
		return err
	}
	if err = d.options(&s.envelope); err != nil {
		return err
	}
	for _, t := range []struct {
		to     **bulk.Template
		text   string
		escape bool
	}{{&s.subject, parts.Subject, false}, {&s.text, parts.Text, false}, {&s.html, parts.HTML, true}} {
		if *t.to, err = bulk.ParseTemplate(t.text, t.escape); err != nil {
			return &UsageError{err}
		}
	}
	s.Problems = parts.Check()
	return nil
}

// Close gives back the files of the mails.
func (s *Series) Close() { s.files.Close() }

// Compose makes the mail for a row.
func (s *Series) Compose(row *bulk.Row) (*smtp.Envelope, smtp.Message, string, error) {
	env, composed, id, err := s.unsigned(row)
	if err == nil && s.signer != nil {
		composed, err = s.signer.Sign(composed)
	}
	return env, composed, id, err
}

func (s *Series) unsigned(row *bulk.Row) (*smtp.Envelope, smtp.Message, string, error) {
	m := s.parts
	m.To = []message.Address{row.To}
	m.Subject, m.Text, m.HTML = s.subject.Fill(row), s.text.Fill(row), s.html.Fill(row)
	var err error
	if m.MessageID, m.Boundary, err = s.draft.Identify(m.From); err != nil {
		return nil, nil, "", err
	}
	m.Date = s.draft.Now()
	composed, err := message.Compose(&m)
	if err != nil {
		return nil, nil, "", fmt.Errorf("%w: %w", message.ErrFormat, err)
	}
	env := s.envelope
	env.To = []string{row.To.Spec()}
	return &env, composed, m.MessageID, nil
}

// Survey reads the whole list once, so that a mistake in it is found before the
// first mail, and returns a fingerprint of list and draft.
func (s *Series) Survey(path string) (fingerprint string, rows int, err error) {
	sum := sha256.New()
	list, err := bulk.OpenList(path, sum)
	if err != nil {
		return "", 0, err
	}
	defer list.Close()
	for _, t := range []*bulk.Template{s.subject, s.text, s.html} {
		for _, name := range t.Names() {
			if !slices.Contains(list.Names(), name) {
				return "", 0, mistake("{{%s}}: the list has no such column; it has %s", name, strings.Join(list.Names(), ", "))
			}
		}
	}
	for {
		row, err := list.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", 0, err
		}
		// Only the subject can be wrong in one row and right in another.
		err = message.Field{Name: "Subject", Value: s.subject.Fill(row)}.Check()
		if rows++; err == nil && rows == 1 {
			_, _, _, err = s.unsigned(row)
		}
		if err != nil {
			return "", 0, fmt.Errorf("%w: row %d, %s: %w", bulk.ErrList, row.Number, row.To.Spec(), err)
		}
	}
	fmt.Fprintf(sum, "\x00%s\x00%s\x00%s\x00%s", s.parts.From.Spec(), s.draft.Subject, s.parts.Text, s.parts.HTML)
	return hex.EncodeToString(sum.Sum(nil)), rows, nil
}
