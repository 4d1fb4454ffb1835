package proxy

import (
	"bytes"
	"context"
	"sync"
	"time"

	"topdown/pkg/httpmsg"
	"topdown/proxyserver/internal/exchange"
	"topdown/proxyserver/internal/history"
	"topdown/proxyserver/internal/tracefile"
)

// This file has what an exchange leaves for the history, where there is one.

// answered is what the history keeps of an answer besides what the access log
// has.
type answered struct {
	tier    string
	fields  httpmsg.Fields
	failure *exchange.Error
}

// kept is the trace of an exchange that the history keeps, with the times of the
// steps on the way to the origin.
type kept struct {
	id    int64
	start time.Time
	file  *tracefile.File

	mu        sync.Mutex
	text      bytes.Buffer
	over      bool
	steps     []history.Step
	firstByte time.Duration
}

func newKept(id int64) *kept {
	k := &kept{id: id, start: time.Now()}
	k.file = tracefile.New(k, "proxyserver", "proxy", k.start, TraceHelpers...)
	return k
}

// Write implements io.Writer. What comes after the exchange is lost, and of a
// trace that is too long nothing will be kept.
func (k *kept) Write(p []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.over && k.text.Len() <= history.MaxTrace {
		k.text.Write(p)
	}
	return len(p), nil
}

// timed is told of a step on the way to the origin.
func (k *kept) timed(step string, began time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.steps = append(k.steps, history.Step{Name: step, From: began.Sub(k.start), To: time.Since(k.start)})
}

// responded is told of a head that came from the origin.
func (k *kept) responded() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.firstByte == 0 {
		k.firstByte = time.Since(k.start)
	}
}

// withTimes returns the session's context; in it connecting tells the trace.
func (c *session) withTimes() context.Context {
	if c.trace == nil || c.trace.kept == nil {
		return c.ctx
	}
	return exchange.WithTimed(c.ctx, c.trace.kept.timed)
}

// rememberBegin shows an exchange that may take long while it is under way.
func (c *session) rememberBegin() {
	if c.trace == nil || c.trace.kept == nil {
		return
	}
	k := c.trace.kept
	c.server.History.Put(k.id, func(r *history.Record) {
		c.fill(r)
		r.UnderWay, r.Exact, r.Start = true, true, k.start
	})
}

// remember leaves the exchange that is over to the history. start is the zero
// time where nobody needed it; then tick, when it began by the clock's ticks,
// has to do.
func (c *session) remember(start time.Time, tick time.Duration) {
	h := c.server.History
	if h == nil {
		return
	}
	switch c.result {
	case exchange.Hit, exchange.Stale, exchange.Revalidated, exchange.Collapsed:
		c.server.Stats.Saved.Add(c.sent)
	}
	if c.trace != nil && c.trace.kept != nil {
		k := c.trace.kept
		h.Put(k.id, func(r *history.Record) {
			c.fill(r)
			r.Start, r.Exact, r.Took = k.start, true, time.Since(k.start)
			k.mu.Lock()
			defer k.mu.Unlock()
			k.over = true
			r.Trace, r.Steps, r.FirstByte = k.text.Bytes(), k.steps, k.firstByte
		})
		return
	}
	if c.answered.failure == nil && !h.Wants() {
		return
	}
	h.Put(h.Begin(), func(r *history.Record) {
		c.fill(r)
		if r.Exact = !start.IsZero(); r.Exact {
			r.Start, r.Took = start, c.server.Now().Sub(start)
		} else {
			r.Start, r.Took = c.server.Clock.Time(tick), c.server.Clock.Now()-tick
		}
	})
}

// fill writes what is known of the exchange.
func (c *session) fill(r *history.Record) {
	r.Client, r.User = c.client, c.user
	r.Method, r.Target, r.Minor = c.req.Method, c.req.Target, c.req.Minor
	r.Scheme, r.Host, r.Path = c.target.scheme, c.target.host, c.target.path
	r.Status, r.Result, r.Sent = c.status, c.result, c.sent
	r.Tier, r.Failure = c.answered.tier, c.answered.failure
	r.Request = append(r.Request, c.req.Fields...)
	r.Response = append(r.Response, c.answered.fields...)
}
