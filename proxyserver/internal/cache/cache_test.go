package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"topdown/pkg/httpmsg"
	"topdown/proxyserver/internal/cachetest"
	"topdown/proxyserver/internal/exchange"
	"topdown/proxyserver/internal/redistest"
	"topdown/proxyserver/internal/rules"
	"topdown/proxyserver/internal/store"
)

// scripted is a transport to a scripted origin, as that of package origin
// would be: it takes away what belongs to the connection.
type scripted struct{ origin *cachetest.Origin }

func (s scripted) Exchange(_ context.Context, req *exchange.Request) (*exchange.Response, error) {
	content := ""
	if req.Body != nil {
		b, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		content = string(b)
	}
	r := s.origin.Answer(cachetest.Request{Method: req.Method, Path: req.Path, Fields: req.Fields, Content: content})
	if r.Refuse {
		return nil, &exchange.Error{Status: 502, Type: "connection_refused", Step: "connect", Err: errors.New("refused")}
	}
	resp := &exchange.Response{Status: r.Status, Reason: r.Reason, Fields: r.Fields, Framing: httpmsg.Framing(len(r.Content))}
	if r.Chunked {
		resp.Framing = httpmsg.Chunked
	}
	var body io.Reader = strings.NewReader(r.Content)
	if r.Cut {
		body = io.MultiReader(strings.NewReader(r.Content[:len(r.Content)/2]), broken{})
	}
	resp.Body = io.NopCloser(body)
	return resp, nil
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// alone starts a cache without a proxy around it.
func alone(newStore func(*testing.T, rules.Config) store.Store, config rules.Config) cachetest.Start {
	return func(t *testing.T, origin *cachetest.Origin, clock *cachetest.Clock, targeted bool) func(cachetest.Request) cachetest.Answer {
		t.Helper()
		c := &Cache{Next: scripted{origin}, Now: clock.Now, Rules: config}
		if targeted {
			c.Rules.Targeted = []string{"CDN-Cache-Control"}
		}
		c.Store = newStore(t, c.Rules)
		t.Cleanup(c.Close)
		return func(r cachetest.Request) cachetest.Answer {
			req := &exchange.Request{Method: r.Method, Scheme: "http", Host: "example.org", Path: r.Path, Fields: r.Fields}
			if r.Content != "" {
				req.Body, req.Framing = strings.NewReader(r.Content), httpmsg.Framing(len(r.Content))
			}
			resp, err := c.Exchange(t.Context(), req)
			if err != nil {
				e, ok := errors.AsType[*exchange.Error](err)
				if !ok {
					t.Fatalf("Exchange: %v", err)
				}
				return cachetest.Answer{Status: e.Status}
			}
			defer resp.Body.Close()
			content, err := io.ReadAll(resp.Body)
			if resp.Content != nil && string(resp.Content) != string(content) {
				t.Errorf("Content is %q, Body %q", resp.Content, content)
			}
			if err == nil && resp.Framing >= 0 && r.Method != "HEAD" && int(resp.Framing) != len(content) {
				t.Errorf("Framing is %d, the content has %d octets", resp.Framing, len(content))
			}
			return cachetest.Answer{Status: resp.Status, Fields: resp.Fields, Content: string(content), Broken: err != nil}
		}
	}
}

// stores are those that the tests are run with.
var stores = map[string]func(*testing.T, rules.Config) store.Store{"memory": inMemory, "files": fromDisk, "redis": fromRedis}

func inMemory(*testing.T, rules.Config) store.Store { return store.NewMemory(16<<20, 0) }

// fromDisk keeps next to nothing in memory, so that heads and bodies are read
// from files.
func fromDisk(t *testing.T, c rules.Config) store.Store {
	t.Helper()
	d, err := store.OpenDisk(store.DiskOptions{Dir: t.TempDir(), Size: 64 << 20, Memory: 1, Small: 1, Rules: c})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// engine is a redis-server for all tests that use one.
var engine struct {
	sync.Mutex
	*redistest.Engine
	stores int
}

func TestMain(m *testing.M) {
	code := m.Run()
	if engine.Engine != nil {
		engine.Kill()
	}
	os.Exit(code)
}

// fromRedis shares an engine with the other tests, under a prefix of its own.
func fromRedis(t *testing.T, c rules.Config) store.Store {
	t.Helper()
	engine.Lock()
	defer engine.Unlock()
	if engine.Engine == nil {
		engine.Engine = redistest.StartShared(t)
	}
	engine.stores++
	return openShared(t, c)
}

// another is one more node of the store that fromRedis made last.
func another(t *testing.T, c rules.Config) *store.Redis {
	t.Helper()
	engine.Lock()
	defer engine.Unlock()
	return openShared(t, c)
}

func openShared(t *testing.T, c rules.Config) *store.Redis {
	t.Helper()
	r, err := store.OpenRedis(store.RedisOptions{URL: engine.URL(fmt.Sprintf("%d:", engine.stores)), Patience: 30 * time.Second, Rules: c})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func TestRFC9111(t *testing.T) {
	for name, newStore := range stores {
		t.Run(name, func(t *testing.T) { cachetest.Run(t, cachetest.Cases(), alone(newStore, rules.Config{})) })
	}
}

func TestTableSize(t *testing.T) {
	if n := len(cachetest.Cases()); n < 200 {
		t.Errorf("the table has %d cases, want 200 at least", n)
	}
}
