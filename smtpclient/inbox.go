package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"topdown/smtpclient/internal/draft"
	"topdown/smtpclient/internal/mailbox"
	"topdown/smtpclient/internal/pop3"
	"topdown/smtpclient/internal/session"
)

// inboxDetail is how much of the session inbox shows: the mail is what is wanted.
func (c *config) inboxDetail() session.Detail {
	if detail := c.detail(); detail > session.Replies {
		return detail
	}
	return session.Nothing
}

// inboxList shows the mailbox, a line for each message.
func (p *program) inboxList(ctx context.Context) error {
	var problem error // of a message, not of the session
	err := p.openMailbox(ctx, p.cfg.inboxDetail(), func(box *pop3.Session) error {
		count, size, err := box.Stat()
		if err != nil {
			return err
		}
		entries, err := box.List()
		if err != nil {
			return err
		}
		unreadable := 0
		for _, entry := range entries {
			line, err := mailbox.List(box, entry)
			if err != nil {
				return err
			}
			if line.Unreadable != "" {
				unreadable++
			}
			if p.cfg.json {
				if err := p.printJSON(line); err != nil {
					return err
				}
				continue
			}
			fmt.Fprintln(p.out, line)
		}
		if !p.cfg.json {
			fmt.Fprintf(p.out, "%s, %s\n", mailbox.CountText(count), mailbox.SizeText(size))
		}
		if unreadable > 0 {
			problem = fail(exitData, "%d of %d messages cannot be listed; inbox show shows what can be shown, inbox save --raw saves them", unreadable, len(entries))
		}
		return nil
	})
	return cmp.Or(err, problem)
}

// message opens the mailbox and does something with one message of it, or with
// its header where the server does not give the rest and that is of use.
func (p *program) message(ctx context.Context, header bool, do func(entry pop3.Entry, body *pop3.Body) error) error {
	var refusal error // of the message, not of the session
	err := p.openMailbox(ctx, p.cfg.inboxDetail(), func(box *pop3.Session) error {
		entry, err := mailbox.Find(box, p.cfg.which)
		if err != nil {
			return err
		}
		body, err := box.Retrieve(entry)
		if _, refused := errors.AsType[*pop3.Error](err); refused {
			refusal = fmt.Errorf("message %d: %w", entry.Number, err)
			if !header {
				return nil
			}
			if body, err = box.Top(entry, 0); err != nil {
				return refusal
			}
		}
		if err != nil {
			return err
		}
		if err := do(entry, body); err != nil {
			return fmt.Errorf("message %d: %w", entry.Number, err)
		}
		if got := body.Size(); refusal == nil && got != entry.Size {
			p.warn("message %d has %d bytes, the server announced %d", entry.Number, got, entry.Size)
		}
		return nil
	})
	return cmp.Or(err, refusal)
}

// inboxShow prints a message: who, when, what, its text, and a list of its parts.
func (p *program) inboxShow(ctx context.Context) error {
	return p.message(ctx, true, func(_ pop3.Entry, body *pop3.Body) error {
		out := p.out
		if p.cfg.json {
			out = nil
		}
		shown, err := mailbox.Show(body, out)
		if err != nil {
			return err
		}
		if p.cfg.json {
			return p.printJSON(shown)
		}
		for _, text := range shown.Warnings {
			p.warn("%s", session.Printable(text))
		}
		return nil
	})
}

// inboxSave writes the parts of a message to files of a directory.
func (p *program) inboxSave(ctx context.Context) error {
	dir := p.cfg.dir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fail(exitCantCreate, "%w", draft.FileError("", err))
	}
	return p.message(ctx, false, func(entry pop3.Entry, body *pop3.Body) error {
		var source io.Reader = body
		if p.terminal && entry.Size > 1<<20 {
			progress := newBar(p.err, "receiving", entry.Size, "B")
			defer progress.clear()
			source = io.TeeReader(source, progress)
		}
		saver := &mailbox.Saver{Dir: dir, Saved: p.saved, Warn: p.warn}
		if p.cfg.raw {
			saver.Raw = fmt.Sprintf("message-%d.eml", entry.Number)
		}
		return saver.Save(source)
	})
}

// saved tells about a file that was written.
func (p *program) saved(part mailbox.SavedPart) {
	if p.cfg.json {
		if err := p.printJSON(part); err != nil {
			p.warn("%v", err)
		}
		return
	}
	fmt.Fprintf(p.out, "%s (%s, %s)\n", filepath.FromSlash(part.File), session.Printable(part.Type), mailbox.SizeText(part.Size))
}

// inboxDelete deletes a message; it is gone only when QUIT has been confirmed.
func (p *program) inboxDelete(ctx context.Context) error {
	var entry pop3.Entry
	marked := false
	err := p.openMailbox(ctx, p.cfg.inboxDetail(), func(box *pop3.Session) error {
		var err error
		if entry, err = mailbox.Find(box, p.cfg.which); err != nil {
			return err
		}
		err = box.Delete(entry.Number)
		marked = err == nil
		return err
	})
	if err != nil {
		if marked {
			return fail(exitTemporary, "the deletion was not confirmed, the message may still be there: %w", err)
		}
		return err
	}
	if p.cfg.json {
		return p.printJSON(map[string]any{"deleted": entry.Number, "uid": entry.UID})
	}
	fmt.Fprintf(p.out, "Deleted message %d.\n", entry.Number)
	return nil
}
