package cache

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"topdown/pkg/httpmsg"
	"topdown/proxyserver/internal/exchange"
)

// pass forwards a request that the cache takes no part in, and forgets what a
// successful unsafe one has changed (RFC 9111, section 4.4).
func (x *exchangeState) pass(why ruling, fwd string) (*exchange.Response, error) {
	if x.explained() {
		x.say(why.section, why.why)
	}
	requestTime := x.c.Now()
	resp, err := x.c.Next.Exchange(x.ctx, x.req)
	if err != nil || resp.Status == 101 {
		return resp, err
	}
	x.now = x.c.Now()
	status := "; fwd=" + fwd + "; fwd-status=" + strconv.Itoa(resp.Status)
	if why.detail != "" && why.detail != fwd {
		status += "; detail=" + why.detail
	}
	out := *resp
	out.Result = exchange.Bypass
	if !safe(x.req.Method) && resp.Status >= 200 && resp.Status < 400 {
		x.key = keyOf(x.req.Scheme, x.req.Host, x.req.Path)
		for _, key := range append(related(x.key, resp.Fields), x.key) {
			n := x.c.invalidate(key)
			if x.explained() {
				x.say("RFC 9111, 4.4", "a successful "+x.req.Method+" invalidates "+key+": "+strconv.Itoa(n)+" removed")
			}
		}
		if x.req.Method == "POST" {
			x.since = x.c.Store.Removals(x.key)
			if stored := x.storePost(resp, requestTime); stored != nil {
				out, status = *stored, status+"; stored"
			}
		}
	}
	out.Fields = x.c.withStatus(resp.Fields, status, x.now)
	return &out, nil
}

// storePost stores the response to a POST for later GETs, if it says that it
// is what a GET would give (RFC 9110, section 9.3.3); nil if not.
func (x *exchangeState) storePost(resp *exchange.Response, requestTime time.Time) *exchange.Response {
	if resp.Fields.Count("Content-Location") != 1 || !slices.Contains(locations(x.key, resp.Fields.Get("Content-Location")), x.key) {
		return nil
	}
	h, m := x.newHead(resp, requestTime)
	if r := storable("POST", x.req.Fields, &x.rd, h, m); !r.ok {
		return nil
	}
	// The transfer is the client's own: it ends with its context.
	f := x.newFill(nil, resp, h, m, func() {})
	if f == nil {
		return nil
	}
	return x.fromFill(f, resp, exchange.Bypass)
}

// fetch asks the origin: with the validators of what is stored, or for the part
// that is missing, where that helps. fl is the flight that x leads, if any.
func (x *exchangeState) fetch(fl *flight) (*exchange.Response, error) {
	if fl == nil {
		return x.ask(x.ctx, func() {}, nil, func() bool { return true })
	}
	// The transfer may outlive its client, for others.
	ctx, cancel := context.WithCancel(context.WithoutCancel(x.ctx))
	fl.cancel = cancel
	stop := context.AfterFunc(x.ctx, func() { x.c.flights.left(fl, true) })
	resp, err := x.ask(ctx, cancel, fl, stop)
	if err != nil {
		stop()
		cancel()
		x.c.settle(fl, failed, nil, err)
	}
	return resp, err
}

func (c *Cache) settle(fl *flight, o outcome, f *fill, err error) {
	if fl == nil {
		return
	}
	if o == failed && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)) {
		o = lookAgain // the leader's end, not the origin's
	}
	c.flights.settle(fl, o, f, err)
}

// asked is what was added to a request on its way to the origin.
type asked struct {
	validating bool // with the validators of the selected response
	completing span // the gap that was asked for
	complete   bool
}

func (x *exchangeState) ask(ctx context.Context, cancel context.CancelFunc, fl *flight, stop func() bool) (*exchange.Response, error) {
	x.since = x.c.Store.Removals(x.key)
	up, what := x.upstream()
	for {
		requestTime := x.c.Now()
		resp, err := x.c.Next.Exchange(ctx, up)
		x.now = x.c.Now()
		if err != nil {
			return x.failed(fl, cancel, stop, err)
		}
		if resp.Status == 101 {
			x.c.settle(fl, goAlone, nil, nil)
			return resp, nil
		}
		if failure(resp.Status) && x.sel.entry != nil && x.plan.kind != planNone {
			r := onError(&x.rd, &x.sel.known.meta, resp.Status, x.now)
			x.say(r.section, r.why)
			if r.ok {
				if stale := x.insteadOf(resp.Status); stale != nil {
					resp.Body.Close()
					stop()
					cancel()
					x.c.settle(fl, failed, nil, &originError{resp.Status})
					return stale, nil
				}
			}
		}
		switch {
		case resp.Status == 304 && (what.validating || what.complete):
			resp.Body.Close()
			if validated := x.notModified(resp, requestTime); validated != nil {
				stop()
				cancel()
				x.c.settle(fl, lookAgain, nil, nil)
				return validated, nil
			}
			x.say("RFC 9111, 4.3.4", "the 304 is for none of the stored responses: asking without conditions")
			up, what = x.req, asked{}
			continue
		case what.complete && resp.Status == 206:
			if whole := x.completed(fl, resp, requestTime, what.completing, cancel, stop); whole != nil {
				return whole, nil
			}
			resp.Body.Close()
			up, what = x.req, asked{}
			continue
		case what.complete && resp.Status == 416:
			resp.Body.Close()
			up, what = x.req, asked{}
			continue
		}
		return x.received(fl, resp, requestTime, cancel, stop), nil
	}
}

// upstream makes the request to send.
func (x *exchangeState) upstream() (*exchange.Request, asked) {
	if x.shape&hasOther != 0 {
		return x.req, asked{}
	}
	if x.sel.entry != nil && !x.sel.whole && x.shape&(hasRange|hasCondition) == 0 && x.req.Method == "GET" {
		if up, gap, ok := x.completing(); ok {
			return up, asked{complete: true, completing: gap}
		}
		return x.req, asked{}
	}
	var etags []string
	var modified time.Time
	if x.sel.entry != nil {
		if x.plan.kind == planNone && x.shape&hasCondition == 0 {
			// A 304 would be of no use: the range is not stored.
			return x.req, asked{}
		}
		if tag := x.sel.known.etag; tag != "" {
			etags = append(etags, tag)
		}
		modified = x.sel.known.modified
	}
	for _, e := range x.etags {
		if tag := x.c.known(e).etag; !slices.Contains(etags, tag) {
			etags = append(etags, tag)
		}
	}
	if len(etags) == 0 && modified.IsZero() || x.sel.entry == nil && x.shape&(hasCondition|hasRange) != 0 {
		return x.req, asked{}
	}
	if x.explained() {
		x.say("RFC 9111, 4.3.1", "validating what is stored: If-None-Match "+strings.Join(etags, ", "))
	}
	up := *x.req
	up.Fields = conditions(x.req.Fields, etags, modified)
	return &up, asked{validating: true}
}

// completing makes the request for the one part that is missing (RFC 9111,
// section 3.4). It needs a strong entity tag, by which the origin can tell that
// the parts still belong together.
func (x *exchangeState) completing() (up *exchange.Request, gap span, ok bool) {
	tag := x.sel.known.strongETag()
	if tag == "" || x.sel.total < 0 {
		return nil, gap, false
	}
	gaps := x.sel.gaps(span{0, x.sel.total - 1})
	if len(gaps) != 1 {
		return nil, gap, false
	}
	gap = gaps[0]
	value := "bytes=" + strconv.FormatInt(gap.first, 10) + "-"
	if gap.last < x.sel.total-1 {
		value += strconv.FormatInt(gap.last, 10)
	}
	x.say("RFC 9111, 3.4", "a part is stored: asking for the rest, "+value)
	r := *x.req
	r.Fields = append(slices.Clip(x.req.Fields),
		httpmsg.Field{Name: "Range", Value: value}, httpmsg.Field{Name: "If-Range", Value: tag})
	return &r, gap, true
}

// originError tells the followers of a flight that its leader got a 5xx and
// used a stale response instead.
type originError struct{ status int }

func (e *originError) Error() string { return "the origin answered " + strconv.Itoa(e.status) }

// failedToo answers a follower of a flight that failed.
func (x *exchangeState) failedToo(err error) (*exchange.Response, error) {
	if e, ok := errors.AsType[*originError](err); ok {
		if x.sel.entry != nil && x.plan.kind != planNone && onError(&x.rd, &x.sel.known.meta, e.status, x.now).ok {
			if stale := x.insteadOf(e.status); stale != nil {
				return stale, nil
			}
		}
		return x.fetch(nil)
	}
	return x.failed(nil, func() {}, func() bool { return true }, err)
}

// failed answers when the origin gave no answer.
func (x *exchangeState) failed(fl *flight, cancel context.CancelFunc, stop func() bool, err error) (*exchange.Response, error) {
	e, told := errors.AsType[*exchange.Error](err)
	if x.sel.entry == nil || x.plan.kind == planNone || x.ctx.Err() != nil || told && e.Status < 500 {
		return nil, err
	}
	r := onError(&x.rd, &x.sel.known.meta, 0, x.now)
	x.say(r.section, r.why)
	if !r.ok {
		return nil, err
	}
	stale := x.insteadOf(0)
	if stale == nil {
		return nil, err
	}
	stop()
	cancel()
	x.c.settle(fl, failed, nil, err)
	return stale, nil
}

// insteadOf answers with the stale response in the place of an error.
func (x *exchangeState) insteadOf(status int) *exchange.Response {
	x.verdict = verdict{use: useStale, ttl: x.sel.known.lifetime.d - x.sel.known.age(x.now)}
	text := "; hit; ttl=" + strconv.FormatInt(seconds(x.verdict.ttl), 10) + "; detail=stale-if-error"
	if status != 0 {
		text += "-" + strconv.Itoa(status)
	}
	return x.fromStore(exchange.Stale, text)
}
