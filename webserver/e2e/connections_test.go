//go:build unix

package e2e_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pipeline is a run of requests of all kinds and what they answer.
var pipeline = []struct {
	wire   string
	method string
	status int
	body   string // a part of it
}{
	{request("GET", "/alive.txt"), "GET", 200, aliveText},
	{request("HEAD", "/alive.txt"), "HEAD", 200, ""},
	{post("/form.html", "application/x-www-form-urlencoded", "name=first+value"), "POST", 200, "first value"},
	{request("GET", "/missing"), "GET", 404, ""},
	{request("POST", "/form.html", "Content-Type: application/x-www-form-urlencoded", "Transfer-Encoding: chunked") + "7\r\nname=se\r\n5;x=y\r\ncond!\r\n0\r\nT: u\r\n\r\n", "POST", 200, "second!"},
	{request("GET", "/alive.txt", "Range: bytes=0-4"), "GET", 206, "alive"},
	{"\r\n" + request("OPTIONS", "*"), "OPTIONS", 0, ""},
	{request("GET", "/alive.txt", "Content-Length: 3") + "abc", "GET", 200, aliveText},
	{request("GET", "/alive.txt", "Connection: close"), "GET", 200, aliveText},
}

func pipelineWire() string {
	var b strings.Builder
	for _, p := range pipeline {
		b.WriteString(p.wire)
	}
	return b.String()
}

// checkPipeline reads the answers to pipeline, in order, and the close.
func (c *client) checkPipeline() error {
	for i, p := range pipeline {
		r, err := c.read(p.method)
		if err != nil {
			return fmt.Errorf("response %d: %w", i, err)
		}
		if p.status != 0 && r.StatusCode != p.status || !strings.Contains(string(r.body), p.body) {
			return fmt.Errorf("response %d: %s %.300q, want %d with %q", i, r.Status, r.body, p.status, p.body)
		}
	}
	if text, err := c.rest(); text != "" || err != nil {
		return fmt.Errorf("after Connection: close: %q, %w", text, err)
	}
	return nil
}

func pipelineRoot(t *testing.T) string {
	t.Helper()
	return writeTree(t, map[string]string{"form.html": "<form method=post>"})
}

// TestPipelining: answers come in the order of the requests (section 9.3.2 of
// RFC 9112), in one write, one byte a write and through TLS.
func TestPipelining(t *testing.T) {
	t.Parallel()
	plainAndTLS(t, func(t *testing.T, s *server) {
		t.Helper()
		t.Run("one write", func(t *testing.T) {
			c := s.dial(t)
			c.send(pipelineWire())
			if err := c.checkPipeline(); err != nil {
				t.Error(err)
			}
		})
		t.Run("one byte a write", func(t *testing.T) {
			c := s.dial(t)
			go func() {
				for _, b := range []byte(pipelineWire()) {
					if _, err := c.Write([]byte{b}); err != nil {
						return
					}
				}
			}()
			if err := c.checkPipeline(); err != nil {
				t.Error(err)
			}
		})
		t.Run("1,000 requests", func(t *testing.T) {
			c := s.dial(t)
			c.send(strings.Repeat(request("GET", "/alive.txt")+request("HEAD", "/alive.txt"), 500) + request("GET", "/alive.txt", "Connection: close"))
			for i := range 1001 {
				method := []string{"GET", "HEAD"}[i%2]
				if r := c.mustRead(t, method); r.StatusCode != 200 || method == "GET" && string(r.body) != aliveText {
					t.Fatalf("response %d: %s %q", i, r.Status, r.body)
				}
			}
			c.mustClose(t)
		})
	}, "--root", pipelineRoot(t))
}

// TestSplitAtEveryByte cuts the pipeline in two at each place. The second
// part goes out only when the server has taken in the first: on a unix socket
// the kernel tells how much the peer has not yet read.
func TestSplitAtEveryByte(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := start(t, "--root", pipelineRoot(t), "--addr", "unix:"+filepath.Join(dir, "web.sock"))
	wire := pipelineWire()
	for cut := 1; cut < len(wire); cut++ {
		c := s.dial(t)
		if _, err := io.WriteString(c, wire[:cut]); err != nil {
			t.Fatal(err)
		}
		awaitTaken(t, c.Conn.(*net.UnixConn))
		if _, err := io.WriteString(c, wire[cut:]); err != nil {
			t.Fatal(err)
		}
		if err := c.checkPipeline(); err != nil {
			t.Errorf("cut behind %q: %v", wire[max(0, cut-20):cut], err)
		}
		c.Close()
	}
}

// awaitTaken waits until the peer has read all that was written.
func awaitTaken(t *testing.T, conn *net.UnixConn) {
	t.Helper()
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the server to read", func() bool {
		left := 0
		if err := raw.Control(func(fd uintptr) { left, err = unix.IoctlGetInt(int(fd), unix.TIOCOUTQ) }); err != nil {
			t.Fatal(err)
		}
		return err != nil || left == 0
	})
}

// TestPersistence: which connections stay open (section 9.3 of RFC 9112).
func TestPersistence(t *testing.T) {
	t.Parallel()
	s := start(t, "--root", writeTree(t, nil))
	for _, test := range []struct {
		name, head string
		stays      bool
	}{
		{"1.1", "GET /alive.txt HTTP/1.1\r\nHost: x\r\n", true},
		{"1.1 close", "GET /alive.txt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n", false},
		{"1.1 Close", "GET /alive.txt HTTP/1.1\r\nHost: x\r\nConnection: Close\r\n", false},
		{"1.1 close in a list", "GET /alive.txt HTTP/1.1\r\nHost: x\r\nConnection: foo, close\r\n", false},
		{"1.1 close in a second field", "GET /alive.txt HTTP/1.1\r\nHost: x\r\nConnection: foo\r\nConnection: close\r\n", false},
		{"1.1 close beats keep-alive", "GET /alive.txt HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, close\r\n", false},
		{"1.1 another option", "GET /alive.txt HTTP/1.1\r\nHost: x\r\nConnection: closed\r\n", true},
		{"1.1 404", "GET /missing HTTP/1.1\r\nHost: x\r\n", true},
		{"1.1 close 404", "GET /missing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n", false},
		{"1.1 upgrade is declined", "GET /alive.txt HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n", true},
		{"1.0", "GET /alive.txt HTTP/1.0\r\n", false},
		{"1.0 with Host", "GET /alive.txt HTTP/1.0\r\nHost: x\r\n", false},
		{"1.0 keep-alive", "GET /alive.txt HTTP/1.0\r\nConnection: keep-alive\r\n", true},
		{"1.0 Keep-Alive", "GET /alive.txt HTTP/1.0\r\nConnection: Keep-Alive\r\n", true},
		{"1.0 keep-alive, close", "GET /alive.txt HTTP/1.0\r\nConnection: keep-alive, close\r\n", false},
		{"1.0 keep-alive 404", "GET /missing HTTP/1.0\r\nConnection: keep-alive\r\n", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := s.dial(t)
			c.send(test.head + "\r\n" + request("GET", "/alive.txt", "Connection: close"))
			r := c.mustRead(t, "GET")
			if !statuses("200|404", r.StatusCode) {
				t.Fatalf("status %s", r.Status)
			}
			if r.Close == test.stays {
				t.Errorf("Connection: %q", r.field("Connection"))
			}
			if strings.Contains(test.head, "HTTP/1.0") {
				// A client of HTTP/1.0 waits for the close unless told otherwise,
				// and does not know chunks.
				if told := strings.EqualFold(r.field("Connection"), "keep-alive"); told != test.stays {
					t.Errorf("to HTTP/1.0: Connection: %q, stays open: %v", r.field("Connection"), test.stays)
				}
				if len(r.TransferEncoding) > 0 {
					t.Errorf("to HTTP/1.0: Transfer-Encoding %v", r.TransferEncoding)
				}
			}
			if test.stays {
				if r := c.mustRead(t, "GET"); string(r.body) != aliveText {
					t.Errorf("the second request: %s %q", r.Status, r.body)
				}
			}
			c.mustClose(t)
		})
	}
}

// TestContinue: 100 Continue comes when the body is wanted and asked about,
// and only then (section 10.1.1).
func TestContinue(t *testing.T) {
	t.Parallel()
	s := start(t, "--root", pipelineRoot(t))
	form := "Content-Type: application/x-www-form-urlencoded"
	await := func(t *testing.T, head string) (*client, *reply) {
		t.Helper()
		c := s.dial(t)
		c.send(head)
		return c, c.mustRead(t, "POST")
	}
	for name, fields := range map[string][]string{
		"length":              {form, "Content-Length: 6", "Expect: 100-continue"},
		"capitals":            {form, "Content-Length: 6", "Expect: 100-Continue"},
		"chunks":              {form, "Transfer-Encoding: chunked", "Expect: 100-continue"},
		"close after it":      {form, "Content-Length: 6", "Expect: 100-continue", "Connection: close"},
		"behind other fields": {form, "Expect: 100-continue", "Content-Length: 6", "X: y"},
	} {
		t.Run(name, func(t *testing.T) {
			c, r := await(t, request("POST", "/form.html", fields...))
			if r.StatusCode != 100 {
				t.Fatalf("first response %s, want 100", r.Status)
			}
			if name == "chunks" {
				c.send("6\r\na=body\r\n0\r\n\r\n")
			} else {
				c.send("a=body")
			}
			if r := c.mustRead(t, "POST"); r.StatusCode != 200 || !strings.Contains(string(r.body), "body") {
				t.Errorf("after the body: %s %.200q", r.Status, r.body)
			}
			if name == "close after it" {
				c.mustClose(t)
			}
		})
	}
	t.Run("body already there", func(t *testing.T) {
		c := s.dial(t)
		c.send(request("POST", "/form.html", form, "Content-Length: 6", "Expect: 100-continue", "Connection: close") + "a=body")
		r := c.mustRead(t, "POST")
		if r.StatusCode == 100 {
			r = c.mustRead(t, "POST")
		}
		if r.StatusCode != 200 {
			t.Errorf("status %s", r.Status)
		}
		c.mustClose(t)
	})
	t.Run("HTTP/1.0", func(t *testing.T) {
		c := s.dial(t)
		c.send("POST /form.html HTTP/1.0\r\nContent-Length: 6\r\n" + form + "\r\nExpect: 100-continue\r\n\r\na=body")
		if r := c.mustRead(t, "POST"); r.StatusCode != 200 {
			t.Errorf("to HTTP/1.0: %s, want 200 without 100", r.Status)
		}
	})
	t.Run("no body", func(t *testing.T) {
		if _, r := await(t, request("GET", "/alive.txt", "Expect: 100-continue")); r.StatusCode != 200 {
			t.Errorf("GET: %s, want 200 without 100", r.Status)
		}
	})
	t.Run("not wanted", func(t *testing.T) {
		// The connection closes, or the body that was not sent is not waited for.
		c, r := await(t, request("POST", "/missing", form, "Content-Length: 6", "Expect: 100-continue"))
		if r.StatusCode != 404 {
			t.Fatalf("status %s, want 404", r.Status)
		}
		if r.Close {
			c.mustClose(t)
		}
	})
}

// TestConnectionFaults: connections that send nothing, break off or reset
// trouble no one else (one idle client blocks everyone: a classic bug).
func TestConnectionFaults(t *testing.T) {
	t.Parallel()
	s := start(t, "--root", pipelineRoot(t))
	for range 20 {
		idle := s.dial(t)
		defer idle.Close()
		half := s.dial(t)
		if _, err := io.WriteString(half, "GET /alive.txt HTTP/1.1\r\nHo"); err != nil {
			t.Fatal(err)
		}
		defer half.Close()
		s.dial(t).Close()
		reset := s.dial(t)
		_, _ = io.WriteString(reset, request("POST", "/form.html", "Content-Length: 100")+"x")
		_ = reset.Conn.(*net.TCPConn).SetLinger(0)
		reset.Close()
		s.alive(t)
	}
	// A client that asks and does not read.
	deaf := s.dial(t)
	defer deaf.Close()
	deaf.send(strings.Repeat(request("GET", "/alive.txt"), 10_000))
	s.alive(t)
}

// TestHeadTimeout: a head has to be whole within its time, however busily the
// client drips (408 and close), and an idle connection closes without a word.
func TestHeadTimeout(t *testing.T) {
	t.Parallel()
	s := start(t, "--root", writeTree(t, nil), "--head-timeout", "1s", "--idle-timeout", "1s")
	t.Run("dripping head", func(t *testing.T) {
		t.Parallel()
		c := s.dial(t)
		began := time.Now()
		stop := make(chan struct{})
		defer close(stop)
		go func() {
			tick := time.NewTicker(100 * time.Millisecond)
			defer tick.Stop()
			_, _ = io.WriteString(c, "GET /alive.txt HTTP/1.1\r\nHost: x\r\n")
			for {
				select {
				case <-stop:
					return
				case <-tick.C:
					if _, err := io.WriteString(c, "X: y\r\n"); err != nil {
						return
					}
				}
			}
		}()
		if r := c.mustRead(t, "GET"); r.StatusCode != 408 || !r.Close {
			t.Errorf("%s, Connection %q, want 408 and close", r.Status, r.field("Connection"))
		}
		if took := time.Since(began); took < 900*time.Millisecond || took > 10*time.Second {
			t.Errorf("after %v, want about 1 s", took)
		}
	})
	t.Run("silent head", func(t *testing.T) {
		t.Parallel()
		c := s.dial(t)
		c.send("GET /alive.txt HTTP/1.1\r\nHost: x\r\n")
		if r := c.mustRead(t, "GET"); r.StatusCode != 408 {
			t.Errorf("%s, want 408", r.Status)
		}
		c.mustClose(t)
	})
	t.Run("idle between requests", func(t *testing.T) {
		t.Parallel()
		c := s.dial(t)
		c.send(request("GET", "/alive.txt"))
		c.mustRead(t, "GET")
		began := time.Now()
		r, err := c.read("GET")
		if err == nil && r.StatusCode != 408 || err != nil && !errors.Is(err, errNoReply) {
			t.Errorf("idle: %v, %v, want a close", r, err)
		}
		if took := time.Since(began); took < 900*time.Millisecond || took > 15*time.Second {
			t.Errorf("closed after %v, want 1 s or a little more", took)
		}
	})
	t.Run("silent from the start", func(t *testing.T) {
		t.Parallel()
		c := s.dial(t)
		r, err := c.read("GET")
		if err == nil && r.StatusCode != 408 || err != nil && !errors.Is(err, errNoReply) {
			t.Errorf("silent: %v, %v, want a close", r, err)
		}
	})
	if !raceEnabled {
		t.Run("TLS handshake", func(t *testing.T) {
			t.Parallel()
			cert, key, _ := certificate(t, t.TempDir())
			s := start(t, "--root", writeTree(t, nil), "--head-timeout", "1s", "--tls-cert", cert, "--tls-key", key)
			conn, err := net.Dial("tcp", s.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(patience))
			if b, err := io.ReadAll(conn); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("a client that never shakes hands stays: %q %v", b, err)
			}
			s.alive(t)
		})
	}
}

// TestSlowBody: a body that stands still gets 408 after the grace of 10 s.
func TestSlowBody(t *testing.T) {
	t.Parallel()
	s := start(t, "--root", pipelineRoot(t))
	c := s.dial(t)
	began := time.Now()
	c.send(request("POST", "/form.html", "Content-Type: application/x-www-form-urlencoded", "Content-Length: 1000000") + "a=b")
	r := c.mustRead(t, "POST")
	if r.StatusCode != 408 {
		t.Errorf("%s, want 408", r.Status)
	}
	if took := time.Since(began); took < 5*time.Second {
		t.Errorf("after %v, want the grace of 10 s", took)
	}
	c.mustClose(t)
}

// TestSlowReader: a client that stops reading a response loses the connection.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	root := writeTree(t, nil)
	if err := os.WriteFile(filepath.Join(root, "large.bin"), make([]byte, 64<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	s := start(t, "--root", root, "--access-log", "-")
	c := s.dial(t)
	c.send(request("GET", "/large.bin"))
	if _, err := c.r.Peek(1); err != nil {
		t.Fatal(err)
	}
	// The server writes the line to its log when it has given up.
	s.stdout.await(t, "the server to give up", func(text string) bool { return strings.Contains(text, "/large.bin") })
	n, err := io.Copy(io.Discard, c.r)
	if n >= 64<<20 {
		t.Errorf("%d bytes and %v: nothing was given up", n, err)
	}
	s.alive(t)
}

// TestConnectionLimits: too many connections get 503 with Retry-After (or 429
// when they are of one address).
func TestConnectionLimits(t *testing.T) {
	t.Parallel()
	for _, flag := range []string{"--max-conns", "--max-conns-per-addr"} {
		t.Run(flag, func(t *testing.T) {
			t.Parallel()
			s := start(t, "--root", writeTree(t, nil), flag, "4")
			var held []*client
			for range 4 {
				c := s.dial(t)
				c.send(request("GET", "/alive.txt"))
				c.mustRead(t, "GET")
				held = append(held, c)
			}
			c := s.dial(t)
			c.send(request("GET", "/alive.txt"))
			r := c.mustRead(t, "GET")
			if !statuses("429|503", r.StatusCode) || r.field("Retry-After") == "" {
				t.Errorf("one too many: %s, Retry-After %q", r.Status, r.field("Retry-After"))
			}
			if text, err := c.rest(); text != "" || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("after the refusal: %q, %v, want a close", text, err)
			}
			// Those that are in go on, and a place that becomes free is given away.
			held[0].send(request("GET", "/alive.txt"))
			if r := held[0].mustRead(t, "GET"); r.StatusCode != 200 {
				t.Errorf("one that is in: %s", r.Status)
			}
			held[1].Close()
			eventually(t, "a free place", func() bool {
				c := s.dial(t)
				defer c.Close()
				c.send(request("GET", "/alive.txt"))
				r, err := c.read("GET")
				return err == nil && r.StatusCode == 200
			})
		})
	}
}

// TestPlainRequestOnTLSPort gets a readable 400.
func TestPlainRequestOnTLSPort(t *testing.T) {
	t.Parallel()
	cert, key, _ := certificate(t, t.TempDir())
	s := start(t, "--root", writeTree(t, nil), "--tls-cert", cert, "--tls-key", key)
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c := newClient(conn)
	c.send(request("GET", "/alive.txt"))
	r := c.mustRead(t, "GET")
	if r.StatusCode != 400 || !bytes.Contains(bytes.ToLower(r.body), []byte("https")) {
		t.Errorf("%s %.200q, want 400 with a hint at https", r.Status, r.body)
	}
	c.mustClose(t)
	s.alive(t)
}

// TestTLSVersions: 1.2 and later, HTTP/1.1 by ALPN.
func TestTLSVersions(t *testing.T) {
	t.Parallel()
	cert, key, _ := certificate(t, t.TempDir())
	s := start(t, "--root", writeTree(t, nil), "--tls-cert", cert, "--tls-key", key)
	for version, want := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		conn, err := tls.Dial("tcp", s.addr, &tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version, NextProtos: []string{"h2", "http/1.1"}})
		if (err == nil) != want {
			t.Errorf("%s: %v, want success %v", tls.VersionName(version), err, want)
		}
		if err == nil {
			if got := conn.ConnectionState().NegotiatedProtocol; got != "http/1.1" {
				t.Errorf("ALPN %q, want http/1.1", got)
			}
			conn.Close()
		}
	}
	// A client that speaks HTTP/2 alone cannot be served.
	if conn, err := tls.Dial("tcp", s.addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}); err == nil {
		if got := conn.ConnectionState().NegotiatedProtocol; got == "h2" {
			t.Error("h2 was agreed on")
		}
		conn.Close()
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}}
	resp, err := client.Get(s.url("/alive.txt"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); err != nil || string(b) != aliveText {
		t.Errorf("Go's client through TLS: %q, %v", b, err)
	}
}
