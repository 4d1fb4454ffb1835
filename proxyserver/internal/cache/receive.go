package cache

import (
	"context"
	"errors"
	"io"
	"slices"
	"strconv"
	"time"

	"topdown/pkg/httpmsg"
	"topdown/proxyserver/internal/exchange"
	"topdown/proxyserver/internal/store"

	"go.uber.org/zap"
)

// newHead makes the head to store of a response that came now.
func (x *exchangeState) newHead(resp *exchange.Response, requestTime time.Time) (*store.Head, *meta) {
	h := &store.Head{
		Key: x.key, Status: resp.Status, Reason: resp.Reason, Fields: resp.Fields,
		RequestTime: requestTime.UnixNano(), ResponseTime: x.now.UnixNano(), Total: -1, Since: x.since,
	}
	if !h.Fields.Has("Date") {
		h.Fields = append(slices.Clip(h.Fields), httpmsg.Field{Name: "Date", Value: string(httpmsg.AppendDate(nil, x.now))})
	}
	if resp.Framing >= 0 {
		h.Total = int64(resp.Framing)
	}
	if resp.Status == 206 {
		s, total, ok := parseContentRange(resp.Fields)
		if ok && (resp.Framing < 0 || int64(resp.Framing) == s.size()) && x.shape&hasRange != 0 &&
			!x.req.Fields.Has("If-Range") {
			h.Partial, h.First, h.Total = true, s.first, total
		}
	}
	names, _ := varyNames(resp.Fields)
	h.Vary = selecting(names, x.req.Fields)
	m := metaOf(h, x.c.Targeted)
	h.Fields = storedFields(h.Fields, &m.policy, h.Partial)
	return h, m
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
		// The origin has something newer.
		x.c.Store.Remove(x.sel.entry)
		for _, part := range x.sel.parts {
			x.c.Store.Remove(part)
		}
	}
	if x.req.Method == "GET" && x.shape&hasRange == 0 {
		x.c.flights.setAlone(x.key, x.now, true)
	}
	x.c.settle(fl, goAlone, nil, nil)
	out := *resp
	out.Result = exchange.Miss
	if r.detail != "" {
		status += "; detail=" + r.detail
	}
	out.Fields = x.c.withStatus(resp.Fields, status, x.now)
	if fl != nil {
		// From here on the transfer is this client's alone.
		stop()
		out.Body = &cancelBody{resp.Body, cancel, context.AfterFunc(x.ctx, cancel)}
	}
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
	for _, old := range c.Store.Lookup(h.Key) {
		if old.Head.Partial == h.Partial && old.Head.First == h.First && slices.Equal(old.Head.Vary, h.Vary) &&
			old.Head.ResponseTime > h.ResponseTime && old.Head.ResponseTime <= c.Now().UnixNano() {
			return nil // what is stored is newer
		}
	}
	e, err := w.Commit(h)
	if err != nil {
		if !errors.Is(err, store.ErrTooLarge) && !errors.Is(err, store.ErrGone) {
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
	end := c.Now().Add(finishTime)
	if !c.behind(c.finishing, func() {
		stop := context.AfterFunc(c.ctx, f.cancel)
		defer stop()
		r.drain(limit+1, func() bool { return c.Now().After(end) })
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
	p := policyOf(resp.Fields, x.c.Targeted)
	whole.Fields = freshened(x.sel.entry.Head.Fields, resp.Fields, &p, true)
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
