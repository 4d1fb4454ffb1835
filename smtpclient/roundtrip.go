package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"time"

	"topdown/smtpclient/internal/message"
	"topdown/smtpclient/internal/smtp"
)

// roundtripConfig are the flags of roundtrip.
type roundtripConfig struct {
	to   string
	wait time.Duration // for the mail to arrive
	poll time.Duration // between looks at the mailbox
	keep bool          // leave the mail in the mailbox
}

// A roundtripReport is the result of roundtrip as JSON.
type roundtripReport struct {
	Result    string       `json:"result"` // same, different or failed
	Exit      int          `json:"exit"`
	MessageID string       `json:"message_id"`
	SendTime  float64      `json:"send_seconds"`
	TotalTime float64      `json:"total_seconds"` // from the start to the last byte fetched
	Parts     []partReport `json:"parts"`
	Error     string       `json:"error,omitempty"`
}

// A partReport is the comparison of one part.
type partReport struct {
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

// roundtrip sends a mail, waits until it is in the mailbox, fetches it and
// compares it part by part with what was sent.
func (p *program) roundtrip(ctx context.Context) error {
	r := &roundtripReport{Result: "failed", Parts: []partReport{}}
	err := p.sendAndFetch(ctx, r)
	r.Exit, r.Error = p.outcome(err)
	if p.cfg.json {
		return errors.Join(err, p.printJSON(r))
	}
	for _, part := range r.Parts {
		same := "the same"
		if !part.Same {
			same = "DIFFERENT"
		}
		fmt.Fprintf(p.out, "%-12s %-10s %6d bytes  %s\n", part.Name, part.Type, part.Size, same)
	}
	if err == nil {
		fmt.Fprintf(p.out, "The mail arrived, and is what was sent: accepted after %.3f s, fetched after %.3f s.\n", r.SendTime, r.TotalTime)
	}
	return err
}

func (p *program) sendAndFetch(ctx context.Context, r *roundtripReport) error {
	to, err := message.ParseAddress(p.cfg.trip.to)
	if err != nil {
		return usage("--to: %w", err)
	}
	from := to
	if p.cfg.draft.From != "" {
		if from, err = message.ParseAddress(p.cfg.draft.From); err != nil {
			return usage("--from: %w", err)
		}
	}
	if p.cfg.pop3.user == "" {
		p.cfg.pop3.user = to.Spec()
	}
	if _, err = p.pop3Config(ctx, p.cfg.detail()); err != nil {
		return err // before anything is sent
	}
	mail, parts, err := p.proofs(from, to)
	if err != nil {
		return err
	}
	composed, err := message.Compose(mail)
	if err != nil {
		return err
	}
	r.MessageID = mail.MessageID
	start := p.now()
	result, err := p.sendThrough(ctx, &smtp.Envelope{From: from.Spec(), To: []string{to.Spec()}}, composed, p.cfg.detail())
	if err != nil {
		return err
	}
	if result.Count(smtp.Accepted) != 1 {
		return fail(exitRefused, "the mail was not accepted")
	}
	r.SendTime = p.now().Sub(start).Seconds()
	search := &search{program: p, mail: mail, parts: parts, seen: make(map[string]bool)}
	if r.Parts, err = search.wait(ctx, start.Add(p.cfg.trip.wait)); err != nil {
		return err
	}
	r.TotalTime = p.now().Sub(start).Seconds()
	for _, part := range r.Parts {
		if !part.Same {
			r.Result = "different"
			return fail(exitFailed, "the mail arrived, but not as it was sent")
		}
	}
	r.Result = "same"
	return nil
}

// proofs composes the mail: text with everything that is easily broken on the
// way, HTML, and an image.
func (p *program) proofs(from, to message.Address) (*message.Mail, []proof, error) {
	id, boundary, err := p.cfg.draft.Identify(from)
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
		Text: text, HTML: page, Date: p.now(), MessageID: id, Boundary: boundary,
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
