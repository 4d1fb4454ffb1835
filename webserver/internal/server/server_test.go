package server

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"golang.org/x/crypto/bcrypt"

	"topdown/pkg/logging"
	"topdown/webserver/internal/auth"
	"topdown/webserver/internal/form"
	"topdown/webserver/internal/metrics"
	"topdown/webserver/internal/site"
	"topdown/webserver/www"
)

// patience bounds every wait; a healthy server never comes near it.
const patience = 20 * time.Second

// serveTree serves a tree of files on a port of its own and returns the address.
func serveTree(t *testing.T, files map[string]string, change func(*Server)) (addr string) {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	s, err := site.New(site.Options{Root: root, Builtin: www.Files})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &Server{Site: s, Log: zap.NewNop(), Metrics: metrics.New()}
	if change != nil {
		change(server)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, ln) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
		s.Close()
	})
	return ln.Addr().String()
}

func dial(t *testing.T, addr string) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	return conn, bufio.NewReader(conn)
}

// ask sends a request as it is, with \n for CRLF, on a connection of its own.
func ask(t *testing.T, addr, request string) (*http.Response, string) {
	t.Helper()
	conn, r := dial(t, addr)
	return askOn(t, conn, r, request)
}

func askOn(t *testing.T, conn net.Conn, r *bufio.Reader, request string) (*http.Response, string) {
	t.Helper()
	if _, err := io.WriteString(conn, strings.ReplaceAll(request, "\n", "\r\n")); err != nil {
		t.Fatal(err)
	}
	method, _, _ := strings.Cut(request, " ")
	resp, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%q: %v", request, err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%q: %v", request, err)
	}
	return resp, string(body)
}

var sampleFiles = map[string]string{
	"index.html": "home", "f.txt": "0123456789", "sub/a.css": "a", "sub/b.css": "b",
	"text.txt": strings.Repeat("compress me, please. ", 200), "large.bin": strings.Repeat("0123456789abcdef", 100_000),
}

// TestResponses has a request of every kind, on a fresh connection.
func TestResponses(t *testing.T) {
	addr := serveTree(t, sampleFiles, func(s *Server) { s.Listing = true })
	const host = " HTTP/1.1\nHost: a\n"
	large := sampleFiles["large.bin"]
	for _, tt := range []struct {
		name, request string
		status        int
		body          string            // "" for any
		fields        map[string]string // "*" for any value that is not empty
	}{
		{"a page", "GET /" + host + "\n", 200, "home", map[string]string{"Content-Type": "text/html; charset=utf-8", "ETag": "*", "Date": "*", "Last-Modified": "*"}},
		{"its head", "HEAD /f.txt" + host + "\n", 200, "", map[string]string{"Content-Length": "10"}},
		{"HTTP/1.0", "GET /f.txt HTTP/1.0\n\n", 200, "0123456789", map[string]string{"Connection": "close"}},
		{"HTTP/1.0 that stays", "GET /f.txt HTTP/1.0\nConnection: keep-alive\n\n", 200, "0123456789", map[string]string{"Connection": "keep-alive"}},
		{"absolute form", "GET http://a/f.txt HTTP/1.1\nHost: b\n\n", 200, "0123456789", nil},
		{"absolute form of something else", "GET ftp://a/f.txt" + host + "\n", 400, "", nil},
		{"empty Host", "GET /f.txt HTTP/1.1\nHost:\n\n", 400, "", nil},
		{"empty Host, absolute form", "GET http://a/f.txt HTTP/1.1\nHost:\n\n", 200, "0123456789", nil},
		{"no Host", "GET /f.txt HTTP/1.1\n\n", 400, "", map[string]string{"Connection": "close"}},
		{"nonsense", "nonsense\n\n", 400, "", nil},
		{"bad path", "GET /%zz" + host + "\n", 400, "", nil},
		{"large file", "GET /large.bin" + host + "\n", 200, large, nil},
		{"range", "GET /f.txt" + host + "Range: bytes=2-4\n\n", 206, "234", map[string]string{"Content-Range": "bytes 2-4/10"}},
		{"range of a large file", "GET /large.bin" + host + "Range: bytes=16-31\n\n", 206, large[:16], map[string]string{"Content-Range": "bytes 16-31/1600000"}},
		{"large range", "GET /large.bin" + host + "Range: bytes=1-\n\n", 206, large[1:], nil},
		{"several ranges", "GET /f.txt" + host + "Range: bytes=0-0,9-9\n\n", 206, "", nil},
		{"several ranges of a large file", "GET /large.bin" + host + "Range: bytes=0-0,99-700000\n\n", 206, "", nil},
		{"range of another unit", "GET /f.txt" + host + "Range: lines=1-2\n\n", 200, "0123456789", nil},
		{"range beyond", "GET /f.txt" + host + "Range: bytes=10-\n\n", 416, "", map[string]string{"Content-Range": "bytes */10"}},
		{"If-Range of another", "GET /f.txt" + host + "Range: bytes=2-4\nIf-Range: \"x\"\n\n", 200, "0123456789", nil},
		{"precondition failed", "GET /f.txt" + host + "If-Match: \"x\"\n\n", 412, "", nil},
		{"not modified", "GET /f.txt" + host + "If-None-Match: *\n\n", 304, "", map[string]string{"ETag": "*"}},
		{"compressed", "GET /text.txt" + host + "Accept-Encoding: gzip\n\n", 200, "", map[string]string{"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}},
		{"no encoding is good enough", "GET /f.txt" + host + "Accept-Encoding: identity;q=0\n\n", 406, "", nil},
		{"missing", "GET /none" + host + "\n", 404, "", nil},
		{"a directory without its slash", "GET /sub?q" + host + "\n", 301, "", map[string]string{"Location": "/sub/?q"}},
		{"a form to it", "POST /sub" + host + "Content-Length: 0\n\n", 308, "", nil},
		{"listing", "GET /sub/" + host + "\n", 200, "", map[string]string{"Content-Type": "text/html; charset=utf-8", "Vary": "Accept"}},
		{"listing as JSON", "GET /sub/" + host + "Accept: application/json\n\n", 200, "", map[string]string{"Content-Type": "application/json"}},
		{"options of a listing", "OPTIONS /sub/" + host + "\n", 204, "", map[string]string{"Allow": allow}},
		{"options", "OPTIONS /f.txt" + host + "\n", 204, "", map[string]string{"Allow": allow}},
		{"options of all", "OPTIONS *" + host + "\n", 204, "", map[string]string{"Allow": allow}},
		{"a method that is not allowed", "DELETE /f.txt" + host + "\n", 405, "", map[string]string{"Allow": allow}},
		{"a method that is unknown", "BREW /f.txt" + host + "\n", 501, "", nil},
		{"an expectation", "GET /f.txt" + host + "Expect: coffee\n\n", 417, "", nil},
		{"another version", "GET / HTTP/2.0\nHost: a\n\n", 505, "", nil},
		{"a form", "POST /f.txt" + host + "Content-Type: application/x-www-form-urlencoded\nContent-Length: 3\n\na=b", 200, "", map[string]string{"Cache-Control": "no-store"}},
		{"a form as JSON", "POST /f.txt" + host + "Accept: application/json, text/html;q=0.5\nContent-Type: application/x-www-form-urlencoded\nTransfer-Encoding: chunked\n\n3\na=b\n0\n\n", 200, "", map[string]string{"Content-Type": "application/json"}},
		{"a form on a condition", "POST /f.txt" + host + "If-Match: \"x\"\nContent-Length: 0\n\n", 412, "", nil},
		{"a broken form", "POST /f.txt" + host + "Content-Type: multipart/form-data\nContent-Length: 3\n\na=b", 400, "", nil},
		{"too large a form", "POST /f.txt" + host + "Content-Length: 99999999999\n\n", 413, "", map[string]string{"Connection": "close"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			resp, body := ask(t, addr, tt.request)
			if resp.StatusCode != tt.status || tt.body != "" && body != tt.body {
				t.Errorf("%s, %d bytes %.40q; want %d %.40q", resp.Status, len(body), body, tt.status, tt.body)
			}
			for name, want := range tt.fields {
				got := resp.Header.Get(name)
				if name == "Connection" && resp.Close { // which net/http takes out
					got = "close"
				}
				if got != want && (want != "*" || got == "") {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
		})
	}
}

// TestKeptConnection sends request after request on one connection, some before
// the answer to the last, some with a body that nobody reads.
func TestKeptConnection(t *testing.T) {
	addr := serveTree(t, sampleFiles, nil)
	conn, r := dial(t, addr)
	for range 3 {
		if resp, body := askOn(t, conn, r, "GET /f.txt HTTP/1.1\nHost: a\n\n"); resp.StatusCode != 200 || body != "0123456789" {
			t.Fatalf("%s %q", resp.Status, body)
		}
		if resp, _ := askOn(t, conn, r, "GET /none HTTP/1.1\nHost: a\nContent-Length: 5\n\nhello"); resp.StatusCode != 404 || resp.Close {
			t.Fatalf("%s, close %v", resp.Status, resp.Close)
		}
	}
	_, err := io.WriteString(conn, strings.Repeat("GET /f.txt HTTP/1.1\r\nHost: a\r\n\r\n", 5)+"GET /f.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(r)
	if n := strings.Count(string(rest), "0123456789"); n != 6 || err != nil {
		t.Errorf("%d of 6 answers, %v", n, err)
	}
}

// TestRequestsBehindTheLast: what is sent behind a request that ends the connection
// is not answered, and does not cost the answer.
func TestRequestsBehindTheLast(t *testing.T) {
	content := strings.Repeat("0123456789abcdef", 1<<16)
	addr := serveTree(t, map[string]string{"f.bin": content}, nil)
	conn, _ := dial(t, addr)
	if err := conn.(*net.TCPConn).SetReadBuffer(64 << 10); err != nil {
		t.Fatal(err)
	}
	const next = "GET /f.bin HTTP/1.1\r\nHost: a\r\n\r\n"
	_, err := io.WriteString(conn, "GET /f.bin HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"+strings.Repeat(next, 1000))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(resp.Body); string(body) != content || err != nil {
		t.Errorf("%d bytes, %v", len(body), err)
	}
}

// TestReceivedIsCountedOnce: a request that cannot be read has no body, whatever the
// one before it had.
func TestReceivedIsCountedOnce(t *testing.T) {
	counted := metrics.New()
	addr := serveTree(t, sampleFiles, func(s *Server) { s.Metrics = counted })
	conn, r := dial(t, addr)
	askOn(t, conn, r, "POST /f.txt HTTP/1.1\nHost: a\nContent-Length: 5\n\na=bcdnonsense\n\n")
	if _, err := io.Copy(io.Discard, r); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	counted.WritePrometheus(&text)
	if !strings.Contains(text.String(), "\nwebserver_request_body_bytes_total 5\n") {
		t.Errorf("5 bytes were received:\n%s", text.String())
	}
}

// TestContinue: a client that waits for leave to send its body gets it; one whose
// body is refused does not, and the connection ends.
func TestContinue(t *testing.T) {
	addr := serveTree(t, sampleFiles, nil)
	conn, r := dial(t, addr)
	io.WriteString(conn, "POST /f.txt HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
	if line, err := r.ReadString('\n'); err != nil || !strings.HasPrefix(line, "HTTP/1.1 100 ") {
		t.Fatalf("%q, %v", line, err)
	}
	r.ReadString('\n')
	if resp, _ := askOn(t, conn, r, "a=b"); resp.StatusCode != 200 {
		t.Errorf("after the body: %s", resp.Status)
	}
	if resp, _ := ask(t, addr, "POST /none HTTP/1.1\nHost: a\nExpect: 100-continue\nContent-Length: 3\n\n"); resp.StatusCode != 404 || !resp.Close {
		t.Errorf("refused: %s, close %v", resp.Status, resp.Close)
	}
}

// TestUsersAndUploads: who may come in, and what is kept of what they send.
func TestUsersAndUploads(t *testing.T) {
	dir := t.TempDir()
	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "htpasswd")
	if err := os.WriteFile(file, []byte("ada:"+string(hash)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	users, err := auth.Open(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	token, err := auth.NewToken("leave to send")
	if err != nil {
		t.Fatal(err)
	}
	store, err := form.OpenUploads(t.TempDir(), form.Quota{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	const login = "Authorization: Basic YWRhOnNlY3JldA==\n" // ada:secret
	private := serveTree(t, sampleFiles, func(s *Server) { s.Users = users })
	for request, want := range map[string]int{
		"GET /f.txt HTTP/1.1\nHost: a\n\n":                                         401,
		"GET /f.txt HTTP/1.1\nHost: a\n" + login + "\n":                            200,
		"GET /f.txt HTTP/1.1\nHost: a\nAuthorization: Basic YWRhOndyb25n\n\n":      401,
		"POST /f.txt HTTP/1.1\nHost: a\nContent-Length: 3\n" + login + "\na=b":     200,
		"OPTIONS * HTTP/1.1\nHost: a\n\n":                                          401,
		"GET /f.txt HTTP/1.1\nHost: a\nAuthorization: Bearer leave to send\n\n":    401,
		"GET /none HTTP/1.1\nHost: a\n\n":                                          401,
		"GET /f.txt HTTP/1.1\nHost: a\nAuthorization: Digest username=\"ada\"\n\n": 401,
	} {
		if resp, _ := ask(t, private, request); resp.StatusCode != want {
			t.Errorf("%q: %s, want %d", request, resp.Status, want)
		}
	}
	keeping := serveTree(t, sampleFiles, func(s *Server) { s.Uploads, s.UploadToken = store, token })
	const part = "--X\nContent-Disposition: form-data; name=f; filename=a.txt\n\nhello\n--X--\n"
	length := len(part) + strings.Count(part, "\n")
	upload := fmt.Sprintf("POST /f.txt HTTP/1.1\nHost: a\nContent-Type: multipart/form-data; boundary=X\nContent-Length: %d\n", length)
	if resp, _ := ask(t, keeping, upload+"\n"+part); resp.StatusCode != 401 {
		t.Errorf("without the token: %s", resp.Status)
	}
	if resp, _ := ask(t, keeping, upload+"Authorization: Bearer leave to send\n\n"+part); resp.StatusCode != 200 || store.Used() != 5 {
		t.Errorf("with it: %s, %d bytes are stored", resp.Status, store.Used())
	}
}

// TestForeignPages: a page of another site can neither send a form here nor, by
// pointing its own name here, read what is served to this machine only.
func TestForeignPages(t *testing.T) {
	addr := serveTree(t, sampleFiles, func(s *Server) {
		s.OwnHost = func(host string) bool { return host == "localhost:80" }
	})
	const form = "POST /f.txt HTTP/1.1\nHost: localhost:80\nContent-Length: 0\n"
	for request, want := range map[string]int{
		form + "\n": 200, // not a browser
		form + "Origin: http://localhost:80\nSec-Fetch-Site: same-origin\n\n": 200,
		form + "Origin: http://localhost:80\n\n":                              200,
		form + "Sec-Fetch-Site: none\n\n":                                     200,
		form + "Origin: http://evil.example\n\n":                              403,
		form + "Origin: http://localhost:81\n\n":                              403,
		form + "Origin: null\n\n":                                             403,
		form + "Sec-Fetch-Site: cross-site\n\n":                               403,
		form + "Sec-Fetch-Site: same-site\n\n":                                403,
		"GET /f.txt HTTP/1.1\nHost: localhost:80\nOrigin: http://evil.example\nSec-Fetch-Site: cross-site\n\n": 200,
		"GET /f.txt HTTP/1.1\nHost: evil.example\n\n":                                                          421,
		"GET http://evil.example/f.txt HTTP/1.1\nHost: localhost:80\n\n":                                       421,
	} {
		if resp, _ := ask(t, addr, request); resp.StatusCode != want {
			t.Errorf("%q: %s, want %d", request, resp.Status, want)
		}
	}
}

// TestRedirect: a server that only leads to https.
func TestRedirect(t *testing.T) {
	for port, want := range map[string]string{"443": "https://a/x%20y?q", "8443": "https://a:8443/x%20y?q"} {
		addr := serveTree(t, nil, func(s *Server) { s.RedirectTo = port })
		if resp, _ := ask(t, addr, "GET /x%20y?q HTTP/1.1\nHost: a:80\n\n"); resp.StatusCode != 308 || resp.Header.Get("Location") != want {
			t.Errorf("%s %q, want %q", resp.Status, resp.Header.Get("Location"), want)
		}
		if resp, _ := ask(t, addr, "GET / HTTP/1.1\nHost: [::1]:80\n\n"); !strings.HasPrefix(resp.Header.Get("Location"), "https://[::1]") {
			t.Errorf("IPv6: %q", resp.Header.Get("Location"))
		}
		if resp, _ := ask(t, addr, "GET / HTTP/1.0\n\n"); resp.StatusCode != 400 {
			t.Errorf("without a host: %s", resp.Status)
		}
	}
}

// TestLimits: one connection too many, in all and of one client.
func TestLimits(t *testing.T) {
	for status, change := range map[int]func(*Server){
		503: func(s *Server) { s.MaxConns = 1 },
		429: func(s *Server) { s.MaxConnsPerAddr, s.CountLoopback = 1, true },
	} {
		addr := serveTree(t, sampleFiles, change)
		first, r := dial(t, addr)
		askOn(t, first, r, "GET /f.txt HTTP/1.1\nHost: a\n\n")
		resp, _ := ask(t, addr, "GET /f.txt HTTP/1.1\nHost: a\n\n")
		if resp.StatusCode != status || resp.Header.Get("Retry-After") == "" {
			t.Errorf("%s, want %d with Retry-After", resp.Status, status)
		}
	}
}

// TestDeadlines: a head or a body that never ends is answered with 408, and a
// connection that says nothing is closed.
func TestDeadlines(t *testing.T) {
	addr := serveTree(t, sampleFiles, func(s *Server) {
		s.HeadTimeout, s.IdleTimeout, s.Grace, s.MinRate = 200*time.Millisecond, 200*time.Millisecond, 200*time.Millisecond, 1000
	})
	for request, want := range map[string]int{
		"GET /f.txt HTTP/1.1\nHost: a\n":                            408,
		"POST /f.txt HTTP/1.1\nHost: a\nContent-Length: 10\n\na=b":  408,
		"GET /f.txt HTTP/1.1\nHost: a\nContent-Length: 100000\n\na": 200,
	} {
		if resp, _ := ask(t, addr, request); resp.StatusCode != want {
			t.Errorf("%q: %s, want %d", request, resp.Status, want)
		}
	}
	_, r := dial(t, addr)
	if b, err := io.ReadAll(r); len(b) > 0 || err != nil {
		t.Errorf("a silent connection: %q, %v", b, err)
	}
}

// TestAResponseIsNeverLate: between two pieces of a download it is the server's
// turn, whatever the client's head took. The clock is the test's.
func TestAResponseIsNeverLate(t *testing.T) {
	s := &Server{}
	s.setDefaults()
	start := time.Now()
	s.date.coarse.Store(start.UnixNano())
	here, there := net.Pipe()
	defer here.Close()
	defer there.Close()
	go io.Copy(io.Discard, there)
	c := newConn(s, here, peer(here))
	c.acquire()
	defer c.release()
	c.enter(head)
	c.enter(responding)
	for piece := range 10_000 {
		now := start.Add(time.Duration(piece) * time.Second)
		s.date.coarse.Store(now.UnixNano())
		if c.isLate(now, time.Time{}) {
			t.Fatalf("late before piece %d, %v after the head", piece, now.Sub(start))
		}
		if err := c.write([]byte("piece")); err != nil {
			t.Fatal(err)
		}
		if c.isLate(now, time.Time{}) {
			t.Fatalf("late after piece %d", piece)
		}
	}
	c.enter(head)
	if !c.isLate(time.Unix(0, c.since.Load()).Add(s.HeadTimeout), time.Time{}) {
		t.Error("a head is never late")
	}
}

// TestTLS: the same over TLS, whole large files too; a client that speaks plain
// HTTP to the port is told so.
func TestTLS(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"a"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	addr := serveTree(t, sampleFiles, func(s *Server) { s.TLS = config })
	conn, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	for range 2 {
		if resp, body := askOn(t, conn, r, "GET /large.bin HTTP/1.1\nHost: a\n\n"); resp.StatusCode != 200 || body != sampleFiles["large.bin"] {
			t.Errorf("%s, %d bytes", resp.Status, len(body))
		}
	}
	if resp, body := ask(t, addr, "GET / HTTP/1.1\nHost: a\n\n"); resp.StatusCode != 400 || !strings.Contains(body, "https://") {
		t.Errorf("in plain: %s %s", resp.Status, body)
	}
}

// lines collects what is written to it.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// TestTraceAndAccessLog: what is told of an exchange, and that secrets are not.
func TestTraceAndAccessLog(t *testing.T) {
	var trace, access lines
	log, err := logging.OpenAccess("-", logging.AccessOptions{Stdout: &access})
	if err != nil {
		t.Fatal(err)
	}
	addr := serveTree(t, sampleFiles, func(s *Server) { s.Trace, s.Access = NewTracer(&trace, time.Now), log })
	for _, request := range []string{
		"GET /text.txt HTTP/1.1\nHost: a\nAccept-Encoding: gzip\nAuthorization: Basic c2VjcmV0\nUser-Agent: test\n\n",
		"GET /sub HTTP/1.1\nHost: a\n\n", "GET /none HTTP/1.1\nHost: a\n\n", "GET /sub/ HTTP/1.1\nHost: a\nConnection: close\n\n",
		"GET /f.txt HTTP/1.1\nHost: a\nIf-None-Match: *\n\n", "no request\n\n",
		"GET /x HTTP/1.1\nHost: a\nX-Long: " + strings.Repeat("x", bufferSize) + "\n\n",
	} {
		ask(t, addr, request)
	}
	conn, r := dial(t, addr)
	askOn(t, conn, r, "GET /f.txt HTTP/1.0\n\n")
	if _, err := r.ReadByte(); !errors.Is(err, io.EOF) { // the trace is written before
		t.Errorf("the connection stays open: %v", err)
	}
	log.Close()
	for _, want := range []string{
		`< GET /text.txt HTTP/1.1`, "authorization: (hidden", "gzip: gzip is sent", "[RFC 9110 section 12.5.3]", "304", "names no file that may be seen: 404",
		"is a directory without an index file", "HTTP/1.0 without keep-alive", "> HTTP/1.1 400 Bad Request", "connection closed",
	} {
		if !strings.Contains(strings.ToLower(trace.String()), strings.ToLower(want)) {
			t.Errorf("the trace lacks %q", want)
		}
	}
	if strings.Contains(trace.String(), "c2VjcmV0") {
		t.Error("the trace tells a password")
	}
	if got := strings.Count(access.String(), "\n"); got != 8 || !strings.Contains(access.String(), `"GET /text.txt HTTP/1.1" 200 `) {
		t.Errorf("%d lines of access log:\n%s", got, access.String())
	}
}
