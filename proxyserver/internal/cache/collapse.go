package cache

import (
	"topdown/proxyserver/internal/exchange"
	"topdown/proxyserver/internal/rules"
	"topdown/proxyserver/internal/store"
)

// Collapsing: clients that want the same at the same time share one fetch.
//
// Until the head of its response is there, nobody knows whether that will do
// for the others. So what they share is the wait, and then each decides for
// itself: it reads along if the response is one that it could have been given
// from the store; it looks into the store again if there is something new now;
// it goes on its own if the response cannot be shared. What could go wrong:
//
//   - A response for one client reaches another. Only a response that may be
//     stored and is fresh without the origin's word is read along, and only by
//     a request that its Vary selects: what a hit a moment later would give.
//   - Clients wait for one another in vain. A URI whose response could not be
//     shared is marked for a while, and those who want it go on their own; one
//     request waits for maxTries others at most.
//   - A fetch is missed: it ends after the look into the store, which it has not
//     reached then, and before the look into the table, which it has left. The
//     counter ended tells, and the fetch that is begun instead looks into the
//     store once more before it asks the origin.
//   - An invalidated response lives on in a fetch under way. invalidate marks
//     the fetches of its key before it asks the store to forget: nobody joins
//     them from then on, and the store refuses to commit them by the generation
//     of their key, which was taken before the origin was asked.
//   - The client that a fetch was begun for leaves, and the others with it. No
//     client owns a fetch: it has a context and a goroutine of its own, and
//     ends early only when the last client has left.

// fetch answers q with what comes from the origin: in a fetch of its own, or in
// that of another client. The error is errLookAgain if q must look into the
// store again.
func (q *query) fetch() (*exchange.Response, error) {
	if q.alone || q.c.fetches.isAlone(q.key, q.now) {
		return q.direct()
	}
	r, leads := q.join()
	if leads {
		return q.lead(r)
	}
	return q.follow(r)
}

// join makes q take part in a fetch: in one under way, or in a new one, which
// it leads and has to start. Only plain GETs take part in that of others:
// for a range, or a precondition that is the origin's to evaluate, nobody knows
// what will come. In the lab each client asks for itself: there origins answer
// one by one on purpose, to see whether the proxy can do better.
func (q *query) join() (r *reader, leads bool) {
	s := &q.c.fetches
	if q.c.Rules.Lab || q.tries >= maxTries || q.req.Method != "GET" || q.rules.HasRange() || q.rules.ForOrigin() ||
		q.found.forward == "request" {
		return q.newFetch().joinLeader(q.ctx), true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.byKey[q.key] {
		if r := f.joinFor(q); r != nil {
			return r, false
		}
	}
	f := q.newFetch()
	s.add(f)
	return f.joinLeader(q.ctx), true
}

// takeTurn waits where other proxies share the store: of those that miss the
// same, one at a time fetches it. It reports whether the store has it then; if
// not, that is because nobody else was fetching it, or because what came is not
// for this request: it fetches for itself. Until release the turn is its own.
func (q *query) takeTurn(f *fetch) (release func(), there bool) {
	shared, ok := q.c.Store.(store.Leaser)
	if !ok || !q.c.fetches.has(f) {
		return func() {}, false
	}
	release = shared.Lease(f.ctx, q.key)
	q.lookup()
	return release, q.answerable()
}

// follow takes part in a fetch that another client leads.
func (q *query) follow(r *reader) (*exchange.Response, error) {
	if q.explained() {
		q.say("RFC 9111, 4", "the same is being fetched for another client: taking part in that")
	}
	out, err := r.outcome()
	if err != nil {
		return nil, err
	}
	if out.kind == readAlong {
		if resp := q.readOther(r, out.stored); resp != nil {
			return resp, nil
		}
	}
	r.leave()
	q.now = q.c.Now()
	switch out.kind {
	case failed:
		return q.failed(out.err)
	case goAlone:
		q.alone = true
		return q.direct()
	}
	return nil, errLookAgain
}

// readOther makes the response of another client's fetch; nil if it is not one
// for q.
func (q *query) readOther(r *reader, stored *rules.Stored) *exchange.Response {
	q.now = q.c.Now()
	verdict := rules.Reuse(&q.rules, stored, q.now)
	if verdict.Use == rules.Validate || !stored.Selects(&q.rules) {
		return nil
	}
	if q.isOutOfDate(stored) {
		q.alone = true // nor will it do when it is stored
		return nil
	}
	q.found.verdict, q.found.stored = verdict, stored
	q.found.plan = rules.PlanAnswer(&q.rules, stored, &rules.Extent{})
	resp := q.head(exchange.Collapsed, "; fwd="+q.found.forward+"; collapsed")
	if q.found.plan.Kind == rules.ClientHasIt {
		r.leave()
		return resp
	}
	resp.Body, resp.Framing, resp.Trailers = r, r.fetch.framing, r.fetch.trailers
	return resp
}
