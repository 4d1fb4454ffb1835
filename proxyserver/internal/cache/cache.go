// Package cache is a shared HTTP cache: a transport in front of another
// transport. What RFC 9111 and its neighbours say is in package rules; here it
// is carried out, and told in Cache-Status (RFC 9211).
//
// Read it from the top down: cache (the decisions, in order), bypass (requests
// that it takes no part in), collapse (clients that want the same share one
// fetch), fetch (one request to the origin), validate (what a fetch asks and
// what a 304 means), transfer (content on its way to the store and to those who
// wait), serve (answers from the store), lookup (what is stored for a request),
// background (goroutines and their bounds).
//
// What it refuses to do: keep a response that did not come to its end, keep or
// share one that was invalidated on the way, and let a client that is slow or
// gone hold up others.
package cache

import (
	"context"
	"errors"
	"sync"
	"time"

	"topdown/proxyserver/internal/exchange"
	"topdown/proxyserver/internal/rules"
	"topdown/proxyserver/internal/store"

	"go.uber.org/zap"
)

// Cache answers requests from Store where RFC 9111 allows it, and from Next
// otherwise. The fields must not be changed once it is in use.
type Cache struct {
	Next  exchange.Transport
	Store store.Store
	Rules rules.Config
	Log   *zap.Logger      // default: none
	Now   func() time.Time // default: time.Now

	// Name is this cache's name in Cache-Status (RFC 9211); default "Topdown".
	Name string
	// Finish is how many bytes of a response are still fetched for the store
	// after the last client that wanted it has left; default 16 MiB.
	Finish int64

	once    sync.Once
	fetches fetches
	tasks   tasks
}

func (c *Cache) init() {
	c.once.Do(func() {
		if c.Now == nil {
			c.Now = time.Now
		}
		if c.Log == nil {
			c.Log = zap.NewNop()
		}
		if c.Name == "" {
			c.Name = "Topdown"
		}
		if c.Finish <= 0 {
			c.Finish = 16 << 20
		}
		c.tasks.init(c.Log)
	})
}

// Close gives up all fetches under way and waits for them to end. The store
// stays open.
func (c *Cache) Close() {
	c.init()
	c.tasks.close()
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

// maxTries bounds how often one request looks into the store again, because
// what it found there was gone or what it waited for was not for it. After that
// it goes on its own.
const maxTries = 8

// Exchange implements exchange.Transport. Besides what Next returns it answers
// 504 to a request that is only-if-cached. The response has Age and
// Cache-Status and, if the origin sent none, Date.
func (c *Cache) Exchange(ctx context.Context, req *exchange.Request) (*exchange.Response, error) {
	c.init()
	q := &query{c: c, ctx: ctx, req: req, rules: rules.NewRequest(req.Method, req.Fields)}
	if r, forward := q.rules.Bypass(req.Scheme, req.Upgrade, req.Body != nil || req.Framing != 0); !r.OK {
		return q.bypass(r, forward)
	}
	q.key = rules.Key(req.Scheme, req.Host, req.Path)
	for {
		ended := c.fetches.ended.Load()
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
		if q.rules.OnlyIfCached() {
			return q.onlyIfCached(), nil
		}
		r, leads := q.join()
		if leads && r.fetch.listed && c.fetches.ended.Load() != ended {
			// One that ended since the look into the store may have left there
			// what is wanted now. None can end from here on unseen: this one is
			// the key's.
			if q.lookup(); q.answerable() {
				r.unneeded()
				continue
			}
		}
		var resp *exchange.Response
		var err error
		if leads {
			resp, err = q.lead(r)
		} else {
			resp, err = q.follow(r)
		}
		if !errors.Is(err, errLookAgain) {
			return resp, err
		}
		q.tries++
	}
}

// query is one request on its way through the cache.
type query struct {
	c     *Cache
	ctx   context.Context //nolint:containedctx // of this request alone
	req   *exchange.Request
	rules rules.Request
	key   string
	now   time.Time
	found found
	tries int
	alone bool // it does not wait for others' fetches any more
}

func (q *query) say(section, decision string) { q.req.Say(section, decision) }

func (q *query) explained() bool { return q.req.Explain != nil }
