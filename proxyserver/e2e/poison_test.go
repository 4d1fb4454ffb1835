package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// unread is the content that an origin which does not read it takes for a
// request.
const unread = "GET /evil.txt HTTP/1.1\r\nHost: x\r\n\r\n"

// TestPoisoning sends requests with content to Python's http.server, which does
// not read it, and looks at what the next client gets for another URL, from the
// origin and from the cache. RFC 9110, section 9.3.1.
func TestPoisoning(t *testing.T) {
	t.Parallel()
	need(t, "python3")
	dir := t.TempDir()
	writeFiles(t, dir, map[string][]byte{"evil.txt": []byte("evil\n"), "victim.txt": []byte("victim\n"), "index.html": []byte("index\n")})
	addr, log := startPython(t, dir, "")
	ca := newAuthority(t)
	secure, secureLog := startPython(t, dir, ca.pair(t, ca.sign(t, time.Now().AddDate(0, 6, 0), true, "localhost")))
	parent := start(t, nil, "--addr", "127.0.0.1:0", "--no-cache", "--allow-private", "--access-log", "off")
	common := []string{"--addr", "127.0.0.1:0", "--access-log", "off"}
	for _, mode := range []struct {
		name, prefix string
		args         []string
	}{
		{"forward", "http://" + addr, nil},
		{"path", "/" + addr, nil},
		{"TLS", "/https://" + secure, []string{"--ca-file", ca.file(t)}},
		{"parent", "http://" + addr, []string{"--parent", "http://" + parent.addr}},
		{"reverse", "", []string{"--upstream", "http://" + addr, "--allow-get-content"}},
	} {
		t.Run(mode.name, func(t *testing.T) {
			methods, tries := []string{"GET", "HEAD", "DELETE", "OPTIONS", "POST", "PUT", "FOO"}, 25
			if os.Getenv("TOPDOWN_REQUIRE_REAL") != "1" {
				tries = 8
				if mode.name == "TLS" {
					methods = methods[:2] // Python is slow at TLS
				}
			}
			p := start(t, nil, append(append([]string{"--cache-dir", t.TempDir()}, common...), mode.args...)...)
			for _, method := range methods {
				wrong, last := 0, ""
				for i := range tries {
					url := fmt.Sprintf("%s/victim.txt?%s-%d", mode.prefix, method, i)
					attack(t, p.addr, method, mode.prefix+"/index.html", i%2 == 1)
					for range 2 {
						if got := fetchOnce(t, p.addr, url); got != "victim\n" {
							wrong, last = wrong+1, got
						}
					}
				}
				if wrong > 0 {
					t.Errorf("%s: %d of %d answers are wrong, the last one %q", method, wrong, 2*tries, last)
				}
			}
		})
	}
	for _, l := range []*lines{log, secureLog} {
		if strings.Contains(l.String(), "evil") {
			t.Error("the origin has seen a request that no client sent")
		}
	}
}

// Reverse mode passes content of GET and HEAD on only where a flag says so.
func TestReverseRefusesContent(t *testing.T) {
	t.Parallel()
	origin := startCounting(t)
	p := start(t, nil, "--addr", "127.0.0.1:0", "--no-cache", "--upstream", "http://"+origin.addr)
	for _, tt := range []struct {
		method, framing string
		status          int
	}{
		{"GET", "Content-Length: 3\r\n\r\nabc", 400},
		{"HEAD", "Content-Length: 3\r\n\r\nabc", 400},
		{"GET", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 400},
		{"GET", "Content-Length: 0\r\n\r\n", 200},
		{"POST", "Content-Length: 3\r\n\r\nabc", 200},
	} {
		conn := dialProxy(t, p.addr)
		fmt.Fprintf(conn, "%s / HTTP/1.1\r\nHost: x\r\n%s", tt.method, tt.framing)
		resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: tt.method})
		if err != nil || resp.StatusCode != tt.status {
			t.Errorf("%s with %q: %v %v, want %d", tt.method, tt.framing, resp, err, tt.status)
		}
	}
}

// startPython serves dir with Python's http.server as HTTP/1.1, over TLS if
// pair names a file with a certificate and its key.
func startPython(t *testing.T, dir, pair string) (addr string, log *lines) {
	t.Helper()
	port := freePort(t)
	addr = "127.0.0.1:" + port
	args := []string{"-m", "http.server", "--protocol", "HTTP/1.1", "--bind", "127.0.0.1", "--directory", dir, port}
	if pair != "" {
		args = []string{"-c", `
import functools, http.server, ssl, sys
class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), functools.partial(Handler, directory=sys.argv[2]))
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[3])
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()`, port, dir, pair}
	}
	_, log = startServer(t, addr, "python3", args...)
	return addr, log
}

// attack sends a request with content that is a request itself, and reads the
// answer as far as it comes.
func attack(t *testing.T, proxy, method, target string, chunked bool) {
	t.Helper()
	conn, err := net.Dial("tcp", proxy)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	framing := fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(unread), unread)
	if chunked {
		framing = fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(unread), unread)
	}
	fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: localhost\r\n%s", method, target, framing)
	if resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method}); err == nil {
		io.Copy(io.Discard, resp.Body)
	}
}

// fetchOnce returns what a GET on a connection of its own gets.
func fetchOnce(t *testing.T, proxy, target string) string {
	t.Helper()
	conn, err := net.Dial("tcp", proxy)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", target)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err.Error()
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	return string(body)
}
