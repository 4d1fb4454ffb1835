package cache

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"topdown/proxyserver/internal/exchange"
	"topdown/proxyserver/internal/store"
)

// known is what is kept with a stored entry: what follows from its head, and
// the last answer made of it.
type known struct {
	meta
	vary   []string
	shared atomic.Pointer[sharedAnswer]
}

// sharedAnswer is the answer to every plain request within one second.
type sharedAnswer struct {
	second int64
	resp   *exchange.Response
}

func (c *Cache) known(e *store.Entry) *known {
	if k, ok := e.Aux.Load().(*known); ok {
		return k
	}
	k := &known{meta: *metaOf(e.Head, c.Targeted)}
	k.vary, _ = varyNames(e.Head.Fields)
	e.Aux.Store(k)
	return k
}

// selection is the stored response that a request selects: one entry, or
// several partial ones of the same representation, whose latest head counts
// (RFC 9111, section 3.4).
type selection struct {
	entry *store.Entry
	known *known
	parts []*store.Entry // in order of position; nil for a whole entry
	total int64          // octets of the representation, -1 if unknown
	whole bool           // all of them are there
}

// choose looks for stored responses and decides what may be done with them.
func (x *exchangeState) choose() {
	x.sel, x.verdict, x.plan, x.vary, x.fwd, x.etags = selection{}, verdict{}, plan{}, nil, "uri-miss", nil
	entries := x.c.Store.Lookup(x.key)
	if len(entries) == 0 {
		if x.explained() {
			x.say("RFC 9111, 4", "nothing is stored under "+x.key)
		}
		return
	}
	x.sel = x.pick(entries)
	if x.sel.entry == nil {
		x.fwd = "vary-miss"
		x.vary = x.c.known(entries[0]).vary
		for _, e := range entries {
			x.askAbout(e)
		}
		if x.explained() {
			x.say("RFC 9111, 4.1", fmt.Sprintf("%d stored, but Vary %v selects none of them", len(entries), x.vary))
		}
		return
	}
	k := x.sel.known
	x.vary = k.vary
	x.verdict = reuse(&x.rd, &k.meta, x.now)
	if x.explained() {
		x.explain()
	}
	x.plan = x.planFor(&x.sel)
	x.fwd = x.verdict.fwd
	switch {
	case x.verdict.use == useValidate:
		for _, e := range entries {
			if e != x.sel.entry {
				x.askAbout(e)
			}
		}
	case x.plan.kind == planNone:
		x.fwd = "partial"
	}
}

// askAbout adds a stored response of another variant to those whose entity tags
// the origin is asked about: it may choose one of them for this request as well
// (RFC 9111, section 4.3.1). Some origins give all codings of a representation
// the same tag, so one that the client does not accept is left out.
func (x *exchangeState) askAbout(e *store.Entry) {
	if e.Head.Partial || x.c.known(e).etag == "" || len(x.etags) >= 16 {
		return
	}
	for coding := range e.Head.Fields.List("Content-Encoding") {
		accepted := false
		for offer := range x.req.Fields.List("Accept-Encoding") {
			name, quality, _ := strings.Cut(strings.ReplaceAll(offer, " ", ""), ";")
			if strings.EqualFold(name, coding) && strings.Trim(strings.ToLower(quality), "q=0.") != "" ||
				strings.EqualFold(name, coding) && quality == "" {
				accepted = true
			}
		}
		if !accepted {
			return
		}
	}
	x.etags = append(x.etags, e)
}

// pick returns what the request selects among the entries of its key, which
// are the newest first (RFC 9111, section 4.1): a whole response or, failing
// that, parts of one.
func (x *exchangeState) pick(entries []*store.Entry) (sel selection) {
	var part *store.Entry
	for _, e := range entries {
		k := x.c.known(e)
		if k.vary != nil && !varyMatches(e.Head.Fields, e.Head.Vary, x.req.Fields) {
			continue
		}
		if !e.Head.Partial {
			return selection{entry: e, known: k, total: e.Size, whole: true}
		}
		if part == nil {
			part = e
		}
	}
	if part == nil {
		return sel
	}
	sel = selection{entry: part, known: x.c.known(part), parts: []*store.Entry{part}, total: part.Head.Total}
	if tag := x.c.strong(sel.known); tag != "" {
		for _, e := range entries {
			k := x.c.known(e)
			if e != part && e.Head.Partial && x.c.strong(k) == tag &&
				(sel.total < 0 || e.Head.Total < 0 || e.Head.Total == sel.total) &&
				(k.vary == nil || varyMatches(e.Head.Fields, e.Head.Vary, x.req.Fields)) {
				sel.parts = append(sel.parts, e)
				sel.total = max(sel.total, e.Head.Total)
			}
		}
		slices.SortStableFunc(sel.parts, func(a, b *store.Entry) int { return cmp.Compare(a.Head.First, b.Head.First) })
	}
	gaps := sel.gaps(span{0, sel.total - 1})
	sel.whole = sel.total > 0 && len(gaps) == 0
	return sel
}

// strong returns a strong validator as text, "" if there is none: what partial
// responses must share to be combined (RFC 9110, section 15.3.7.3).
func (c *Cache) strong(k *known) string {
	if tag := k.strongETag(); tag != "" {
		return tag
	}
	if k.etag == "" && k.strongModified() {
		return k.modified.String()
	}
	return ""
}

// gaps returns what the parts lack of a range.
func (s *selection) gaps(want span) (gaps []span) {
	if s.parts == nil {
		return nil
	}
	next := want.first
	for _, e := range s.parts {
		first, end := e.Head.First, e.Head.First+e.Size
		if first > want.last || next > want.last {
			break
		}
		if first > next {
			gaps = append(gaps, span{next, first - 1})
		}
		next = max(next, end)
	}
	if next <= want.last {
		gaps = append(gaps, span{next, want.last})
	}
	return gaps
}

// explain tells what was found, with its arithmetic.
func (x *exchangeState) explain() {
	k := x.sel.known
	if len(k.vary) > 0 {
		x.say("RFC 9111, 4.1", fmt.Sprintf("Vary %v matches the stored response", k.vary))
	}
	text := explainFresh(&k.meta, x.verdict, x.now)
	if x.verdict.why != "" {
		text += "; " + x.verdict.why
	}
	x.say(x.verdict.section, text)
}
