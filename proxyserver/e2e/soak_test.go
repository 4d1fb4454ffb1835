package e2e

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// soakBody is what the soak's origin has under a path: so every body can be
// checked, wherever it comes from.
func soakBody(n, version int) []byte {
	size := 200 + n*n%5000
	switch {
	case n%97 == 0:
		size = 3 << 20
	case n%11 == 0:
		size = 60_000
	}
	seed := sha256.Sum256(fmt.Appendf(nil, "%d %d", n, version))
	body := make([]byte, size)
	rand.NewChaCha8(seed).Read(body)
	return body
}

// startSoakOrigin answers /N: some of it for a while, some to be validated, some
// chunked, some slowly, some not to its end, in versions that change.
func startSoakOrigin(t *testing.T, version *atomic.Int64) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/"))
		if err != nil {
			http.NotFound(w, r)
			return
		}
		v := int(version.Load())
		body := soakBody(n, v)
		h := w.Header()
		h.Set("X-Version", strconv.Itoa(v))
		h.Set("ETag", fmt.Sprintf(`"%d-%d"`, n, v))
		switch n % 5 {
		case 0, 1:
			h.Set("Cache-Control", "max-age=600")
		case 2:
			h.Set("Cache-Control", "max-age=1")
		case 3:
			h.Set("Cache-Control", "no-cache")
		default:
			h.Set("Cache-Control", "no-store")
		}
		if r.Header.Get("If-None-Match") == h.Get("ETag") {
			w.WriteHeader(304)
			return
		}
		if n%3 > 0 {
			h.Set("Content-Length", strconv.Itoa(len(body)))
		}
		w.Write(body[:len(body)/2])
		switch {
		case n%31 == 0:
			w.(http.Flusher).Flush()
			time.Sleep(30 * time.Millisecond) // a slow origin
		case n%37 == 0 && rand.IntN(3) == 0:
			panic(http.ErrAbortHandler) // a dying one
		}
		w.Write(body[len(body)/2:])
	})}
	go server.Serve(ln)
	t.Cleanup(func() { server.Close() })
	return ln.Addr().String()
}

// TestSoak mixes everything for a while (TOPDOWN_SOAK, by default 2 s, in CI
// 30 s): hits, misses, validations, ranges, clients that leave, origins that are
// slow or die, big bodies, thousands of URLs, in a store that is too small.
// Every body is checked by its content; at the end nothing may have grown.
func TestSoak(t *testing.T) {
	t.Parallel()
	duration := 2 * time.Second
	if os.Getenv("TOPDOWN_REQUIRE_REAL") == "1" {
		duration = 30 * time.Second
	}
	if d, err := time.ParseDuration(os.Getenv("TOPDOWN_SOAK")); err == nil {
		duration = d
	}
	const size = 64 << 20
	var version atomic.Int64
	origin := startSoakOrigin(t, &version)
	dir := t.TempDir()
	p := start(t, nil, "--addr", "127.0.0.1:0", "--cache-dir", dir, "--cache-size", "64MiB", "--access-log", "off", "--metrics-addr", "127.0.0.1:0")
	_, rest, _ := strings.Cut(p.stdout.String(), "status:")
	metricsURL := strings.TrimSpace(strings.SplitN(rest, "\n", 2)[0]) + "metrics"
	var exchanges, hits, cut atomic.Int64
	mix := func(until time.Time) {
		var clients sync.WaitGroup
		for worker := range 8 {
			clients.Go(func() {
				r := rand.New(rand.NewPCG(uint64(worker), uint64(until.UnixNano())))
				zipf := rand.NewZipf(r, 1.1, 8, 4000)
				for time.Now().Before(until) {
					soakExchange(t, p.addr, origin, int(zipf.Uint64()), int(version.Load()), r, &exchanges, &hits, &cut)
				}
			})
		}
		clients.Wait()
	}
	figure := func(name string) float64 {
		t.Helper()
		resp, err := http.Get(metricsURL)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		for line := range strings.Lines(string(text)) {
			if value, ok := strings.CutPrefix(line, "proxyserver_"+name+" "); ok {
				number, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
				if err != nil {
					t.Fatal(err)
				}
				return number
			}
		}
		t.Fatalf("no metric %s", name)
		return 0
	}
	settled := func() (goroutines, descriptors, memory int) {
		settle(t, "clients left", 1, func() int { return int(figure("clients")) })
		entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid))
		if err != nil {
			entries = nil
		}
		return int(figure("goroutines")), len(entries), int(figure("memory_bytes"))
	}
	begin := time.Now()
	mix(begin.Add(duration / 4)) // pools and the store are full now
	goroutines, descriptors, memory := settled()
	largest := int64(0)
	watched := make(chan struct{})
	stopWatching := make(chan struct{})
	go func() {
		defer close(watched)
		for ticker := time.NewTicker(200 * time.Millisecond); ; {
			select {
			case <-stopWatching:
				return
			case <-ticker.C:
				thaw := p.freeze(t)
				largest = max(largest, onDisk(dir))
				thaw()
			}
		}
	}()
	for i := range 3 {
		if i == 1 {
			version.Add(1) // everything changes at the origin
		}
		mix(time.Now().Add(duration / 4))
	}
	close(stopWatching)
	<-watched
	moreGoroutines, moreDescriptors, moreMemory := settled()
	t.Logf("%d exchanges, %d hits, %d cut; store at most %d MiB; goroutines %d -> %d, descriptors %d -> %d, memory %d -> %d MiB",
		exchanges.Load(), hits.Load(), cut.Load(), largest>>20, goroutines, moreGoroutines, descriptors, moreDescriptors, memory>>20, moreMemory>>20)
	if largest > size {
		t.Errorf("the store had %d bytes on disk, %d more than its limit", largest, largest-size)
	}
	if moreGoroutines > goroutines+64 {
		t.Errorf("goroutines: %d, then %d", goroutines, moreGoroutines)
	}
	if moreDescriptors > descriptors+160 {
		t.Errorf("descriptors: %d, then %d", descriptors, moreDescriptors)
	}
	if moreMemory > memory+96<<20 {
		t.Errorf("memory: %d MiB, then %d MiB", memory>>20, moreMemory>>20)
	}
	if hits.Load() == 0 || exchanges.Load() < 100 {
		t.Errorf("%d exchanges, %d hits: that is no soak", exchanges.Load(), hits.Load())
	}
	if text := p.stderr.String(); text != "" {
		t.Errorf("the proxy complains:\n%s", text)
	}
}

// onDisk returns the bytes of all blocks below dir, folders included. A walk is no
// snapshot: what is renamed meanwhile is counted in both places.
func onDisk(dir string) (total int64) {
	filepath.WalkDir(dir, func(_ string, entry os.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if info, err := entry.Info(); err == nil {
			total += (info.Size() + 4095) / 4096 * 4096
		}
		return nil
	})
	return total
}

// soakExchange asks for /n in one of several ways and checks what comes.
func soakExchange(t *testing.T, proxy, origin string, n, version int, r *rand.Rand, exchanges, hits, cut *atomic.Int64) {
	t.Helper()
	conn, err := net.Dial("tcp", proxy)
	if err != nil {
		return
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	in := bufio.NewReader(conn)
	for range 4 {
		first, ranged := 0, r.IntN(8) == 0
		field := ""
		if ranged {
			first = r.IntN(200)
			field = fmt.Sprintf("Range: bytes=%d-\r\n", first)
		}
		if r.IntN(20) == 0 {
			field += "Cache-Control: no-cache\r\n"
		}
		fmt.Fprintf(conn, "GET http://%s/%d HTTP/1.1\r\nHost: x\r\n%s\r\n", origin, n, field)
		if r.IntN(12) == 0 {
			return // a client that leaves
		}
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			cut.Add(1)
			return
		}
		if r.IntN(12) == 0 {
			io.CopyN(io.Discard, resp.Body, 100)
			return // one that leaves in the middle
		}
		got, err := io.ReadAll(resp.Body)
		exchanges.Add(1)
		if err != nil || resp.StatusCode == 502 {
			cut.Add(1)
			return
		}
		seen, _ := strconv.Atoi(resp.Header.Get("X-Version"))
		want := soakBody(n, seen)
		switch resp.StatusCode {
		case 200:
		case 206:
			want = want[first:]
		default:
			t.Errorf("/%d: status %d", n, resp.StatusCode)
			return
		}
		if string(got) != string(want) || seen > version+1 {
			t.Errorf("/%d, version %d: %d bytes, and not those of the origin", n, seen, len(got))
		}
		if strings.Contains(resp.Header.Get("Cache-Status"), "; hit") {
			hits.Add(1)
		}
	}
}
