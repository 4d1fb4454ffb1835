package cache

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"topdown/pkg/httpmsg"
	"topdown/proxyserver/internal/exchange"
	"topdown/proxyserver/internal/rules"

	"go.uber.org/zap"
)

// forFetch copies a query for the goroutine of f, which may outlive it.
func (q *query) forFetch(f *fetch) *query {
	own := *q
	own.ctx, own.rules, own.req = f.ctx, f.rules, f.request(q.req)
	return &own
}

// lead starts the fetch that r reads and answers with what comes of it.
func (q *query) lead(r *reader) (*exchange.Response, error) {
	f := r.fetch
	own := q.forFetch(f)
	f.start(func() { own.run(f) })
	out, err := r.outcome()
	f.hush()
	if err != nil {
		return nil, err
	}
	q.now = out.now
	switch {
	case out.stored != nil:
		return q.readFirst(r, out), nil
	case out.resp != nil:
		resp := q.own(out)
		resp.Body = &ownBody{resp.Body, r, context.AfterFunc(q.ctx, f.cancel)}
		return resp, nil
	}
	r.leave()
	return q.without(out)
}

// direct asks the origin for q alone and in the client's own goroutine, because
// what comes is likely nobody else's: that takes 1.9 µs here, and with a fetch
// 8.4 (BenchmarkMissUncacheable). A fetch is begun only if the response is to be
// stored all the same; it ends with the client's context, as the origin's answer
// does.
func (q *query) direct() (*exchange.Response, error) {
	out := q.ask()
	q.now = out.now
	switch {
	case out.resp == nil:
		return q.without(out)
	case out.stored == nil:
		return q.own(out), nil
	}
	f := q.newFetch()
	r := f.joinLeader(q.ctx)
	f.start(func() { q.keep(f, out) })
	settled, err := r.outcome()
	switch {
	case err != nil:
		return nil, err
	case settled.err != nil: // the cache is closed, or has a fault
		r.leave()
		out.resp.Body.Close()
		return nil, settled.err
	case settled.stored != nil:
		return q.readFirst(r, settled), nil
	}
	r.leave()
	return q.own(settled), nil
}

// without answers where the origin has sent nothing for the client: it failed,
// or the store has something new; after a 304 it is known what.
func (q *query) without(out *outcome) (*exchange.Response, error) {
	if out.err != nil {
		return q.failed(out.err)
	}
	if out.found == nil {
		return nil, errLookAgain
	}
	q.found = *out.found
	if resp := q.answer(exchange.Revalidated, out.status); resp != nil {
		return resp, nil
	}
	return nil, errLookAgain
}

// readFirst answers the leader from the transfer to the store.
func (q *query) readFirst(r *reader, out *outcome) *exchange.Response {
	resp := *out.resp
	resp.Result, resp.Body = exchange.Miss, r
	// A client that has the new response already need not have it again, if
	// the rest of it is worth fetching all the same.
	if ruling := rules.NotModified(&q.rules, out.stored); ruling.OK && q.req.Method == "GET" &&
		resp.Framing >= 0 && int64(resp.Framing) <= q.c.Finish {
		q.say(ruling.Section, ruling.Why)
		r.leave()
		fields := slices.Clone(out.stored.Fields)
		fields.DeleteFunc(func(f httpmsg.Field) bool { return !rules.KeptIn304(f.Name) })
		return notModified(q.c.withStatus(fields, out.status, q.now), exchange.Miss)
	}
	resp.Fields = q.c.withStatus(resp.Fields, out.status, q.now)
	return &resp
}

// own makes the answer of a response that is nobody else's: the client reads the
// content from the origin itself.
func (q *query) own(out *outcome) *exchange.Response {
	resp := *out.resp
	resp.Result = exchange.Miss
	resp.Fields = q.c.withStatus(resp.Fields, out.status, q.now)
	return &resp
}

// failed answers in the place of an origin that could not be reached or whose
// response was an error: with what is stored, though stale, if that is allowed.
func (q *query) failed(err error) (*exchange.Response, error) {
	origin, answered := errors.AsType[*originError](err)
	status := 0
	if answered {
		status = origin.status
	}
	told, isTold := errors.AsType[*exchange.Error](err)
	if q.found.usable() && q.ctx.Err() == nil && (!isTold || told.Status >= 500) {
		ruling := rules.OnError(&q.rules, q.found.stored, status, q.now)
		if !answered {
			q.say(ruling.Section, ruling.Why)
		}
		if ruling.OK {
			text := "; hit; ttl=" + seconds(q.found.stored.TTL(q.now)) + "; detail=stale-if-error"
			if answered {
				text += "-" + strconv.Itoa(status)
			}
			if resp := q.answer(exchange.Stale, text); resp != nil {
				return resp, nil
			}
			q.found.entry = nil // its body is gone
		}
	}
	if answered {
		// Nothing may stand in for the error: it is for each client by itself.
		q.alone = true
		return q.direct()
	}
	return nil, err
}

// revalidate asks the origin in the background, once at a time for each URI
// (RFC 5861, section 3).
func (q *query) revalidate() {
	c := q.c
	if !c.tasks.validated.take() {
		return
	}
	req := *q.req
	req.Method, req.Fields = "GET", rules.RefreshFields(q.req.Fields)
	req.Body, req.Framing, req.Trailers, req.Interim = nil, 0, nil, nil
	req.Explain, req.Trace, req.Connected, req.Received, req.Timed = nil, nil, nil, nil, nil
	own := &query{c: c, ctx: c.tasks.ctx, req: &req, rules: rules.NewRequest(req.Method, req.Fields), key: q.key}
	f := own.newFetch()
	f.background = true
	if !c.fetches.addFirst(f) {
		c.tasks.validated.free()
		return // one is under way
	}
	f.start(func() {
		defer c.tasks.validated.free()
		own.lookup()
		own.run(f)
		if f.out.kind == failed {
			c.Log.Info("cache: revalidation in the background failed", zap.Error(f.out.err))
		}
	})
}

// originError is the origin's 5xx where a stale response was to be used
// instead.
type originError struct{ status int }

func (e *originError) Error() string { return "the origin answered " + strconv.Itoa(e.status) }

// run carries out f for its leader.
func (q *query) run(f *fetch) {
	release, there := q.takeTurn(f)
	defer release()
	switch out := &(outcome{kind: lookAgain, now: q.now}); {
	case there:
		f.settle(out)
	default:
		if out = q.ask(); out.err != nil {
			f.fail(out.err)
		} else if out.stored == nil {
			f.settle(out)
		} else {
			q.keep(f, out)
		}
	}
}

// ask asks the origin: with the validators of what is stored, or for the part
// that is missing, where that helps. An outcome with a stored response is one to
// keep.
func (q *query) ask() *outcome {
	if q.c.fetches.ended.Load() != q.ended {
		// A fetch that ended since the look into the store may have left there
		// what is wanted now. None can end unseen from here on: the key is ours.
		if q.lookup(); q.answerable() {
			return &outcome{kind: lookAgain, now: q.now}
		}
	}
	up, purpose := q.upstream()
	for {
		requestTime := q.c.Now()
		resp, err := q.c.Next.Exchange(q.ctx, up)
		q.now = q.c.Now()
		switch {
		case err != nil:
			return &outcome{kind: failed, err: err, now: q.now}
		case rules.Failure(resp.Status) && q.mayReplace(resp.Status):
			resp.Body.Close()
			return &outcome{kind: failed, err: &originError{resp.Status}, now: q.now}
		case resp.Status == 304 && purpose != plain:
			resp.Body.Close()
			if out := q.freshen(resp, requestTime); out != nil {
				return out
			}
			q.say("RFC 9111, 4.3.4", "the 304 is for none of the stored responses: asking without conditions")
		case resp.Status == 206 && purpose == completing:
			if whole := q.complete(resp); whole != nil {
				return q.receive(whole, requestTime)
			}
			resp.Body.Close()
		case resp.Status == 416 && purpose == completing:
			resp.Body.Close()
		default:
			return q.receive(resp, requestTime)
		}
		up, purpose = q.req, plain
	}
}

// mayReplace reports whether a stale response may stand in for an error of the
// origin.
func (q *query) mayReplace(status int) bool {
	if !q.found.usable() {
		return false
	}
	ruling := rules.OnError(&q.rules, q.found.stored, status, q.now)
	q.say(ruling.Section, ruling.Why)
	return ruling.OK
}

// receive handles a response that is not about what is stored: it is to be
// stored if that is allowed, or else the client's alone.
func (q *query) receive(resp *exchange.Response, requestTime time.Time) *outcome {
	if q.req.Method == "HEAD" {
		q.compareHead(resp, requestTime)
	}
	out := &outcome{
		kind: goAlone, resp: resp, now: q.now,
		status: "; fwd=" + q.found.forward + "; fwd-status=" + strconv.Itoa(resp.Status),
	}
	ruling := rules.Allowed(resp.Fields, q.c.Rules)
	if ruling.OK {
		out.stored = rules.Received(&q.rules, resp.Status, resp.Reason, resp.Fields, length(resp), requestTime, q.now, q.c.Rules)
		ruling = rules.Storable(&q.rules, out.stored)
	}
	q.say(ruling.Section, ruling.Why)
	if !ruling.OK {
		q.leave(out, ruling.Detail)
	}
	return out
}

// keep carries the response of out into the store and to the readers of f.
func (q *query) keep(f *fetch, out *outcome) {
	s := &q.c.fetches
	w, err := q.c.Store.Create(f.ctx, q.key, q.found.gen, length(out.resp))
	if err != nil {
		q.say("RFC 9111, 3", "not stored: "+err.Error())
		q.leave(out, "too-large")
		f.settle(out)
		return
	}
	if rules.Shareable(out.stored, q.now) {
		out.kind = readAlong
	} else {
		s.remove(f)
	}
	s.setAlone(q.key, q.now, out.kind == goAlone)
	out.status += "; stored"
	want := length(out.resp)
	if out.stored.Partial {
		part, _, _ := rules.ContentRange(out.resp.Fields)
		want = part.Size()
	}
	f.carry(w, want, out)
}

// leave makes the response of out the client's alone: it is not stored, and what
// it shows to be out of date is removed.
func (q *query) leave(out *outcome, detail string) {
	out.stored = nil
	if detail != "" {
		out.status += "; detail=" + detail
	}
	if q.outdated(out.resp.Status) {
		q.c.Store.Remove(q.ctx, q.found.entry)
		for _, part := range q.found.parts {
			q.c.Store.Remove(q.ctx, part)
		}
	}
	if q.req.Method == "GET" && !q.rules.HasRange() {
		q.c.fetches.setAlone(q.key, q.now, true)
	}
}

// outdated reports whether a response with that status shows that the origin
// has something newer than what was found.
func (q *query) outdated(status int) bool {
	return q.found.entry != nil && q.found.verdict.Use == rules.Validate && q.req.Method == "GET" &&
		status < 500 && status != 304 && status != 206 && status != 416
}
