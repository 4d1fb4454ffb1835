package e2e

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// dialProxy returns a connection with a generous deadline.
func dialProxy(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { conn.Close() })
	return conn
}

// slowOrigin answers each request in two halves; the second waits for release,
// and is left out when cut is true by then.
type slowOrigin struct {
	addr     string
	requests atomic.Int64
	begun    chan struct{}
	release  chan struct{}
	cut      atomic.Bool
	content  []byte
}

func startSlowOrigin(t *testing.T) *slowOrigin {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := &slowOrigin{
		addr: ln.Addr().String(), begun: make(chan struct{}, 1000), release: make(chan struct{}),
		content: bytes.Repeat([]byte("0123456789abcdef"), 16<<10),
	}
	t.Cleanup(func() { ln.Close() })
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
					if _, err := http.ReadRequest(r); err != nil {
						return
					}
					o.requests.Add(1)
					fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: %d\r\n\r\n", len(o.content))
					conn.Write(o.content[:len(o.content)/2])
					o.begun <- struct{}{}
					<-o.release
					if o.cut.Load() {
						return
					}
					conn.Write(o.content[len(o.content)/2:])
				}
			}()
		}
	}()
	return o
}

// ask1000 sends the same GET from 1,000 clients, waits until each has the head,
// lets every second one leave if half is true, releases the origin and returns
// how many got the whole, exact content and how many saw a broken one.
func ask1000(t *testing.T, c *chain, o *slowOrigin, half bool) (whole, broken int) {
	t.Helper()
	const clients = 1000
	var heads, all sync.WaitGroup
	var wholes, brokens atomic.Int64
	want := sha256.Sum256(o.content)
	heads.Add(clients)
	for i := range clients {
		conn := dialProxy(t, c.addr)
		all.Go(func() {
			defer conn.Close()
			if _, err := fmt.Fprintf(conn, "GET http://%s/cold HTTP/1.1\r\nHost: x\r\n\r\n", o.addr); err != nil {
				heads.Done()
				return
			}
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			heads.Done()
			if err != nil {
				brokens.Add(1)
				return
			}
			if half && i%2 == 1 {
				return
			}
			hash := sha256.New()
			_, err = io.Copy(hash, resp.Body)
			switch {
			case err != nil:
				brokens.Add(1)
			case [32]byte(hash.Sum(nil)) == want:
				wholes.Add(1)
			default:
				t.Error("a wrong body")
			}
		})
	}
	heads.Wait()
	close(o.release)
	all.Wait()
	return int(wholes.Load()), int(brokens.Load())
}

func TestColdURL(t *testing.T) {
	t.Run("all stay", func(t *testing.T) {
		o, c := startSlowOrigin(t), startChain(t, time.Now, nil)
		whole, broken := ask1000(t, c, o, false)
		if n := o.requests.Load(); whole != 1000 || broken != 0 || n != 1 {
			t.Errorf("%d whole, %d broken, %d requests to the origin", whole, broken, n)
		}
	})
	t.Run("half leave", func(t *testing.T) {
		o, c := startSlowOrigin(t), startChain(t, time.Now, nil)
		whole, broken := ask1000(t, c, o, true)
		if n := o.requests.Load(); whole != 500 || broken != 0 || n != 1 {
			t.Errorf("%d whole, %d broken, %d requests to the origin", whole, broken, n)
		}
	})
	t.Run("the origin dies", func(t *testing.T) {
		o, c := startSlowOrigin(t), startChain(t, time.Now, nil)
		o.cut.Store(true)
		whole, broken := ask1000(t, c, o, false)
		if whole != 0 || broken != 1000 {
			t.Errorf("%d whole, %d broken", whole, broken)
		}
		// Nothing of it is stored: the next client gets a new, whole response.
		o.cut.Store(false)
		before := o.requests.Load()
		conn := dialProxy(t, c.addr)
		fmt.Fprintf(conn, "GET http://%s/cold HTTP/1.1\r\nHost: x\r\n\r\n", o.addr)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil || !bytes.Equal(body, o.content) || o.requests.Load() != before+1 {
			t.Errorf("afterwards: %d bytes, %v, %d more requests", len(body), err, o.requests.Load()-before)
		}
	})
}

// descriptors returns how many files are open, -1 where that cannot be told.
func descriptors() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return -1
	}
	return len(entries)
}

// settle waits until n() is at most limit.
func settle(t *testing.T, what string, limit int, n func() int) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for n() > limit {
		if time.Now().After(deadline) {
			t.Errorf("%s: %d, want at most %d", what, n(), limit)
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// TestNothingGrows carries out many exchanges and tunnels, half of them cut
// off, and then counts what is left: in CI 100,000 exchanges and 10,000 tunnels,
// elsewhere 3,200 and 320.
func TestNothingGrows(t *testing.T) {
	exchanges, tunnels := 3200, 320
	if os.Getenv("TOPDOWN_REQUIRE_REAL") == "1" {
		exchanges, tunnels = 100000, 10000
	}
	origin := startMixedOrigin(t)
	c := startChain(t, time.Now, func(c *chain) {
		c.server.Rules.ConnectPorts = []uint16{uint16(origin.Addr().(*net.TCPAddr).Port)}
	})
	addr := origin.Addr().String()
	mixed := func(n, tunnels int) {
		var wg sync.WaitGroup
		for worker := range 16 {
			wg.Go(func() {
				for i := range n / 16 {
					mixedExchange(c.addr, addr, worker*n+i)
				}
				for i := range tunnels / 16 {
					oneTunnel(c.addr, addr, i%2 == 1)
				}
			})
		}
		wg.Wait()
	}
	mixed(1600, 160) // pools and buffers are full now
	settle(t, "clients left", 0, func() int { return int(c.server.Stats.Clients.Load()) })
	runtime.GC()
	goroutines, files := runtime.NumGoroutine(), descriptors()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	mixed(exchanges, tunnels)
	settle(t, "clients left", 0, func() int { return int(c.server.Stats.Clients.Load()) })
	settle(t, "tunnels left", 0, func() int { return int(c.server.Stats.Tunnels.Load()) })
	settle(t, "goroutines", goroutines+64, runtime.NumGoroutine)
	settle(t, "descriptors", files+160, descriptors)
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 32<<20 {
		t.Errorf("the heap has grown by %d MiB", grown>>20)
	}
	t.Logf("%d exchanges, %d tunnels: goroutines %d -> %d, descriptors %d -> %d, heap %d -> %d KiB", exchanges, tunnels,
		goroutines, runtime.NumGoroutine(), files, descriptors(), before.HeapAlloc>>10, after.HeapAlloc>>10)
}

// startMixedOrigin answers /N by N: stored, not stored, chunked, cut.
func startMixedOrigin(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	content := strings.Repeat("x", 20000)
	answers := []string{
		"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 20000\r\n\r\n" + content,
		"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 20000\r\n\r\n" + content,
		"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n4e20\r\n" + content + "\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 30000\r\n\r\n" + content,
		"HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno\n",
	}
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
					req, err := http.ReadRequest(r)
					if err != nil {
						return
					}
					io.Copy(io.Discard, req.Body)
					var n int
					fmt.Sscanf(req.URL.Path, "/%d", &n)
					answer := answers[n%len(answers)]
					if _, err := io.WriteString(conn, answer); err != nil || n%len(answers) > 2 {
						return
					}
				}
			}()
		}
	}()
	return ln
}

// mixedExchange asks for one thing in one of several ways, and every second
// time leaves before it is there.
func mixedExchange(proxy, origin string, i int) {
	conn, err := net.Dial("tcp", proxy)
	if err != nil {
		return
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	path := i % 500
	switch i % 7 {
	case 0:
		fmt.Fprintf(conn, "POST http://%s/%d HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", origin, path)
	case 1:
		fmt.Fprintf(conn, "POST http://%s/%d HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\nabc", origin, path)
	case 2:
		fmt.Fprintf(conn, "GET /%s/%d HTTP/1.0\r\n\r\n", origin, path)
	case 3:
		fmt.Fprintf(conn, "GET http://%s/%d HTTP/1.1\r\nHost", origin, path)
	default:
		fmt.Fprintf(conn, "GET http://%s/%d HTTP/1.1\r\nHost: x\r\n\r\n", origin, path)
	}
	if i%2 == 0 && i%7 != 1 && i%7 != 3 {
		if resp, err := http.ReadResponse(bufio.NewReader(conn), nil); err == nil {
			io.Copy(io.Discard, resp.Body)
		}
	}
}

// oneTunnel has an exchange through a tunnel; cut leaves in the middle of it.
func oneTunnel(proxy, origin string, cut bool) {
	conn, err := net.Dial("tcp", proxy)
	if err != nil {
		return
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: x\r\n\r\n", origin)
	r := bufio.NewReader(conn)
	for line := ""; line != "\r\n"; {
		if line, err = r.ReadString('\n'); err != nil {
			return
		}
	}
	fmt.Fprintf(conn, "GET /1 HTTP/1.1\r\nHost: x\r\n\r\n")
	if cut {
		return
	}
	if resp, err := http.ReadResponse(r, nil); err == nil {
		io.Copy(io.Discard, resp.Body)
	}
}
