package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"topdown/smtpclient/internal/bulk"
	"topdown/smtpclient/internal/draft"
	"topdown/smtpclient/internal/mailbox"
	"topdown/smtpclient/internal/message"
	"topdown/smtpclient/internal/pop3"
	"topdown/smtpclient/internal/session"
	"topdown/smtpclient/internal/smtp"
)

// eachConfig are the flags of send for one mail to each row of a list.
type eachConfig struct {
	list           string // path of a CSV file
	journal        string // path; empty: the list's with ".journal"
	journalSync    bool
	connections    int
	rate           float64 // mails a second, 0: no limit
	retries        int
	retryDelay     time.Duration
	retryUncertain bool
	askServer      bool // look first which of the uncertain mails are in the mailbox
}

// A rowReport is the outcome of one row as JSON, one on a line.
type rowReport struct {
	Row int `json:"row"`
	recipient
	MessageID string `json:"message_id"`
	Again     bool   `json:"again,omitempty"`
	Error     string `json:"error,omitempty"`
}

// An eachReport is the end of a run as JSON. The counts are over all runs with
// the same journal.
type eachReport struct {
	Result    string `json:"result"`
	Exit      int    `json:"exit"`
	Rows      int    `json:"rows"`
	Sent      int    `json:"sent"`
	Refused   int    `json:"refused"`
	Uncertain int    `json:"uncertain"`
	Found     int    `json:"found,omitempty"` // of the uncertain mails, in the mailbox
	Left      int    `json:"left"`
	Journal   string `json:"journal"`
	Error     string `json:"error,omitempty"`
}

// count takes the figures from the journal.
func (r *eachReport) count(journal *bulk.Journal) {
	r.Sent, r.Refused = journal.Count(bulk.Sent), journal.Count(bulk.Refused)
	r.Uncertain, r.Left = journal.Count(bulk.Uncertain), journal.Count(bulk.Open)
}

// sendEach sends a mail to each row.
func (p *program) sendEach(ctx context.Context) error {
	r := &eachReport{Journal: p.cfg.each.journal}
	if r.Journal == "" {
		r.Journal = p.cfg.each.list + ".journal"
	}
	err := p.runEach(ctx, r)
	r.Exit, r.Error = p.outcome(err)
	r.Result = resultOf(r.Exit)
	if p.cfg.json {
		return errors.Join(err, p.printJSON(r))
	}
	if r.Rows > 0 {
		fmt.Fprintf(p.out, "%d rows: %d sent, %d refused, %d uncertain, %d left (journal: %s)\n",
			r.Rows, r.Sent, r.Refused, r.Uncertain, r.Left, r.Journal)
	}
	return err
}

func (p *program) runEach(ctx context.Context, r *eachReport) error {
	each := &p.cfg.each
	series, err := p.cfg.draft.Series()
	if err != nil {
		return err
	}
	defer series.Close()
	for _, problem := range series.Problems {
		p.warn("%s", problem)
	}
	fingerprint, rows, err := series.Survey(each.list)
	if isPath(err) {
		err = draft.FileError("--each ", err)
	}
	if err != nil {
		return err
	}
	detail := p.cfg.detail()
	if detail == session.Replies {
		detail = session.Nothing // a list is no lesson: -v and --trace show the session
	}
	if detail != session.Nothing && each.connections > 1 {
		return usage("-v and --trace show one session: use --connections 1 with them")
	}
	cfg, err := p.smtpConfig(ctx, &p.cfg.smtp, detail)
	if err != nil {
		return err
	}
	journal, err := bulk.OpenJournal(r.Journal, fingerprint, rows)
	if err != nil {
		if errors.Is(err, bulk.ErrOtherRun) {
			return err
		}
		return fail(exitCantCreate, "%w", draft.FileError("--journal ", err))
	}
	journal.Sync, journal.Gather = each.journalSync, each.rate == 0
	r.Rows = rows
	if each.askServer {
		if r.Found, err = p.askServer(ctx, journal); err != nil {
			r.count(journal)
			return errors.Join(err, journal.Close())
		}
	}
	before := rows - journal.Count(bulk.Open)
	var progress *bar
	if p.terminal && !p.cfg.json {
		progress = newBar(p.err, "sending", int64(rows), "mails")
		progress.add(int64(before))
	}
	list, err := bulk.OpenList(each.list, nil)
	if err != nil {
		return errors.Join(err, journal.Close())
	}
	defer list.Close()
	runner := &bulk.Runner{
		Dial:    func(ctx context.Context) (*smtp.Session, error) { return smtp.Dial(ctx, cfg) },
		Compose: series.Compose, Journal: journal,
		Connections: each.connections, Rate: each.rate,
		Retries: each.retries, RetryDelay: each.retryDelay, RetryUncertain: each.retryUncertain,
		Report: func(out bulk.Outcome) { p.reportRow(out, progress) },
	}
	err = errors.Join(runner.Run(ctx, list), journal.Close())
	progress.clear()
	r.count(journal)
	switch {
	case err != nil:
		return err
	case r.Uncertain > 0:
		return fail(exitUncertain, "%d mails may have been delivered: see the journal; --retry-uncertain sends them again, --retry-uncertain=ask-server looks for them", r.Uncertain)
	case r.Left > 0:
		return fail(exitTemporary, "%d mails could not be delivered now: run the same command again", r.Left)
	case r.Refused == r.Rows && r.Rows > 0:
		return fail(exitRefused, "all %d mails were refused", r.Rows)
	case r.Refused > 0:
		return fail(exitPartial, "%d of %d mails were refused", r.Refused, r.Rows)
	}
	return nil
}

// askServer looks for the uncertain mails in the mailbox, by their Message-IDs, and
// notes those that are there as sent. One that is not there may be on its way, or
// in another mailbox: it stays uncertain.
func (p *program) askServer(ctx context.Context, journal *bulk.Journal) (found int, err error) {
	uncertain := journal.Uncertain()
	if len(uncertain) == 0 {
		return 0, nil
	}
	asked, looked := len(uncertain), false
	err = p.openMailbox(ctx, session.Nothing, func(box *pop3.Session) error {
		err = mailbox.Newest(box, nil, func(_ pop3.Entry, header message.Header) (done bool, err error) {
			id := strings.Trim(header.Get("Message-ID"), "<> ")
			if row, ours := uncertain[id]; ours {
				delete(uncertain, id)
				found++
				err = journal.Finish(row, bulk.Sent, "it is in the mailbox")
			}
			return len(uncertain) == 0, err
		})
		looked = err == nil
		return err
	})
	if err != nil && !looked { // a QUIT without an answer takes nothing back
		return found, fmt.Errorf("ask whether uncertain mails have arrived: %w", err)
	}
	if !p.cfg.json {
		fmt.Fprintf(p.out, "%d of %d uncertain mails are in the mailbox and count as sent\n", found, asked)
	}
	return found, nil
}

// reportRow shows the outcome of one attempt.
func (p *program) reportRow(out bulk.Outcome, progress *bar) {
	to := p.recipient(out.Row.To.Spec(), out.Status, out.Reply)
	if p.cfg.json {
		row := rowReport{Row: out.Row.Number, recipient: to, MessageID: out.MessageID, Again: out.Again}
		_, row.Error = p.outcome(out.Err)
		if err := p.printJSON(row); err != nil {
			p.warn("%v", err)
		}
	} else if out.Status != smtp.Accepted {
		progress.clear()
		again := ""
		if out.Again {
			again = " (will be tried again)"
		}
		fmt.Fprintln(p.out, to.String()+again)
	}
	if !out.Again {
		progress.add(1)
	}
}
