package server

import (
	"bufio"
	"context"
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

	"go.uber.org/zap"

	"topdown/webserver/internal/site"
	"topdown/webserver/www"
)

// serveSealed serves files whose copies are sealed by now, over TCP and on a Unix
// socket, and returns a function that connects.
func serveSealed(t *testing.T, files map[string]string) (root string, server *Server, connect map[string]func() (net.Conn, *bufio.Reader)) {
	t.Helper()
	root = t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s, err := site.New(site.Options{Root: root, Builtin: www.Files, Seal: true})
	if err != nil {
		t.Fatal(err)
	}
	for name := range files {
		for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
			f, err := s.Open(s.Find("/"+name, time.Now()).Resource.Plain())
			if err != nil || time.Now().After(deadline) {
				t.Fatalf("%s is not sealed: %v", name, err)
			}
			f.Close()
			if f.Sealed() {
				break
			}
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	var listeners []net.Listener
	connect = map[string]func() (net.Conn, *bufio.Reader){}
	for network, addr := range map[string]string{"tcp": "127.0.0.1:0", "unix": filepath.Join(t.TempDir(), "s")} {
		ln, err := net.Listen(network, addr)
		if err != nil {
			t.Fatal(err)
		}
		listeners = append(listeners, ln)
		connect[network] = func() (net.Conn, *bufio.Reader) {
			conn, err := net.Dial(network, ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.Close() })
			_ = conn.SetDeadline(time.Now().Add(patience))
			return conn, bufio.NewReader(conn)
		}
	}
	server = &Server{Site: s, Log: zap.NewNop()}
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, listeners...) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
		s.Close()
	})
	return root, server, connect
}

// numbered returns n lines of 16 bytes, no two of which are equal.
func numbered(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%015d\n", i)
	}
	return b.String()
}

// TestSealedCopies: what is lent of sealed copies is what was asked for, request after
// request on one connection.
func TestSealedCopies(t *testing.T) {
	large := numbered(200_000)
	small := large[:100_000]
	_, _, connect := serveSealed(t, map[string]string{"large.bin": large, "small.bin": small})
	for network, dial := range connect {
		conn, r := dial()
		for _, tt := range []struct {
			request string
			status  int
			want    string // part of it, for several ranges
		}{
			{"GET /small.bin", 200, small},
			{"HEAD /small.bin", 200, ""},
			{"GET /large.bin", 200, large},
			{"GET /small.bin\nRange: bytes=70000-70009", 206, small[70000:70010]},
			{"GET /large.bin\nRange: bytes=5-", 206, large[5:]},
			{"GET /large.bin\nRange: bytes=2000000-,3-1500000", 206, "\r\n\r\n" + large[3:1500001] + "\r\n--"},
			{"GET /small.bin", 200, small},
		} {
			line, fields, _ := strings.Cut(tt.request, "\n")
			resp, body := askOn(t, conn, r, line+" HTTP/1.1\nHost: a\n"+fields+strings.Repeat("\n", min(len(fields), 1))+"\n")
			if resp.StatusCode != tt.status || body != tt.want && (tt.want == "" || !strings.Contains(fields, ",") || !strings.Contains(body, tt.want)) {
				t.Errorf("%s, %q: %s, %d bytes", network, tt.request, resp.Status, len(body))
			}
		}
		// All at once: heads and contents follow each other in the right order.
		io.WriteString(conn, strings.Repeat("GET /small.bin HTTP/1.1\r\nHost: a\r\n\r\n", 5))
		for i := range 5 {
			resp, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			if body, err := io.ReadAll(resp.Body); err != nil || string(body) != small {
				t.Errorf("%s, pipelined, %d: %d bytes, %v", network, i, len(body), err)
			}
		}
	}
}

// TestSealedCopyOutlivesItsFile: a download goes on with the version that it began
// with, whatever becomes of the file.
func TestSealedCopyOutlivesItsFile(t *testing.T) {
	old := numbered(600_000)
	root, _, connect := serveSealed(t, map[string]string{"f.bin": old})
	path := filepath.Join(root, "f.bin")
	conn, r := connect["tcp"]()
	io.WriteString(conn, "GET /f.bin HTTP/1.1\r\nHost: a\r\n\r\n")
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt([]byte(strings.Repeat("new ", len(old)/8)), 0)
	if err = errors.Join(err, f.Truncate(int64(len(old)/2)), f.Close()); err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != old {
		t.Errorf("%d of %d bytes, %v", len(body), len(old), err)
	}
	if _, body := askOn(t, conn, r, "GET /f.bin HTTP/1.1\nHost: a\n\n"); len(body) != len(old)/2 || !strings.HasPrefix(body, "new new ") {
		t.Errorf("afterwards %d bytes that begin with %.8q", len(body), body)
	}
}

// TestSealedToMany: clients that do not read, more of them than there are pipes, hold
// nobody up, and get what they asked for when they read at last; and what those that
// leave have not taken is sent to nobody else.
func TestSealedToMany(t *testing.T) {
	text := numbered(200_000)
	_, server, connect := serveSealed(t, map[string]string{"f.bin": text})
	dial := connect["tcp"]
	get := func(conn net.Conn, r *bufio.Reader) {
		t.Helper()
		if _, body := askOn(t, conn, r, "GET /f.bin HTTP/1.1\nHost: a\n\n"); body != text {
			t.Errorf("%d bytes, want %d", len(body), len(text))
		}
	}
	type reader struct {
		net.Conn
		body io.Reader
	}
	var slow []reader
	for range mostPipes + 10 {
		conn, r := dial()
		io.WriteString(conn, "GET /f.bin HTTP/1.1\r\nHost: a\r\n\r\n")
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		slow = append(slow, reader{conn, resp.Body})
	}
	get(dial())
	for i, client := range slow {
		if i%40 == 0 || i == len(slow)-1 {
			_ = client.SetDeadline(time.Now().Add(patience))
			if body, err := io.ReadAll(client.body); err != nil || string(body) != text {
				t.Errorf("slow client %d: %d bytes, %v", i, len(body), err)
			}
		}
		client.Close()
	}
	pipes := &server.lending.pipes
	inUse := func() int {
		pipes.mu.Lock()
		defer pipes.mu.Unlock()
		return pipes.used
	}
	for deadline := time.Now().Add(patience); inUse() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d pipes are in use when all have gone", inUse())
		}
	}
	get(dial())
}
