package proxy

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"topdown/proxyserver/internal/access"
	"topdown/proxyserver/internal/exchange"
	"topdown/proxyserver/internal/netio"
	"topdown/proxyserver/internal/origin"

	"go.uber.org/zap"
)

// patience is how long anything may take that is expected to happen.
const patience = 20 * time.Second

// startProxy runs a proxy without a cache; change may set fields of its parts.
func startProxy(t *testing.T, change func(*Server, *origin.Options)) (s *Server, addr string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s, addr, done := runProxy(ctx, t, change)
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
	})
	return s, addr
}

// runProxy runs a proxy until ctx is done.
func runProxy(ctx context.Context, t *testing.T, change func(*Server, *origin.Options)) (s *Server, addr string, ended <-chan error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	clock := netio.NewClock(context.WithoutCancel(ctx))
	s = &Server{Name: "test-proxy", Clock: clock, Log: zap.NewNop(), Rules: &access.Rules{Private: true}, Drain: time.Second}
	opts := origin.Options{Dialer: &origin.Dialer{}, Clock: clock, Name: s.Name}
	opts.Dialer.Check = func(_ string, a netip.AddrPort) error {
		if s.IsSelf(a) {
			return &exchange.Error{Status: 502, Type: "proxy_loop_detected", Step: "checking for a loop", Err: io.EOF}
		}
		return s.Rules.Target(a)
	}
	if change != nil {
		change(s, &opts)
	}
	up := origin.New(ctx, opts)
	if s.Transport == nil {
		s.Transport = exchange.Schemes{"http": up, "https": up}
	}
	s.Tunnel = opts.Dialer.Tunnel
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, ln) }()
	return s, ln.Addr().String(), done
}

// waitFor waits until ok.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("in vain waited for %s", what)
		}
	}
}

// startOrigin accepts connections and hands each to serve.
func startOrigin(t *testing.T, serve func(conn net.Conn, r *bufio.Reader)) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, conn)
			mu.Unlock()
			wg.Go(func() {
				defer conn.Close()
				serve(conn, bufio.NewReader(conn))
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		mu.Lock()
		for _, conn := range conns {
			conn.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return ln.Addr().String()
}

// readHead reads a message's head, "" at the end of the connection.
func readHead(r *bufio.Reader) string {
	var head strings.Builder
	for {
		line, err := r.ReadString('\n')
		head.WriteString(line)
		if err != nil || line == "\r\n" {
			return head.String()
		}
	}
}

// answering is an origin that answers every request on a connection with the
// same bytes, and tells what it was asked.
func answering(t *testing.T, response string) (addr string, asked <-chan string) {
	t.Helper()
	heads := make(chan string, 1000)
	return startOrigin(t, func(conn net.Conn, r *bufio.Reader) {
		for {
			head := readHead(r)
			if head == "" {
				return
			}
			heads <- head
			if _, err := io.WriteString(conn, response); err != nil || strings.Contains(response, "Connection: close") {
				return
			}
		}
	}), heads
}

// client is one connection to the proxy, with Go's own HTTP reader as the judge
// of what comes.
type client struct {
	t *testing.T
	net.Conn
	r *bufio.Reader
}

func dial(t *testing.T, addr string) *client {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	return &client{t, conn, bufio.NewReader(conn)}
}

func (c *client) send(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c.Conn, s); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

// receive reads one response, with its body; method is that of the request.
func (c *client) receive(method string) (*http.Response, string) {
	c.t.Helper()
	resp, err := http.ReadResponse(c.r, &http.Request{Method: method})
	if err != nil {
		c.t.Fatalf("read the response: %v", err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatalf("read the content: %v", err)
	}
	return resp, string(body)
}

// get asks the proxy for a URL on a connection of its own.
func get(t *testing.T, proxy, request string) (*http.Response, string) {
	t.Helper()
	c := dial(t, proxy)
	c.send(request)
	method, _, _ := strings.Cut(request, " ")
	return c.receive(method)
}

type originOptions = origin.Options

// lockedBuffer is what several goroutines may write to.
type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func mustPort(addr string) uint16 { return netip.MustParseAddrPort(addr).Port() }
