// Package cache is a shared HTTP cache: a transport in front of another
// transport. It implements RFC 9111 (caching), RFC 5861 (stale-while-revalidate,
// stale-if-error), RFC 8246 (immutable), RFC 9211 (Cache-Status) and RFC 9213
// (targeted fields), and the parts of RFC 9110 on ranges and preconditions that
// a cache answers itself.
//
// The rules are functions of a request, stored responses and the time, in files
// of their own: directives, freshness, storing, reuse, vary, precondition,
// ranges, key. They read no clock and do no I/O. This file and those named
// select, answer, fetch, receive, validate, flight and fill carry the decisions
// out.
//
// What it refuses to do: keep a response that did not come to its end, or
// answer with one whose checksum is wrong.
package cache

import (
	"context"
	"runtime/debug"
	"sync"
	"time"

	"topdown/pkg/httpmsg"
	"topdown/proxyserver/internal/exchange"
	"topdown/proxyserver/internal/store"

	"go.uber.org/zap"
)

// Cache answers requests from Store where RFC 9111 allows it, and from Next
// otherwise. The fields must not be changed once it is in use.
type Cache struct {
	Next  exchange.Transport
	Store store.Store
	Log   *zap.Logger      // default: none
	Now   func() time.Time // default: time.Now

	// Name is this cache's name in Cache-Status (RFC 9211); default "Topdown".
	Name string
	// Targeted names the targeted cache control fields that apply to this
	// cache, the first that is present and valid wins (RFC 9213); a reverse
	// proxy's is "CDN-Cache-Control". Default: none.
	Targeted []string
	// Finish is how many octets of a response are still fetched for the store
	// after the last client that wanted it has left; default 16 MiB.
	Finish int64

	flights   flights
	once      sync.Once
	ctx       context.Context //nolint:containedctx // ends with the cache
	end       context.CancelFunc
	asking    chan struct{} // bounds the revalidations in the background
	finishing chan struct{} // bounds the transfers that clients have left
	mu        sync.Mutex    // guards closed
	closed    bool
	tasks     sync.WaitGroup
}

const (
	// background bounds how many fetches of a kind go on that no client waits
	// for.
	background = 64
	// finishTime is how long a transfer may take that its clients have left.
	finishTime = 5 * time.Minute
)

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
		c.ctx, c.end = context.WithCancel(context.Background())
		c.asking, c.finishing = make(chan struct{}, background), make(chan struct{}, background)
	})
}

// Close gives up the work that no client waits for and waits for it to end.
// The store stays open.
func (c *Cache) Close() {
	c.init()
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.end()
	c.tasks.Wait()
}

// behind runs task in the background, unless all slots of its kind are taken,
// and reports whether it does.
func (c *Cache) behind(slots chan struct{}, task func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	select {
	case slots <- struct{}{}:
	default:
		return false
	}
	c.tasks.Go(func() {
		defer func() {
			<-slots
			if fault := recover(); fault != nil {
				c.Log.Error("cache: fault in the background", zap.Any("fault", fault), zap.ByteString("stack", debug.Stack()))
			}
		}()
		task()
	})
	return true
}

// Purge removes what is stored for a URI and returns how many responses that
// were. What is being fetched for it now will not be stored.
func (c *Cache) Purge(uri string) int {
	c.init()
	key, ok := Key(uri)
	if !ok {
		return 0
	}
	return c.invalidate(key)
}

func (c *Cache) invalidate(key string) int {
	c.flights.doom(key)
	return c.Store.RemoveKey(key)
}

// maxJoins is how many fetches of others a request joins in vain, because they
// turned out to be of another variant, before it goes on its own.
const maxJoins = 8

// Exchange implements exchange.Transport. Besides what Next returns it answers
// 504 to a request that is only-if-cached. The response has Age and
// Cache-Status and, if the origin sent none, Date.
func (c *Cache) Exchange(ctx context.Context, req *exchange.Request) (*exchange.Response, error) {
	c.init()
	x := &exchangeState{c: c, ctx: ctx, req: req}
	x.shape = shapeOf(req.Fields)
	if x.shape&hasDirectives != 0 {
		x.rd = requestDirectives(req.Fields)
	} else {
		x.rd = noDirectives()
	}
	if r, fwd := bypass(req, &x.rd); !r.ok {
		return x.pass(r, fwd)
	}
	x.key = keyOf(req.Scheme, req.Host, req.Path)
	var tried []*flight
	for try := 0; ; try++ {
		x.now = c.Now()
		landed := c.flights.landed.Load()
		x.choose()
		if x.sel.entry != nil && x.verdict.use != useValidate && x.plan.kind != planNone {
			if resp := x.answer(); resp != nil {
				return resp, nil
			}
			if try < 3 {
				continue // its file was gone
			}
			x.sel, x.fwd = selection{}, "uri-miss"
		}
		if x.rd.onlyCached {
			return x.onlyIfCached(), nil
		}
		if !x.collapsible() || len(tried) >= maxJoins || c.flights.isAlone(x.key, x.now) {
			return x.fetch(nil)
		}
		fl, r := c.flights.join(x.key, req.Fields, x.vary, tried)
		if r == leader {
			// One that ended since the look into the store may have left there
			// what is wanted now.
			if c.flights.landed.Load() != landed && x.nowStored() {
				c.flights.settle(fl, lookAgain, nil, nil)
				continue
			}
			return x.fetch(fl)
		}
		resp, again, err := x.follow(fl, r)
		if !again {
			return resp, err
		}
		tried = append(tried, fl)
	}
}

// exchangeState is one exchange on its way through the cache.
type exchangeState struct {
	c     *Cache
	ctx   context.Context //nolint:containedctx // of this exchange alone
	req   *exchange.Request
	shape shape
	rd    directives
	key   string
	since uint32 // Store.Removals of key before the origin was asked
	now   time.Time

	// What choose found.
	sel     selection
	verdict verdict
	plan    plan
	vary    []string // field names that the stored responses vary by
	fwd     string   // why the request is forwarded, for Cache-Status
	etags   []*store.Entry
}

// shape tells what a request's fields have that matters here.
type shape uint8

const (
	hasDirectives shape = 1 << iota // Cache-Control or Pragma
	hasCondition                    // If-None-Match or If-Modified-Since
	hasRange                        // Range
	hasOther                        // If-Match, If-Unmodified-Since: the origin's to evaluate
)

// shapeOf looks at each field once; most are told apart by their length.
func shapeOf(f httpmsg.Fields) (s shape) {
	for i := range f {
		name := f[i].Name
		switch len(name) {
		case 5:
			if foldEqual(name, "range") {
				s |= hasRange
			}
		case 6:
			if foldEqual(name, "pragma") {
				s |= hasDirectives
			}
		case 8:
			if foldEqual(name, "if-match") {
				s |= hasOther
			}
		case 13:
			if foldEqual(name, "cache-control") {
				s |= hasDirectives
			} else if foldEqual(name, "if-none-match") {
				s |= hasCondition
			}
		case 17:
			if foldEqual(name, "if-modified-since") {
				s |= hasCondition
			}
		case 19:
			if foldEqual(name, "if-unmodified-since") {
				s |= hasOther
			}
		}
	}
	return s
}

// foldEqual compares name with one in lower case.
func foldEqual(name, lower string) bool {
	for i := range len(lower) {
		c := name[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// nowStored looks again, and reports whether the store has the answer.
func (x *exchangeState) nowStored() bool {
	x.choose()
	return x.sel.entry != nil && x.verdict.use != useValidate && x.plan.kind != planNone
}

func (x *exchangeState) collapsible() bool {
	return x.req.Method == "GET" && x.shape&(hasRange|hasOther) == 0 && x.fwd != "request"
}

func (x *exchangeState) say(section, decision string) { x.req.Say(section, decision) }

func (x *exchangeState) explained() bool { return x.req.Explain != nil }
