package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// simple is an origin as courses have them: HTTP/1.0, no Date, nothing about
// caching, one request a connection, and it can be ended.
type simple struct {
	addr string
	ln   net.Listener

	mu    sync.Mutex
	heads []string
	stall chan struct{} // if not nil, /stall waits for its end
}

func startSimple(t *testing.T) *simple {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:"+freePort(t)) // which nobody else gets once it has ended
	if err != nil {
		t.Fatal(err)
	}
	o := &simple{addr: ln.Addr().String(), ln: ln, stall: make(chan struct{})}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go o.answer(conn)
		}
	}()
	return o
}

func (o *simple) answer(conn net.Conn) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	var head strings.Builder
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		head.WriteString(line)
		if line == "\r\n" {
			break
		}
	}
	o.mu.Lock()
	o.heads = append(o.heads, head.String())
	o.mu.Unlock()
	words := strings.Fields(head.String())
	switch path := words[1]; {
	case path == "/stall":
		<-o.stall
	case path == "/absent":
		io.WriteString(conn, "HTTP/1.0 404 Not Found\r\nContent-Type: text/html\r\n\r\n<h1>not here</h1>")
	case strings.HasPrefix(path, "/object"):
		io.WriteString(conn, "HTTP/1.0 200 OK\r\n\r\n"+path+strings.Repeat("x", 90<<10))
	default:
		fmt.Fprintf(conn, "HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\npage %s", path)
	}
}

func (o *simple) requests() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]string(nil), o.heads...)
}

// startAsProxy starts the program as graders do: under the name proxy,
// with a port and nothing else, in an empty environment.
func startAsProxy(t *testing.T, args ...string) *running {
	t.Helper()
	path := filepath.Join(t.TempDir(), "proxy")
	if runtime.GOOS == "windows" {
		path += ".exe"
	}
	// Not a copy: a process that another test starts while it is written inherits the
	// open file, and what is open for writing cannot be run.
	if err := os.Link(program(t), path); err != nil {
		t.Fatal(err)
	}
	return startCommand(t, exec.Command(path, append(args, freePort(t))...))
}

// What the courses' handouts ask of ./proxy PORT, and what the RFCs ask without
// that name.
func TestCourse(t *testing.T) {
	t.Parallel()
	for _, lab := range []bool{true, false} {
		t.Run(map[bool]string{true: "proxy PORT", false: "proxyserver PORT"}[lab], func(t *testing.T) {
			o := startSimple(t)
			var p *running
			if lab {
				p = startAsProxy(t)
			} else {
				p = start(t, nil, freePort(t))
			}
			status := func(request string) (int, string) {
				t.Helper()
				conn := dialProxy(t, p.addr)
				io.WriteString(conn, request)
				resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil {
					t.Fatalf("%q: %v", request, err)
				}
				body, _ := io.ReadAll(resp.Body)
				return resp.StatusCode, string(body)
			}
			page := "GET http://" + o.addr + "/page HTTP/1.0\r\n\r\n"
			absent := "GET http://" + o.addr + "/absent HTTP/1.0\r\n\r\n"
			for range 2 {
				if code, body := status(page); code != 200 || body != "page /page" {
					t.Errorf("the page: %d %q", code, body)
				}
				if code, body := status(absent); code != 404 || body != "<h1>not here</h1>" {
					t.Errorf("the missing page: %d %q", code, body)
				}
			}
			first := o.requests()[0]
			for _, line := range []string{"GET /page HTTP/1.0\r\n", "\r\nHost: " + o.addr + "\r\n", "\r\nConnection: close\r\n", "\r\nProxy-Connection: close\r\n"} {
				if strings.Contains(first, line) != lab && !strings.HasPrefix(line, "\r\nHost") {
					t.Errorf("the origin got %q, %q in it: %v", first, line, !lab)
				}
			}
			if code, _ := status("GET http://" + o.addr + "/hostless HTTP/1.1\r\n\r\n"); code != map[bool]int{true: 200, false: 400}[lab] {
				t.Errorf("an absolute form without Host: %d", code)
			}
			// A stalled origin holds nobody else up.
			stalled := dialProxy(t, p.addr)
			fmt.Fprintf(stalled, "GET http://%s/stall HTTP/1.0\r\n\r\n", o.addr)
			waitFor(t, "the stalled request", func() bool { return strings.Contains(strings.Join(o.requests(), ""), "GET /stall") })
			var clients sync.WaitGroup
			for i := range 40 {
				clients.Go(func() {
					if got := fetchOnce(t, p.addr, fmt.Sprintf("http://%s/client%d", o.addr, i)); got != fmt.Sprintf("page /client%d", i) {
						t.Errorf("client %d: %q", i, got)
					}
				})
			}
			clients.Wait()
			close(o.stall)
			// The origin ends; what was fetched twice is still there, in the lab.
			o.ln.Close()
			want := map[bool]int{true: 200, false: 502}[lab]
			if code, _ := status(page); code != want {
				t.Errorf("the page after the origin's end: %d, want %d", code, want)
			}
			if code, _ := status(absent); lab && code != 404 || !lab && code != 502 {
				t.Errorf("the missing page after the origin's end: %d", code)
			}
		})
	}
}

// The handouts' cache: 1 MiB, objects of 100 KiB, the least recently used goes.
func TestCourseEviction(t *testing.T) {
	o := startSimple(t)
	p := startAsProxy(t, "--cache-size", "1MiB", "--cache-memory", "1MiB")
	object := func(i int) {
		t.Helper()
		path := fmt.Sprintf("/object%02d", i)
		if got := fetchOnce(t, p.addr, "http://"+o.addr+path); !strings.HasPrefix(got, path) || len(got) != len(path)+90<<10 {
			t.Fatalf("object %d: %d bytes", i, len(got))
		}
	}
	fetched := func(i int) int {
		return strings.Count(strings.Join(o.requests(), ""), fmt.Sprintf("GET /object%02d ", i))
	}
	for i := range 8 {
		object(i)
		object(i)
		if n := fetched(i); n != 1 {
			t.Errorf("object %d was fetched %d times, want once", i, n)
		}
	}
	object(0) // used again, so that 1 is the least recently used
	for i := 8; i < 14; i++ {
		object(i)
		object(0)
	}
	if n := fetched(0); n != 1 {
		t.Errorf("the object that was used all the time was fetched %d times", n)
	}
	object(1)
	if n := fetched(1); n != 2 {
		t.Errorf("the least recently used object was fetched %d times, want twice", n)
	}
}
