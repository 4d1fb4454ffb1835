package cache

import (
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

// identify returns the stored response that a 304 is about: by its strong
// validator, or by its only one, or because only one was asked about
// (RFC 9111, section 4.3.4).
func (x *exchangeState) identify(f httpmsg.Fields) *store.Entry {
	tag := f.Get("ETag")
	if tag == "" {
		if modified := f.Get("Last-Modified"); modified != "" && x.sel.entry != nil && !x.sel.known.modified.IsZero() &&
			modified != x.sel.entry.Head.Fields.Get("Last-Modified") {
			return nil
		}
		if len(x.etags) == 0 || x.sel.entry != nil && x.sel.known.etag == "" {
			return x.sel.entry
		}
		return nil
	}
	if x.sel.entry != nil && (x.sel.known.etag == tag ||
		strings.HasPrefix(tag, "W/") && weakEqual(tag, x.sel.known.etag)) {
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
			head.Since = x.since
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
	h.Fields = freshened(old.Fields, update, &p, old.Partial)
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
	if err != nil {
		return
	}
	defer b.Close()
	if b.Size() > 1<<20 {
		return
	}
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
	if !c.behind(c.asking, func() {
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
