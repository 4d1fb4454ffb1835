package cache

import (
	"context"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"topdown/pkg/httpmsg"
	"topdown/proxyserver/internal/exchange"
	"topdown/proxyserver/internal/store"

	"go.uber.org/zap"
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

// newHead makes the head to store of a response that came now.
func (x *exchangeState) newHead(resp *exchange.Response, requestTime time.Time) (*store.Head, *meta) {
	h := &store.Head{
		Key: x.key, Status: resp.Status, Reason: resp.Reason, Fields: resp.Fields,
		RequestTime: requestTime.UnixNano(), ResponseTime: x.now.UnixNano(), Total: -1,
	}
	if !h.Fields.Has("Date") {
		h.Fields = append(slices.Clip(h.Fields), httpmsg.Field{Name: "Date", Value: string(httpmsg.AppendDate(nil, x.now))})
	}
	if resp.Framing >= 0 {
		h.Total = int64(resp.Framing)
	}
	if resp.Status == 206 {
		s, total, ok := parseContentRange(resp.Fields)
		if ok && (resp.Framing < 0 || int64(resp.Framing) == s.size()) && x.shape&hasRange != 0 {
			h.Partial, h.First, h.Total = true, s.first, total
		}
	}
	names, _ := varyNames(resp.Fields)
	h.Vary = selecting(names, x.req.Fields)
	m := metaOf(h, x.c.Targeted)
	h.Fields = storedFields(h.Fields, &m.policy)
	return h, m
}

// fetch asks the origin: with the validators of what is stored, or for the part
// that is missing, where that helps. fl is the flight that x leads, if any.
func (x *exchangeState) fetch(fl *flight) (*exchange.Response, error) {
	// The transfer may outlive its client, for others and for the store.
	ctx, cancel := context.WithCancel(context.WithoutCancel(x.ctx))
	clientLeft := cancel
	if fl != nil {
		fl.cancel = cancel
		clientLeft = func() { x.c.flights.left(fl, true) }
	}
	stop := context.AfterFunc(x.ctx, clientLeft)
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

// identify returns the stored response that a 304 is about: by its strong
// validator, or by its only one, or because only one was asked about
// (RFC 9111, section 4.3.4).
func (x *exchangeState) identify(f httpmsg.Fields) *store.Entry {
	tag := f.Get("ETag")
	if tag == "" {
		if len(x.etags) == 0 || x.sel.entry != nil && x.sel.known.etag == "" {
			return x.sel.entry
		}
		return nil
	}
	if x.sel.entry != nil && (x.sel.known.etag == tag ||
		strings.HasPrefix(tag, "W/") && weakEqual(tag, x.sel.known.etag) || x.sel.known.etag == "") {
		return x.sel.entry
	}
	for _, e := range x.etags {
		if x.c.known(e).etag == tag {
			return e
		}
	}
	return nil
}

// notModified freshens the stored response that a 304 is about and answers with
// it; nil if there is none.
func (x *exchangeState) notModified(resp *exchange.Response, requestTime time.Time) *exchange.Response {
	e := x.identify(resp.Fields)
	if e == nil {
		return nil
	}
	selected := e == x.sel.entry
	head, m := x.freshen(e.Head, resp.Fields, requestTime)
	if !selected {
		x.sel = selection{entry: e, total: e.Size, whole: true}
		names, _ := varyNames(head.Fields)
		head.Vary = selecting(names, x.req.Fields)
	}
	r := storable("GET", x.req.Fields, &x.rd, head, m)
	if x.explained() {
		x.say("RFC 9111, 4.3.4", "304: the stored response is still right; "+m.lifetime.why())
	}
	var updated *store.Entry
	switch {
	case !selected:
		if r.ok {
			x.adopt(e, head)
		}
	case !r.ok || !slices.Equal(head.Vary, e.Head.Vary):
		x.say(r.section, "but it may no longer be stored: "+r.why)
		defer x.c.Store.Remove(e)
	default:
		var err error
		if updated, err = x.c.Store.Update(e, head); err != nil {
			x.c.Log.Warn("cache: update a stored response", zap.Error(err))
		}
	}
	// Answer with the fields as they are now, from the body as it was.
	x.sel.known = &known{meta: *m}
	if i := slices.Index(x.sel.parts, e); i >= 0 && updated != nil {
		x.sel.parts[i] = updated
	}
	open := e
	if updated != nil {
		open = updated
	}
	x.verdict = verdict{ttl: m.lifetime.d - m.age(x.now)}
	x.sel.entry = open
	// Who waits for this one can use it only if it is fresh now.
	x.c.flights.setAlone(x.key, x.now, sharing(m, x.now) != readFill)
	x.plan = x.planFor(&x.sel)
	if x.plan.kind == planNone {
		return nil
	}
	status := "; fwd=" + x.fwd + "; fwd-status=304"
	if updated != nil {
		status += "; stored; ttl=" + strconv.FormatInt(seconds(x.verdict.ttl), 10)
		return x.fromStore(exchange.Revalidated, status)
	}
	answer := x.fromStore(exchange.Revalidated, status)
	if answer != nil {
		answer.Fields = answerFields(answer.Fields, head.Fields, x.plan.kind)
	}
	return answer
}

// answerFields puts the fields of a freshened head that is not stored into an
// answer made from the old one.
func answerFields(answer, head httpmsg.Fields, kind planKind) httpmsg.Fields {
	var out httpmsg.Fields
	for _, f := range head {
		if !strings.EqualFold(f.Name, "Age") && (kind != planNotModified || keptIn304(f.Name)) {
			out = append(out, f)
		}
	}
	for _, f := range answer {
		switch strings.ToLower(f.Name) {
		case "age", "cache-status", "content-range", "content-length":
			out = append(out, f)
		}
	}
	return out
}

// freshen makes the head of a stored response after a 304 or a HEAD.
func (x *exchangeState) freshen(old *store.Head, update httpmsg.Fields, requestTime time.Time) (*store.Head, *meta) {
	h := *old
	h.RequestTime, h.ResponseTime = requestTime.UnixNano(), x.now.UnixNano()
	p := policyOf(update, x.c.Targeted)
	if !p.present {
		p = policyOf(old.Fields, x.c.Targeted)
	}
	h.Fields = freshened(old.Fields, update, &p)
	if !h.Fields.Has("Date") {
		h.Fields.Add("Date", string(httpmsg.AppendDate(nil, x.now)))
	}
	if update.Has("Vary") {
		names, _ := varyNames(h.Fields)
		h.Vary = selecting(names, x.req.Fields)
	}
	m := metaOf(&h, x.c.Targeted)
	return &h, m
}

// adopt stores a copy of e for another variant, which the origin says is the
// same.
func (x *exchangeState) adopt(e *store.Entry, head *store.Head) {
	b, err := e.Open()
	if err != nil || b.Size() > 1<<20 {
		return
	}
	defer b.Close()
	w, err := x.c.Store.Create(head, b.Size())
	if err != nil {
		return
	}
	defer w.Close()
	body, _ := section(b, 0, b.Size())
	if _, err = io.Copy(w, body); err == nil {
		_, err = w.Commit(head)
	}
	if err != nil {
		x.c.Log.Warn("cache: store a variant", zap.Error(err))
	}
}

// received handles a response that is not a 304 to us: store it if it may be,
// and hand it on.
func (x *exchangeState) received(fl *flight, resp *exchange.Response, requestTime time.Time, cancel context.CancelFunc, stop func() bool) *exchange.Response {
	if x.req.Method == "HEAD" {
		x.headReceived(resp, requestTime)
	}
	var h *store.Head
	var m *meta
	p := policyOf(resp.Fields, x.c.Targeted)
	r := forbidden(&p)
	if r.why == "" {
		h, m = x.newHead(resp, requestTime)
		r = storable(x.req.Method, x.req.Fields, &x.rd, h, m)
	}
	if x.explained() {
		why := r.why
		if r.ok {
			why += ": " + m.lifetime.why()
		}
		x.say(r.section, why)
	}
	status := "; fwd=" + x.fwd + "; fwd-status=" + strconv.Itoa(resp.Status)
	if r.ok && (fl == nil || !x.c.flights.isDoomed(fl)) {
		if f := x.newFill(fl, resp, h, m, cancel); f != nil {
			stop()
			o := sharing(m, x.now)
			x.c.flights.setAlone(x.key, x.now, o != readFill)
			out := x.fromFill(f, resp, exchange.Miss)
			x.c.settle(fl, o, f, nil)
			if fl == nil || fl.outcome != readFill {
				x.c.drop(fl)
			}
			if out.Status != 304 {
				out.Fields = x.c.withStatus(out.Fields, status+"; stored", x.now)
			} else {
				out.Fields.Add("Cache-Status", x.c.Name+status+"; stored")
			}
			return out
		}
		r.detail = "too-large"
	}
	if x.sel.entry != nil && resp.Status < 500 && resp.Status != 304 && resp.Status != 206 && resp.Status != 416 &&
		x.req.Method == "GET" && x.verdict.use == useValidate {
		x.c.Store.Remove(x.sel.entry) // the origin has something newer
	}
	if x.req.Method == "GET" && x.shape&hasRange == 0 {
		x.c.flights.setAlone(x.key, x.now, true)
	}
	x.c.settle(fl, goAlone, nil, nil)
	if fl != nil {
		// From here on the transfer is this client's alone.
		stop()
		stop = context.AfterFunc(x.ctx, cancel)
	}
	out := *resp
	out.Result = exchange.Miss
	if r.detail != "" {
		status += "; detail=" + r.detail
	}
	out.Fields = x.c.withStatus(resp.Fields, status, x.now)
	out.Body = &cancelBody{resp.Body, cancel, stop}
	return &out
}

// drop takes a flight out that nobody can join.
func (c *Cache) drop(fl *flight) {
	if fl != nil {
		c.flights.remove(fl)
	}
}

// sharing tells whether those who wait may have the response as it comes: it
// must be one that they could be answered with once it is stored.
func sharing(m *meta, now time.Time) outcome {
	none := noDirectives()
	if reuse(&none, m, now).use == useFresh {
		return readFill
	}
	return goAlone
}

// cancelBody is the body of a response that is not stored; its transfer ends
// with it.
type cancelBody struct {
	io.ReadCloser
	cancel context.CancelFunc
	stop   func() bool
}

func (b *cancelBody) Close() error {
	err := b.ReadCloser.Close()
	b.stop()
	b.cancel()
	return err
}

// newFill begins to store a response; nil if the store does not take it.
func (x *exchangeState) newFill(fl *flight, resp *exchange.Response, h *store.Head, m *meta, cancel context.CancelFunc) *fill {
	w, err := x.c.Store.Create(h, int64(max(resp.Framing, -1)))
	if err != nil {
		x.say("RFC 9111, 3", "not stored: "+err.Error())
		return nil
	}
	c := x.c
	f := &fill{
		head: h, meta: m, framing: resp.Framing, trailers: resp.Trailers,
		src: resp.Body, w: w, cancel: cancel, storing: true,
	}
	want := int64(max(resp.Framing, -1))
	if h.Partial {
		s, _, _ := parseContentRange(resp.Fields)
		want = s.size()
	}
	f.commit = func(w store.Writer, size int64) error {
		if fl != nil && c.flights.isDoomed(fl) {
			return nil
		}
		if want >= 0 && size != want {
			return io.ErrUnexpectedEOF
		}
		return c.commit(w, f.head)
	}
	f.ended = func(error) { c.drop(fl) }
	f.finish = c.finish
	return f
}

// commit stores a whole response, and removes what it takes the place of:
// parts of the same variant, and a whole of another version.
func (c *Cache) commit(w store.Writer, h *store.Head) error {
	e, err := w.Commit(h)
	if err != nil {
		if !errors.Is(err, store.ErrTooLarge) {
			c.Log.Warn("cache: store a response", zap.Error(err))
		}
		return err
	}
	k := c.known(e)
	for _, old := range c.Store.Lookup(h.Key) {
		if old == e || !slices.Equal(old.Head.Vary, h.Vary) || !old.Head.Partial && !h.Partial {
			continue
		}
		if !h.Partial || c.strong(k) == "" || c.strong(c.known(old)) != c.strong(k) {
			if h.Partial && old.Head.ResponseTime > h.ResponseTime {
				continue
			}
			c.Store.Remove(old)
		}
	}
	return nil
}

// finish lets a fill go on for the store alone, if there is not too much left
// of it. f.mu is locked.
func (c *Cache) finish(f *fill) bool {
	limit := c.Finish
	if f.framing >= 0 {
		if int64(f.framing)-f.n > c.Finish {
			return false
		}
		limit = int64(f.framing)
	}
	r := &fillReader{f: f, ctx: c.ctx, off: f.n}
	if !c.behind(func() {
		stop := context.AfterFunc(c.ctx, f.cancel)
		defer stop()
		r.drain(limit + 1)
	}) {
		return false
	}
	f.readers = append(f.readers, r)
	f.alone = true
	return true
}

// fromFill makes the response of the client for whom a fill was begun.
func (x *exchangeState) fromFill(f *fill, resp *exchange.Response, result exchange.Result) *exchange.Response {
	out := *resp
	out.Result = result
	body := f.join(x.ctx)
	out.Body = body
	if f.framing == 0 {
		f.pumping = true // nobody else has the fill yet
		f.took(body, nil, nil)
	}
	// A client that has the new response already need not have it again, if
	// the rest of it is worth fetching all the same.
	if x.shape&hasCondition != 0 && x.req.Method == "GET" && resp.Framing >= 0 && int64(resp.Framing) <= x.c.Finish {
		if r := notModified(x.req.Fields, resp.Status, f.meta); r.ok {
			x.say(r.section, r.why)
			body.leave()
			kept := httpmsg.Fields{}
			for _, field := range f.head.Fields {
				if keptIn304(field.Name) {
					kept = append(kept, field)
				}
			}
			return &exchange.Response{Status: 304, Reason: "Not Modified", Fields: kept, Result: result, Body: noBody{}}
		}
	}
	return &out
}

// completed makes a whole response of the parts that are stored and the one
// that came; nil if they do not belong together.
func (x *exchangeState) completed(fl *flight, resp *exchange.Response, requestTime time.Time, gap span, cancel context.CancelFunc, stop func() bool) *exchange.Response {
	s, total, ok := parseContentRange(resp.Fields)
	if !ok || s != gap || total != x.sel.total || resp.Fields.Get("ETag") != x.sel.known.etag ||
		resp.Framing >= 0 && int64(resp.Framing) != s.size() {
		return nil
	}
	before, ok := x.pieces(span{0, gap.first - 1})
	if !ok {
		return nil
	}
	after, ok := x.pieces(span{gap.last + 1, total - 1})
	if !ok {
		for _, p := range before {
			p.Close()
		}
		return nil
	}
	body := &joined{}
	var readers []io.Reader
	for _, p := range before {
		readers = append(readers, p)
		body.closers = append(body.closers, p)
	}
	readers = append(readers, &exactly{resp.Body, s.size()})
	body.closers = append(body.closers, resp.Body)
	for _, p := range after {
		readers = append(readers, p)
		body.closers = append(body.closers, p)
	}
	body.Reader = io.MultiReader(readers...)
	whole := *resp
	whole.Status, whole.Reason, whole.Body, whole.Framing, whole.Trailers = 200, "OK", body, httpmsg.Framing(total), nil
	whole.Fields = resp.Fields.Clone()
	whole.Fields.Del("Content-Range")
	whole.Fields.Del("Content-Length")
	x.fwd = "partial"
	return x.received(fl, &whole, requestTime, cancel, stop)
}

// exactly reads n octets and reports any other end as a broken transfer.
type exactly struct {
	r    io.Reader
	left int64
}

func (e *exactly) Read(p []byte) (int, error) {
	n, err := e.r.Read(p[:min(int64(len(p)), e.left+1)])
	e.left -= int64(n)
	if e.left < 0 || errors.Is(err, io.EOF) && e.left > 0 {
		return 0, io.ErrUnexpectedEOF
	}
	return n, err
}

// headReceived freshens the stored responses that a HEAD is about, or forgets
// them if it shows that they are out of date (RFC 9111, section 4.3.5).
func (x *exchangeState) headReceived(resp *exchange.Response, requestTime time.Time) {
	if resp.Status != 200 || x.rd.noStore {
		return
	}
	for _, e := range x.c.Store.Lookup(x.key) {
		if e.Head.Status != 200 && e.Head.Status != 206 || !varyMatches(e.Head.Fields, e.Head.Vary, x.req.Fields) {
			continue
		}
		k := x.c.known(e)
		same := true
		if tag := resp.Fields.Get("ETag"); tag != "" && tag != k.etag {
			same = false
		}
		if modified := resp.Fields.Get("Last-Modified"); modified != "" && modified != e.Head.Fields.Get("Last-Modified") {
			same = false
		}
		total := e.Size
		if e.Head.Partial {
			total = e.Head.Total
		}
		if length := resp.Fields.Get("Content-Length"); length != "" && total >= 0 && length != strconv.FormatInt(total, 10) {
			same = false
		}
		if same {
			head, m := x.freshen(e.Head, resp.Fields, requestTime)
			if r := storable("GET", x.req.Fields, &x.rd, head, m); r.ok && slices.Equal(head.Vary, e.Head.Vary) {
				x.say("RFC 9111, 4.3.5", "the HEAD agrees with the stored response, which is freshened")
				if _, err := x.c.Store.Update(e, head); err != nil {
					x.c.Log.Warn("cache: update a stored response", zap.Error(err))
				}
				continue
			}
		}
		x.say("RFC 9111, 4.3.5", "the HEAD shows that the stored response is out of date")
		x.c.Store.Remove(e)
	}
}

// revalidate asks the origin in the background, once at a time for each URI
// (RFC 5861, section 3).
func (x *exchangeState) revalidate() {
	req := *x.req
	req.Method = "GET"
	req.Body, req.Framing, req.Trailers, req.Interim, req.Explain, req.Trace = nil, 0, nil, nil, nil, nil
	req.Fields = nil
	for _, f := range x.req.Fields {
		switch strings.ToLower(f.Name) {
		case "range", "if-range", "if-none-match", "if-modified-since", "cache-control", "pragma", "expect":
		default:
			req.Fields = append(req.Fields, f)
		}
	}
	fl := x.c.flights.start(x.key, req.Fields)
	if fl == nil {
		return // one is under way
	}
	c := x.c
	y := &exchangeState{c: c, ctx: c.ctx, req: &req, rd: noDirectives(), key: x.key}
	if !c.behind(func() {
		y.now = c.Now()
		y.choose()
		resp, err := y.fetch(fl)
		if err != nil {
			c.Log.Info("cache: revalidation in the background failed", zap.Error(err))
			return
		}
		// A fill finishes by itself; the rest is of no use.
		resp.Body.Close()
	}) {
		c.flights.settle(fl, goAlone, nil, nil)
	}
}
