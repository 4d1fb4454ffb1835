package agent

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"slices"
	"time"

	"topdown/smtpclient/internal/message"
	"topdown/smtpclient/internal/pop3"
	"topdown/smtpclient/internal/smtp"
)

// RoundtripOptions are the options of roundtrip.
type RoundtripOptions struct {
	SMTP, POP3 Server
	From, To   string
	Wait       time.Duration // for the mail to arrive
	Poll       time.Duration // between looks at the mailbox
	Keep       bool          // leave the mail in the mailbox
}

// A Roundtrip is the result of roundtrip as JSON.
type Roundtrip struct {
	Result    string      `json:"result"` // same, different or failed
	Exit      int         `json:"exit"`
	MessageID string      `json:"message_id"`
	SendTime  float64     `json:"send_seconds"`
	TotalTime float64     `json:"total_seconds"` // from the start to the last byte fetched
	Parts     []Roundpart `json:"parts"`
	Error     string      `json:"error,omitempty"`
}

// A Roundpart is the comparison of one part.
type Roundpart struct {
	Name string `json:"name"`
	Type string `json:"type"`
	Size int    `json:"size"` // bytes sent
	Same bool   `json:"same"`
}

// proof is the part of a mail that must come back as it left.
type proof struct {
	name, kind string
	content    []byte
}

// Roundtrip sends a mail, waits until it is in the mailbox, fetches it and
// compares it part by part with what was sent.
func (a *Agent) Roundtrip(ctx context.Context, o *RoundtripOptions) error {
	report := &Roundtrip{Result: "failed", Parts: []Roundpart{}}
	err := a.roundtrip(ctx, o, report)
	if report.Exit = ExitCode(err); err != nil {
		report.Error = a.Hide(err.Error())
	}
	if a.JSON {
		return errors.Join(err, a.printJSON(report))
	}
	for _, part := range report.Parts {
		verdict := "the same"
		if !part.Same {
			verdict = "DIFFERENT"
		}
		fmt.Fprintf(a.Out, "%-12s %-10s %6d bytes  %s\n", part.Name, part.Type, part.Size, verdict)
	}
	if err == nil {
		fmt.Fprintf(a.Out, "The mail arrived, and is what was sent: accepted after %.3f s, fetched after %.3f s.\n", report.SendTime, report.TotalTime)
	}
	return err
}

func (a *Agent) roundtrip(ctx context.Context, o *RoundtripOptions, report *Roundtrip) error {
	if o.To == "" {
		return Usage("--to is missing: whose mailbox is it?")
	}
	to, err := message.ParseAddress(o.To)
	if err != nil {
		return Usage("--to: %w", err)
	}
	from := to
	if o.From != "" {
		if from, err = message.ParseAddress(o.From); err != nil {
			return Usage("--from: %w", err)
		}
	}
	if o.POP3.Addr == "" || o.SMTP.Addr == "" {
		return Usage("a round trip needs --server to send and --pop3 to fetch")
	}
	if o.POP3.User == "" {
		o.POP3.User = to.Spec()
	}
	if o.Wait <= 0 || o.Poll <= 0 {
		return Usage("--wait and --poll must be more than 0")
	}
	if _, err = a.pop3Config(ctx, &o.POP3); err != nil {
		return err // before anything is sent
	}
	mail, parts, err := a.proofs(from, to)
	if err != nil {
		return err
	}
	composed, err := message.Compose(mail)
	if err != nil {
		return err
	}
	report.MessageID = mail.MessageID
	start := a.Now()
	send := &SendOptions{Server: o.SMTP}
	result, err := a.sendThrough(ctx, send, &smtp.Envelope{From: from.Spec(), To: []string{to.Spec()}}, composed)
	if err != nil {
		return err
	}
	if result.Count(smtp.Accepted) != 1 {
		return fail(ExitRefused, "the mail was not accepted")
	}
	report.SendTime = a.Now().Sub(start).Seconds()
	deadline := start.Add(o.Wait)
	seen := make(map[string]bool)
	var trouble error
	for {
		found, err := a.collect(ctx, o, mail, parts, seen, report)
		if trouble = err; err != nil && ExitCode(err) != ExitTemporary {
			return err
		}
		if found {
			break
		}
		if a.Now().After(deadline) {
			if trouble != nil {
				return fail(ExitTemporary, "the mail <%s> was accepted, but the mailbox could not be read within %v: %w", mail.MessageID, o.Wait, trouble)
			}
			return fail(ExitTemporary, "the mail <%s> was accepted and did not arrive within %v", mail.MessageID, o.Wait)
		}
		select {
		case <-time.After(o.Poll):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	report.TotalTime = a.Now().Sub(start).Seconds()
	for _, part := range report.Parts {
		if !part.Same {
			report.Result = "different"
			return fail(ExitFailed, "the mail arrived, but not as it was sent")
		}
	}
	report.Result = "same"
	return nil
}

// proofs composes the mail: text with everything that is easily broken on the
// way, HTML, and an image.
func (a *Agent) proofs(from, to message.Address) (*message.Mail, []proof, error) {
	id, boundary, err := a.identify(idDomain(from))
	if err != nil {
		return nil, nil, err
	}
	text := "Round trip " + id + "\r\n" +
		".\r\n..two dots, and a line that ends with a space \r\n" +
		"From here: Grüße, 你好, ∮ E⋅da = Q\r\n" +
		"A long line: " + string(bytes.Repeat([]byte("abcdefghij "), 120)) + "\r\n"
	page := "<!DOCTYPE html>\r\n<p>Round trip <b>" + id + "</b> – 你好</p>\r\n<img src=\"cid:roundtrip.png\" alt=\"colours\">\r\n"
	picture, err := picture()
	if err != nil {
		return nil, nil, err
	}
	mail := &message.Mail{
		From: from, To: []message.Address{to}, Subject: "Round trip – 往返 " + id[:8],
		Text: text, HTML: page, Date: a.Now(), MessageID: id, Boundary: boundary,
		Inline: []message.File{{
			Name: "roundtrip.png", Type: "image/png", Size: int64(len(picture)),
			Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(picture)), nil },
		}},
	}
	return mail, []proof{{"text", "text/plain", []byte(text)}, {"HTML", "text/html", []byte(page)}, {"image", "image/png", picture}}, nil
}

// picture draws the image that travels.
func picture() ([]byte, error) {
	const side = 64
	img := image.NewNRGBA(image.Rect(0, 0, side, side))
	for y := range side {
		for x := range side {
			img.Set(x, y, color.NRGBA{uint8(4 * x), uint8(4 * y), uint8(255 - 2*(x+y)), 255})
		}
	}
	var b bytes.Buffer
	err := png.Encode(&b, img)
	return b.Bytes(), err
}

// collect looks into the mailbox once and compares the mail if it is there.
func (a *Agent) collect(ctx context.Context, o *RoundtripOptions, mail *message.Mail, parts []proof, seen map[string]bool, report *Roundtrip) (bool, error) {
	found := false
	look := func(session *pop3.Session) error {
		entries, err := session.List()
		if err != nil {
			return err
		}
		for _, entry := range slices.Backward(entries) { // the newest come last
			if entry.UID != "" && seen[entry.UID] {
				continue
			}
			header, err := a.header(session, entry)
			if err != nil {
				return err
			}
			if header.Get("Message-ID") != "<"+mail.MessageID+">" {
				if entry.UID != "" {
					seen[entry.UID] = true
				}
				continue
			}
			found = true
			if report.Parts, err = a.compare(session, entry, header, mail, parts); err != nil {
				return err
			}
			if !o.Keep {
				return session.Delete(entry.Number)
			}
			return nil
		}
		return nil
	}
	err := a.mailbox(ctx, &o.POP3, look)
	return found, err
}

// compare fetches a message and compares each part with what was sent.
func (a *Agent) compare(session *pop3.Session, entry pop3.Entry, header message.Header, mail *message.Mail, parts []proof) ([]Roundpart, error) {
	body, err := session.Retrieve(entry)
	if err != nil {
		return nil, err
	}
	list := []Roundpart{{"subject", "header", len(mail.Subject), header.Text("Subject") == mail.Subject}}
	n := 0
	err = message.Read(body, nil, func(p *message.Part) error {
		sum := sha256.New()
		if _, cerr := io.Copy(sum, p.Body); cerr != nil {
			return cerr
		}
		if n < len(parts) {
			want := parts[n]
			wantSum := sha256.Sum256(want.content)
			list = append(list, Roundpart{want.name, want.kind, len(want.content), p.Type == want.kind && bytes.Equal(sum.Sum(nil), wantSum[:])})
		}
		n++
		return nil
	})
	if err == nil && n != len(parts) {
		err = fail(ExitFailed, "the mail arrived with %d parts instead of %d", n, len(parts))
	}
	return list, err
}
