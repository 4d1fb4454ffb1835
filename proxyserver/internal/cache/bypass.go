package cache

import (
	"context"
	"strconv"
	"time"

	"topdown/proxyserver/internal/exchange"
	"topdown/proxyserver/internal/rules"
)

// bypass forwards a request that the cache takes no part in, and removes what a
// successful unsafe one has changed (RFC 9111, section 4.4).
func (q *query) bypass(why rules.Ruling, forward string) (*exchange.Response, error) {
	q.say(why.Section, why.Why)
	c, method := q.c, q.req.Method
	requestTime := c.Now()
	resp, err := c.Next.Exchange(q.ctx, q.req)
	if err != nil || resp.Status == 101 {
		return resp, err
	}
	q.now = c.Now()
	out := *resp
	out.Result = exchange.Bypass
	status := "; fwd=" + forward + "; fwd-status=" + strconv.Itoa(resp.Status)
	if why.Detail != "" && why.Detail != forward {
		status += "; detail=" + why.Detail
	}
	if !rules.Safe(method) && resp.Status >= 200 && resp.Status < 400 {
		q.key = rules.Key(q.req.Scheme, q.req.Host, q.req.Path)
		keys := append(rules.Related(q.key, resp.Fields), q.key)
		if c.Rules.Groups {
			q.invalidateGroups(append(rules.InvalidatedGroups(resp.Fields), q.groupsUnder(keys)...))
		}
		for _, key := range keys {
			n := c.invalidate(q.ctx, key)
			if q.explained() {
				q.say("RFC 9111, 4.4", "a successful "+method+" invalidates "+key+": "+strconv.Itoa(n)+" removed")
			}
		}
		if method == "POST" {
			if body := q.storePost(resp, requestTime); body != nil {
				out.Body, status = body, status+"; stored"
			}
		}
	}
	out.Fields = c.withStatus(resp.Fields, status, q.now)
	return &out, nil
}

// storePost stores the response to a POST for later GETs, if it says that it
// is what a GET would give (RFC 9110, section 9.3.3), and returns its content
// as it passes; nil if not.
func (q *query) storePost(resp *exchange.Response, requestTime time.Time) *reader {
	c := q.c
	if !rules.IsOwnLocation(q.key, resp.Fields) {
		return nil
	}
	size := length(resp)
	stored := rules.Received(&q.rules, resp.Status, resp.Reason, resp.Fields, size, requestTime, q.now, c.Rules)
	if !rules.Storable(&q.rules, stored).OK {
		return nil
	}
	_, gen := c.Store.Lookup(q.ctx, q.key)
	f := q.newFetch()
	w, err := c.Store.Create(f.ctx, q.key, gen, size)
	if err != nil {
		return nil
	}
	// The origin's answer ends with the client's context, and so does this.
	r := f.joinLeader(q.ctx)
	f.start(func() { f.carry(w, size, &outcome{kind: goAlone, stored: stored, resp: resp, now: q.now}) })
	return r
}

// Purge removes what is stored for a URI and returns how many responses that
// were. What is being fetched for it now will not be stored.
func (c *Cache) Purge(uri string) int {
	c.init()
	key, ok := rules.ParseKey(uri)
	if !ok {
		return 0
	}
	return c.invalidate(context.Background(), key)
}

// invalidate removes what is stored under key and sees to it that nothing under
// way is stored there or joined; it returns how many responses were stored.
func (c *Cache) invalidate(ctx context.Context, key string) int {
	c.fetches.invalidate(key)
	return c.Store.Invalidate(ctx, key)
}
