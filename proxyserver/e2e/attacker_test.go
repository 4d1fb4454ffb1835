package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// The attacker sends odd and ambiguous requests through the proxy, in all its
// modes, to origins that read them differently, while other clients are beside
// it. Each client may get answers to its own requests only, and no origin may
// see a request that no client sent: every odd request has one hidden in it,
// for /hidden-N.
//
// TOPDOWN_ATTACKS is how many requests each origin gets in each mode; the seed
// of a failure is in its message.

var attackers = map[string]string{
	// Python's own server, which reads no content of a request.
	"python": `
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def answer(self):
        print("saw", self.command, self.path, flush=True)
        body = (self.command + " " + self.path + "\n").encode()
        self.send_response(200)
        self.send_header("Cache-Control", "max-age=60")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = do_PATCH = do_FOO = answer
    def log_message(self, *args): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()`,
	"node": `
require("http").createServer((q, s) => {
  console.log("saw", q.method, q.url);
  s.setHeader("Cache-Control", "max-age=60");
  s.end(q.method + " " + q.url + "\n");
}).listen(Number(process.argv[2]), "127.0.0.1");`,
	"gunicorn": `
import sys
def app(environ, start):
    seen = environ["REQUEST_METHOD"] + " " + environ["RAW_URI"]
    print("saw", seen, flush=True)
    body = (seen + "\n").encode()
    start("200 OK", [("Cache-Control", "max-age=60"), ("Content-Length", str(len(body)))])
    return [body]`,
}

// startAttacked runs one of the origins; seen returns the requests that it saw.
func startAttacked(t *testing.T, name string) (addr string, seen func() string) {
	t.Helper()
	if name == "scripted" {
		return startDeaf(t)
	}
	program := map[string]string{"python": "python3", "node": "node", "gunicorn": "gunicorn"}[name]
	need(t, program)
	port := freePort(t)
	addr = "127.0.0.1:" + port
	dir := t.TempDir()
	file := filepath.Join(dir, map[string]string{"node": "app.js"}[name])
	if name != "node" {
		file = filepath.Join(dir, "app.py")
	}
	writeFiles(t, dir, map[string][]byte{filepath.Base(file): []byte(attackers[name])})
	args := []string{file, port}
	if name == "gunicorn" {
		args = []string{"--chdir", dir, "-b", addr, "-k", "gthread", "--threads", "8", "--keep-alive", "30", "app:app"}
	}
	_, output := startServer(t, addr, program, args...)
	return addr, output.String
}

// startDeaf is an origin that reads no content: what follows a head is the next
// one to it.
func startDeaf(t *testing.T) (addr string, seen func() string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	log := new(lines)
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				r := bufio.NewReader(conn)
				for {
					line, err := r.ReadString('\n')
					if err != nil {
						return
					}
					words := strings.Fields(line)
					if len(words) != 3 {
						continue // not a head, perhaps the next line is
					}
					closing := false
					for field := line; strings.TrimSpace(field) != ""; {
						if field, err = r.ReadString('\n'); err != nil {
							return
						}
						closing = closing || strings.EqualFold(strings.TrimSpace(field), "connection: close")
					}
					fmt.Fprintln(log, "saw", words[0], words[1])
					body := words[0] + " " + words[1] + "\n"
					length := len(body)
					if words[0] == "HEAD" {
						body = ""
					}
					fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: %d\r\n\r\n%s", length, body)
					if closing {
						return
					}
				}
			}()
		}
	}()
	return ln.Addr().String(), log.String
}

// oddRequest makes one request that some reader might misunderstand. hidden is a
// request that must stay content, or go down with the whole.
func oddRequest(r *rand.Rand, target, hidden string) string {
	one := func(of ...string) string { return of[r.IntN(len(of))] }
	usually := func(usual string, of ...string) string {
		if r.IntN(4) > 0 {
			return usual
		}
		return one(of...)
	}
	eol := usually("\r\n", "\r\n", "\r\n", "\n", "\r\r\n")
	method := one("GET", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "FOO")
	head := usually(method, method+" ", "\r\n"+method, strings.ToLower(method), method+"\t") + " " +
		target + usually("", "#x", "?a=%0d%0a", "%00", ";x", "?http://other/") + " " +
		usually("HTTP/1.1", "HTTP/1.0", "HTTP/1.2", "HTTP/2.0", "http/1.1", "HTTP/1.1 ", " HTTP/1.1") + eol
	head += usually("Host: localhost"+eol, "Host: localhost"+eol+"Host: other"+eol, "", "Host : localhost"+eol, "Host:"+eol+" localhost"+eol)
	head += usually("", "Expect: 100-continue"+eol, "Connection: content-length"+eol, "Connection: transfer-encoding, close"+eol,
		"TE: trailers"+eol, "X-A: b"+eol+" Content-Length: 0"+eol, "X-A: \x00"+eol, "X-A: a\rX-B: b"+eol, "Upgrade: websocket"+eol+"Connection: upgrade"+eol,
		"Trailer: Content-Length"+eol, "Cache-Control: no-cache"+eol, "Connection: keep-alive"+eol, "Range: bytes=0-1"+eol)
	chunk := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(hidden), hidden)
	length := strconv.Itoa(len(hidden))
	switch r.IntN(3) {
	case 0: // valid: the hidden request is content
		return head + one(
			"Content-Length: "+length+eol+eol+hidden,
			"Content-Length:\t"+length+" "+eol+eol+hidden,
			"Content-Length: "+length+eol+"Content-Length: "+length+eol+eol+hidden,
			"Content-Length: "+length+", "+length+eol+eol+hidden,
			"Transfer-Encoding: chunked"+eol+eol+chunk,
			"Transfer-Encoding:\tCHUNKED"+eol+eol+chunk,
			"Transfer-Encoding: chunked"+eol+eol+fmt.Sprintf("%x;a=b\r\n%s\r\n0\r\nX-T: t\r\nContent-Length: 3\r\n\r\n", len(hidden), hidden),
			"Transfer-Encoding: chunked"+eol+eol+fmt.Sprintf("000%x\r\n%s\r\n0\r\n\r\n", len(hidden), hidden),
		)
	case 1: // cut short: the client goes away in the middle
		return head + one(
			"Content-Length: "+strconv.Itoa(len(hidden)+100)+eol+eol+hidden,
			"Transfer-Encoding: chunked"+eol+eol+fmt.Sprintf("%x\r\n%s", len(hidden)+100, hidden),
			"Transfer-Encoding: chunked"+eol+eol+fmt.Sprintf("%x\r\n%s\r\n", len(hidden), hidden),
		)
	}
	// Invalid: to be refused whole.
	after := one("0\r\n\r\n", "", chunk) + hidden
	return head + one(
		"Content-Length: "+strconv.Itoa(len(after))+eol+"Transfer-Encoding: chunked"+eol+eol+after,
		"Transfer-Encoding: chunked"+eol+"Content-Length: 5"+eol+eol+"0\r\n\r\n"+hidden,
		"Content-Length: 0"+eol+"Content-Length: "+length+eol+eol+hidden,
		"Content-Length: 0, "+length+eol+eol+hidden,
		"Content-Length: +"+length+eol+eol+hidden,
		"Content-Length: 0x"+strconv.FormatInt(int64(len(hidden)), 16)+eol+eol+hidden,
		"Content-Length: -0"+eol+eol+hidden,
		"Content-Length: "+length+"\x0b"+eol+eol+hidden,
		"Content-Length : "+length+eol+eol+hidden,
		"Content_Length: "+length+eol+"Content-Length: 99999999999999999999"+eol+eol+hidden,
		"Transfer-Encoding: xchunked"+eol+eol+after,
		"Transfer-Encoding: chunked, identity"+eol+eol+after,
		"Transfer-Encoding: identity, chunked, chunked"+eol+eol+after,
		"Transfer-Encoding: \x0bchunked"+eol+eol+after,
		"Transfer-Encoding : chunked"+eol+eol+after,
		"Transfer-Encoding"+eol+" : chunked"+eol+eol+after,
		"Transfer-Encoding: chunked"+eol+"Transfer-Encoding: x"+eol+eol+after,
		"Transfer-Encoding: \"chunked\""+eol+eol+after,
		"Transfer-Encoding: chunked"+eol+eol+"1_0\r\n"+hidden,
		"Transfer-Encoding: chunked"+eol+eol+"0x10\r\n"+hidden,
		"Transfer-Encoding: chunked"+eol+eol+"-1\r\n"+hidden,
		"Transfer-Encoding: chunked"+eol+eol+"10000000000000000\r\n"+hidden,
		"Transfer-Encoding: chunked"+eol+eol+"1\nZ\n0\n\n"+hidden,
		"Transfer-Encoding: chunked"+eol+eol+"1\r\nZZ\r\n0\r\n\r\n"+hidden,
		"Transfer-Encoding: chunked"+eol+eol+"1;a=\"\n\"\r\nZ\r\n0\r\n\r\n"+hidden,
	)
}

var token = regexp.MustCompile(`(?:attack|victim|hidden)-\d+`)

func TestAttacker(t *testing.T) {
	t.Parallel()
	each := 8
	if os.Getenv("TOPDOWN_REQUIRE_REAL") == "1" {
		each = 250
	}
	if n, err := strconv.Atoi(os.Getenv("TOPDOWN_ATTACKS")); err == nil {
		each = n
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	var serial atomic.Int64
	for _, name := range []string{"scripted", "python", "node", "gunicorn"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr, seen := startAttacked(t, name)
			parent := start(t, nil, "--addr", "127.0.0.1:0", "--no-cache", "--access-log", "off")
			for _, mode := range []struct {
				name, prefix string
				args         []string
			}{
				{"forward", "http://" + addr, nil},
				{"path", "/" + addr, nil},
				{"parent", "http://" + addr, []string{"--parent", "http://" + parent.addr}},
				{"reverse", "", []string{"--upstream", "http://" + addr, "--allow-get-content"}},
			} {
				t.Run(mode.name, func(t *testing.T) {
					p := start(t, nil, append([]string{"--addr", "127.0.0.1:0", "--access-log", "off", "--cache-dir", t.TempDir()}, mode.args...)...)
					var attacks sync.WaitGroup
					for worker := range 4 {
						r := rand.New(rand.NewPCG(seed, uint64(worker)))
						attacks.Go(func() {
							for range each / 4 {
								id := serial.Add(1)
								hiddenTarget := fmt.Sprintf("/hidden-%d", id)
								if r.IntN(2) == 0 {
									hiddenTarget = mode.prefix + hiddenTarget
								}
								request := oddRequest(r, fmt.Sprintf("%s/attack-%d", mode.prefix, id), "GET "+hiddenTarget+" HTTP/1.1\r\nHost: localhost\r\n\r\n")
								got, err := sendOdd(p.addr, request, r.IntN(2) == 0)
								if err != nil {
									t.Errorf("seed %d: %v", seed, err)
								}
								for _, found := range token.FindAllString(got, -1) {
									if found != fmt.Sprintf("attack-%d", id) {
										t.Errorf("seed %d: the request\n%q\ngot an answer to %s:\n%q", seed, request, found, got)
									}
								}
							}
						})
						attacks.Go(func() {
							for range each / 4 {
								target := fmt.Sprintf("/victim-%d", serial.Add(1))
								for range 2 {
									if got := fetchOnce(t, p.addr, mode.prefix+target); got != "GET "+target+"\n" {
										t.Errorf("seed %d: a client that asked for %s got %q", seed, target, got)
									}
								}
							}
						})
					}
					attacks.Wait()
				})
			}
			if n := strings.Count(seen(), "saw "); n < each {
				t.Errorf("the origin saw %d requests only", n)
			}
			for line := range strings.Lines(seen()) {
				if strings.Contains(line, "saw ") && strings.Contains(line, "/hidden-") {
					t.Errorf("seed %d: the origin saw what no client sent: %s", seed, line)
				}
			}
		})
	}
}

// sendOdd sends a request and returns what comes back until nothing more does.
func sendOdd(proxy, request string, half bool) (string, error) {
	conn, err := net.Dial("tcp", proxy)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	if _, err = io.WriteString(conn, request); err != nil {
		return "", nil // refused before all of it was sent
	}
	if half {
		conn.(*net.TCPConn).CloseWrite()
	}
	var got strings.Builder
	r := bufio.NewReader(conn)
	method, _, _ := strings.Cut(strings.TrimSpace(request), " ")
	resp, err := http.ReadResponse(r, &http.Request{Method: method})
	if err == nil {
		body, _ := io.ReadAll(resp.Body)
		got.Write(body)
	}
	// A second answer would come at once, if one comes.
	conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	rest, err := io.ReadAll(r)
	got.Write(rest)
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) && !strings.Contains(err.Error(), "reset") {
		return got.String(), err
	}
	return got.String(), nil
}
