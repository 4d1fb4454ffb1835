package status

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// patience is how long anything may take that is expected to happen.
const patience = 60 * time.Second

func startStatus(t *testing.T) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &Server{
		Metrics: []Metric{
			{Name: "test_requests_total", Help: "Requests answered", Value: func() float64 { return 42 }},
			{Name: "test_clients", Help: "Clients connected", Value: func() float64 { return 2.5 }},
		},
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, ln) }()
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
	return ln.Addr().String()
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	return conn
}

func ask(t *testing.T, addr, method, target, host string) (*http.Response, string) {
	t.Helper()
	conn := dial(t, addr)
	fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: %s\r\n\r\n", method, target, host)
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

// The grammar of a sample line, and of the two comments before it.
var (
	sample = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*) (\S+)$`)
	help   = regexp.MustCompile(`^# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) \S.*$`)
	kind   = regexp.MustCompile(`^# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge)$`)
)

func TestMetrics(t *testing.T) {
	resp, text := ask(t, startStatus(t), "GET", "/metrics", "localhost")
	if resp.StatusCode != 200 || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain; version=0.0.4") {
		t.Errorf("%d, Content-Type %q", resp.StatusCode, resp.Header.Get("Content-Type"))
	}
	if !strings.HasSuffix(text, "\n") {
		t.Error("the last line has no end")
	}
	type metric struct {
		Kind  string
		Help  bool
		Value float64
	}
	got := map[string]metric{}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if m := help.FindStringSubmatch(line); m != nil {
			got[m[1]] = metric{Help: true}
		} else if m := kind.FindStringSubmatch(line); m != nil {
			of := got[m[1]]
			of.Kind = m[2]
			got[m[1]] = of
		} else if m := sample.FindStringSubmatch(line); m != nil {
			value, err := strconv.ParseFloat(m[2], 64)
			if err != nil {
				t.Errorf("%q: %v", line, err)
			}
			of := got[m[1]]
			of.Value = value
			got[m[1]] = of
		} else {
			t.Errorf("not a line of the text format: %q", line)
		}
	}
	want := map[string]metric{"test_requests_total": {"counter", true, 42}, "test_clients": {"gauge", true, 2.5}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metrics (-want +got)\n%s", diff)
	}
}

func TestAnswers(t *testing.T) {
	addr := startStatus(t)
	for _, tt := range []struct {
		name, method, target, host string
		code                       int
		says                       string
	}{
		{"page", "GET", "/", "127.0.0.1:9999", 200, "Requests answered<td>42"},
		{"page by IPv6 address", "GET", "/?x=y", "[::1]:9999", 200, "<h1>proxyserver</h1>"},
		{"head", "HEAD", "/metrics", "localhost", 200, ""},
		{"elsewhere", "GET", "/etc/passwd", "localhost", 404, "/metrics"},
		{"post", "POST", "/metrics", "localhost", 405, ""},
		{"connect", "CONNECT", "localhost:443", "localhost:443", 405, ""},
		{"a foreign name", "GET", "/metrics", "rebound.example", 421, "localhost"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			resp, body := ask(t, addr, tt.method, tt.target, tt.host)
			if resp.StatusCode != tt.code || !strings.Contains(body, tt.says) {
				t.Errorf("%d %q, want %d and %q", resp.StatusCode, body, tt.code, tt.says)
			}
			if tt.code == 405 && resp.Header.Get("Allow") != "GET, HEAD" {
				t.Errorf("Allow: %q", resp.Header.Get("Allow"))
			}
			if tt.method == "HEAD" && (body != "" || resp.ContentLength <= 0) {
				t.Errorf("HEAD: content %q, Content-Length %d", body, resp.ContentLength)
			}
			if strings.Contains(body, "test_requests_total") {
				t.Error("the metrics got out")
			}
		})
	}
}

// Neither long heads nor silent clients take more than their share.
func TestBounds(t *testing.T) {
	t.Run("a head too long", func(t *testing.T) {
		t.Parallel()
		conn := dial(t, startStatus(t))
		// The server may close before all is sent: then the rest fails.
		io.WriteString(conn, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: "+strings.Repeat("x", 64<<10)+"\r\n\r\n")
		answer, err := io.ReadAll(conn)
		if len(answer) > 0 && !strings.HasPrefix(string(answer), "HTTP/1.1 431 ") {
			t.Errorf("answered: %q", answer)
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error("the connection stays open")
		}
	})
	t.Run("silent clients", func(t *testing.T) {
		t.Parallel()
		addr := startStatus(t)
		var silent []net.Conn
		for range 20 { // more than are served at a time
			silent = append(silent, dial(t, addr))
		}
		if resp, _ := ask(t, addr, "GET", "/metrics", "localhost"); resp.StatusCode != 200 {
			t.Errorf("answer %d", resp.StatusCode)
		}
		// The answer needed a slot, so silent clients have been sent away.
		if answer, err := io.ReadAll(silent[0]); len(answer) > 0 || err != nil {
			t.Errorf("a silent client: %q, %v", answer, err)
		}
	})
}
