package metrics

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
)

// parse reads Prometheus text strictly: a name, labels, a number on each line.
func parse(t *testing.T, text string) map[string]float64 {
	t.Helper()
	sample := regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*(?:\{[a-z]+="[^"\\\n]*"(?:,[a-z]+="[^"\\\n]*")*\})?) (\S+)$`)
	values := map[string]float64{}
	for line := range strings.Lines(text) {
		line, ended := strings.CutSuffix(line, "\n")
		if !ended {
			t.Fatalf("the last line has no end: %q", line)
		}
		if strings.HasPrefix(line, "# TYPE ") || strings.HasPrefix(line, "# HELP ") {
			continue
		}
		match := sample.FindStringSubmatch(line)
		if match == nil {
			t.Fatalf("not a sample: %q", line)
		}
		value, err := strconv.ParseFloat(match[2], 64)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if _, twice := values[match[1]]; twice {
			t.Fatalf("%s is there twice", match[1])
		}
		values[match[1]] = value
	}
	return values
}

func TestWritePrometheus(t *testing.T) {
	m := New()
	m.Gauge("access_log_lines_lost", func() float64 { return 7 })
	m.Request("GET", 200, 1000, 0, 100*time.Microsecond)
	m.Request("GET", 206, 24, 0, 3*time.Millisecond)
	m.Request("POST", 413, 10, 2048, 2*time.Minute)
	m.Request("BREW", 501, 0, 0, -time.Second)
	m.Request("", 400, -1, -1, 0)
	m.Request("GET", 999, 0, 0, 0)
	m.Request("HEAD", 0, 0, 0, 0)
	for range 3 {
		m.ConnOpened()
	}
	m.ConnClosed()
	m.ConnRefused(TooMany)
	m.ConnRefused(TooManyAddr)
	m.ConnRefused(TooManyAddr)
	m.HotHit()
	m.HotMiss()
	m.HotMiss()

	var text bytes.Buffer
	m.WritePrometheus(&text)
	got := parse(t, text.String())
	want := map[string]float64{
		`webserver_requests_total{method="GET",code="2xx"}`:      2,
		`webserver_requests_total{method="GET",code="5xx"}`:      1,
		`webserver_requests_total{method="HEAD",code="1xx"}`:     1,
		`webserver_requests_total{method="POST",code="4xx"}`:     1,
		`webserver_requests_total{method="OPTIONS",code="2xx"}`:  0,
		`webserver_requests_total{method="other",code="4xx"}`:    1,
		`webserver_requests_total{method="other",code="5xx"}`:    1,
		`webserver_response_body_bytes_total`:                    1034,
		`webserver_request_body_bytes_total`:                     2048,
		`webserver_connections_accepted_total`:                   3,
		`webserver_connections_open`:                             2,
		`webserver_connections_refused_total{limit="total"}`:     1,
		`webserver_connections_refused_total{limit="address"}`:   2,
		`webserver_hot_copies_total{result="hit"}`:               1,
		`webserver_hot_copies_total{result="miss"}`:              2,
		`webserver_access_log_lines_lost`:                        7,
		`webserver_request_duration_seconds_bucket{le="0.0001"}`: 5,
		`webserver_request_duration_seconds_bucket{le="0.0025"}`: 5,
		`webserver_request_duration_seconds_bucket{le="0.005"}`:  6,
		`webserver_request_duration_seconds_bucket{le="60"}`:     6,
		`webserver_request_duration_seconds_bucket{le="+Inf"}`:   7,
		`webserver_request_duration_seconds_count`:               7,
		`webserver_request_duration_seconds_sum`:                 120.0031,
	}
	for name, value := range want {
		if v, ok := got[name]; !ok || v != value {
			t.Errorf("%s is %v (there: %v), want %v", name, v, ok, value)
		}
	}
	if start := got["process_start_time_seconds"]; time.Since(time.UnixMilli(int64(start*1000))).Abs() > time.Minute {
		t.Errorf("process_start_time_seconds is %v", start)
	}
	for _, name := range []string{"process_cpu_seconds_total", "go_goroutines", "go_memstats_heap_alloc_bytes"} {
		if got[name] <= 0 {
			t.Errorf("%s is %v", name, got[name])
		}
	}
	if runtime.GOOS == "linux" && got["process_resident_memory_bytes"] < 1<<20 {
		t.Errorf("process_resident_memory_bytes is %v", got["process_resident_memory_bytes"])
	}
}

func TestNilCountsNothing(t *testing.T) {
	var m *Metrics
	m.Gauge("x", nil)
	m.Request("GET", 200, 1, 1, 1)
	m.ConnOpened()
	m.ConnClosed()
	m.ConnRefused(TooMany)
	m.HotHit()
	m.HotMiss()
	m.WritePrometheus(io.Discard)
}

// serve starts m on a port of its own and returns the address.
func serve(t *testing.T, m *Metrics) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		done <- m.Serve(ctx, ln, func(host string) bool { return host != "evil.example" }, zap.NewNop())
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return ln.Addr().String()
}

func TestServe(t *testing.T) {
	m := New()
	m.Request("GET", 200, 1000, 0, time.Millisecond)
	url := "http://" + serve(t, m)
	tests := map[string]struct {
		method, path string
		status       int
	}{
		"metrics":      {"GET", "/metrics", 200},
		"with a query": {"GET", "/metrics?x=1", 200},
		"head":         {"HEAD", "/metrics", 200},
		"other path":   {"GET", "/", 404},
		"below":        {"GET", "/metrics/x", 404},
		"other method": {"POST", "/metrics", 405},
		"other host":   {"GET", "/metrics", 421},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), test.method, url+test.path, strings.NewReader(""))
			if err != nil {
				t.Fatal(err)
			}
			if name == "other host" {
				req.Host = "evil.example"
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != test.status {
				t.Fatalf("status %d, want %d; %v", resp.StatusCode, test.status, err)
			}
			if test.status == 405 && resp.Header.Get("Allow") != "GET, HEAD" {
				t.Errorf("Allow: %q", resp.Header.Get("Allow"))
			}
			switch {
			case test.method == "HEAD":
				if len(body) != 0 || resp.ContentLength < 100 {
					t.Errorf("HEAD: %d bytes, Content-Length %d", len(body), resp.ContentLength)
				}
			case test.status == 200:
				if got := parse(t, string(body))["webserver_response_body_bytes_total"]; got != 1000 {
					t.Errorf("bytes: %v", got)
				}
				if got := resp.Header.Get("Content-Type"); got != "text/plain; version=0.0.4; charset=utf-8" {
					t.Errorf("Content-Type: %s", got)
				}
			}
		})
	}
}

func TestServeRefusesNonsense(t *testing.T) {
	addr := serve(t, New())
	for name, test := range map[string]struct{ send, want string }{
		"garbage":       {"\x16\x03\x01\n", "HTTP/1.1 400 "},
		"no host":       {"GET /metrics HTTP/1.1\r\n\r\n", "HTTP/1.1 400 "},
		"other version": {"GET /metrics HTTP/2.0\r\nHost: x\r\n\r\n", "HTTP/1.1 505 "},
		"endless":       {"GET /metrics HTTP/1.1\r\nX: " + strings.Repeat("x", 70000) + "\r\n\r\n", "HTTP/1.1 431 "},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err = io.WriteString(conn, test.send); err != nil {
				t.Fatal(err)
			}
			line, err := bufio.NewReader(conn).ReadString('\n')
			if err != nil || !strings.HasPrefix(line, test.want) {
				t.Errorf("%q, %v; want %q", line, err, test.want)
			}
		})
	}
}

func TestServeBoundsItsConnections(t *testing.T) {
	addr := serve(t, New())
	var held []net.Conn
	defer func() {
		for _, conn := range held {
			conn.Close()
		}
	}()
	// Connections that say nothing fill all places; the next is closed at once.
	for range maxConns {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, conn)
	}
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetReadDeadline(time.Now().Add(readTimeout)) // which is when one that is kept is closed
	if n, err := conn.Read(make([]byte, 1)); err == nil || n > 0 {
		t.Errorf("one connection too many was served: %d bytes", n)
	} else if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("one connection too many was kept")
	}
}

func BenchmarkRequest(b *testing.B) {
	m := New()
	b.ReportAllocs()
	for b.Loop() {
		m.Request("GET", 200, 1024, 0, 30*time.Microsecond)
	}
}
