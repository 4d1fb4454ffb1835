package main

import (
	"context"
	"errors"
	"fmt"

	"topdown/smtpclient/internal/draft"
	"topdown/smtpclient/internal/session"
	"topdown/smtpclient/internal/smtp"
)

// send is the command: one mail, or one to each row of a list.
func (p *program) send(ctx context.Context) error {
	if p.cfg.each.list != "" {
		return p.sendEach(ctx)
	}
	r := &report{Recipients: []recipient{}}
	err := p.sendOne(ctx, r)
	if p.cfg.dryRun && err == nil {
		return nil
	}
	r.Exit, r.Error = p.outcome(err)
	r.Result = resultOf(r.Exit)
	if p.cfg.json {
		return errors.Join(err, p.printJSON(r))
	}
	for _, to := range r.Recipients {
		fmt.Fprintln(p.out, to)
	}
	if r.MessageID != "" && len(r.Recipients) > 0 {
		fmt.Fprintf(p.out, "Message-ID: <%s>\n", r.MessageID)
	}
	return err
}

func (p *program) sendOne(ctx context.Context, r *report) error {
	mail, err := p.cfg.draft.Prepare()
	if err != nil {
		return err
	}
	defer mail.Close()
	r.MessageID, r.Size = mail.MessageID, mail.Message.Size()
	for _, problem := range mail.Problems {
		p.warn("%s", problem)
	}
	if p.cfg.dryRun {
		return p.dryRun(ctx, mail)
	}
	message := mail.Message
	if p.terminal && message.Size() > 1<<20 {
		message = watched{message, newBar(p.err, "sending", message.Size(), "B")}
	}
	var result *smtp.Result
	if p.cfg.direct {
		result, err = p.sendDirect(ctx, mail.Envelope, message)
	} else {
		r.Server = p.cfg.smtp.addr
		result, err = p.sendThrough(ctx, mail.Envelope, message, p.cfg.detail())
	}
	if result != nil {
		r.Recipients = p.recipients(result)
		if accepted := result.Count(smtp.Accepted); err == nil && accepted < len(result.Recipients) {
			return fail(exitPartial, "%d of %d recipients did not get the mail, the others did", len(result.Recipients)-accepted, len(result.Recipients))
		}
	}
	return err
}

// sendThrough sends a mail through the one server that was named.
func (p *program) sendThrough(ctx context.Context, env *smtp.Envelope, m smtp.Message, detail session.Detail) (*smtp.Result, error) {
	cfg, err := p.smtpConfig(ctx, &p.cfg.smtp, detail)
	if err != nil {
		return nil, err
	}
	s, err := smtp.Dial(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if _, ok := s.Extensions["DSN"]; !ok && (env.Notify != "" || env.Return != "") {
		p.warn("the server does not offer DSN: --notify and --ret have no effect")
	}
	if _, ok := s.Extensions["CHUNKING"]; !ok && p.cfg.chunking {
		p.warn("the server does not offer CHUNKING: the message is sent with DATA")
	}
	result, err := s.Send(env, m)
	if quit := s.Quit(); quit != nil && err == nil && detail >= session.Both {
		p.warn("the mail is delivered, but: %v", quit)
	}
	return result, err
}

// dryRun shows what would be sent: the problems and the commands on the error
// output, the message on the standard output. A server that is named is asked
// for its extensions and its limit, and given no mail.
func (p *program) dryRun(ctx context.Context, mail *draft.Mail) error {
	s := &smtp.Session{Chunking: p.cfg.chunking}
	if p.cfg.smtp.addr != "" {
		detail := p.cfg.detail()
		if detail < session.Both {
			detail = session.Nothing
		}
		cfg, err := p.smtpConfig(ctx, &p.cfg.smtp, detail)
		if err != nil {
			return err
		}
		cfg.Watch = session.Transcript(p.err, detail, smtp.Lessons) // beside the message
		if s, err = smtp.Dial(ctx, cfg); err != nil {
			return err
		}
		if err := s.Check(mail.Envelope, mail.Message); err != nil {
			p.warn("%v", err)
		}
		_ = s.Quit() // nothing was sent
	} else {
		p.warn("no --server: the commands are those for a server without extensions")
	}
	for _, line := range s.Commands(mail.Envelope, mail.Message) {
		fmt.Fprintln(p.err, line)
	}
	if _, err := mail.Message.WriteTo(p.out); err != nil {
		if isPath(err) {
			return err
		}
		return fail(exitData, "%w", err)
	}
	return nil
}
