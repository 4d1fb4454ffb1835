// Package e2e tests the whole chain: through sockets on loopback, and with real
// clients and servers.
package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"topdown/pkg/httpmsg"
	"topdown/proxyserver/internal/access"
	"topdown/proxyserver/internal/cache"
	"topdown/proxyserver/internal/cachetest"
	"topdown/proxyserver/internal/exchange"
	"topdown/proxyserver/internal/netio"
	"topdown/proxyserver/internal/origin"
	"topdown/proxyserver/internal/proxy"
	"topdown/proxyserver/internal/redistest"
	"topdown/proxyserver/internal/rules"
	"topdown/proxyserver/internal/store"

	"go.uber.org/zap"
)

// patience is how long anything may take that is expected to happen.
const patience = 60 * time.Second

// chain is a proxy with everything in it, and what a test may want to look at.
type chain struct {
	addr   string
	server *proxy.Server
	cache  *cache.Cache
	origin *origin.Transport
}

// startChain runs a proxy; change may set fields before it starts.
func startChain(t *testing.T, now func() time.Time, change func(*chain)) *chain {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	clockCtx, stopClock := context.WithCancel(context.Background())
	clock := netio.NewClock(clockCtx)
	dialer := &origin.Dialer{}
	c := &chain{
		addr:   ln.Addr().String(),
		origin: origin.New(ctx, origin.Options{Dialer: dialer, Clock: clock, Name: "test-proxy", Now: now}),
		cache:  &cache.Cache{Store: store.NewMemory(64<<20, 0), Now: now},
		server: &proxy.Server{Clock: clock, Log: zap.NewNop(), Name: "test-proxy", Rules: &access.Rules{Private: true}, Now: now, Drain: time.Second},
	}
	c.cache.Next = exchange.Schemes{"http": c.origin, "https": c.origin}
	c.server.Transport, c.server.Tunnel, c.server.Purge = c.cache, dialer.Tunnel, c.cache.Purge
	if change != nil {
		change(c)
	}
	done := make(chan error, 1)
	go func() { done <- c.server.Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Serve: %v", err)
			}
		case <-time.After(patience):
			t.Error("Serve does not return")
		}
		c.cache.Close()
		stopClock()
	})
	return c
}

// startScripted runs an HTTP/1.1 server for the script of a case.
func startScripted(t *testing.T, script *cachetest.Origin) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer conn.Close()
				stop := context.AfterFunc(t.Context(), func() { conn.Close() })
				defer stop()
				for r := bufio.NewReader(conn); answerScripted(conn, r, script); {
				}
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		wg.Wait()
	})
	return ln.Addr().String()
}

func answerScripted(conn net.Conn, r *bufio.Reader, script *cachetest.Origin) (again bool) {
	var head httpmsg.Request
	if head.Read(r, httpmsg.Limits{}) != nil {
		return false
	}
	content, err := io.ReadAll(httpmsg.NewBody(r, head.Framing, httpmsg.BodyLimits{}))
	if err != nil {
		return false
	}
	reply := script.Answer(cachetest.Request{Method: head.Method, Path: head.Target, Fields: head.Fields, Content: string(content)})
	if reply.Refuse {
		return false
	}
	resp := httpmsg.Response{Minor: 1, Status: reply.Status, Reason: "Reason", Fields: slices.Clone(reply.Fields)}
	none := head.Method == "HEAD" || reply.Status == 304 || reply.Status == 204
	switch {
	case none:
	case reply.Chunked:
		resp.Fields.Add("Transfer-Encoding", "chunked")
	case !resp.Fields.Has("Content-Length"):
		resp.Fields.Add("Content-Length", strconv.Itoa(len(reply.Content)))
	}
	b, err := httpmsg.AppendResponse(nil, &resp)
	if err != nil {
		return false
	}
	body := reply.Content
	if reply.Cut {
		body = body[:len(body)/2]
	}
	if !none {
		if reply.Chunked {
			b = httpmsg.AppendChunk(b, []byte(body))
			if !reply.Cut {
				b = append(b, "0\r\n\r\n"...)
			}
		} else {
			b = append(b, body...)
		}
	}
	_, err = conn.Write(b)
	return err == nil && !reply.Cut
}

// TestRFC9111 puts the table to the proxy in each of its three modes.
func TestRFC9111(t *testing.T) {
	runTable(t, []string{"forward", "path", "reverse"}, func(*testing.T, rules.Config) store.Store { return store.NewMemory(64<<20, 0) })
}

// TestRFC9111Shared does so with a store that proxies share.
func TestRFC9111Shared(t *testing.T) {
	engine := redistest.Start(t)
	var stores atomic.Int64
	runTable(t, []string{"forward", "reverse"}, func(t *testing.T, config rules.Config) store.Store {
		t.Helper()
		s, err := store.OpenRedis(store.RedisOptions{URL: engine.URL(fmt.Sprintf("%d:", stores.Add(1))), Patience: 30 * time.Second, Rules: config})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	})
}

func runTable(t *testing.T, modes []string, newStore func(*testing.T, rules.Config) store.Store) {
	t.Helper()
	for _, mode := range modes {
		t.Run(mode, func(t *testing.T) {
			if len(modes) > 2 {
				t.Parallel()
			}
			cachetest.Run(t, casesFor(mode), func(t *testing.T, script *cachetest.Origin, clock *cachetest.Clock, targeted bool) func(cachetest.Request) cachetest.Answer {
				t.Helper()
				addr := startScripted(t, script)
				c := startChain(t, clock.Now, func(c *chain) {
					if mode == "reverse" {
						c.server.Upstream = &proxy.Upstream{Scheme: "http", Host: addr}
						c.server.GetContent = true // the cache's rules for it are in the table
					}
					if targeted {
						c.cache.Rules.Targeted = []string{"CDN-Cache-Control"}
					}
					c.cache.Store = newStore(t, c.cache.Rules)
				})
				prefix := map[string]string{"forward": "http://" + addr, "path": "/" + addr, "reverse": ""}[mode]
				return func(r cachetest.Request) cachetest.Answer {
					t.Helper()
					return ask(t, c.addr, prefix, r)
				}
			})
		})
	}
}

// casesFor leaves out what cannot be seen in a mode: in path style the proxy
// itself drops what would speak for its own host, and adds its sandbox.
func casesFor(mode string) []cachetest.Case {
	var cases []cachetest.Case
	for _, c := range cachetest.Cases() {
		if mode == "path" && slices.ContainsFunc([]string{
			"Set-Cookie", "Clear-Site-Data", "WWW-Authenticate", "Content-Security-Policy",
		}, func(name string) bool { return strings.Contains(wants(c), name) }) {
			continue
		}
		cases = append(cases, c)
	}
	return cases
}

func wants(c cachetest.Case) string {
	var all string
	for _, step := range c.Steps {
		all += step.Want
	}
	return all
}

func ask(t *testing.T, addr, prefix string, r cachetest.Request) cachetest.Answer {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	req := httpmsg.Request{Method: r.Method, Target: prefix + r.Path, Minor: 1, Fields: slices.Clone(r.Fields)}
	req.Fields.Add("Host", "localhost")
	if r.Content != "" {
		req.Fields.Add("Content-Length", strconv.Itoa(len(r.Content)))
	}
	b, err := httpmsg.AppendRequest(nil, &req)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = conn.Write(append(b, r.Content...)); err != nil {
		t.Fatal(err)
	}
	src := bufio.NewReader(conn)
	var resp httpmsg.Response
	if err = resp.Read(src, r.Method, httpmsg.Limits{}); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return cachetest.Answer{Broken: true}
		}
		t.Fatalf("read the answer: %v", err)
	}
	content, err := io.ReadAll(httpmsg.NewBody(src, resp.Framing, httpmsg.BodyLimits{}))
	return cachetest.Answer{Status: resp.Status, Fields: resp.Fields, Content: string(content), Broken: err != nil}
}
