package cache

import (
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"topdown/pkg/httpmsg"
	"topdown/proxyserver/internal/exchange"
	"topdown/proxyserver/internal/rules"
	"topdown/proxyserver/internal/store"

	"go.uber.org/zap"
)

// purpose is why a request to the origin has fields that the client did not
// send.
type purpose int

const (
	plain      purpose = iota // it has none
	validating                // to validate what is stored
	completing                // to get the part that is missing
)

// upstream makes the request to send.
func (q *query) upstream() (*exchange.Request, purpose) {
	f := &q.found
	if q.rules.ForOrigin() {
		return q.req, plain
	}
	if f.entry != nil && !f.extent.Whole() && !q.rules.HasRange() && !q.rules.Conditional() && q.req.Method == "GET" {
		return q.upstreamForRest()
	}
	var etags []string
	var modified time.Time
	if f.entry != nil {
		if f.plan.Kind == rules.NotCovered && !q.rules.Conditional() {
			// A 304 would be of no use: the range is not stored.
			return q.req, plain
		}
		if tag := f.stored.ETag(); tag != "" {
			etags = append(etags, tag)
		}
		modified = f.stored.Modified()
	}
	for _, e := range f.others {
		if tag := e.Stored.ETag(); !slices.Contains(etags, tag) {
			etags = append(etags, tag)
		}
	}
	if len(etags) == 0 && modified.IsZero() || f.entry == nil && (q.rules.Conditional() || q.rules.HasRange()) {
		return q.req, plain
	}
	if q.explained() {
		q.say("RFC 9111, 4.3.1", "validating what is stored: If-None-Match "+strings.Join(etags, ", "))
	}
	up := *q.req
	up.Fields = rules.Conditions(q.req.Fields, etags, modified)
	return &up, validating
}

// upstreamForRest makes the request for the one part that is missing (RFC 9111,
// section 3.4). It needs a strong entity tag, by which the origin can tell that
// the parts still belong together.
func (q *query) upstreamForRest() (*exchange.Request, purpose) {
	tag := q.found.stored.StrongETag()
	gap, ok := q.found.extent.Missing()
	if tag == "" || !ok {
		return q.req, plain
	}
	value := "bytes=" + strconv.FormatInt(gap.First, 10) + "-"
	if gap.Last < q.found.extent.Total-1 {
		value += strconv.FormatInt(gap.Last, 10)
	}
	q.say("RFC 9111, 3.4", "a part is stored: asking for the rest, "+value)
	up := *q.req
	up.Fields = append(slices.Clip(q.req.Fields),
		httpmsg.Field{Name: "Range", Value: value}, httpmsg.Field{Name: "If-Range", Value: tag})
	return &up, completing
}

// freshen makes a 304 count: the stored response that it is about is updated,
// and answers the leader. It returns nil if there is none, or none that would
// do.
func (q *query) freshen(resp *exchange.Response, requestTime time.Time) *outcome {
	e := q.identify(resp.Fields)
	if e == nil {
		return nil
	}
	c, f := q.c, &q.found
	fresh := rules.Freshen(e.Stored, &q.rules, resp.Fields, requestTime, q.now, c.Rules)
	selected := e == f.entry
	if !selected {
		fresh = fresh.ForVariant(&q.rules, c.Rules)
		f.parts, f.extent = nil, rules.Extent{Total: e.Size}
	}
	f.entry, f.stored = e, fresh
	f.verdict = rules.Verdict{TTL: fresh.TTL(q.now)}
	f.plan = rules.PlanAnswer(&q.rules, fresh, &f.extent)
	if q.explained() {
		q.say("RFC 9111, 4.3.4", "304: the stored response is still right; "+fresh.Lifetime())
	}
	// Who waits for this one can use it only if it is fresh now.
	c.fetches.setAlone(q.key, q.now, !rules.Shareable(fresh, q.now))
	status := "; fwd=" + f.forward + "; fwd-status=304"
	ruling := rules.Storable(q.rules.AsGet(), fresh)
	switch {
	case !selected:
		if ruling.OK {
			q.adopt(e, fresh)
		}
	case !ruling.OK || !slices.Equal(fresh.Vary, e.Stored.Vary):
		q.say(ruling.Section, "but it may no longer be stored: "+ruling.Why)
		if f.parts == nil && f.plan.Kind == rules.WholeContent && q.req.Method == "GET" {
			f.opened, _ = e.Open() // before it is gone
		}
		c.Store.Remove(q.ctx, e)
	default:
		updated, err := c.Store.Update(q.ctx, e, fresh)
		if err != nil {
			q.warn("cache: update a stored response", err)
			break
		}
		if i := slices.Index(f.parts, e); i >= 0 {
			f.parts[i] = updated
		}
		f.entry = updated
		status += "; stored; ttl=" + seconds(f.verdict.TTL)
	}
	if f.plan.Kind == rules.NotCovered {
		return nil
	}
	found := *f
	return &outcome{kind: lookAgain, found: &found, status: status, now: q.now}
}

// identify returns the stored response that a 304 is about.
func (q *query) identify(update httpmsg.Fields) *store.Entry {
	others := make([]*rules.Stored, len(q.found.others))
	for i, e := range q.found.others {
		others[i] = e.Stored
	}
	switch i := rules.Identify(update, q.found.stored, others); {
	case i < 0:
		return nil
	case i == 0:
		return q.found.entry
	default:
		return q.found.others[i-1]
	}
}

// maxAdopted is the largest content that is copied for another variant, in
// bytes.
const maxAdopted = 1 << 20

// adopt stores a copy of e for another variant, which the origin says is the
// same.
func (q *query) adopt(e *store.Entry, stored *rules.Stored) {
	if e.Size > maxAdopted {
		return
	}
	b, err := e.Open()
	if err != nil {
		return
	}
	defer b.Close() //nolint:errcheck // only read from
	w, err := q.c.Store.Create(q.ctx, q.key, q.found.gen, e.Size)
	if err != nil {
		return
	}
	defer w.Close() //nolint:errcheck // given up
	if _, err = io.Copy(w, io.NewSectionReader(b, 0, e.Size)); err == nil {
		_, err = w.Commit(stored)
	}
	if err != nil {
		q.warn("cache: store a variant", err)
	}
}

// complete makes a whole response of the parts that are stored and the one that
// came; nil if they do not belong together.
func (q *query) complete(resp *exchange.Response) *exchange.Response {
	f := &q.found
	gap, _ := f.extent.Missing()
	part, total, ok := rules.ContentRange(resp.Fields)
	if !ok || part != gap || total != f.extent.Total || resp.Fields.Get("ETag") != f.stored.ETag() ||
		resp.Framing >= 0 && int64(resp.Framing) != part.Size() {
		return nil
	}
	before, ok := q.pieces(rules.Span{First: 0, Last: gap.First - 1})
	if !ok {
		return nil
	}
	after, ok := q.pieces(rules.Span{First: gap.Last + 1, Last: total - 1})
	if !ok {
		closeAll(before)
		return nil
	}
	pieces := slices.Concat(before, []io.ReadCloser{&exactly{resp.Body, part.Size()}}, after)
	whole := *resp
	whole.Status, whole.Reason, whole.Body, whole.Framing, whole.Trailers = 200, "OK", join(pieces), httpmsg.Framing(total), nil
	whole.Fields = rules.Completed(f.stored, resp.Fields, q.c.Rules)
	f.forward = "partial"
	return &whole
}

// exactly reads n bytes and reports any other end as a broken transfer.
type exactly struct {
	io.ReadCloser
	left int64
}

func (e *exactly) Read(p []byte) (int, error) {
	n, err := e.ReadCloser.Read(p[:min(int64(len(p)), e.left+1)])
	e.left -= int64(n)
	if e.left < 0 || errors.Is(err, io.EOF) && e.left > 0 {
		return 0, io.ErrUnexpectedEOF
	}
	return n, err
}

// compareHead freshens the stored responses that a HEAD is about, or removes
// them if it shows that they are out of date (RFC 9111, section 4.3.5).
func (q *query) compareHead(resp *exchange.Response, requestTime time.Time) {
	if resp.Status != 200 || q.rules.NoStore() {
		return
	}
	c := q.c
	entries, _ := c.Store.Lookup(q.ctx, q.key)
	for _, e := range entries {
		s := e.Stored
		if s.Status != 200 && s.Status != 206 || !s.Selects(&q.rules) {
			continue
		}
		total := e.Size
		if s.Partial {
			total = s.Total
		}
		if rules.HeadAgrees(s, total, resp.Fields) {
			fresh := rules.Freshen(s, &q.rules, resp.Fields, requestTime, q.now, c.Rules)
			if rules.Storable(q.rules.AsGet(), fresh).OK && slices.Equal(fresh.Vary, s.Vary) {
				q.say("RFC 9111, 4.3.5", "the HEAD agrees with the stored response, which is freshened")
				if _, err := c.Store.Update(q.ctx, e, fresh); err != nil {
					q.warn("cache: update a stored response", err)
				}
				continue
			}
		}
		q.say("RFC 9111, 4.3.5", "the HEAD shows that the stored response is out of date")
		c.Store.Remove(q.ctx, e)
	}
}

// warn logs a fault of the store. That an entry is gone is none.
func (q *query) warn(text string, err error) {
	if !errors.Is(err, store.ErrGone) {
		q.c.Log.Warn(text, zap.Error(err))
	}
}
