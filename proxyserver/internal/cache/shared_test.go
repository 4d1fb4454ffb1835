package cache

import (
	"context"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"topdown/pkg/httpmsg"
	"topdown/proxyserver/internal/exchange"
	"topdown/proxyserver/internal/rules"
	"topdown/proxyserver/internal/store"
)

// threeCaches are of three proxies that share an engine and an origin.
func threeCaches(t *testing.T, origin exchange.Transport) (caches []*Cache) {
	t.Helper()
	first, ok := fromRedis(t, rules.Config{}).(*store.Redis)
	if !ok {
		t.Fatal("no shared store")
	}
	for i := range 3 {
		s := first
		if i > 0 {
			s = another(t, rules.Config{})
		}
		c := &Cache{Next: origin, Store: s}
		t.Cleanup(c.Close)
		caches = append(caches, c)
	}
	return caches
}

type originFunc func() (status int, fields httpmsg.Fields, content string)

func (o originFunc) Exchange(context.Context, *exchange.Request) (*exchange.Response, error) {
	status, fields, content := o()
	return &exchange.Response{
		Status: status, Fields: fields, Framing: httpmsg.Framing(len(content)), Body: io.NopCloser(strings.NewReader(content)),
	}, nil
}

func fetchFrom(t *testing.T, c *Cache) string {
	t.Helper()
	resp, err := c.Exchange(t.Context(), &exchange.Request{Method: "GET", Scheme: "http", Host: "a", Path: "/"})
	if err != nil {
		t.Error(err)
		return ""
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	return string(content)
}

// A thousand cold requests for one URL over three proxies are one request to
// the origin. Only of a proxy that stands still for a lease's life, 3 s, another
// takes over: as all do now and then on a machine that is very busy.
func TestThreeProxiesFetchOnce(t *testing.T) {
	var first, again atomic.Int64 // the times at which the origin was asked
	want := strings.Repeat("content ", 50_000)
	caches := threeCaches(t, originFunc(func() (int, httpmsg.Fields, string) {
		now := time.Now().UnixNano()
		if !first.CompareAndSwap(0, now) {
			again.CompareAndSwap(0, now)
		}
		time.Sleep(100 * time.Millisecond) // so that all come meanwhile
		return 200, httpmsg.Fields{{Name: "Cache-Control", Value: "max-age=60"}}, want
	}))
	var clients sync.WaitGroup
	for i := range 1000 {
		clients.Go(func() {
			if got := fetchFrom(t, caches[i%3]); got != want {
				t.Errorf("a client has got %d bytes", len(got))
			}
		})
	}
	clients.Wait()
	if again.Load() != 0 {
		if after := time.Duration(again.Load() - first.Load()); after < 3*time.Second {
			t.Errorf("the origin was asked again after %v", after)
		} else {
			t.Logf("too busy: the origin was asked again after %v", after)
		}
	}
}

// What may not be shared, or is too large to be, nobody waits for longer than
// for its head.
func TestThreeProxiesGoAlone(t *testing.T) {
	for name, c := range map[string]struct {
		field string
		size  int
	}{"no-store": {"no-store", 10}, "too large": {"max-age=60", 3 << 20}} {
		// A machine that is busy is late now and then; who waits for another's turn is
		// late each time.
		took := time.Hour
		for range 5 {
			if took = askedLast(t, name, c.field, c.size); took <= 2*time.Second {
				break
			}
		}
		if took > 2*time.Second {
			t.Errorf("%s: the origin was asked the last time after %v", name, took)
		}
	}
}

// askedLast returns when the last of thirty clients of three proxies had the origin asked.
func askedLast(t *testing.T, name, field string, size int) time.Duration {
	t.Helper()
	var asked, last atomic.Int64 // how often, and when last, in nanoseconds after began
	began := time.Now()
	caches := threeCaches(t, originFunc(func() (int, httpmsg.Fields, string) {
		asked.Add(1)
		last.Store(int64(time.Since(began)))
		return 200, httpmsg.Fields{{Name: "Cache-Control", Value: field}}, strings.Repeat("x", size)
	}))
	var clients sync.WaitGroup
	for i := range 30 {
		clients.Go(func() {
			if got := fetchFrom(t, caches[i%3]); len(got) != size {
				t.Errorf("%s: a client has got %d bytes", name, len(got))
			}
		})
	}
	clients.Wait()
	if asked.Load() < 3 {
		t.Errorf("%s: the origin was asked %d times", name, asked.Load())
	}
	return time.Duration(last.Load())
}

// A POST through one proxy makes the others forget, and a proxy with which an
// engine has died goes on.
func TestThreeProxiesInvalidate(t *testing.T) {
	var asked atomic.Int32
	caches := threeCaches(t, originFunc(func() (int, httpmsg.Fields, string) {
		n := asked.Add(1)
		return 200, httpmsg.Fields{{Name: "Cache-Control", Value: "max-age=60"}}, strings.Repeat("x", int(n))
	}))
	for _, c := range caches {
		if got := fetchFrom(t, c); got != "x" {
			t.Fatalf("content %q, want the first", got)
		}
	}
	resp, err := caches[1].Exchange(t.Context(), &exchange.Request{Method: "POST", Scheme: "http", Host: "a", Path: "/"})
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	for i, c := range caches {
		for began := time.Now(); ; time.Sleep(time.Millisecond) {
			if got := fetchFrom(t, c); got == "xxx" {
				break
			} else if got != "x" || time.Since(began) > time.Minute {
				t.Fatalf("proxy %d: content %q", i, got)
			}
		}
	}
}
