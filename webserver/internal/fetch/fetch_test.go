package fetch

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
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

	"github.com/google/go-cmp/cmp"

	"topdown/webserver/internal/freeport"
)

// run runs Get and returns what it printed.
func run(t *testing.T, opts Options) (result Result, stdout, stderr string, err error) {
	t.Helper()
	var out, errOut bytes.Buffer
	opts.Stdout, opts.Stderr = &out, &errOut
	result, err = Get(t.Context(), opts)
	return result, out.String(), errOut.String(), err
}

// peer is a server that sends a fixed text to the first client and records what
// it asked for. With hold, it then keeps the connection.
func peer(t *testing.T, send string, hold bool) (url string, request <-chan string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	asked := make(chan string, 1)
	go func() {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		src := bufio.NewReader(conn)
		var head strings.Builder
		for {
			line, err := src.ReadString('\n')
			head.WriteString(line)
			if err != nil || line == "\r\n" {
				break
			}
		}
		asked <- head.String()
		io.WriteString(conn, send)
		if hold {
			io.Copy(io.Discard, src)
		}
	}()
	return "http://" + ln.Addr().String(), asked
}

func TestGet(t *testing.T) {
	url, request := peer(t, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nX-Y:  z \r\n\r\nhello\nGARBAGE", false)
	result, stdout, stderr, err := run(t, Options{URL: url + "/a b?q=ä#frag", Fields: []string{"accept: text/html", "X-A: 1", "X-A: 2", "User-Agent:"}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("HTTP/1.1 200 OK\nContent-Length: 6\nX-Y: z\n\nhello\n", stdout); diff != "" || stderr != "" {
		t.Errorf("output: %s, stderr %q", diff, stderr)
	}
	if diff := cmp.Diff(Result{Status: 200, Size: 6}, result); diff != "" {
		t.Error(diff)
	}
	want := "GET /a%20b?q=ä HTTP/1.1\r\nHost: " + strings.TrimPrefix(url, "http://") +
		"\r\naccept: text/html\r\nConnection: close\r\nX-A: 1\r\nX-A: 2\r\n\r\n"
	if diff := cmp.Diff(want, <-request); diff != "" {
		t.Errorf("request: %s", diff)
	}
}

func TestVerbose(t *testing.T) {
	url, _ := peer(t, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.0 200\r\nX: \xff\xc2\x9b31m\r\n\r\nbody", false)
	_, stdout, stderr, err := run(t, Options{URL: url, Verbose: true})
	if err != nil || stdout != "body" {
		t.Errorf("%q, %v", stdout, err)
	}
	want := "> GET / HTTP/1.1\n> Host: HOST\n> User-Agent: topdown-webserver\n> Accept: */*\n> Connection: close\n>\n" +
		"< HTTP/1.1 103 Early Hints\n< Link: x\n<\n< HTTP/1.0 200\n< X: \\xff\\xc2\\x9b31m\n<\n"
	if diff := cmp.Diff(want, strings.ReplaceAll(stderr, strings.TrimPrefix(url, "http://"), "HOST")); diff != "" {
		t.Error(diff)
	}
}

func TestExitCodes(t *testing.T) {
	for status, want := range map[int]int{200: 0, 206: 0, 304: 3, 404: 4, 503: 5, 600: 1} {
		url, _ := peer(t, fmt.Sprintf("HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n", status), false)
		if result, _, _, err := run(t, Options{URL: url}); err != nil || result.ExitCode != want {
			t.Errorf("%d: exit code %d, want %d; %v", status, result.ExitCode, want, err)
		}
	}
	url, _ := peer(t, "HTTP/1.1 301 Moved\r\nLocation: /\x09new\r\nContent-Length: 0\r\n\r\n", false)
	result, _, stderr, err := run(t, Options{URL: url})
	if err != nil || result.ExitCode != 3 || result.Location == "" || !strings.Contains(stderr, "points to /") {
		t.Errorf("redirect: %+v, stderr %q, %v", result, stderr, err)
	}
}

func TestFailures(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	tests := map[string]struct{ send, step, want string }{
		"nothing":             {"", "receive", "without a response"},
		"half a head":         {ok + "Content-Le", "receive", "in the middle of the head"},
		"not HTTP":            {"SSH-2.0-OpenSSH\r\n\r\n", "receive", "not valid HTTP/1"},
		"TLS alert":           {"\x15\x03\x01\x00\x02\x02\x0a\r\n\r\n", "receive", "try https://"},
		"endless head":        {ok + "X: " + strings.Repeat("x", 100_000), "receive", "too large"},
		"endless interim":     {strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 50), "receive", "interim"},
		"switched protocols":  {"HTTP/1.1 101 X\r\n\r\n", "receive", "switched protocols"},
		"two lengths":         {ok + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", "receive", "different"},
		"truncated length":    {ok + "Content-Length: 10\r\n\r\nabc", "receive", "ended after 3 of 10 bytes"},
		"truncated chunks":    {ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nab", "receive", "ended after 2 bytes"},
		"no last chunk":       {ok + "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", "receive", "ended after 2 bytes"},
		"nonsense for chunks": {ok + "Transfer-Encoding: chunked\r\n\r\nxyz\r\n", "receive", "chunk size"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			url, _ := peer(t, test.send, false)
			target := filepath.Join(t.TempDir(), "file")
			result, _, _, err := run(t, Options{URL: url, Output: target})
			e, ok := errors.AsType[*Error](err)
			if !ok {
				t.Fatalf("%v, want an *Error", err)
			}
			if e.Step != test.step || !strings.Contains(err.Error(), test.want) || result.ExitCode != 1 {
				t.Errorf("%v (step %s, exit code %d), want %q in step %s", err, e.Step, result.ExitCode, test.want, test.step)
			}
			entries, err := os.ReadDir(filepath.Dir(target))
			if err != nil || len(entries) > 0 {
				t.Errorf("left behind: %v, %v", entries, err)
			}
		})
	}
}

func TestConnectFailures(t *testing.T) {
	_, _, _, err := run(t, Options{URL: fmt.Sprintf("http://127.0.0.1:%d", freeport.Take(t))})
	if e, ok := errors.AsType[*Error](err); !ok || e.Step != "connect" || e.Hint == "" {
		t.Errorf("nobody listens: %v", err)
	}
	// A name that cannot be: no query leaves the machine for it.
	_, _, _, err = run(t, Options{URL: "http://" + strings.Repeat("a", 64) + ".invalid/"})
	if e, ok := errors.AsType[*Error](err); !ok || e.Step != "resolve" {
		t.Errorf("unknown name: %v", err)
	}
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	go func() {
		if conn, err := plain.Accept(); err == nil {
			conn.Read(make([]byte, 16<<10))
			io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\n\r\n")
			conn.Close()
		}
	}()
	_, _, _, err = run(t, Options{URL: "https://" + plain.Addr().String()})
	if e, ok := errors.AsType[*Error](err); !ok || e.Step != "TLS" || !strings.Contains(e.Hint, "http://") {
		t.Errorf("no TLS there: %v", err)
	}
}

func TestTimeout(t *testing.T) {
	for name, send := range map[string]string{"head": "HTTP/1.1 200 OK\r\n", "body": "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"} {
		url, _ := peer(t, send, true)
		result, _, _, err := run(t, Options{URL: url, Timeout: 50 * time.Millisecond})
		if err == nil || !strings.Contains(err.Error(), "not finished within 50ms") || result.ExitCode != 1 {
			t.Errorf("%s: %v, exit code %d", name, err, result.ExitCode)
		}
	}
	url, _ := peer(t, "", true)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Get(ctx, Options{URL: url, Stdout: io.Discard, Stderr: io.Discard}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestUsageErrors(t *testing.T) {
	dir := t.TempDir()
	for name, opts := range map[string]Options{
		"no URL":           {},
		"no host":          {URL: "http:///x"},
		"scheme":           {URL: "ftp://example.org/"},
		"user":             {URL: "http://ada:secret@example.org/"},
		"port":             {URL: "http://example.org:99999/"},
		"port 0":           {URL: "http://example.org:0/"},
		"control in URL":   {URL: "http://example.org/\n"},
		"space in host":    {URL: "http://exa mple.org/"},
		"field, no colon":  {URL: "http://127.0.0.1:1", Fields: []string{"X"}},
		"field, bad name":  {URL: "http://127.0.0.1:1", Fields: []string{"X Y: z"}},
		"field, CRLF":      {URL: "http://127.0.0.1:1", Fields: []string{"X: z\r\nY: z"}},
		"field for a body": {URL: "http://127.0.0.1:1", Fields: []string{"content-length: 5"}},
		"output folder":    {URL: "http://127.0.0.1:1", Output: dir},
		"no such folder":   {URL: "http://127.0.0.1:1", Output: filepath.Join(dir, "x", "y")},
	} {
		t.Run(name, func(t *testing.T) {
			result, _, _, err := run(t, opts)
			if !errors.Is(err, ErrUsage) || result.ExitCode != 2 {
				t.Errorf("%v, exit code %d; want a usage error and 2", err, result.ExitCode)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("%v shows the password", err)
			}
		})
	}
}

func TestHandoutURL(t *testing.T) {
	for want, args := range map[string][3]string{
		"http://localhost:6789/HelloWorld.html": {"localhost", "6789", "HelloWorld.html"},
		"http://127.0.0.1:80/a/b%20c":           {"127.0.0.1", "80", "/a/b c"},
		"http://[::1]:80/":                      {"[::1]", "80", ""},
		"http://h:1/a%3Fb%2523":                 {"h", "1", "a?b%23"},
	} {
		if got := HandoutURL(args[0], args[1], args[2]); got != want {
			t.Errorf("HandoutURL(%q) = %s, want %s", args, got, want)
		}
	}
}

func TestOutput(t *testing.T) {
	const page = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nnew"
	t.Run("replaces", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, []byte("old and longer"), 0o644); err != nil {
			t.Fatal(err)
		}
		url, _ := peer(t, page, false)
		_, stdout, stderr, err := run(t, Options{URL: url, Output: path})
		data, readErr := os.ReadFile(path)
		if err != nil || readErr != nil || string(data) != "new" || stdout != "" || !strings.Contains(stderr, "200 OK: 3 bytes written") {
			t.Errorf("%v, file %q, stdout %q, stderr %q", err, data, stdout, stderr)
		}
	})
	t.Run("not for an error", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "file")
		url, _ := peer(t, "HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nnew", false)
		result, _, stderr, err := run(t, Options{URL: url, Output: path})
		if _, statErr := os.Stat(path); err != nil || result.ExitCode != 4 || statErr == nil || !strings.Contains(stderr, "is not written") {
			t.Errorf("%v, exit code %d, %q", err, result.ExitCode, stderr)
		}
	})
	t.Run("device", func(t *testing.T) {
		url, _ := peer(t, page, false)
		if _, _, _, err := run(t, Options{URL: url, Output: os.DevNull}); err != nil {
			t.Error(err)
		}
		if info, err := os.Stat(os.DevNull); err != nil || info.Mode().IsRegular() {
			t.Fatalf("%s has been replaced: %v, %v", os.DevNull, info, err)
		}
	})
	t.Run("link", func(t *testing.T) {
		dir := t.TempDir()
		target, link := filepath.Join(dir, "target"), filepath.Join(dir, "link")
		if err := os.WriteFile(target, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, link); err != nil {
			t.Skip(err)
		}
		url, _ := peer(t, page, false)
		_, _, _, err := run(t, Options{URL: url, Output: link})
		data, readErr := os.ReadFile(target)
		if info, _ := os.Lstat(link); err != nil || readErr != nil || string(data) != "new" || info.Mode().Type() != os.ModeSymlink {
			t.Errorf("%v, target %q", err, data)
		}
	})
	t.Run("dash", func(t *testing.T) {
		url, _ := peer(t, "HTTP/1.1 200 OK\r\n\r\n\x00\x1b", false)
		if _, stdout, _, err := run(t, Options{URL: url, Output: "-", Terminal: true}); err != nil || stdout != "\x00\x1b" {
			t.Errorf("%q, %v", stdout, err)
		}
	})
}

func TestTerminal(t *testing.T) {
	for name, test := range map[string]struct {
		body  string
		shown string
		ok    bool
	}{
		"text":         {"häl\tlo\r\n", "häl\tlo\r\n", true},
		"NUL":          {"ab\x00cd", "ab", false},
		"escape":       {"ab\x1b[31m", "ab", false},
		"C1 as UTF-8":  {"ab\xc2\x9b31m", "ab\xc2", false},
		"half a chunk": {"ä", "ä", true},
	} {
		t.Run(name, func(t *testing.T) {
			url, _ := peer(t, "HTTP/1.1 200 \x80\r\n\r\n"+test.body, false)
			_, stdout, _, err := run(t, Options{URL: url, Terminal: true})
			if want := "HTTP/1.1 200 \\x80\n\n" + test.shown; stdout != want {
				t.Errorf("shown %q, want %q", stdout, want)
			}
			if (err == nil) != test.ok || err != nil && !strings.Contains(err.Error(), "-o FILE") {
				t.Errorf("error %v", err)
			}
		})
	}
}

// TestAgainstNetHTTP has another implementation serve.
func TestAgainstNetHTTP(t *testing.T) {
	big := bytes.Repeat([]byte("0123456789abcdef"), 100_000)
	mux := http.NewServeMux()
	mux.HandleFunc("/length", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(big)))
		w.Write(big)
	})
	mux.HandleFunc("/chunked", func(w http.ResponseWriter, _ *http.Request) {
		for part := big; len(part) > 0; part = part[16000:] {
			w.Write(part[:16000])
			w.(http.Flusher).Flush()
		}
	})
	mux.HandleFunc("/hints", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</style.css>")
		w.WriteHeader(http.StatusEarlyHints)
		w.Write(big)
	})
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Header.Get("X-Echo")) })
	for name, start := range map[string]func(http.Handler) *httptest.Server{"http": httptest.NewServer, "https": httptest.NewTLSServer} {
		server := start(mux)
		defer server.Close()
		for _, path := range []string{"/length", "/chunked", "/hints"} {
			t.Run(name+path, func(t *testing.T) {
				file := filepath.Join(t.TempDir(), "file")
				result, _, _, err := run(t, Options{URL: server.URL + path, Output: file, Insecure: true})
				if err != nil || result.Size != int64(len(big)) {
					t.Fatalf("%+v, %v", result, err)
				}
				data, err := os.ReadFile(file)
				if err != nil || sha256.Sum256(data) != sha256.Sum256(big) {
					t.Errorf("%d bytes in the file, %v", len(data), err)
				}
			})
		}
		_, stdout, _, err := run(t, Options{URL: server.URL + "/echo", Fields: []string{"X-Echo: hello"}, Insecure: true, Output: "-"})
		if err != nil || stdout != "hello" {
			t.Errorf("%s: field: %q, %v", name, stdout, err)
		}
		if name == "https" {
			_, _, _, err := run(t, Options{URL: server.URL + "/echo"})
			if e, ok := errors.AsType[*Error](err); !ok || e.Step != "TLS" || !strings.Contains(e.Hint, "--insecure") {
				t.Errorf("unknown certificate: %v", err)
			}
		}
	}
}

func FuzzTarget(f *testing.F) {
	f.Add("http://example.org/a?b", "X: y")
	f.Add("[::1]:80", "Host:")
	f.Add("https://h", "User-Agent: ü")
	f.Fuzz(func(t *testing.T, url, field string) {
		target, err := newTarget(&Options{URL: url, Fields: []string{field}})
		if err != nil {
			if !errors.Is(err, ErrUsage) {
				t.Errorf("%q: %v is not a usage error", url, err)
			}
			return
		}
		if host, port, err := net.SplitHostPort(target.addr); err != nil || host == "" || port == "" {
			t.Errorf("%q: connects to %q", url, target.addr)
		}
	})
}

func FuzzPrintable(f *testing.F) {
	f.Add("a\x1b[31m\xff\xc2\x9b ü\t\u202e")
	f.Fuzz(func(t *testing.T, s string) {
		var shown bytes.Buffer
		if got := printable(s); got != "" {
			if _, err := (&terminal{w: &shown}).Write([]byte(got)); err != nil {
				t.Errorf("%q became %q, which is no text", s, got)
			}
		}
	})
}
