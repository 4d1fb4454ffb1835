package cache

import (
	"context"
	"errors"

	"topdown/proxyserver/internal/exchange"
	"topdown/proxyserver/internal/rules"
)

// Exchange implements exchange.Transport. Besides what Next returns it answers
// 504 to a request that is only-if-cached. The response has Age and
// Cache-Status and, if the origin sent none, Date.
func (c *Cache) Exchange(ctx context.Context, req *exchange.Request) (*exchange.Response, error) {
	c.init()
	// Is it for a cache at all?
	q, _ := queries.Get().(*query)
	*q = query{c: c, ctx: ctx, req: req, rules: rules.NewRequest(req.Method, req.Fields)}
	defer q.done()
	if r, forward := q.rules.Bypass(req.Scheme, req.Upgrade, req.Body != nil || req.Framing != 0); !r.OK {
		return q.bypass(r, forward)
	}
	q.key = rules.Key(req.Scheme, req.Host, req.Path)
	for {
		// May what is stored answer, fresh or stale (RFC 9111, section 4.2)?
		q.lookup()
		if q.answerable() {
			if q.found.verdict.Use == rules.StaleAndRevalidate {
				q.revalidate()
			}
			if resp := q.serve(); resp != nil {
				return resp, nil
			}
			if q.tries++; q.tries < maxTries {
				continue // its body was gone
			}
			q.found = found{forward: "uri-miss", gen: q.found.gen}
		}
		// May the origin be asked?
		if q.rules.OnlyIfCached() {
			return q.onlyIfCached(), nil
		}
		// Ask it, or take part in what another client is asking.
		resp, err := q.fetch()
		if !errors.Is(err, errLookAgain) {
			return resp, err
		}
		q.tries++
	}
}
