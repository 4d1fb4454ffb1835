// Package bulk sends one mail to each row of a list over a few connections that
// are used again, and keeps a journal so that a run that stops, even by kill
// -9, goes on where it was without sending to anyone twice or forgetting anyone.
//
// It refuses to guess: a row whose mail was on its way when the run ended, or
// for which no final reply came, is called uncertain and is not sent again
// unless the caller says so.
package bulk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"topdown/smtpclient/internal/session"
	"topdown/smtpclient/internal/smtp"
)

// An Outcome is what became of one row at one attempt.
type Outcome struct {
	Row       *Row
	Status    smtp.Status
	Reply     smtp.Reply
	Err       error
	MessageID string
	Again     bool // it will be tried again in this run
}

// A Runner sends a list.
type Runner struct {
	// Dial opens a session, ready for MAIL.
	Dial func(ctx context.Context) (*smtp.Session, error)
	// Compose makes the mail for a row.
	Compose func(row *Row) (env *smtp.Envelope, m smtp.Message, id string, err error)
	Journal *Journal
	// Connections used at a time; 0 means 1.
	Connections int
	// Rate bounds the mails per second, over all connections; 0 means none.
	Rate float64
	// Retries is how often a row is tried again after a temporary failure.
	Retries int
	// RetryDelay is the wait before that, doubled each time.
	RetryDelay time.Duration
	// RetryUncertain sends the rows again that an earlier run left uncertain.
	RetryUncertain bool
	// Report is called with each outcome, by one goroutine at a time.
	Report func(Outcome)

	mu   sync.Mutex
	next time.Time // when the rate allows the next mail
}

// task is a row on its way.
type task struct {
	row     *Row
	attempt int // failures so far
	due     time.Time
}

// Run sends every row that the journal has open. Its error is of a kind that
// stops everything: a login refused, a server out of reach, a disk full. The
// outcomes of rows are reported, not returned.
func (r *Runner) Run(ctx context.Context, list *List) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// A few rows wait at hand, so that no connection waits for the list.
	tasks := make(chan *task, 4*max(1, r.Connections))
	results := make(chan *task, 4*max(1, r.Connections)) // a task to be tried again, or nil
	var workers sync.WaitGroup
	for range max(1, r.Connections) {
		workers.Go(func() {
			w := &worker{Runner: r}
			defer w.close()
			for t := range tasks {
				if ctx.Err() != nil {
					continue // the row stays open
				}
				again, err := w.send(ctx, t)
				if err != nil {
					cancel(err)
				}
				select {
				case results <- again:
				case <-ctx.Done():
				}
			}
		})
	}
	err := r.feed(ctx, list, tasks, results)
	if err != nil {
		cancel(err)
	}
	close(tasks)
	workers.Wait()
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// feed hands out rows, and rows to be tried again when they are due, until all
// have their outcome.
func (r *Runner) feed(ctx context.Context, list *List, tasks chan<- *task, results <-chan *task) error {
	var later []*task // by the time when they are due
	var ready *task
	atEnd, running := false, 0
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		if ready == nil {
			if len(later) > 0 {
				if wait := time.Until(later[0].due); wait > 0 {
					timer.Reset(wait)
				} else {
					ready, later = later[0], later[1:]
				}
			}
			for ready == nil && !atEnd {
				row, err := list.Next()
				if errors.Is(err, io.EOF) {
					atEnd = true
					break
				}
				if err != nil {
					return err
				}
				if row.Number > r.Journal.Rows() {
					return errors.New("the list has grown since the run began")
				}
				if r.wanted(row) {
					ready = &task{row: row}
				}
			}
			if ready == nil && running == 0 && len(later) == 0 {
				return nil
			}
		}
		out := tasks
		if ready == nil {
			out = nil
		}
		select {
		case out <- ready:
			ready = nil
			running++
		case back := <-results:
			running--
			if back != nil {
				i, _ := slices.BinarySearchFunc(later, back, func(a, b *task) int { return a.due.Compare(b.due) })
				later = slices.Insert(later, i, back)
			}
		case <-timer.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// wanted tells whether a row is still to be sent.
func (r *Runner) wanted(row *Row) bool {
	switch r.Journal.State(row.Number) {
	case Open:
		return true
	case Uncertain:
		return r.RetryUncertain
	}
	return false
}

// worker sends over one connection at a time.
type worker struct {
	*Runner
	session *smtp.Session
}

func (w *worker) close() {
	if w.session != nil {
		_ = w.session.Quit() // every mail has its outcome already
	}
}

// connected makes sure that there is a session. Servers that are busy for a
// moment get a few tries.
func (w *worker) connected(ctx context.Context) error {
	if w.session != nil && w.session.Usable() {
		return nil
	}
	if w.session != nil {
		w.session.Close()
		w.session = nil
	}
	delay := w.RetryDelay
	for attempt := 0; ; attempt++ {
		opened, err := w.Dial(ctx)
		if err == nil {
			w.session = opened
			return nil
		}
		if _, denied := errors.AsType[*session.AuthError](err); denied || attempt >= w.Retries || ctx.Err() != nil || !passing(err) {
			return err
		}
		if err := sleep(ctx, delay); err != nil {
			return err
		}
		delay *= 2
	}
}

// passing tells whether a failed connection is worth another try.
func passing(err error) bool {
	if wrong, ok := errors.AsType[*smtp.ReplyError](err); ok {
		return wrong.Reply.Temporary()
	}
	_, insecure := errors.AsType[*session.TLSError](err)
	return !insecure && !errors.Is(err, session.ErrNoTLS) && !errors.Is(err, smtp.ErrProtocol)
}

// send makes one attempt at a row. It returns the task if there is to be
// another, and an error if the whole run has to stop.
func (w *worker) send(ctx context.Context, t *task) (*task, error) {
	if err := w.wait(ctx); err != nil {
		return nil, err
	}
	env, m, id, err := w.Compose(t.row)
	if err != nil {
		return nil, fmt.Errorf("row %d, %s: %w", t.row.Number, t.row.To.Spec(), err)
	}
	started := false
	env.Committed = func() error {
		started = true
		return w.Journal.Start(t.row.Number, id)
	}
	used := w.session != nil && w.session.Usable()
	if err = w.connected(ctx); err != nil {
		return nil, err
	}
	result, err := w.session.Send(env, m)
	if used && !started && !w.session.Usable() && ctx.Err() == nil {
		// The server has closed a connection that had done its work: that is
		// no failure of this mail, which goes over a new one.
		if err = w.connected(ctx); err != nil {
			return nil, err
		}
		result, err = w.session.Send(env, m)
	}
	to := result.Recipients[0]
	out := Outcome{Row: t.row, Status: to.Status, Reply: to.Reply, Err: err, MessageID: id}
	state := Open
	switch to.Status {
	case smtp.Accepted:
		state = Sent
	case smtp.Uncertain:
		state = Uncertain
	case smtp.Refused:
		if wrong, ok := errors.AsType[*smtp.ReplyError](err); ok && strings.HasPrefix(wrong.Step, "MAIL") {
			return nil, err // the sender is refused: so it would be for every row
		}
		state = Refused
	default: // deferred, or the connection was lost before the dot
		if _, unfit := errors.AsType[*smtp.UnsupportedError](err); unfit {
			state, out.Status = Refused, smtp.Refused
			break
		}
		if _, source := errors.AsType[*smtp.SourceError](err); source {
			return nil, err
		}
		out.Again = t.attempt < w.Retries && ctx.Err() == nil
	}
	if state != Open || started {
		detail := ""
		if state != Sent {
			detail = fmt.Sprintf("%s %v", t.row.To.Spec(), err)
		}
		if jerr := w.Journal.Finish(t.row.Number, state, detail); jerr != nil {
			return nil, jerr
		}
	}
	if w.Report != nil {
		w.mu.Lock()
		w.Report(out)
		w.mu.Unlock()
	}
	if err != nil && w.session.Usable() {
		if err := w.session.Reset(); err != nil {
			w.session.Close() // the next row connects anew
		}
	}
	if !out.Again {
		return nil, nil
	}
	delay := w.RetryDelay << t.attempt
	if to.Status == smtp.Unsent || to.Reply.Code == 421 {
		delay = 0 // the connection was at fault, not the recipient
	}
	return &task{row: t.row, attempt: t.attempt + 1, due: time.Now().Add(delay)}, nil
}

// wait lets the rate pass.
func (r *Runner) wait(ctx context.Context) error {
	if r.Rate <= 0 {
		return nil
	}
	r.mu.Lock()
	now := time.Now()
	if r.next.Before(now) {
		r.next = now
	}
	pause := r.next.Sub(now)
	r.next = r.next.Add(time.Duration(float64(time.Second) / r.Rate))
	r.mu.Unlock()
	return sleep(ctx, pause)
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
