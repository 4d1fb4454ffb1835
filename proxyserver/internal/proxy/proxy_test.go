package proxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"topdown/pkg/logging"
	"topdown/proxyserver/internal/access"
	"topdown/proxyserver/internal/exchange"
	"topdown/proxyserver/internal/freeport"
	"topdown/proxyserver/internal/netio"
	"topdown/proxyserver/internal/origin"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/crypto/bcrypt"
)

const hello = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

func TestForwardedHead(t *testing.T) {
	for _, tt := range []struct {
		name, request string // %s is the origin
		want          []string
	}{
		{
			"absolute form",
			"GET http://%s/a%%2fb?q=%%3a HTTP/1.1\r\nHost: other.example\r\nX-A: 1\r\n\r\n",
			[]string{"GET /a%2Fb?q=%3a HTTP/1.1", "Host: ORIGIN", "X-A: 1", "Via: 1.1 test-proxy"},
		},
		{
			"hop-by-hop fields are dropped",
			"GET http://%s/ HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, X-Hop\r\nKeep-Alive: 5\r\nX-Hop: 1\r\nTE: trailers\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: Basic eDp5\r\nX-End: 2\r\n\r\n",
			[]string{"GET / HTTP/1.1", "Host: ORIGIN", "X-End: 2", "Via: 1.1 test-proxy"},
		},
		{
			"Via is appended to",
			"GET http://%s HTTP/1.0\r\nVia: 1.0 a\r\nVia: 1.1 b (c)\r\n\r\n",
			[]string{"GET / HTTP/1.1", "Host: ORIGIN", "Via: 1.0 a, 1.1 b (c), 1.0 test-proxy"},
		},
		{
			"path style, cookies stay out",
			"GET /%s/page?x HTTP/1.1\r\nHost: localhost:8899\r\nCookie: a=b\r\n\r\n",
			[]string{"GET /page?x HTTP/1.1", "Host: ORIGIN", "Via: 1.1 test-proxy"},
		},
		{
			"path style with a scheme",
			"GET /http://%s/page HTTP/1.1\r\nHost: localhost:8899\r\n\r\n",
			[]string{"GET /page HTTP/1.1", "Host: ORIGIN", "Via: 1.1 test-proxy"},
		},
		{
			"path style with one slash lost",
			"GET /http:/%s HTTP/1.1\r\nHost: localhost:8899\r\n\r\n",
			[]string{"GET / HTTP/1.1", "Host: ORIGIN", "Via: 1.1 test-proxy"},
		},
		{
			"OPTIONS of a whole server",
			"OPTIONS http://%s HTTP/1.1\r\nHost: x\r\nMax-Forwards: 3\r\n\r\n",
			[]string{"OPTIONS * HTTP/1.1", "Host: ORIGIN", "Max-Forwards: 2", "Via: 1.1 test-proxy"},
		},
		{
			"an unknown method",
			"FROB http://%s/ HTTP/1.1\r\nHost: x\r\n\r\n",
			[]string{"FROB / HTTP/1.1", "Host: ORIGIN", "Via: 1.1 test-proxy"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			addr, asked := answering(t, hello)
			_, proxy := startProxy(t, nil)
			resp, body := get(t, proxy, fmt.Sprintf(tt.request, addr))
			if resp.StatusCode != 200 || body != "hello" {
				t.Errorf("answer %d %q", resp.StatusCode, body)
			}
			head := strings.ReplaceAll(<-asked, addr, "ORIGIN")
			if diff := cmp.Diff(tt.want, strings.Split(strings.TrimSuffix(head, "\r\n\r\n"), "\r\n")); diff != "" {
				t.Errorf("the origin was asked (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReverseMode(t *testing.T) {
	addr, asked := answering(t, hello)
	_, proxy := startProxy(t, func(s *Server, _ *origin.Options) {
		s.Upstream = &Upstream{Scheme: "http", Host: addr, Path: "/base"}
	})
	resp, body := get(t, proxy, "GET /x HTTP/1.1\r\nHost: shop.example\r\nX-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Port: 99\r\nForwarded: for=9.9.9.9\r\nX-Real-IP: 9.9.9.9\r\n\r\n")
	if resp.StatusCode != 200 || body != "hello" {
		t.Errorf("answer %d %q", resp.StatusCode, body)
	}
	want := "GET /base/x HTTP/1.1\r\nHost: " + addr + "\r\nVia: 1.1 test-proxy\r\nX-Forwarded-For: 127.0.0.1\r\n" +
		"X-Forwarded-Host: shop.example\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Port: 80\r\nForwarded: for=127.0.0.1;host=\"shop.example\";proto=http\r\n\r\n"
	if diff := cmp.Diff(want, <-asked); diff != "" {
		t.Errorf("the origin was asked (-want +got):\n%s", diff)
	}
	// It is no forward proxy.
	if resp, _ := get(t, proxy, "CONNECT "+addr+" HTTP/1.1\r\nHost: x\r\n\r\n"); resp.StatusCode < 400 {
		t.Errorf("CONNECT in reverse mode: %d", resp.StatusCode)
	}
	get(t, proxy, "GET http://127.0.0.1:1/y HTTP/1.1\r\nHost: x\r\n\r\n")
	if head := <-asked; !strings.HasPrefix(head, "GET /base/y HTTP/1.1\r\nHost: "+addr+"\r\n") {
		t.Errorf("an absolute URI led elsewhere: %q", head)
	}
}

func TestResponseHead(t *testing.T) {
	const date = "Date: Sat, 21 Nov 2026 00:00:00 GMT\r\n"
	for _, tt := range []struct{ name, request, response, want string }{
		{
			"fields pass, hop-by-hop ones do not", "GET http://%s/ HTTP/1.1\r\nHost: x\r\n\r\n",
			"HTTP/1.1 200 Fine\r\n" + date + "Connection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 3\r\nProxy-Authenticate: Basic\r\nSet-Cookie: a=b\r\nContent-Length: 2, 2\r\n\r\nok",
			"HTTP/1.1 200 Fine\r\n" + date + "Set-Cookie: a=b\r\nVia: 1.1 test-proxy\r\nContent-Length: 2\r\n\r\n",
		},
		{
			"chunked with trailers", "GET http://%s/ HTTP/1.1\r\nHost: x\r\n\r\n",
			"HTTP/1.1 200 OK\r\n" + date + "Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\nContent-Length: 3\r\n\r\n",
			"HTTP/1.1 200 OK\r\n" + date + "Trailer: X-Sum\r\nVia: 1.1 test-proxy\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n",
		},
		{
			"chunked to an HTTP/1.0 client", "GET http://%s/ HTTP/1.0\r\n\r\n",
			"HTTP/1.1 200 OK\r\n" + date + "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
			"HTTP/1.1 200 OK\r\n" + date + "Via: 1.1 test-proxy\r\nConnection: close\r\n\r\nok",
		},
		{
			"HTTP/1.0 origin", "GET http://%s/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
			"HTTP/1.0 200 OK\r\n" + date + "Connection: close\r\n\r\nok",
			"HTTP/1.1 200 OK\r\n" + date + "Via: 1.0 test-proxy\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\nok\r\n0\r\n\r\n",
		},
		{
			"HEAD keeps the length", "HEAD http://%s/ HTTP/1.1\r\nHost: x\r\n\r\n",
			"HTTP/1.1 200 OK\r\n" + date + "Content-Length: 77\r\n\r\n",
			"HTTP/1.1 200 OK\r\n" + date + "Content-Length: 77\r\nVia: 1.1 test-proxy\r\n\r\n",
		},
		{
			"304 has no content", "GET http://%s/ HTTP/1.1\r\nHost: x\r\nIf-None-Match: \"a\"\r\n\r\n",
			"HTTP/1.1 304 Not Modified\r\n" + date + "ETag: \"a\"\r\nContent-Length: 9\r\n\r\n",
			"HTTP/1.1 304 Not Modified\r\n" + date + "ETag: \"a\"\r\nContent-Length: 9\r\nVia: 1.1 test-proxy\r\n\r\n",
		},
		{
			"interim responses pass", "GET http://%s/ HTTP/1.1\r\nHost: x\r\n\r\n",
			"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n" + date + "Content-Length: 2\r\n\r\nok",
			"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n" + date + "Via: 1.1 test-proxy\r\nContent-Length: 2\r\n\r\nok",
		},
		{
			"but not to HTTP/1.0", "GET http://%s/ HTTP/1.0\r\n\r\n",
			"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n" + date + "Content-Length: 2\r\n\r\nok",
			"HTTP/1.1 200 OK\r\n" + date + "Via: 1.1 test-proxy\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
		},
		{
			"path style is a sandbox without cookies", "GET /%s/dir/ HTTP/1.0\r\nHost: localhost\r\n\r\n",
			"HTTP/1.1 302 Found\r\n" + date + "Set-Cookie: a=b\r\nLocation: /next\r\nContent-Length: 0\r\n\r\n",
			"HTTP/1.1 302 Found\r\n" + date + "Location: /ORIGIN/next\r\nVia: 1.1 test-proxy\r\nContent-Security-Policy: sandbox\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			addr, _ := answering(t, tt.response)
			_, proxy := startProxy(t, nil)
			c := dial(t, proxy)
			c.send(fmt.Sprintf(tt.request, addr))
			got := make([]byte, len(strings.ReplaceAll(tt.want, "ORIGIN", addr)))
			n, _ := io.ReadFull(c.r, got)
			if diff := cmp.Diff(tt.want, strings.ReplaceAll(string(got[:n]), addr, "ORIGIN")); diff != "" {
				t.Errorf("response (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPersistentBothSides(t *testing.T) {
	var mu sync.Mutex
	connections := 0
	addr := startOrigin(t, func(conn net.Conn, r *bufio.Reader) {
		mu.Lock()
		connections++
		mu.Unlock()
		for readHead(r) != "" {
			io.WriteString(conn, hello)
		}
	})
	_, proxy := startProxy(t, nil)
	c := dial(t, proxy)
	for range 50 {
		c.send("GET http://" + addr + "/ HTTP/1.1\r\nHost: x\r\n\r\n")
		if resp, body := c.receive("GET"); resp.StatusCode != 200 || body != "hello" {
			t.Fatalf("answer %d %q", resp.StatusCode, body)
		}
	}
	// Pipelined requests are answered in order.
	c.send(strings.Repeat("GET http://"+addr+"/ HTTP/1.1\r\nHost: x\r\n\r\n", 20))
	for range 20 {
		if resp, _ := c.receive("GET"); resp.StatusCode != 200 {
			t.Fatalf("answer %d", resp.StatusCode)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if connections != 1 {
		t.Errorf("%d connections to the origin for 70 requests, want 1", connections)
	}
}

func TestRetryOnlyWhatMayBeRepeated(t *testing.T) {
	for _, tt := range []struct {
		method string
		want   int
	}{{"GET", 200}, {"POST", 502}} {
		t.Run(tt.method, func(t *testing.T) {
			var mu sync.Mutex
			requests := 0
			addr := startOrigin(t, func(conn net.Conn, r *bufio.Reader) {
				for readHead(r) != "" {
					mu.Lock()
					requests++
					second := requests == 2
					mu.Unlock()
					if second {
						return // reads the request and dies
					}
					io.WriteString(conn, hello)
				}
			})
			_, proxy := startProxy(t, nil)
			request := tt.method + " http://" + addr + "/ HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
			get(t, proxy, request)
			if resp, _ := get(t, proxy, request); resp.StatusCode != tt.want {
				t.Errorf("the second answer is %d, want %d", resp.StatusCode, tt.want)
			}
		})
	}
}

func TestBodies(t *testing.T) {
	echo := startOrigin(t, func(conn net.Conn, r *bufio.Reader) {
		for {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			if req.Header.Get("Expect") != "" {
				io.WriteString(conn, "HTTP/1.1 100 Continue\r\n\r\n")
			}
			body, err := io.ReadAll(req.Body)
			if err != nil {
				return
			}
			fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nX-Trailer: %s\r\nContent-Length: %d\r\n\r\n%s", req.Trailer.Get("X-T"), len(body), body)
		}
	})
	_, proxy := startProxy(t, nil)
	big := strings.Repeat("0123456789abcdef", 1<<16)
	t.Run("length", func(t *testing.T) {
		c := dial(t, proxy)
		for _, body := range []string{big, "small", ""} {
			c.send(fmt.Sprintf("POST http://%s/ HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", echo, len(body), body))
			if _, got := c.receive("POST"); got != body {
				t.Errorf("%d bytes came back of %d", len(got), len(body))
			}
		}
	})
	t.Run("chunked with trailers", func(t *testing.T) {
		c := dial(t, proxy)
		c.send("PUT http://" + echo + "/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-T: end\r\n\r\n")
		if _, got := c.receive("PUT"); got != "abcde" {
			t.Errorf("came back: %q", got)
		}
	})
	t.Run("expect", func(t *testing.T) {
		c := dial(t, proxy)
		c.send("POST http://" + echo + "/ HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
		if resp, err := http.ReadResponse(c.r, nil); err != nil || resp.StatusCode != 100 {
			t.Fatalf("no 100: %v %v", resp, err)
		}
		c.send("abc")
		if _, got := c.receive("POST"); got != "abc" {
			t.Errorf("came back: %q", got)
		}
	})
	t.Run("early answer", func(t *testing.T) {
		refusing := startOrigin(t, func(conn net.Conn, r *bufio.Reader) {
			readHead(r)
			io.WriteString(conn, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
			io.Copy(io.Discard, r)
		})
		c := dial(t, proxy)
		c.send("POST http://" + refusing + "/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nbegin")
		if resp, body := c.receive("POST"); resp.StatusCode != 403 || body != "no" {
			t.Errorf("answer %d %q", resp.StatusCode, body)
		}
	})
	t.Run("too large", func(t *testing.T) {
		_, small := startProxy(t, func(s *Server, _ *origin.Options) { s.MaxBody = 10 })
		for _, request := range []string{
			"Content-Length: 11\r\n\r\n01234567890",
			"Transfer-Encoding: chunked\r\n\r\nb\r\n01234567890\r\n0\r\n\r\n",
		} {
			resp, _ := get(t, small, "POST http://"+echo+"/ HTTP/1.1\r\nHost: x\r\n"+request)
			if resp.StatusCode != 413 {
				t.Errorf("answer %d, want 413", resp.StatusCode)
			}
		}
	})
	t.Run("a client that breaks off", func(t *testing.T) {
		ended := make(chan error, 1)
		sink := startOrigin(t, func(_ net.Conn, r *bufio.Reader) {
			req, err := http.ReadRequest(r)
			if err == nil {
				_, err = io.ReadAll(req.Body)
			}
			ended <- err
		})
		c := dial(t, proxy)
		c.send("POST http://" + sink + "/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
		c.Close()
		select {
		case err := <-ended:
			if err == nil {
				t.Error("the origin took a broken body for a whole one")
			}
		case <-time.After(patience):
			t.Error("the origin still waits")
		}
	})
}

// A transfer that breaks must look broken to the client, whatever the framing.
func TestBrokenTransfer(t *testing.T) {
	for _, tt := range []struct{ name, response, version string }{
		{"length", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart", "1.1"},
		{"chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n", "1.1"},
		{"bad chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\nzz\r\n", "1.1"},
		{"chunked to 1.0", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n", "1.0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			addr := startOrigin(t, func(conn net.Conn, r *bufio.Reader) {
				readHead(r)
				io.WriteString(conn, tt.response)
			})
			_, proxy := startProxy(t, nil)
			c := dial(t, proxy)
			c.send("GET http://" + addr + "/ HTTP/" + tt.version + "\r\nHost: x\r\n\r\n")
			resp, err := http.ReadResponse(c.r, nil)
			if err != nil {
				return // a reset before the head arrived shows as well
			}
			if _, err = io.ReadAll(resp.Body); err == nil {
				t.Error("the client sees a complete response")
			}
		})
	}
}

func TestConnect(t *testing.T) {
	target := startOrigin(t, func(conn net.Conn, r *bufio.Reader) {
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				io.WriteString(conn, "bye\n") // after the client's half-close
				return
			}
			io.WriteString(conn, strings.ToUpper(line))
		}
	})
	port := netip.MustParseAddrPort(target).Port()
	_, proxy := startProxy(t, func(s *Server, _ *origin.Options) { s.Rules.ConnectPorts = []uint16{port} })
	c := dial(t, proxy)
	// What comes with the request belongs to the tunnel.
	c.send("CONNECT " + target + " HTTP/1.1\r\nHost: " + target + "\r\n\r\nearly\n")
	if head := readHead(c.r); !strings.HasPrefix(head, "HTTP/1.1 200 ") || strings.Contains(head, "Content-Length") || strings.Contains(head, "Transfer-Encoding") {
		t.Fatalf("answer %q", head)
	}
	c.send("late\n")
	c.Conn.(*net.TCPConn).CloseWrite()
	got, err := io.ReadAll(c.r)
	if diff := cmp.Diff("EARLY\nLATE\nbye\n", string(got)); diff != "" || err != nil {
		t.Errorf("through the tunnel (-want +got), error %v:\n%s", err, diff)
	}
	for _, tt := range []struct {
		target string
		want   int
	}{
		{"127.0.0.1:25", 403},
		{"127.0.0.1:80", 403},
		{"127.0.0.1", 400},
		{"127.0.0.1:", 400},
		{"http://x/", 400},
		{"127.0.0.1:0", 400},
		{"127.0.0.1:99999", 400},
		{":443", 400},
		{"[::1]:25", 403},
		{"mail.invalid:25", 403},
		{"nosuch.invalid:443", 502},
	} {
		if resp, _ := get(t, proxy, "CONNECT "+tt.target+" HTTP/1.1\r\nHost: x\r\n\r\n"); resp.StatusCode != tt.want {
			t.Errorf("CONNECT %s: %d, want %d", tt.target, resp.StatusCode, tt.want)
		}
	}
}

func TestUpgrade(t *testing.T) {
	addr := startOrigin(t, func(conn net.Conn, r *bufio.Reader) {
		head := readHead(r)
		if !strings.Contains(head, "Upgrade: websocket\r\n") || !strings.Contains(head, "Connection: upgrade\r\n") {
			io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
			return
		}
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\nfirst")
		io.Copy(conn, r)
	})
	_, proxy := startProxy(t, nil)
	c := dial(t, proxy)
	c.send("GET http://" + addr + "/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	head := readHead(c.r)
	if !strings.HasPrefix(head, "HTTP/1.1 101 ") || !strings.Contains(head, "Upgrade: websocket\r\n") || !strings.Contains(head, "Connection: upgrade\r\n") {
		t.Fatalf("answer %q", head)
	}
	c.send("ping")
	got := make([]byte, 9)
	if _, err := io.ReadFull(c.r, got); err != nil || string(got) != "firstping" {
		t.Errorf("through the tunnel: %q %v", got, err)
	}
	// HTTP/2 in clear text would be a tunnel past every rule.
	addr, asked := answering(t, hello)
	get(t, proxy, "GET http://"+addr+"/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: x, H2C\r\nHTTP2-Settings: AAA\r\n\r\n")
	if head := <-asked; strings.Contains(strings.ToLower(head), "upgrade") {
		t.Errorf("the origin was asked %q", head)
	}
	// An origin that changes the protocol unasked is refused.
	resp, _ := get(t, proxy, "GET http://"+mustAnswer(t, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n")+"/ HTTP/1.1\r\nHost: x\r\n\r\n")
	if resp.StatusCode != 502 {
		t.Errorf("101 unasked: %d, want 502", resp.StatusCode)
	}
}

func mustAnswer(t *testing.T, response string) string {
	t.Helper()
	addr, _ := answering(t, response)
	return addr
}

func TestLoops(t *testing.T) {
	_, proxy := startProxy(t, nil)
	for _, request := range []string{
		"GET http://" + proxy + "/ HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET http://localhost:" + proxy[strings.LastIndexByte(proxy, ':')+1:] + "/ HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET http://192.0.2.1/ HTTP/1.1\r\nHost: x\r\nVia: 1.1 a, 1.1 test-proxy\r\n\r\n",
		"GET http://0.0.0.0:" + proxy[strings.LastIndexByte(proxy, ':')+1:] + "/ HTTP/1.1\r\nHost: x\r\n\r\n",
		"CONNECT 192.0.2.1:443 HTTP/1.1\r\nHost: x\r\nVia: 1.1 Test-Proxy (comment)\r\n\r\n",
	} {
		resp, _ := get(t, proxy, request)
		if resp.StatusCode != 502 || !strings.Contains(resp.Header.Get("Proxy-Status"), "error=proxy_loop_detected") {
			t.Errorf("%q: %d %q", request, resp.StatusCode, resp.Header.Get("Proxy-Status"))
		}
	}
}

func TestMaxForwards(t *testing.T) {
	_, proxy := startProxy(t, nil)
	resp, _ := get(t, proxy, "OPTIONS http://192.0.2.1/ HTTP/1.1\r\nHost: x\r\nMax-Forwards: 0\r\n\r\n")
	if resp.StatusCode != 200 || resp.Header.Get("Allow") == "" {
		t.Errorf("OPTIONS: %d %v", resp.StatusCode, resp.Header)
	}
	resp, body := get(t, proxy, "TRACE http://192.0.2.1/ HTTP/1.1\r\nHost: x\r\nX-A: 1\r\nCookie: secret\r\nMax-Forwards: 0\r\n\r\n")
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "message/http" ||
		!strings.Contains(body, "X-A: 1\r\n") || strings.Contains(body, "secret") {
		t.Errorf("TRACE: %d %q", resp.StatusCode, body)
	}
	if resp, _ = get(t, proxy, "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n"); resp.StatusCode != 200 {
		t.Errorf("OPTIONS *: %d", resp.StatusCode)
	}
}

func TestAuthentication(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte("right"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	users, err := access.ParseUsers(strings.NewReader("# users\nann:" + string(hash) + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	addr, asked := answering(t, hello)
	_, proxy := startProxy(t, func(s *Server, _ *origin.Options) {
		s.SetUsers(users)
		s.Quota = &access.Quota{Limit: 1000}
	})
	const right, wrong = "Basic YW5uOnJpZ2h0", "Basic YW5uOndyb25n"
	for _, tt := range []struct {
		name, request string
		want          int
		challenge     string
	}{
		{"none", "GET http://" + addr + "/ HTTP/1.1\r\nHost: x\r\n\r\n", 407, "Proxy-Authenticate"},
		{"wrong", "GET http://" + addr + "/ HTTP/1.1\r\nHost: x\r\nProxy-Authorization: " + wrong + "\r\n\r\n", 407, "Proxy-Authenticate"},
		{"no Basic", "GET http://" + addr + "/ HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Digest x\r\n\r\n", 407, "Proxy-Authenticate"},
		{"CONNECT without", "CONNECT 127.0.0.1:443 HTTP/1.1\r\nHost: x\r\n\r\n", 407, "Proxy-Authenticate"},
		{"path style without", "GET /" + addr + "/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 401, "WWW-Authenticate"},
		{"path style", "GET /" + addr + "/ HTTP/1.1\r\nHost: localhost\r\nAuthorization: " + right + "\r\n\r\n", 200, ""},
		{"right", "GET http://" + addr + "/ HTTP/1.1\r\nHost: x\r\nProxy-Authorization: " + right + "\r\nAuthorization: Basic b3duOm9yaWdpbg==\r\n\r\n", 200, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			resp, _ := get(t, proxy, tt.request)
			if resp.StatusCode != tt.want {
				t.Fatalf("answer %d, want %d", resp.StatusCode, tt.want)
			}
			if tt.challenge != "" && resp.Header.Get(tt.challenge) == "" {
				t.Errorf("no %s", tt.challenge)
			}
			if tt.want == 200 {
				head := <-asked
				if strings.Contains(head, right[6:]) {
					t.Errorf("the proxy's password went to the origin: %q", head)
				}
				if strings.Contains(tt.request, "b3du") && !strings.Contains(head, "Authorization: Basic b3duOm9yaWdpbg==") {
					t.Errorf("the origin's credentials were lost: %q", head)
				}
			}
		})
	}
	// The quota of 1,000 bytes is soon used up.
	for range 10 {
		resp, _ := get(t, proxy, "GET http://"+addr+"/ HTTP/1.1\r\nHost: x\r\nProxy-Authorization: "+right+"\r\n\r\n")
		if resp.StatusCode == 429 {
			if resp.Header.Get("Retry-After") == "" {
				t.Error("429 without Retry-After")
			}
			return
		}
	}
	t.Error("the quota is never used up")
}

func TestLimitsOfClients(t *testing.T) {
	_, proxy := startProxy(t, func(s *Server, _ *origin.Options) { s.MaxPerAddr = 2 })
	held := []*client{dial(t, proxy), dial(t, proxy)}
	for _, c := range held {
		c.send("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n")
		c.receive("OPTIONS")
	}
	if resp, _ := get(t, proxy, "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n"); resp.StatusCode != 429 || resp.Header.Get("Retry-After") == "" {
		t.Errorf("the third client: %d, want 429", resp.StatusCode)
	}
}

// An error page is for people: on any screen, in plain words, with what to do; no
// error of Go's is in it, nor in Proxy-Status.
func TestErrorPage(t *testing.T) {
	_, proxy := startProxy(t, nil)
	garbage, _ := answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n")
	for _, url := range []string{fmt.Sprintf("http://127.0.0.1:%d/", freeport.Take(t)), "http://" + garbage + "/"} {
		resp, page := get(t, proxy, "GET "+url+" HTTP/1.1\r\nHost: x\r\n\r\n")
		if resp.StatusCode != 502 || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") {
			t.Errorf("%s: %d %s", url, resp.StatusCode, resp.Header.Get("Content-Type"))
		}
		for _, want := range []string{`<html lang="en">`, `<meta name="viewport"`, "color-scheme:light dark", "502 Bad Gateway", "The step that failed", advice[502]} {
			if !strings.Contains(page, want) {
				t.Errorf("%s: %q is not in the page:\n%s", url, want, page)
			}
		}
		for _, raw := range []string{"dial tcp", "connect:", "read tcp", "lookup", "EOF", "0x"} {
			if told := page + resp.Header.Get("Proxy-Status"); strings.Contains(told, raw) {
				t.Errorf("%s: %q is told to the client:\n%s", url, raw, told)
			}
		}
	}
}

// faulty is a transport with a fault.
type faulty struct{}

func (faulty) Exchange(context.Context, *exchange.Request) (*exchange.Response, error) {
	panic("a fault of ours")
}

func TestFaultCostsOneConnection(t *testing.T) {
	core, logs := observer.New(zap.ErrorLevel)
	s, proxy := startProxy(t, func(s *Server, _ *origin.Options) {
		s.Transport, s.Log = faulty{}, zap.New(core)
	})
	c := dial(t, proxy)
	c.send("GET http://a.example/ HTTP/1.1\r\nHost: x\r\n\r\n")
	if b, err := io.ReadAll(c); err != nil || len(b) > 0 {
		t.Errorf("the client got %q, %v", b, err)
	}
	if got := logs.FilterField(zap.Any("fault", "a fault of ours")).Len(); got != 1 {
		t.Errorf("%d lines in the log, want 1", got)
	}
	if resp, _ := get(t, proxy, "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n"); resp.StatusCode != 200 {
		t.Errorf("afterwards: %d", resp.StatusCode)
	}
	waitFor(t, "the end of the client that met the fault", func() bool { return s.Stats.Clients.Load() <= 1 })
}

// Each limit holds for its own step: an origin may take longer to answer than a
// client has for its head, or for a piece of its content.
func TestSlowOrigin(t *testing.T) {
	t.Parallel()
	o := startOrigin(t, func(conn net.Conn, r *bufio.Reader) {
		for {
			head := readHead(r)
			if head == "" {
				return
			}
			if strings.HasPrefix(head, "POST") {
				io.CopyN(io.Discard, r, 3)
			}
			time.Sleep(900 * time.Millisecond)
			io.WriteString(conn, hello)
		}
	})
	_, proxy := startProxy(t, func(s *Server, _ *origin.Options) {
		// Less than the origin takes, and enough for a client on a busy machine.
		s.HeadTimeout, s.BodyTimeout = 600*time.Millisecond, 600*time.Millisecond
	})
	c := dial(t, proxy)
	for range 2 {
		c.send("GET http://" + o + "/ HTTP/1.1\r\nHost: x\r\n\r\n")
		if resp, body := c.receive("GET"); resp.StatusCode != 200 || body != "hello" {
			t.Errorf("GET: %d %q", resp.StatusCode, body)
		}
		c.send("POST http://" + o + "/ HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc")
		if resp, body := c.receive("POST"); resp.StatusCode != 200 || body != "hello" {
			t.Errorf("POST: %d %q", resp.StatusCode, body)
		}
	}
}

func TestSlowUpload(t *testing.T) {
	t.Parallel()
	for range 4 {
		o := startOrigin(t, func(_ net.Conn, r *bufio.Reader) { io.Copy(io.Discard, r) })
		_, proxy := startProxy(t, func(s *Server, opts *origin.Options) {
			s.BodyTimeout, opts.ReadTimeout, opts.ResponseTimeout = 200*time.Millisecond, 200*time.Millisecond, 200*time.Millisecond
		})
		if resp, _ := get(t, proxy, "POST http://"+o+"/ HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc"); resp.StatusCode != 408 {
			t.Errorf("%d, want 408: the client was slow", resp.StatusCode)
		}
	}
}

func TestLoopThroughParents(t *testing.T) {
	for _, way := range []string{"CONNECT a.example:443 HTTP/1.1\r\nHost: x\r\n\r\n", "GET https://a.example/ HTTP/1.1\r\nHost: x\r\n\r\n"} {
		var first, second *origin.Parent
		one, a := startProxy(t, func(s *Server, opts *origin.Options) {
			s.Name = "a"
			first = &origin.Parent{}
			opts.Dialer.Parent = first
		})
		other, b := startProxy(t, func(s *Server, opts *origin.Options) {
			s.Name = "b"
			second = &origin.Parent{Host: a}
			opts.Dialer.Parent = second
		})
		first.Host = b
		if resp, _ := get(t, a, way); resp.StatusCode != 502 {
			t.Errorf("%q: %d, want 502", way, resp.StatusCode)
		}
		// The client and one round.
		if n, m := one.Stats.Accepted.Load(), other.Stats.Accepted.Load(); n != 2 || m != 1 {
			t.Errorf("%q: %d and %d connections, want 2 and 1", way, n, m)
		}
	}
}

func TestTimeouts(t *testing.T) {
	t.Parallel()
	t.Run("slow head", func(t *testing.T) {
		_, proxy := startProxy(t, func(s *Server, _ *origin.Options) { s.HeadTimeout = 300 * time.Millisecond })
		if resp, _ := get(t, proxy, "GET http://x/ HT"); resp.StatusCode != 408 {
			t.Errorf("answer %d, want 408", resp.StatusCode)
		}
	})
	t.Run("slow body", func(t *testing.T) {
		sink := startOrigin(t, func(_ net.Conn, r *bufio.Reader) { io.Copy(io.Discard, r) })
		_, proxy := startProxy(t, func(s *Server, _ *origin.Options) { s.BodyTimeout = 300 * time.Millisecond })
		if resp, _ := get(t, proxy, "POST http://"+sink+"/ HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc"); resp.StatusCode != 408 {
			t.Errorf("answer %d, want 408", resp.StatusCode)
		}
	})
	t.Run("idle client", func(t *testing.T) {
		_, proxy := startProxy(t, func(s *Server, _ *origin.Options) { s.IdleTimeout = 300 * time.Millisecond })
		c := dial(t, proxy)
		if _, err := c.r.ReadByte(); err == nil || netio.IsTimeout(err) {
			t.Errorf("an idle client is not sent away: %v", err)
		}
	})
	t.Run("silent origin", func(t *testing.T) {
		mute := startOrigin(t, func(_ net.Conn, r *bufio.Reader) { io.Copy(io.Discard, r) })
		_, proxy := startProxy(t, func(_ *Server, o *origin.Options) { o.ResponseTimeout = 300 * time.Millisecond })
		if resp, body := get(t, proxy, "GET http://"+mute+"/ HTTP/1.1\r\nHost: x\r\n\r\n"); resp.StatusCode != 504 || !strings.Contains(body, "waiting for the answer") {
			t.Errorf("answer %d %q, want 504", resp.StatusCode, body)
		}
	})
	t.Run("idle tunnel", func(t *testing.T) {
		mute := startOrigin(t, func(_ net.Conn, r *bufio.Reader) { io.Copy(io.Discard, r) })
		_, proxy := startProxy(t, func(s *Server, _ *origin.Options) {
			s.TunnelIdle = 300 * time.Millisecond
			s.Rules.ConnectPorts = []uint16{netip.MustParseAddrPort(mute).Port()}
		})
		c := dial(t, proxy)
		c.send("CONNECT " + mute + " HTTP/1.1\r\nHost: x\r\n\r\n")
		readHead(c.r)
		if _, err := c.r.ReadByte(); err == nil || netio.IsTimeout(err) {
			t.Errorf("a silent tunnel stays: %v", err)
		}
	})
}

func TestLocalRoot(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{"helloworld.html": "<p>hi", ".hidden": "x"} {
		if err := os.WriteFile(dir+"/"+name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	_, proxy := startProxy(t, func(s *Server, _ *origin.Options) { s.LocalRoot = root })
	_, without := startProxy(t, nil)
	for _, tt := range []struct {
		proxy, target string
		want          int
	}{
		{proxy, "/helloworld.html", 200},
		{proxy, "/absent.html", 404},
		{proxy, "/.hidden", 404},
		{proxy, "/", 404},
		{proxy, "/../../etc/passwd", 404},
		{proxy, "//etc/passwd", 404},
		{proxy, "/%2e%2e/x", 404},
		{proxy, "/favicon.ico", 404},
		{proxy, "/etc/passwd", 404},
		{without, "/helloworld.html", 404},
		{without, "/etc/passwd", 404},
		{without, "/images/a.png", 404},
	} {
		resp, body := get(t, tt.proxy, "GET "+tt.target+" HTTP/1.1\r\nHost: localhost\r\n\r\n")
		if resp.StatusCode != tt.want {
			t.Errorf("%s: %d, want %d", tt.target, resp.StatusCode, tt.want)
		}
		if tt.want == 200 && (body != "<p>hi" || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html")) {
			t.Errorf("%s: %q %q", tt.target, body, resp.Header.Get("Content-Type"))
		}
	}
	// A link of a page fetched in path style finds its way back to its site.
	resp, _ := get(t, without, "GET /images/a.png HTTP/1.1\r\nHost: localhost:1\r\nReferer: http://localhost:1/www.example.com/index.html\r\n\r\n")
	if resp.StatusCode != 307 || resp.Header.Get("Location") != "/www.example.com/images/a.png" {
		t.Errorf("a lost link: %d %q", resp.StatusCode, resp.Header.Get("Location"))
	}
}

func TestForeignNameForPathStyle(t *testing.T) {
	_, proxy := startProxy(t, nil)
	for _, target := range []string{"/192.168.1.1/", "/evil.example:18080/", "/file.html"} {
		if resp, _ := get(t, proxy, "GET "+target+" HTTP/1.1\r\nHost: evil.example:8899\r\n\r\n"); resp.StatusCode != 421 {
			t.Errorf("%s: %d, want 421", target, resp.StatusCode)
		}
	}
}

// In path style all sites are on one host, and none may speak for it.
func TestPathStyleKeepsSitesApart(t *testing.T) {
	for location, want := range map[string]string{
		"http://b.example/x": "/b.example/x", "HTTPS://b.example/x": "/HTTPS://b.example/x", "ftp://b.example/x": "/ftp://b.example/x",
		"//b.example/x": "/b.example/x", "/x?y": "/ORIGIN/x?y", "x": "x", "?x": "?x", "": "", "mailto:a@b.example": "mailto:a@b.example",
		"http:///evil.example": "/ORIGIN/", "///evil.example": "/ORIGIN///evil.example", "\\\\evil.example": "/ORIGIN/", "/\\evil.example": "/ORIGIN/",
		"https:evil.example": "/ORIGIN/", "http:/\\evil.example": "/ORIGIN/", "http://%zz/": "/ORIGIN/",
	} {
		addr, _ := answering(t, "HTTP/1.1 302 Found\r\nLocation: "+location+"\r\nClear-Site-Data: \"*\"\r\nAlt-Svc: h3=\":443\"\r\nContent-Length: 0\r\n\r\n")
		_, proxy := startProxy(t, nil)
		resp, _ := get(t, proxy, "GET /"+addr+"/page HTTP/1.1\r\nHost: localhost\r\n\r\n")
		if got := strings.ReplaceAll(resp.Header.Get("Location"), addr, "ORIGIN"); got != want {
			t.Errorf("Location: %s became %q, want %q", location, got, want)
		}
		if resp.Header.Get("Clear-Site-Data") != "" || resp.Header.Get("Alt-Svc") != "" {
			t.Errorf("%v", resp.Header)
		}
	}
	for challenge, want := range map[string]string{
		`Basic realm="x"`: `Basic realm="http://ORIGIN"`, `Digest realm="x", basic realm="y"`: `Basic realm="http://ORIGIN"`,
		`Digest realm="Basic "`: `Digest realm="Basic "`,
	} {
		addr, _ := answering(t, "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: "+challenge+"\r\nContent-Length: 0\r\n\r\n")
		_, proxy := startProxy(t, nil)
		resp, _ := get(t, proxy, "GET /"+addr+"/page HTTP/1.1\r\nHost: localhost\r\n\r\n")
		if got := strings.ReplaceAll(resp.Header.Get("WWW-Authenticate"), addr, "ORIGIN"); got != want {
			t.Errorf("%s became %q, want %q", challenge, got, want)
		}
	}
}

func TestReverseModeKeepsToItsPath(t *testing.T) {
	addr, asked := answering(t, hello)
	_, proxy := startProxy(t, func(s *Server, _ *origin.Options) {
		s.Upstream = &Upstream{Scheme: "http", Host: addr, Path: "/app"}
	})
	for target, want := range map[string]int{
		"/../admin": 400, "/%2e%2e/admin": 400, "/a/.%2E/b": 400, "/a/./b": 400, "/..\\admin": 400, "/..%2fadmin": 400, "/a%2F%2e%2E%5cb": 400, "/..;/admin": 400, "http://x/../admin": 400, "/a..b;../.c?../d": 200,
	} {
		if resp, _ := get(t, proxy, "GET "+target+" HTTP/1.1\r\nHost: x\r\n\r\n"); resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", target, resp.StatusCode, want)
		}
	}
	if head := <-asked; !strings.HasPrefix(head, "GET /app/a..b;../.c?../d ") {
		t.Errorf("the origin was asked %q", head)
	}
}

// Whoever stands behind a server on the proxy's own machine is not here.
func TestFromHere(t *testing.T) {
	_, proxy := startProxy(t, func(s *Server, _ *origin.Options) { s.Purge = func(string) int { return 1 } })
	for field, want := range map[string]int{
		"": 200, "X-Forwarded-For: 192.0.2.1\r\n": 403, "Forwarded: for=192.0.2.1\r\n": 403, "Via: 1.1 front\r\n": 403,
	} {
		if resp, _ := get(t, proxy, "PURGE http://a.example/ HTTP/1.1\r\nHost: x\r\n"+field+"\r\n"); resp.StatusCode != want {
			t.Errorf("PURGE with %q: %d, want %d", field, resp.StatusCode, want)
		}
	}
}

// One address cannot take everybody's place, however silent its connections.
func TestPlacesForOthers(t *testing.T) {
	s, proxy := startProxy(t, func(s *Server, _ *origin.Options) { s.MaxPerAddr, s.MaxConns = 2, 6 })
	for range 20 {
		if conn, err := net.Dial("tcp", proxy); err == nil { // else it was sent away at once
			defer conn.Close()
		}
	}
	other := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 9)}}
	conn, err := other.Dial("tcp", proxy)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	io.WriteString(conn, "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n")
	if resp, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || resp.StatusCode != 200 {
		t.Errorf("another address: %v %v", resp, err)
	}
	waitFor(t, "the end of all clients but three", func() bool { return s.Stats.Clients.Load() <= 3 })
}

func TestRefusedHeadsAreLogged(t *testing.T) {
	var log lockedBuffer
	access, err := logging.OpenAccess("-", logging.AccessOptions{Stdout: &log})
	if err != nil {
		t.Fatal(err)
	}
	s, proxy := startProxy(t, func(s *Server, _ *origin.Options) { s.Access = access })
	get(t, proxy, "GET http://x/ HTTP/1.1\r\nHost : x\r\n\r\n")
	get(t, proxy, "GET /ftp:/bob:secret1@127.0.0.1:1/f HTTP/1.1\r\nHost: localhost\r\nReferer: http://localhost/ftp://bob:secret2@h/\r\n\r\n")
	c := dial(t, proxy)
	c.send("CONNECT 192.0.2.1:25 HTTP/1.1\r\nHost: x\r\n\r\nGET http://x/piped HTTP/1.1\r\nHost: x\r\n\r\n")
	if resp, _ := c.receive("CONNECT"); resp.StatusCode != 403 {
		t.Errorf("CONNECT to port 25: %d", resp.StatusCode)
	}
	if b, _ := io.ReadAll(c.r); len(b) > 0 {
		t.Errorf("after a refused CONNECT what followed was taken for a request: %q", b)
	}
	waitFor(t, "three requests", func() bool { return s.Stats.Requests.Load() == 3 })
	waitFor(t, "three lines", func() bool { return strings.Count(log.String(), "\n") == 3 })
	got := log.String()
	if strings.Count(got, "\n") != 3 || !strings.Contains(got, " 400 ") || !strings.Contains(got, "bob:(hidden)@127.0.0.1:1/f") || strings.Contains(got, "secret") {
		t.Errorf("the log:\n%s", got)
	}
	if err := access.Close(); err != nil {
		t.Error(err)
	}
}

func TestDrain(t *testing.T) {
	release := make(chan struct{})
	addr := startOrigin(t, func(conn net.Conn, r *bufio.Reader) {
		readHead(r)
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe")
		<-release
		io.WriteString(conn, "llo")
	})
	ctx, stop := context.WithCancel(t.Context())
	_, proxy, done := runProxy(ctx, t, func(s *Server, _ *origin.Options) { s.Drain = patience })
	idle, busy := dial(t, proxy), dial(t, proxy)
	idle.send("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n")
	idle.receive("OPTIONS")
	busy.send("GET http://" + addr + "/ HTTP/1.1\r\nHost: x\r\n\r\n")
	resp, err := http.ReadResponse(busy.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	stop()
	if _, err = idle.r.ReadByte(); err == nil {
		t.Error("an idle client is kept")
	}
	close(release)
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "hello" {
		t.Errorf("the exchange under way: %q %v", body, err)
	}
	if err := <-done; err != nil {
		t.Errorf("Serve: %v", err)
	}
}
