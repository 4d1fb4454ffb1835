package cache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"topdown/pkg/httpmsg"
	"topdown/proxyserver/internal/exchange"
	"topdown/proxyserver/internal/rules"
	"topdown/proxyserver/internal/store"
)

// slowOrigin answers each request when it is told to.
type slowOrigin struct {
	asked atomic.Int32
	// serve makes the response to the nth request.
	serve func(ctx context.Context, n int, req *exchange.Request) (*exchange.Response, error)
}

func (o *slowOrigin) Exchange(ctx context.Context, req *exchange.Request) (*exchange.Response, error) {
	return o.serve(ctx, int(o.asked.Add(1)), req)
}

// slowBody gives a piece of content a second and then ends with err; it ends
// with its context, as a connection would.
type slowBody struct {
	ctx   context.Context
	left  []byte
	piece int
	err   error
}

func (b *slowBody) Read(p []byte) (int, error) {
	select {
	case <-b.ctx.Done():
		return 0, b.ctx.Err()
	case <-time.After(time.Second):
	}
	if len(b.left) == 0 {
		if b.err != nil {
			return 0, b.err
		}
		return 0, io.EOF
	}
	n := copy(p, b.left[:min(b.piece, len(b.left))])
	b.left = b.left[n:]
	return n, nil
}

func (b *slowBody) Close() error { return nil }

func response(cc string, body io.ReadCloser, framing httpmsg.Framing, more ...httpmsg.Field) *exchange.Response {
	return &exchange.Response{
		Status: 200, Reason: "OK", Body: body, Framing: framing,
		Fields: append(httpmsg.Fields{{Name: "Cache-Control", Value: cc}}, more...),
	}
}

func get(path string, f ...httpmsg.Field) *exchange.Request {
	return &exchange.Request{Method: "GET", Scheme: "http", Host: "example.org", Path: path, Fields: f}
}

func content(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}

// eachStore runs a test with a store of each kind.
func eachStore(t *testing.T, test func(t *testing.T, s store.Store)) {
	t.Helper()
	for name, newStore := range stores {
		t.Run(name, func(t *testing.T) { test(t, newStore(t, rules.Config{})) })
	}
}

// A thousand clients, one cold URL: one request to the origin; half of them
// leave early, the first among them.
func TestThousandClients(t *testing.T) {
	eachStore(t, func(t *testing.T, s store.Store) {
		t.Helper()
		want := content(300 << 10)
		everybody := make(chan struct{}) // is waiting
		var began time.Time
		origin := &slowOrigin{serve: func(ctx context.Context, _ int, _ *exchange.Request) (*exchange.Response, error) {
			began = time.Now()
			<-everybody
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(25 * time.Millisecond):
			}
			return response("max-age=100", &fastBody{ctx: ctx, left: want}, httpmsg.Framing(len(want))), nil
		}}
		c := &Cache{Next: origin, Store: s}
		defer c.Close()
		var clients sync.WaitGroup
		var whole atomic.Int32
		for i := range 1000 {
			clients.Go(func() {
				ctx, leave := context.WithCancel(t.Context())
				defer leave()
				if i%4 == 0 {
					go func() {
						<-everybody
						time.AfterFunc(time.Duration(i%50)*time.Millisecond, leave)
					}()
				}
				resp, err := c.Exchange(ctx, get("/big"))
				if err != nil {
					if i%4 != 0 {
						t.Errorf("client %d: %v", i, err)
					}
					return
				}
				defer resp.Body.Close()
				if i%4 == 1 {
					io.CopyN(io.Discard, resp.Body, int64(i*100))
					return // in the middle
				}
				got, err := io.ReadAll(resp.Body)
				switch {
				case err != nil && i%4 != 0:
					t.Errorf("client %d: %v after %d octets", i, err, len(got))
				case err == nil && !bytes.Equal(got, want):
					t.Errorf("client %d: wrong content", i)
				case err == nil:
					whole.Add(1)
				}
			})
		}
		waitFor(t, func() bool { return c.fetches.waitingFor("http://example.org/big") == 999 })
		close(everybody)
		clients.Wait()
		if n := origin.asked.Load(); n != 1 {
			t.Errorf("the origin was asked %d times, want once", n)
		}
		if whole.Load() < 500 {
			t.Errorf("%d clients got all of it, want 500 at least", whole.Load())
		}
		if took := time.Since(began); took > 3*time.Second {
			t.Logf("too busy: a fetch of %v may have lost its lease in a shared store, and then stores nothing", took)
			return
		}
		// An engine may be slower than the clients.
		waitFor(t, func() bool { return len(lookup(s, "http://example.org/big")) == 1 })
	})
}

// fastBody is a body in pieces that ends with its context.
type fastBody struct {
	ctx  context.Context
	left []byte
	err  error
}

func (b *fastBody) Read(p []byte) (int, error) {
	if b.ctx.Err() != nil {
		return 0, b.ctx.Err()
	}
	if len(b.left) == 0 {
		if b.err != nil {
			return 0, b.err
		}
		return 0, io.EOF
	}
	n := copy(p, b.left[:min(8<<10, len(b.left))])
	b.left = b.left[n:]
	return n, nil
}

func (b *fastBody) Close() error { return nil }

// The origin dies in the middle: every client sees a broken transfer, and
// nothing is stored.
func TestOriginDies(t *testing.T) {
	eachStore(t, func(t *testing.T, s store.Store) {
		t.Helper()
		start := make(chan struct{})
		origin := &slowOrigin{serve: func(ctx context.Context, _ int, _ *exchange.Request) (*exchange.Response, error) {
			<-start
			return response("max-age=100", &fastBody{ctx: ctx, left: content(200 << 10), err: io.ErrUnexpectedEOF}, 400<<10), nil
		}}
		c := &Cache{Next: origin, Store: s}
		defer c.Close()
		var clients sync.WaitGroup
		for i := range 100 {
			clients.Go(func() {
				resp, err := c.Exchange(t.Context(), get("/dies"))
				if err != nil {
					t.Errorf("client %d: %v", i, err)
					return
				}
				defer resp.Body.Close()
				got, err := io.ReadAll(resp.Body)
				if err == nil || len(got) > 200<<10 {
					t.Errorf("client %d: %d octets and error %v, want a broken transfer", i, len(got), err)
				}
			})
		}
		waitFor(t, func() bool { return c.fetches.waitingFor("http://example.org/dies") == 99 })
		close(start)
		clients.Wait()
		if n := origin.asked.Load(); n != 1 {
			t.Errorf("the origin was asked %d times, want once", n)
		}
		if n := len(lookup(s, "http://example.org/dies")); n != 0 {
			t.Errorf("%d responses are stored, want none", n)
		}
	})
}

// waitingFor counts those who wait for others' fetches.
func (s *fetches) waitingFor(key string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, f := range s.byKey[key] {
		f.mu.Lock()
		n += len(f.readers) - 1
		f.mu.Unlock()
	}
	return n
}

func lookup(s store.Store, key string) []*store.Entry {
	entries, _ := s.Lookup(context.Background(), key)
	return entries
}

func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	for began := time.Now(); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Since(began) > 2*time.Minute {
			t.Fatal("waited for two minutes in vain")
		}
	}
}

// readAll is Exchange and the whole body, for a goroutine.
func readAll(ctx context.Context, c *Cache, req *exchange.Request) (*exchange.Response, []byte, error) {
	resp, err := c.Exchange(ctx, req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp, b, err
}

func TestLeaderLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		want := content(10)
		origin := &slowOrigin{serve: func(ctx context.Context, _ int, _ *exchange.Request) (*exchange.Response, error) {
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(time.Second):
			}
			return response("max-age=100", &slowBody{ctx: ctx, left: want, piece: 1}, 10), nil
		}}
		c := &Cache{Next: origin, Store: store.NewMemory(0, 0)}
		defer c.Close()
		for _, leave := range []time.Duration{500 * time.Millisecond, 3500 * time.Millisecond} {
			path := "/" + leave.String()
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(leave, cancel)
			go readAll(ctx, c, get(path))
			synctest.Wait()
			resp, got, err := readAll(t.Context(), c, get(path))
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("leaving after %v: the follower got %q, %v", leave, got, err)
			} else if resp.Result != exchange.Collapsed {
				t.Errorf("leaving after %v: result %s, want %s", leave, resp.Result, exchange.Collapsed)
			}
		}
		if n := origin.asked.Load(); n != 2 {
			t.Errorf("the origin was asked %d times, want twice", n)
		}
	})
}

// Without any client left a short rest is still fetched, a long one is not.
func TestEverybodyLeaves(t *testing.T) {
	for _, test := range []struct {
		name    string
		size    int
		finish  int64
		framing httpmsg.Framing
		stored  bool
	}{
		{"short", 10, 100, 10, true},
		{"long", 10, 3, 10, false},
		{"of unknown length", 10, 100, httpmsg.Chunked, true},
		{"of unknown length and long", 10, 3, httpmsg.Chunked, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var transfer context.Context
				origin := &slowOrigin{serve: func(ctx context.Context, _ int, _ *exchange.Request) (*exchange.Response, error) {
					transfer = ctx
					return response("max-age=100", &slowBody{ctx: ctx, left: content(test.size), piece: 1}, test.framing), nil
				}}
				s := store.NewMemory(0, 0)
				c := &Cache{Next: origin, Store: s, Finish: test.finish}
				defer c.Close()
				resp, err := c.Exchange(t.Context(), get("/"))
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Read(make([]byte, 1))
				resp.Body.Close()
				time.Sleep(time.Minute)
				synctest.Wait()
				if got := len(lookup(s, "http://example.org/")) == 1; got != test.stored {
					t.Errorf("stored: %v, want %v", got, test.stored)
				}
				if transfer.Err() == nil {
					t.Error("the transfer goes on")
				}
			})
		})
	}
}

// A URI whose responses are each client's own needs no fetch, and has one again
// as soon as a response may be stored, which then goes on when the client leaves.
func TestNobodyElses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		origin := &slowOrigin{serve: func(ctx context.Context, n int, _ *exchange.Request) (*exchange.Response, error) {
			if n < 3 {
				return response("no-store", &fastBody{ctx: ctx, left: content(10)}, 10), nil
			}
			return response("max-age=100", &slowBody{ctx: ctx, left: content(10), piece: 1}, 10), nil
		}}
		c := &Cache{Next: origin, Store: store.NewMemory(0, 0)}
		defer c.Close()
		before := runtime.NumGoroutine()
		for n := range 2 {
			resp, err := c.Exchange(t.Context(), get("/"))
			if err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if more := runtime.NumGoroutine() - before; more > 0 && n > 0 {
				t.Errorf("%d goroutines more for a response that is nobody else's", more)
			}
			if got, err := io.ReadAll(resp.Body); err != nil || !bytes.Equal(got, content(10)) {
				t.Errorf("%q, %v", got, err)
			}
			resp.Body.Close()
		}
		resp, err := c.Exchange(t.Context(), get("/"))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Read(make([]byte, 1))
		resp.Body.Close()
		time.Sleep(time.Minute)
		if resp, got, err := readAll(t.Context(), c, get("/")); err != nil || !bytes.Equal(got, content(10)) || resp.Result != exchange.Hit {
			t.Errorf("afterwards: %+v %q, %v", resp, got, err)
		}
	})
}

// A response that cannot be shared lets the others go at once, all together.
func TestUncacheableReleases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		origin := &slowOrigin{serve: func(ctx context.Context, _ int, _ *exchange.Request) (*exchange.Response, error) {
			time.Sleep(time.Second)
			return response("no-store", &slowBody{ctx: ctx, left: content(5), piece: 1}, 5), nil
		}}
		c := &Cache{Next: origin, Store: store.NewMemory(0, 0)}
		defer c.Close()
		began := time.Now()
		var clients sync.WaitGroup
		for range 10 {
			clients.Go(func() {
				if _, got, err := readAll(t.Context(), c, get("/")); err != nil || len(got) != 5 {
					t.Errorf("got %d octets, %v", len(got), err)
				}
			})
		}
		clients.Wait()
		if n := origin.asked.Load(); n != 10 {
			t.Errorf("the origin was asked %d times, want 10", n)
		}
		// One head for the leader, then one head and body for the others.
		if took := time.Since(began); took > 9*time.Second {
			t.Errorf("took %v: the clients waited for more than a head", took)
		}
		began = time.Now()
		for range 3 {
			clients.Go(func() { readAll(t.Context(), c, get("/")) })
		}
		clients.Wait()
		if took := time.Since(began); took > 8*time.Second {
			t.Errorf("later requests took %v: they waited for one another", took)
		}
	})
}

// Each variant is fetched once, and where it is known beforehand what selects one,
// nobody waits for another's.
func TestCollapseByVariant(t *testing.T) {
	for field, selecting := range map[string][]string{"Vary": nil, "Server": {"accept-language"}} {
		synctest.Test(t, func(t *testing.T) {
			origin := &slowOrigin{serve: func(ctx context.Context, _ int, req *exchange.Request) (*exchange.Response, error) {
				time.Sleep(time.Second)
				language := req.Fields.Get("Accept-Language")
				return response("max-age=100", &slowBody{ctx: ctx, left: []byte(language), piece: 1}, httpmsg.Framing(len(language)),
					httpmsg.Field{Name: field, Value: "Accept-Language"}), nil
			}}
			c := &Cache{Next: origin, Store: store.NewMemory(0, 0), Rules: rules.Config{Selecting: selecting}}
			defer c.Close()
			began := time.Now()
			var clients sync.WaitGroup
			for i := range 40 {
				clients.Go(func() {
					language := fmt.Sprintf("l%d", i%4)
					_, got, err := readAll(t.Context(), c, get("/", httpmsg.Field{Name: "Accept-Language", Value: language}))
					if err != nil || string(got) != language {
						t.Errorf("asked for %s, got %q, %v", language, got, err)
					}
				})
			}
			clients.Wait()
			if n := origin.asked.Load(); n != 4 {
				t.Errorf("the origin was asked %d times, want 4", n)
			}
			if took := time.Since(began); selecting != nil && took > 5*time.Second { // a second for the head, and one for each read of the content
				t.Errorf("it took %v: they waited for one another", took)
			}
		})
	}
}

func TestOriginFailsForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		origin := &slowOrigin{serve: func(context.Context, int, *exchange.Request) (*exchange.Response, error) {
			time.Sleep(time.Second)
			return nil, &exchange.Error{Status: 502, Type: "connection_refused", Step: "connect", Err: errors.New("refused")}
		}}
		c := &Cache{Next: origin, Store: store.NewMemory(0, 0)}
		defer c.Close()
		var clients sync.WaitGroup
		for range 10 {
			clients.Go(func() {
				if _, _, err := readAll(t.Context(), c, get("/")); err == nil {
					t.Error("no error")
				}
			})
		}
		clients.Wait()
		if n := origin.asked.Load(); n != 1 {
			t.Errorf("the origin was asked %d times, want once", n)
		}
	})
}

// stale-while-revalidate: the stale response at once, the origin asked once in
// the background, the new response from then on.
func TestStaleWhileRevalidate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		origin := &slowOrigin{serve: func(ctx context.Context, n int, req *exchange.Request) (*exchange.Response, error) {
			if n == 2 && req.Fields.Get("If-None-Match") != `"1"` {
				t.Errorf("revalidated with %v", req.Fields)
			}
			body := fmt.Sprint(n)
			return response("max-age=10, stale-while-revalidate=60", &slowBody{ctx: ctx, left: []byte(body), piece: 1}, 1,
				httpmsg.Field{Name: "ETag", Value: `"` + body + `"`}), nil
		}}
		c := &Cache{Next: origin, Store: store.NewMemory(0, 0)}
		defer c.Close()
		readAll(t.Context(), c, get("/"))
		time.Sleep(20 * time.Second)
		for range 5 {
			resp, got, err := readAll(t.Context(), c, get("/"))
			if err != nil || string(got) != "1" || resp.Result != exchange.Stale {
				t.Errorf("got %q, %v, want the stale response", got, err)
			}
		}
		time.Sleep(5 * time.Second)
		resp, got, err := readAll(t.Context(), c, get("/"))
		if err != nil || string(got) != "2" || resp.Result != exchange.Hit {
			t.Errorf("got %q, %v, want the new response from the store", got, err)
		}
		if n := origin.asked.Load(); n != 2 {
			t.Errorf("the origin was asked %d times, want twice", n)
		}
	})
}

// What is invalidated while it is fetched is not stored.
func TestInvalidatedMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		origin := &slowOrigin{serve: func(ctx context.Context, _ int, _ *exchange.Request) (*exchange.Response, error) {
			return response("max-age=100", &slowBody{ctx: ctx, left: content(5), piece: 1}, 5), nil
		}}
		s := store.NewMemory(0, 0)
		c := &Cache{Next: origin, Store: s}
		defer c.Close()
		go func() {
			time.Sleep(2500 * time.Millisecond)
			c.Purge("HTTP://EXAMPLE.org:80")
		}()
		if _, got, err := readAll(t.Context(), c, get("/")); err != nil || len(got) != 5 {
			t.Errorf("got %d octets, %v", len(got), err)
		}
		if len(lookup(s, "http://example.org/")) != 0 {
			t.Error("it was stored in spite of the purge")
		}
	})
}

// failing is a store whose writers fail after some octets.
type failing struct {
	store.Store
	after int
}

type failingWriter struct {
	store.Writer
	left int
}

func (s failing) Create(ctx context.Context, key string, gen store.Generation, size int64) (store.Writer, error) {
	w, err := s.Store.Create(ctx, key, gen, size)
	return &failingWriter{w, s.after}, err
}

func (w *failingWriter) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p[:min(len(p), w.left)])
	if w.left -= n; err == nil && n < len(p) {
		err = errors.New("disk full")
	}
	return n, err
}

// The store fails in the middle: all clients, the slow one too, get all of it.
func TestStoreFails(t *testing.T) {
	for _, after := range []int{0, 1, 5000, 100 << 10, 3 << 20} {
		want := content(4 << 20)
		origin := &slowOrigin{serve: func(ctx context.Context, _ int, _ *exchange.Request) (*exchange.Response, error) {
			return response("max-age=100", &fastBody{ctx: ctx, left: want}, httpmsg.Framing(len(want))), nil
		}}
		s := failing{store.NewMemory(512<<20, 0), after}
		c := &Cache{Next: origin, Store: s}
		var clients sync.WaitGroup
		first, err := c.Exchange(t.Context(), get("/"))
		if err != nil {
			t.Fatal(err)
		}
		for i := range 8 {
			clients.Go(func() {
				resp, err := c.Exchange(t.Context(), get("/"))
				if err != nil {
					t.Errorf("client %d: %v", i, err)
					return
				}
				defer resp.Body.Close()
				var r io.Reader = resp.Body
				if i%4 == 0 {
					r = &reluctant{r: r}
				}
				if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want) {
					t.Errorf("after %d, client %d: %d octets, %v", after, i, len(got), err)
				}
			})
		}
		got, err := io.ReadAll(first.Body)
		first.Body.Close()
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("after %d, the first client: %d octets, %v", after, len(got), err)
		}
		clients.Wait()
		c.Close()
		if len(lookup(s, "http://example.org/")) != 0 {
			t.Errorf("after %d: it is stored", after)
		}
	}
}

// reluctant reads slowly.
type reluctant struct {
	r io.Reader
	n int
}

func (r *reluctant) Read(p []byte) (int, error) {
	if r.n++; r.n%64 == 0 {
		time.Sleep(time.Millisecond)
	}
	return r.r.Read(p[:min(len(p), 4096)])
}

// A slow client does not hold up the others while the store takes everything.
func TestSlowFollower(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		origin := &slowOrigin{serve: func(ctx context.Context, _ int, _ *exchange.Request) (*exchange.Response, error) {
			return response("max-age=100", &slowBody{ctx: ctx, left: content(10), piece: 1}, 10), nil
		}}
		c := &Cache{Next: origin, Store: store.NewMemory(0, 0)}
		defer c.Close()
		slow, err := c.Exchange(t.Context(), get("/"))
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if _, got, err := readAll(t.Context(), c, get("/")); err != nil || len(got) != 10 {
			t.Errorf("got %d octets, %v", len(got), err)
		}
		if took := time.Since(began); took > 12*time.Second {
			t.Errorf("took %v", took)
		}
		time.Sleep(time.Hour)
		if got, err := io.ReadAll(slow.Body); err != nil || !bytes.Equal(got, content(10)) {
			t.Errorf("the slow client got %d octets, %v", len(got), err)
		}
		slow.Body.Close()
	})
}

// Clients of a response that must be validated each time do not wait for one
// another's validations.
func TestValidatedEachTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		origin := &slowOrigin{serve: func(_ context.Context, _ int, req *exchange.Request) (*exchange.Response, error) {
			time.Sleep(time.Second)
			resp := response("no-cache", io.NopCloser(bytes.NewReader(nil)), 0, httpmsg.Field{Name: "ETag", Value: `"a"`})
			if req.Fields.Has("If-None-Match") {
				resp.Status = 304
			}
			return resp, nil
		}}
		c := &Cache{Next: origin, Store: store.NewMemory(0, 0)}
		defer c.Close()
		readAll(t.Context(), c, get("/"))
		time.Sleep(time.Minute)
		began := time.Now()
		var clients sync.WaitGroup
		for range 20 {
			clients.Go(func() {
				resp, _, err := readAll(t.Context(), c, get("/"))
				if err != nil || resp.Status != 200 || resp.Result != exchange.Revalidated {
					t.Errorf("%+v, %v", resp, err)
				}
			})
		}
		clients.Wait()
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("took %v, want two round trips at most", took)
		}
	})
}

// A stale response is validated once for all who wait for it.
func TestCollapsedValidation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		origin := &slowOrigin{serve: func(_ context.Context, _ int, req *exchange.Request) (*exchange.Response, error) {
			time.Sleep(time.Second)
			resp := response("max-age=10", io.NopCloser(bytes.NewReader(nil)), 0, httpmsg.Field{Name: "ETag", Value: `"a"`})
			if req.Fields.Has("If-None-Match") {
				resp.Status = 304
			}
			return resp, nil
		}}
		c := &Cache{Next: origin, Store: store.NewMemory(0, 0)}
		defer c.Close()
		readAll(t.Context(), c, get("/"))
		time.Sleep(time.Minute)
		var clients sync.WaitGroup
		for range 20 {
			clients.Go(func() { readAll(t.Context(), c, get("/")) })
		}
		clients.Wait()
		if n := origin.asked.Load(); n != 2 {
			t.Errorf("the origin was asked %d times, want twice", n)
		}
	})
}

// No goroutine or file is left behind by a mix of exchanges.
func TestNothingLeaks(t *testing.T) {
	want := content(100 << 10)
	origin := &slowOrigin{serve: func(ctx context.Context, n int, _ *exchange.Request) (*exchange.Response, error) {
		b := &fastBody{ctx: ctx, left: want}
		switch n % 5 {
		case 0:
			return nil, &exchange.Error{Status: 502, Type: "connection_refused", Step: "connect", Err: io.EOF}
		case 1:
			b.err = io.ErrUnexpectedEOF
		case 2:
			return response("no-store", b, httpmsg.Framing(len(want))), nil
		}
		return response("max-age=1", b, httpmsg.Framing(len(want))), nil
	}}
	s := fromDisk(t, rules.Config{})
	c := &Cache{Next: origin, Store: s, Finish: 50 << 10}
	before := runtime.NumGoroutine()
	files := openFiles(t)
	var clients sync.WaitGroup
	for i := range 8 {
		clients.Go(func() {
			for j := range 250 {
				resp, err := c.Exchange(t.Context(), get(fmt.Sprintf("/%d", (i+j)%50)))
				if err != nil {
					continue
				}
				switch j % 3 {
				case 0:
					io.Copy(io.Discard, resp.Body)
				case 1:
					io.CopyN(io.Discard, resp.Body, 10<<10)
				}
				resp.Body.Close()
			}
		})
	}
	clients.Wait()
	c.Close()
	waitFor(t, func() bool { return runtime.NumGoroutine() <= before })
	s.Close() // it holds files open, and its lock
	if n := openFiles(t); n > files-1 {
		t.Errorf("%d files are open, %d were before", n, files-1)
	}
	c.fetches.mu.Lock()
	defer c.fetches.mu.Unlock()
	if n := len(c.fetches.byKey); n != 0 {
		t.Errorf("%d fetches are left", n)
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("needs /proc")
	}
	return len(files)
}

// A client that knows the length need not read the end for the response to be
// stored, nor anything of an empty one.
func TestEndIsNotAskedFor(t *testing.T) {
	for _, size := range []int{0, 1, 5000} {
		origin := &slowOrigin{serve: func(ctx context.Context, _ int, _ *exchange.Request) (*exchange.Response, error) {
			return response("max-age=100", &fastBody{ctx: ctx, left: content(size)}, httpmsg.Framing(size)), nil
		}}
		c := &Cache{Next: origin, Store: store.NewMemory(0, 0)}
		before := runtime.NumGoroutine()
		for range 2 {
			resp, err := c.Exchange(t.Context(), get("/"))
			if err != nil {
				t.Fatal(err)
			}
			got := make([]byte, size)
			if _, err = io.ReadFull(resp.Body, got); err != nil || !bytes.Equal(got, content(size)) {
				t.Errorf("%d octets: %v", size, err)
			}
			resp.Body.Close()
			// The fetch's goroutine ends by itself, at once.
			waitFor(t, func() bool { return runtime.NumGoroutine() <= before })
		}
		if n := origin.asked.Load(); n != 1 {
			t.Errorf("%d octets: the origin was asked %d times, want once", size, n)
		}
		c.Close()
	}
}

// A fault in a fetch, and a cache that is closed, are errors for those who wait
// and no more.
func TestFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		origin := &slowOrigin{serve: func(_ context.Context, n int, _ *exchange.Request) (*exchange.Response, error) {
			time.Sleep(time.Second)
			if n == 1 {
				panic("a fault")
			}
			return response("max-age=100", io.NopCloser(strings.NewReader("hello")), 5), nil
		}}
		c := &Cache{Next: origin, Store: store.NewMemory(0, 0)}
		var clients sync.WaitGroup
		for range 5 {
			clients.Go(func() {
				_, _, err := readAll(t.Context(), c, get("/"))
				if e, ok := errors.AsType[*exchange.Error](err); !ok || e.Status != 503 {
					t.Errorf("error %v, want a 503", err)
				}
			})
		}
		clients.Wait()
		if _, got, err := readAll(t.Context(), c, get("/")); err != nil || string(got) != "hello" {
			t.Errorf("afterwards: %q, %v", got, err)
		}
		c.Close()
		if _, _, err := readAll(t.Context(), c, get("/other")); err == nil {
			t.Error("a closed cache asks the origin")
		}
	})
}
