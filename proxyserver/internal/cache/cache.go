// Package cache is a shared HTTP cache: a transport in front of another
// transport. What RFC 9111 and its neighbours say is in package rules; here it
// is carried out, and told in Cache-Status (RFC 9211).
//
// This file has the options. From there on read from the top down: exchange
// (the decisions, in order), bypass (requests that it takes no part in),
// collapse (clients that want the same share one fetch), ask (what the origin
// is asked, and what becomes of its answer), validate (what a 304 means),
// transfer (content on its way to the store), reader (clients that take part in
// a fetch), fetch (what those share), serve (answers from the store), lookup
// (what is stored for a request), groups (responses that are made invalid
// together), table (the fetches under way), background (goroutines and their
// bounds).
//
// What it refuses to do: keep a response that did not come to its end, keep or
// share one that was invalidated on the way, and let a client that is slow or
// gone hold up others.
package cache

import (
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
	marks   marks
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
