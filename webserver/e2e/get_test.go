//go:build unix

package e2e_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestGet: the client of the optional exercise (W6) against Go's server.
func TestGet(t *testing.T) {
	t.Parallel()
	large := string(noise(5 << 20))
	mux := http.NewServeMux()
	mux.HandleFunc("/page", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		fmt.Fprintf(w, "host %s, x %q, query %q", r.Host, r.Header.Get("X-Extra"), r.URL.RawQuery)
	})
	mux.HandleFunc("/chunked", func(w http.ResponseWriter, _ *http.Request) {
		for i := range 3 {
			fmt.Fprintf(w, "part %d;", i)
			_ = http.NewResponseController(w).Flush()
		}
	})
	mux.HandleFunc("/large", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, large) })
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/page", http.StatusFound) })
	mux.HandleFunc("/empty", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("/hint", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</a.css>")
		w.WriteHeader(http.StatusEarlyHints)
		fmt.Fprint(w, "after the hint")
	})
	mux.HandleFunc("/broken", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	mux.HandleFunc("/short", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		fmt.Fprint(w, "not 100 octets")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	mux.HandleFunc("/500", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "our fault", 500) })
	mux.HandleFunc("/ctl", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "plain body") })
	origin := httptest.NewServer(mux)
	defer origin.Close()
	secure := httptest.NewTLSServer(mux)
	defer secure.Close()
	host, port, _ := net.SplitHostPort(origin.Listener.Addr().String())
	dir := t.TempDir()
	out := filepath.Join(dir, "out")
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()

	for _, test := range []struct {
		name   string
		args   []string
		code   string // allowed exit codes
		stdout []string
		stderr []string
	}{
		{"page", []string{origin.URL + "/page?a=b"}, "0", []string{"HTTP/1.1 200 OK", "Content-Type: text/plain", "host " + host + ":" + port, `query "a=b"`}, nil},
		{"handout's form", []string{host, port, "page"}, "0", []string{"HTTP/1.1 200 OK", "host " + host}, nil},
		{"handout's form with a slash", []string{host, port, "/page"}, "0", []string{"200 OK"}, nil},
		{"chunked", []string{origin.URL + "/chunked"}, "0", []string{"part 0;part 1;part 2;"}, nil},
		{"large", []string{origin.URL + "/large"}, "0", []string{large}, nil},
		{"own field", []string{"-H", "X-Extra: mine", origin.URL + "/page"}, "0", []string{`x "mine"`}, nil},
		{"own Host", []string{"-H", "Host: other.example", origin.URL + "/page"}, "0", []string{"host other.example"}, nil},
		{"verbose", []string{"-v", origin.URL + "/page"}, "0", []string{"host " + host}, []string{"GET /page HTTP/1.1", "Host: " + host, "HTTP/1.1 200 OK", "Content-Type: text/plain"}},
		{"no path", []string{origin.URL}, "4", []string{"404"}, nil},
		{"no content", []string{origin.URL + "/empty"}, "0", []string{"204"}, nil},
		{"interim response", []string{origin.URL + "/hint"}, "0", []string{"after the hint", "200 OK"}, nil},
		{"redirect", []string{origin.URL + "/moved"}, "3", []string{"302", "Location: /page"}, nil},
		{"missing", []string{origin.URL + "/missing"}, "4", []string{"404 Not Found", "404 page not found"}, nil},
		{"server error", []string{origin.URL + "/500"}, "5", []string{"500", "our fault"}, nil},
		{"into a file", []string{"-o", out, origin.URL + "/large"}, "0", nil, nil},
		{"https", []string{"--insecure", secure.URL + "/page"}, "0", []string{"200 OK"}, nil},
		{"https, unknown authority", []string{secure.URL + "/page"}, "1", nil, []string{"certificate"}},
		{"plain to https", []string{"http://" + secure.Listener.Addr().String() + "/page"}, "4", []string{"400"}, nil},
		{"closed without a reply", []string{origin.URL + "/broken"}, "1", nil, []string{"closed"}},
		{"body cut off", []string{origin.URL + "/short"}, "1", nil, []string{"14"}},
		{"no answer in time", []string{"--timeout", "300ms", "http://" + silent.Addr().String() + "/"}, "1", nil, []string{"300ms"}},
		{"nobody there", []string{"http://" + freeAddr(t) + "/"}, "1", nil, []string{"refused"}},
		{"no arguments", nil, "2", nil, nil},
		{"two arguments", []string{host, port}, "2", nil, nil},
		{"unknown scheme", []string{"ftp://" + host + "/"}, "2", nil, []string{"ftp"}},
		{"not a URL", []string{"http://[::1/"}, "2", nil, nil},
		{"unknown flag", []string{"--bogus", origin.URL + "/page"}, "2", nil, []string{"bogus"}},
		{"field without a colon", []string{"-H", "nonsense", origin.URL + "/page"}, "2", nil, []string{"nonsense"}},
		{"field with a line break", []string{"-H", "X: a\r\nY: b", origin.URL + "/page"}, "2", nil, nil},
		{"URL with a line break", []string{origin.URL + "/a\r\nX: y"}, "2", nil, nil},
		{"file that cannot be made", []string{"-o", filepath.Join(dir, "no", "file"), origin.URL + "/page"}, "1|2", nil, []string{"no"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := launch{args: append([]string{"get"}, test.args...)}.run(t)
			code := p.exit(t)
			if !statuses(test.code, code) {
				t.Errorf("exit code %d, want %s", code, test.code)
			}
			for _, want := range test.stdout {
				if !strings.Contains(p.stdout.String(), want) {
					t.Errorf("stdout without %.100q:\n%.1000s", want, p.stdout)
				}
			}
			for _, want := range test.stderr {
				if !strings.Contains(strings.ToLower(p.stderr.String()), strings.ToLower(want)) {
					t.Errorf("stderr without %q:\n%.1000s", want, p.stderr)
				}
			}
			if (code == 1 || code == 2) && p.stderr.String() == "" {
				t.Error("nothing on stderr")
			}
		})
	}
	if b, err := os.ReadFile(out); err != nil || string(b) != large {
		t.Errorf("-o: %d bytes, %v", len(b), err)
	}
}

// TestGetFromOddServers: replies that Go's server would not send.
func TestGetFromOddServers(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, reply string
		code        string // allowed exit codes
		stdout      string
	}{
		{"until close", "HTTP/1.1 200 OK\r\n\r\nuntil the end", "0", "until the end"},
		{"HTTP/1.0", "HTTP/1.0 200 OK\r\n\r\nold", "0", "old"},
		{"no reason", "HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok", "0", "ok"},
		{"HTTP/0.9", "<html>hello</html>", "1", ""},
		{"space before the status line", " HTTP/1.1 200 OK\r\n\r\nx", "1", ""},
		{"status of two digits", "HTTP/1.1 20 OK\r\n\r\nx", "1", ""},
		{"length and chunks", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "0|1", "abc"},
		{"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", "1", ""},
		{"bad chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n", "1", ""},
		{"chunks cut off", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "1", "abc"},
		{"endless head", "HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", 200_000), "1", ""},
		{"endless field", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("y", 2<<20), "1", ""},
		{"endless 100", strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 100_000), "1", ""},
		{"nothing", "", "1", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			go func() {
				conn, err := ln.Accept()
				if err != nil {
					return
				}
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(patience))
				if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
					t.Errorf("the request: %v", err)
				}
				_, _ = io.WriteString(conn, test.reply)
			}()
			p := launch{args: []string{"get", "http://" + ln.Addr().String() + "/"}}.run(t)
			code := p.exit(t)
			if !statuses(test.code, code) {
				t.Errorf("exit code %d, want %s; stdout %.300q stderr %.300q", code, test.code, p.stdout, p.stderr)
			}
			if code == 0 && !strings.Contains(p.stdout.String(), test.stdout) {
				t.Errorf("stdout %.300q without %q", p.stdout, test.stdout)
			}
		})
	}
}

// TestGetFromOurs: both ends of the lab.
func TestGetFromOurs(t *testing.T) {
	t.Parallel()
	s := start(t)
	host, port, _ := net.SplitHostPort(s.addr)
	p := launch{args: []string{"get", host, port, "HelloWorld.html"}}.run(t)
	if code := p.exit(t); code != 0 || !strings.Contains(p.stdout.String(), "<h1>Hello") {
		t.Errorf("exit code %d:\n%s", code, p.stdout)
	}
}
