package cache

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"topdown/proxyserver/internal/exchange"
	"topdown/proxyserver/internal/rules"
	"topdown/proxyserver/internal/store"
)

// errLookAgain tells Exchange of lookAgain.
var errLookAgain = errors.New("look into the store again")

// maxTries bounds how often one request looks into the store again, because
// what it found there was gone or what it waited for was not for it. After that
// it goes on its own.
const maxTries = 8

// query is one request on its way through the cache.
type query struct {
	c     *Cache
	ctx   context.Context //nolint:containedctx // of this request alone
	req   *exchange.Request
	rules rules.Request
	key   string
	now   time.Time
	found found
	ended uint64 // fetches that had ended when the store was asked
	tries int
	alone bool // it does not wait for others' fetches any more

	fetching bool // it has begun a fetch, which may outlive it
}

// queries are to be used again: without them a hit allocates twice as much.
var queries = sync.Pool{New: func() any { return new(query) }}

// done gives q up, which nobody knows any more unless it is of a fetch.
func (q *query) done() {
	if !q.fetching {
		*q = query{}
		queries.Put(q)
	}
}

func (q *query) say(section, decision string) { q.req.Say(section, decision) }

func (q *query) explained() bool { return q.req.Explain != nil }

// found is what the store has for a request, and what may be done with it.
type found struct {
	gen store.Generation // of the key when the store was asked

	// entry is the response that the request selects, nil if there is none, and
	// stored its head. Of parts of a representation it is the latest; its head
	// counts for all (RFC 9111, section 3.4).
	entry  *store.Entry
	stored *rules.Stored
	parts  []*store.Entry // in order of position; nil for a whole response
	extent rules.Extent
	// opened is the body of entry where entry may have left the store.
	opened *store.Body

	verdict rules.Verdict
	plan    rules.Plan
	forward string         // why the request is forwarded, for Cache-Status
	vary    []string       // names of the fields that select responses of the URI
	others  []*store.Entry // of other variants, which the origin may name in a 304
}

// maxOthers bounds how many entity tags the origin is asked about.
const maxOthers = 16

// lookup asks the store, once, and decides what may be done with what is there.
func (q *query) lookup() {
	q.now = q.c.Now()
	q.ended = q.c.fetches.ended.Load()
	entries, gen := q.c.Store.Lookup(q.ctx, q.key)
	q.found = found{gen: gen, forward: "uri-miss", vary: q.c.Rules.Selecting}
	f := &q.found
	entries = q.drop(entries)
	if len(entries) == 0 {
		if q.explained() {
			q.say("RFC 9111, 4", "nothing is stored under "+q.key)
		}
		return
	}
	f.choose(&q.rules, entries)
	if f.entry == nil {
		f.forward, f.vary = "vary-miss", entries[0].Stored.VaryNames()
		q.addOthers(entries)
		if q.explained() {
			q.say("RFC 9111, 4.1", fmt.Sprintf("%d stored, but for requests with other %v", len(entries), f.vary))
		}
		return
	}
	f.vary = f.stored.VaryNames()
	f.verdict = rules.Reuse(&q.rules, f.stored, q.now)
	if q.explained() {
		if len(f.vary) > 0 {
			q.say("RFC 9111, 4.1", fmt.Sprintf("what is stored is for requests with the same %v", f.vary))
		}
		q.say(f.verdict.Section, f.verdict.Explain(f.stored, q.now))
	}
	f.plan = rules.PlanAnswer(&q.rules, f.stored, &f.extent)
	f.forward = f.verdict.Forward
	if f.verdict.Use == rules.Validate {
		q.addOthers(entries)
	} else if f.plan.Kind == rules.NotCovered {
		f.forward = "partial"
	}
}

// answerable reports whether what was found may answer, now and all of it.
func (q *query) answerable() bool {
	return q.found.usable() && q.found.verdict.Use != rules.Validate
}

// usable reports whether there is an answer, if need be a stale one.
func (f *found) usable() bool { return f.entry != nil && f.plan.Kind != rules.NotCovered }

// choose finds what the request selects among the entries of its key, which are
// the newest first (RFC 9111, section 4.1): a whole response or, failing that,
// parts of one.
func (f *found) choose(req *rules.Request, entries []*store.Entry) {
	for _, e := range entries {
		if !e.Stored.Selects(req) {
			continue
		}
		if !e.Stored.Partial {
			f.entry, f.parts, f.extent = e, nil, rules.Extent{Total: e.Size}
			break
		}
		if f.entry == nil {
			f.entry, f.parts, f.extent = e, []*store.Entry{e}, rules.Extent{Total: e.Stored.Total}
		}
	}
	if f.entry == nil {
		return
	}
	f.stored = f.entry.Stored
	if f.parts != nil {
		f.addParts(req, entries)
	}
}

// addParts adds the other parts that a strong validator shows to be of the same
// representation (RFC 9111, section 3.4).
func (f *found) addParts(req *rules.Request, entries []*store.Entry) {
	if tag := f.stored.StrongValidator(); tag != "" {
		for _, e := range entries {
			s := e.Stored
			if e != f.entry && s.Partial && s.StrongValidator() == tag && s.Selects(req) &&
				(f.extent.Total < 0 || s.Total < 0 || s.Total == f.extent.Total) {
				f.parts = append(f.parts, e)
				f.extent.Total = max(f.extent.Total, s.Total)
			}
		}
		slices.SortStableFunc(f.parts, func(a, b *store.Entry) int { return cmp.Compare(a.Stored.First, b.Stored.First) })
	}
	for _, e := range f.parts {
		f.extent.Parts = append(f.extent.Parts, rules.Span{First: e.Stored.First, Last: e.Stored.First + e.Size - 1})
	}
}

func (q *query) addOthers(entries []*store.Entry) {
	f := &q.found
	for _, e := range entries {
		if e != f.entry && len(f.others) < maxOthers && rules.MayAskAbout(&q.rules, e.Stored, q.c.Rules) {
			f.others = append(f.others, e)
		}
	}
}
