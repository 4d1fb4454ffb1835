package main

import (
	"bytes"
	"context"
	"io"
	"time"

	"topdown/smtpclient/internal/mailbox"
	"topdown/smtpclient/internal/message"
	"topdown/smtpclient/internal/pop3"
)

// A search waits for the mail of a round trip to be in the mailbox.
type search struct {
	*program
	mail  *message.Mail
	parts []proof
	seen  map[string]bool // UIDs of other mails
}

// wait looks until the mail is there, and compares it with what was sent.
func (s *search) wait(ctx context.Context, until time.Time) ([]partReport, error) {
	for {
		list, found, err := s.look(ctx)
		switch {
		case err != nil && exitCode(err) != exitTemporary, found && err == nil:
			return list, err
		case s.now().After(until) && err != nil:
			return nil, fail(exitTemporary, "the mail <%s> was accepted, but the mailbox could not be read within %v: %w", s.mail.MessageID, s.cfg.trip.wait, err)
		case s.now().After(until):
			return nil, fail(exitTemporary, "the mail <%s> was accepted and did not arrive within %v", s.mail.MessageID, s.cfg.trip.wait)
		}
		select {
		case <-time.After(s.cfg.trip.poll):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// look looks into the mailbox once, the newest mails first.
func (s *search) look(ctx context.Context) (list []partReport, found bool, _ error) {
	err := s.openMailbox(ctx, s.cfg.detail(), func(box *pop3.Session) error {
		return mailbox.Newest(box, s.seen, func(entry pop3.Entry, header message.Header) (bool, error) {
			if header.Get("Message-ID") != "<"+s.mail.MessageID+">" {
				if entry.UID != "" {
					s.seen[entry.UID] = true
				}
				return false, nil
			}
			found = true
			var err error
			if list, err = s.compare(box, entry, header); err != nil || s.cfg.trip.keep {
				return true, err
			}
			return true, box.Delete(entry.Number)
		})
	})
	return list, found, err
}

// compare fetches a message and compares each part with what was sent.
func (s *search) compare(box *pop3.Session, entry pop3.Entry, header message.Header) ([]partReport, error) {
	body, err := box.Retrieve(entry)
	if err != nil {
		return nil, err
	}
	list := []partReport{{"subject", "header", len(s.mail.Subject), header.Text("Subject") == s.mail.Subject}}
	n := 0
	err = message.Read(body, func(p *message.Part) error {
		if n++; n > len(s.parts) {
			return nil
		}
		want := s.parts[n-1]
		got, cerr := io.ReadAll(io.LimitReader(p.Body, int64(len(want.content))+1))
		list = append(list, partReport{want.name, want.kind, len(want.content), p.Type == want.kind && bytes.Equal(got, want.content)})
		return cerr
	})
	if err == nil && n != len(s.parts) {
		err = fail(exitFailed, "the mail arrived with %d parts instead of %d", n, len(s.parts))
	}
	return list, err
}
