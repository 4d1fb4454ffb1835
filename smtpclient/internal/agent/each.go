package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"topdown/smtpclient/internal/bulk"
	"topdown/smtpclient/internal/dkim"
	"topdown/smtpclient/internal/message"
	"topdown/smtpclient/internal/smtp"
	"topdown/smtpclient/internal/wire"
)

// Each are the options of send for one mail to each row of a list.
type Each struct {
	List           string // path of a CSV file
	Journal        string // path; empty: the list's with ".journal"
	JournalSync    bool
	Connections    int
	Rate           float64
	Retries        int
	RetryDelay     time.Duration
	RetryUncertain bool
}

// A RowReport is the outcome of one row as JSON, one on a line.
type RowReport struct {
	Row int `json:"row"`
	Recipient
	MessageID string `json:"message_id"`
	Again     bool   `json:"again,omitempty"`
	Error     string `json:"error,omitempty"`
}

// An EachReport is the end of a run as JSON. The counts are over all runs with
// the same journal.
type EachReport struct {
	Result    string `json:"result"`
	Exit      int    `json:"exit"`
	Rows      int    `json:"rows"`
	Sent      int    `json:"sent"`
	Refused   int    `json:"refused"`
	Uncertain int    `json:"uncertain"`
	Left      int    `json:"left"`
	Journal   string `json:"journal"`
	Error     string `json:"error,omitempty"`
}

// writer composes the mail for a row.
type writer struct {
	agent               *Agent
	mail                message.Mail
	from, idDomain      string
	subject, text, html *bulk.Template
	signer              *dkim.Signer
	notify, ret         string
}

func (w *writer) compose(row *bulk.Row) (*smtp.Envelope, smtp.Message, string, error) {
	m := w.mail
	m.To = []message.Address{row.To}
	m.Subject, m.Text, m.HTML = w.subject.Fill(row), w.text.Fill(row), w.html.Fill(row)
	var err error
	if m.MessageID, m.Boundary, err = w.agent.identify(w.idDomain); err != nil {
		return nil, nil, "", err
	}
	m.Date = w.agent.Now()
	composed, err := message.Compose(&m)
	if err != nil {
		return nil, nil, "", fail(ExitData, "%w", err)
	}
	env := &smtp.Envelope{From: w.from, To: []string{row.To.Spec()}, Notify: w.notify, Return: w.ret}
	return env, composed, m.MessageID, nil
}

// signed is compose with a signature, if one is wanted.
func (w *writer) signed(row *bulk.Row) (*smtp.Envelope, smtp.Message, string, error) {
	env, m, id, err := w.compose(row)
	if err == nil && w.signer != nil {
		m, err = w.signer.Sign(m)
	}
	return env, m, id, err
}

// newWriter reads the letter and its placeholders.
func (a *Agent) newWriter(o *SendOptions) (*writer, error) {
	if len(o.To)+len(o.Cc)+len(o.Bcc) > 0 {
		return nil, Usage("--each takes the recipients from the list: leave out --to, --cc and --bcc")
	}
	if o.Message != "" || o.Direct || o.DryRun {
		return nil, Usage("--each goes with neither --message nor --direct nor --dry-run")
	}
	if o.Server.Addr == "" {
		return nil, Usage("--server is missing: which server takes the mails?")
	}
	if o.Each.Connections < 1 || o.Each.Connections > 100 {
		return nil, Usage("--connections %d: use 1 to 100", o.Each.Connections)
	}
	if o.Each.Rate < 0 || o.Each.Retries < 0 || o.Each.Retries > 20 {
		return nil, Usage("--rate must not be negative, --retries must be 0 to 20")
	}
	m, err := a.mail(&o.Letter)
	if err != nil {
		return nil, err
	}
	w := &writer{agent: a, mail: *m, from: m.From.Spec(), idDomain: idDomain(m.From), ret: strings.ToUpper(o.Return)}
	if w.notify, err = notify(o.Notify); err != nil {
		return nil, err
	}
	if w.signer, err = o.signer(w.from); err != nil {
		return nil, err
	}
	for _, t := range []struct {
		to     **bulk.Template
		text   string
		escape bool
	}{{&w.subject, m.Subject, false}, {&w.text, m.Text, false}, {&w.html, m.HTML, true}} {
		if *t.to, err = bulk.ParseTemplate(t.text, t.escape); err != nil {
			return nil, Usage("%w", err)
		}
	}
	for _, problem := range m.Check() {
		a.warn("%s", problem)
	}
	return w, nil
}

// survey reads the whole list once, so that a mistake in it is found before the
// first mail, and returns a fingerprint of list and mail.
func (w *writer) survey(o *SendOptions) (fingerprint string, rows int, err error) {
	sum := sha256.New()
	list, err := bulk.OpenList(o.Each.List, sum)
	if err != nil {
		return "", 0, err
	}
	defer list.Close()
	for _, t := range []*bulk.Template{w.subject, w.text, w.html} {
		for _, name := range t.Names() {
			if !slices.Contains(list.Names(), name) {
				return "", 0, Usage("{{%s}}: the list has no such column; it has %s", name, strings.Join(list.Names(), ", "))
			}
		}
	}
	for {
		row, err := list.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", 0, fail(ExitData, "%w", err)
		}
		// Only the subject can be wrong in one row and right in another.
		if err := (message.Field{Name: "Subject", Value: w.subject.Fill(row)}).Check(); err != nil {
			return "", 0, fail(ExitData, "row %d, %s: %w", row.Number, row.To.Spec(), err)
		}
		if rows++; rows == 1 {
			if _, _, _, err := w.compose(row); err != nil {
				return "", 0, fail(ExitData, "row %d, %s: %w", row.Number, row.To.Spec(), err)
			}
		}
	}
	fmt.Fprintf(sum, "\x00%s\x00%s\x00%s\x00%s", w.from, o.Subject, w.mail.Text, w.mail.HTML)
	return hex.EncodeToString(sum.Sum(nil)), rows, nil
}

// sendEach sends a mail to each row.
func (a *Agent) sendEach(ctx context.Context, o *SendOptions) error {
	report := &EachReport{Journal: o.Each.Journal}
	if report.Journal == "" {
		report.Journal = o.Each.List + ".journal"
	}
	err := a.runEach(ctx, o, report)
	if report.Exit = ExitCode(err); err != nil {
		report.Error = a.Hide(err.Error())
	}
	report.Result = outcome(report.Exit)
	if a.JSON {
		return errors.Join(err, a.printJSON(report))
	}
	if report.Rows > 0 {
		fmt.Fprintf(a.Out, "%d rows: %d sent, %d refused, %d uncertain, %d left (journal: %s)\n",
			report.Rows, report.Sent, report.Refused, report.Uncertain, report.Left, report.Journal)
	}
	return err
}

func (a *Agent) runEach(ctx context.Context, o *SendOptions, report *EachReport) error {
	w, err := a.newWriter(o)
	if err != nil {
		return err
	}
	fingerprint, rows, err := w.survey(o)
	if err != nil {
		return err
	}
	if o.Server.Limit == 0 {
		o.Server.Limit = time.Hour
	}
	quiet := *a
	if quiet.Detail == Replies {
		quiet.Detail = Nothing // a list is no lesson: -v and --trace show the dialogue
	}
	if quiet.Detail != Nothing && o.Each.Connections > 1 {
		return Usage("-v and --trace show one dialogue: use --connections 1 with them")
	}
	cfg, err := quiet.sendConfig(ctx, o)
	if err != nil {
		return err
	}
	journal, err := bulk.OpenJournal(report.Journal, fingerprint, rows)
	if err != nil {
		if errors.Is(err, bulk.ErrOtherRun) {
			return fail(ExitData, "%w", err)
		}
		return fail(ExitCantCreate, "journal: %w", err)
	}
	journal.Sync, journal.Gather = o.Each.JournalSync, o.Each.Rate == 0
	report.Rows = rows
	before := rows - journal.Count(bulk.Open)
	var progress *bar
	if a.Terminal && !a.JSON {
		progress = newBar(a.Err, "sending", int64(rows), "mails")
		progress.add(int64(before))
	}
	list, err := bulk.OpenList(o.Each.List, nil)
	if err != nil {
		return errors.Join(err, journal.Close())
	}
	defer list.Close()
	runner := &bulk.Runner{
		Dial:    func(ctx context.Context) (*smtp.Session, error) { return smtp.Dial(ctx, cfg) },
		Compose: w.signed, Journal: journal,
		Connections: o.Each.Connections, Rate: o.Each.Rate,
		Retries: o.Each.Retries, RetryDelay: o.Each.RetryDelay, RetryUncertain: o.Each.RetryUncertain,
		Report: func(out bulk.Outcome) { a.reportRow(out, progress) },
	}
	err = errors.Join(runner.Run(ctx, list), journal.Close())
	progress.clear()
	report.Sent, report.Refused = journal.Count(bulk.Sent), journal.Count(bulk.Refused)
	report.Uncertain, report.Left = journal.Count(bulk.Uncertain), journal.Count(bulk.Open)
	switch {
	case err != nil:
		return err
	case report.Uncertain > 0:
		return fail(ExitUncertain, "%d mails may have been delivered: see the journal; --retry-uncertain sends them again", report.Uncertain)
	case report.Left > 0:
		return fail(ExitTemporary, "%d mails could not be delivered now: run the same command again", report.Left)
	case report.Refused == report.Rows && report.Rows > 0:
		return fail(ExitRefused, "all %d mails were refused", report.Rows)
	case report.Refused > 0:
		return fail(ExitPartial, "%d of %d mails were refused", report.Refused, report.Rows)
	}
	return nil
}

// reportRow shows the outcome of one attempt.
func (a *Agent) reportRow(out bulk.Outcome, progress *bar) {
	to := Recipient{out.Row.To.Spec(), out.Status, out.Reply.Code, out.Reply.Enhanced, wire.Printable(a.Hide(out.Reply.Text()))}
	if a.JSON {
		row := RowReport{Row: out.Row.Number, Recipient: to, MessageID: out.MessageID, Again: out.Again}
		if out.Err != nil {
			row.Error = a.Hide(out.Err.Error())
		}
		if err := a.printJSON(row); err != nil {
			a.warn("%v", err)
		}
	} else if out.Status != smtp.Accepted {
		progress.clear()
		again := ""
		if out.Again {
			again = " (will be tried again)"
		}
		fmt.Fprintln(a.Out, verdict(to)+again)
	}
	if !out.Again {
		progress.add(1)
	}
}
