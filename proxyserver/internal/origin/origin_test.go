package origin

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"topdown/pkg/httpmsg"
	"topdown/proxyserver/internal/exchange"
	"topdown/proxyserver/internal/netio"

	"github.com/google/go-cmp/cmp"
)

// patience is how long anything may take that is expected to happen.
const patience = 60 * time.Second

func newTransport(t *testing.T) *Transport {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	return New(ctx, Options{Clock: netio.NewClock(ctx)})
}

// origin is a scripted server: what it does with a request depends on how many
// came before, on all connections.
type origin struct {
	addr string

	mu    sync.Mutex
	got   []string // "METHOD body" of each request
	conns int
}

// startOrigin runs an origin; answer returns what to send to request n,
// counted from 1, and whether to keep the connection.
func startOrigin(t *testing.T, answer func(n int) (response string, keep bool)) *origin {
	t.Helper()
	return startOriginOn(t, func(conn net.Conn) net.Conn { return conn }, answer)
}

// startOriginOn is startOrigin for connections that are wrapped first; a "|" in
// a response divides it into two writes.
func startOriginOn(t *testing.T, wrap func(net.Conn) net.Conn, answer func(n int) (response string, keep bool)) *origin {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := &origin{addr: ln.Addr().String()}
	var all []net.Conn
	var accepting, sessions sync.WaitGroup
	accepting.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			o.mu.Lock()
			o.conns++
			o.mu.Unlock()
			conn = wrap(conn)
			all = append(all, conn)
			sessions.Go(func() {
				defer conn.Close()
				o.serve(conn, answer)
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		accepting.Wait()
		for _, conn := range all {
			conn.Close()
		}
		sessions.Wait()
	})
	return o
}

func (o *origin) serve(conn net.Conn, answer func(n int) (string, bool)) {
	r := bufio.NewReader(conn)
	for {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return
		}
		o.mu.Lock()
		o.got = append(o.got, strings.TrimSpace(req.Method+" "+string(body)))
		n := len(o.got)
		o.mu.Unlock()
		response, keep := answer(n)
		for part := range strings.SplitSeq(response, "|") {
			if _, err = io.WriteString(conn, part); err != nil {
				return
			}
		}
		if !keep {
			return
		}
	}
}

func (o *origin) requests() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]string(nil), o.got...)
}

// certificate makes a certificate for 127.0.0.1 that its own pool trusts.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// do carries out one exchange to its end.
func do(t *testing.T, transport *Transport, o *origin, method, body string) (status int, content string, err error) {
	t.Helper()
	req := &exchange.Request{Method: method, Scheme: "http", Host: o.addr, Path: "/"}
	if body != "" {
		req.Body, req.Framing = strings.NewReader(body), httpmsg.Framing(len(body))
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	resp, err := transport.Exchange(ctx, req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.Status, string(b), err
}

const hello = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

// A kept connection that dies instead of answering: the request goes out again
// if and only if that can do no harm (RFC 9110, section 9.2.2; RFC 9112, section
// 9.3.1).
func TestRepeat(t *testing.T) {
	for _, tt := range []struct {
		name, method, body, dying string
		want                      []string // requests after the first, which leaves a connection
		status                    int      // 0: an error
	}{
		{"GET", "GET", "", "", []string{"GET", "GET"}, 200},
		{"HEAD", "HEAD", "", "", []string{"HEAD", "HEAD"}, 200},
		{"DELETE", "DELETE", "", "", []string{"DELETE", "DELETE"}, 200},
		{"OPTIONS", "OPTIONS", "", "", []string{"OPTIONS", "OPTIONS"}, 200},
		{"POST", "POST", "", "", []string{"POST"}, 0},
		{"POST with content", "POST", "order one book", "", []string{"POST order one book"}, 0},
		{"PATCH", "PATCH", "", "", []string{"PATCH"}, 0},
		{"an unknown method", "BUY", "", "", []string{"BUY"}, 0},
		{"PUT whose content is gone", "PUT", "x", "", []string{"PUT x"}, 0},
		{"GET answered in part", "GET", "", "HTTP/1.1 200 O", []string{"GET"}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := startOrigin(t, func(n int) (string, bool) {
				switch {
				case n == 2:
					return tt.dying, false
				case n == 3 && tt.method == "HEAD":
					return "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", true
				}
				return hello, true
			})
			transport := newTransport(t)
			if status, content, err := do(t, transport, o, "GET", ""); status != 200 || content != "hello" || err != nil {
				t.Fatalf("the first request: %d %q %v", status, content, err)
			}
			if n := transport.Idle(); n != 1 {
				t.Fatalf("%d idle connections, want 1", n)
			}
			status, _, err := do(t, transport, o, tt.method, tt.body)
			if status != tt.status || (err == nil) != (tt.status != 0) {
				t.Errorf("status %d, %v; want %d", status, err, tt.status)
			}
			if err != nil {
				known, ok := errors.AsType[*exchange.Error](err)
				if !ok || known.Status != 502 || known.Type != "http_response_incomplete" {
					t.Errorf("error %#v", err)
				}
			}
			if diff := cmp.Diff(append([]string{"GET"}, tt.want...), o.requests()); diff != "" {
				t.Errorf("requests that reached the origin (-want +got)\n%s", diff)
			}
		})
	}
}

// A new connection that dies is no sign of a stale one: nothing is repeated.
func TestNoRepeatOnNewConnection(t *testing.T) {
	o := startOrigin(t, func(int) (string, bool) { return "", false })
	if _, _, err := do(t, newTransport(t), o, "GET", ""); err == nil {
		t.Error("no error")
	}
	if diff := cmp.Diff([]string{"GET"}, o.requests()); diff != "" {
		t.Errorf("requests that reached the origin (-want +got)\n%s", diff)
	}
}

// A connection that the origin closed, or talked on, while it was idle is not
// used again: so even a POST goes through.
func TestStaleConnectionIsNotTaken(t *testing.T) {
	t.Run("closed", func(t *testing.T) {
		// It closes without having said so.
		o := startOrigin(t, func(n int) (string, bool) { return hello, n != 1 })
		transport := newTransport(t)
		if _, _, err := do(t, transport, o, "GET", ""); err != nil {
			t.Fatal(err)
		}
		waitDead(t, transport)
		if status, _, err := do(t, transport, o, "POST", "order one book"); status != 200 || err != nil {
			t.Errorf("%d, %v", status, err)
		}
		if diff := cmp.Diff([]string{"GET", "POST order one book"}, o.requests()); diff != "" {
			t.Errorf("requests that reached the origin (-want +got)\n%s", diff)
		}
	})
	t.Run("TLS", func(t *testing.T) {
		cert, roots := certificate(t)
		o := startOriginOn(t, func(conn net.Conn) net.Conn {
			return tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{cert}})
		}, func(n int) (string, bool) {
			switch n {
			case 1: // a record with content that HEAD has not
				return "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n|HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", true
			case 2:
				return hello, false
			}
			return hello, true
		})
		transport := New(t.Context(), Options{Clock: netio.NewClock(t.Context()), Dialer: &Dialer{Roots: roots}})
		for i, method := range []string{"HEAD", "GET", "POST", "GET"} {
			req := &exchange.Request{Method: method, Scheme: "https", Host: o.addr, Path: "/"}
			resp, err := transport.Exchange(t.Context(), req)
			if err != nil {
				t.Fatalf("%s: %v", method, err)
			}
			b, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if want := map[bool]string{false: "hello"}[method == "HEAD"]; err != nil || string(b) != want {
				t.Errorf("%s: %q %v", method, b, err)
			}
			if i < 2 {
				waitDead(t, transport)
			}
		}
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.conns != 3 {
			t.Errorf("%d connections, want 3: the last two requests share one", o.conns)
		}
	})
	t.Run("idle for long", func(t *testing.T) {
		o := startOrigin(t, func(int) (string, bool) { return hello, true })
		transport := newTransport(t)
		for i, step := range []struct {
			method, body string
			wait         time.Duration
			conns        int
		}{{"GET", "", 0, 1}, {"POST", "a", 0, 1}, {"GET", "", 0, 2}, {"POST", "b", 2 * surelyAlive, 3}, {"GET", "", 0, 3}} {
			start := transport.opts.Clock.Now()
			for deadline := time.Now().Add(patience); transport.opts.Clock.Now()-start < step.wait; time.Sleep(time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatal("the clock stands still")
				}
			}
			if status, _, err := do(t, transport, o, step.method, step.body); status != 200 || err != nil {
				t.Errorf("%d: %d, %v", i, status, err)
			}
			o.mu.Lock()
			if o.conns != step.conns {
				t.Errorf("request %d: %d connections, want %d", i, o.conns, step.conns)
			}
			o.mu.Unlock()
		}
	})
	t.Run("a late answer to no question", func(t *testing.T) {
		late := make(chan struct{})
		o := startOriginOn(t, func(conn net.Conn) net.Conn {
			return &lateConn{Conn: conn, late: late}
		}, func(int) (string, bool) { return hello, true })
		transport := newTransport(t)
		for range 2 {
			if status, content, err := do(t, transport, o, "GET", ""); status != 200 || content != "hello" || err != nil {
				t.Errorf("%d %q %v", status, content, err)
			}
			// It comes while the connection is in the pool.
			late <- struct{}{}
			waitDead(t, transport)
		}
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.conns != 2 {
			t.Errorf("%d connections, want 2: on the first one came an answer to no question", o.conns)
		}
	})
	t.Run("content", func(t *testing.T) {
		o := startOrigin(t, func(int) (string, bool) { return hello, true })
		transport := newTransport(t)
		for i, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "FOO"} {
			if status, _, err := do(t, transport, o, method, "content"); status != 200 || err != nil {
				t.Errorf("%s: %d, %v", method, status, err)
			}
			if n := transport.Idle(); n != 0 {
				t.Errorf("%s: the connection that carried content is in the pool", method)
			}
			o.mu.Lock()
			if o.conns != i+1 {
				t.Errorf("%s: %d connections, want %d", method, o.conns, i+1)
			}
			o.mu.Unlock()
		}
	})
	t.Run("an answer to no question", func(t *testing.T) {
		o := startOrigin(t, func(n int) (string, bool) {
			if n == 1 {
				return hello + "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", true
			}
			return hello, true
		})
		transport := newTransport(t)
		for range 2 {
			if status, content, err := do(t, transport, o, "GET", ""); status != 200 || content != "hello" || err != nil {
				t.Errorf("%d %q %v", status, content, err)
			}
		}
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.conns != 2 {
			t.Errorf("%d connections, want 2: the first one had bytes left over", o.conns)
		}
	})
}

// lateConn sends an answer to no question whenever late tells it to.
type lateConn struct {
	net.Conn
	late chan struct{}
	once sync.Once
}

func (c *lateConn) Write(p []byte) (int, error) {
	c.once.Do(func() {
		go func() {
			<-c.late
			io.WriteString(c.Conn, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
		}()
	})
	return c.Conn.Write(p)
}

// An exchange whose context ends gives up at once, before the answer and in the
// middle of it.
func TestCancelledExchange(t *testing.T) {
	for name, answer := range map[string]string{
		"no answer":   "",
		"half a head": "HTTP/1.1 200 OK\r\nContent-",
		"half a body": "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
	} {
		t.Run(name, func(t *testing.T) {
			asked := make(chan struct{}, 1)
			o := startOrigin(t, func(int) (string, bool) {
				asked <- struct{}{}
				return answer, true
			})
			transport := newTransport(t)
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				<-asked
				cancel()
			}()
			start := time.Now()
			resp, err := transport.Exchange(ctx, &exchange.Request{Method: "GET", Scheme: "http", Host: o.addr, Path: "/"})
			if err == nil {
				_, err = io.ReadAll(resp.Body)
				resp.Body.Close()
			}
			if err == nil || time.Since(start) > patience/2 {
				t.Errorf("after %v: %v", time.Since(start), err)
			}
			if n := transport.Idle(); n != 0 {
				t.Errorf("%d connections in the pool", n)
			}
		})
	}
}

// waitDead waits until the idle connections of a transport have seen their end.
func waitDead(t *testing.T, transport *Transport) {
	t.Helper()
	alive := func() bool {
		transport.pool.mu.Lock()
		defer transport.pool.mu.Unlock()
		for _, list := range transport.pool.idle {
			for _, c := range list {
				if c.Alive() {
					return true
				}
			}
		}
		return false
	}
	for deadline := time.Now().Add(patience); alive(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the idle connection looks alive for ever")
		}
	}
}
