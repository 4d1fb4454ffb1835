//go:build unix

package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// needFiles makes sure that this process may hold n files open.
func needFiles(t *testing.T, n uint64) {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if limit.Cur >= n {
		return
	}
	limit.Cur = n
	limit.Max = max(limit.Max, n)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		require(t, fmt.Sprintf("this process may not open %d files: %v", n, err))
	}
}

// TestSlowClients: slowhttptest holds 1,000 connections with slow heads, slow
// bodies and slow reading; another client is served throughout, 98 % of the time in
// under 100 ms. A second server without such company is asked in turn: where it is
// slow too, the machine is.
func TestSlowClients(t *testing.T) {
	path := realPeer(t, "slowhttptest")
	needFiles(t, 4096)
	large := strings.Repeat("a large page for those who read slowly\n", 30_000)
	const limit = 100 * time.Millisecond
	for _, mode := range []struct {
		name string
		args []string
	}{
		{"slow heads", []string{"-H", "-i", "1"}},
		{"slow bodies", []string{"-B", "-i", "1", "-s", "100000", "-t", "POST"}},
		{"slow reading", []string{"-X", "-w", "256", "-y", "512", "-n", "1", "-z", "16", "-k", "1"}},
	} {
		t.Run(mode.name, func(t *testing.T) {
			// A busy machine is late now and then, a server that is held up each time.
			late := 0
			for range 3 {
				if late = beside(t, path, large, limit, mode.args); late <= 0 {
					return
				}
			}
			t.Errorf("%d requests too many took more than %v, and not by the machine's fault", late, limit)
		})
	}
}

// beside has slowhttptest attack a server, and returns how many more requests beside it
// took longer than limit than a machine may be to blame for: those of a server that
// nobody attacks say how busy it is.
func beside(t *testing.T, path, large string, limit time.Duration, args []string) (late int) {
	t.Helper()
	root := writeTree(t, map[string]string{"large.html": large})
	s, control := start(t, "--root", root), start(t, "--root", root)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	report := newOutput()
	seconds := fmt.Sprint(often(4, 10))
	cmd := exec.CommandContext(ctx, path, append(args, "-c", "1000", "-r", "500", "-l", seconds, "-p", "2", "-u", s.url("/large.html"))...)
	cmd.Stdout, cmd.Stderr = report, report
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }()
	var took []time.Duration
	most, noise := 0, 0
	for running := true; running; {
		began := time.Now()
		control.alive(t)
		if time.Since(began) > limit/2 {
			noise++
		}
		began = time.Now()
		s.alive(t)
		took = append(took, time.Since(began))
		if took[len(took)-1] > limit {
			late++
		}
		most = max(most, established(t, s))
		select {
		case <-done:
			running = false
		case <-time.After(20 * time.Millisecond):
		}
	}
	if most < 900 {
		t.Logf("slowhttptest held %d connections at most, want 1,000:\n%s", most, report)
		return len(took) // nothing is shown by that
	}
	slices.Sort(took)
	n := len(took)
	t.Logf("%d requests beside %d slow connections: median %v, 99 %% %v, slowest %v; %d over %v, %d of the control over %v",
		n, most, took[n/2], took[n*99/100], took[n-1], late, limit, noise, limit/2)
	if raceEnabled {
		return 0
	}
	return late - noise - n/50
}

// established counts the connections of the server.
func established(t *testing.T, s *server) int {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.cmd.Process.Pid))
	if err != nil {
		t.Skip("no /proc here")
	}
	return len(entries)
}

// TestIdleConnections holds 10,000 connections that were served once. The
// server goes on to answer and spends less than 8 KiB on each.
func TestIdleConnections(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc")
	}
	const n = 10_000
	needFiles(t, n+1000)
	s := start(t, "--root", writeTree(t, nil), "--idle-timeout", "10m")
	warm := func(workers, requests int) {
		var wg sync.WaitGroup
		for range workers {
			wg.Go(func() {
				for range requests {
					conn, err := s.connect()
					if err != nil {
						t.Error(err)
						return
					}
					c := newClient(conn)
					c.send(request("GET", "/alive.txt"))
					if _, err := c.read("GET"); err != nil {
						t.Error(err)
					}
					conn.Close()
				}
			})
		}
		wg.Wait()
	}
	warm(8, 25)
	before := s.rss(t)
	conns := make([]net.Conn, n)
	var wg sync.WaitGroup
	const workers = 16
	for w := range workers {
		wg.Go(func() {
			buf := make([]byte, 4096)
			for i := w; i < n; i += workers {
				conn, err := s.connect()
				if err != nil {
					t.Errorf("connection %d: %v", i, err)
					return
				}
				conns[i] = conn
				_ = conn.SetDeadline(time.Now().Add(patience))
				if _, err := io.WriteString(conn, request("GET", "/alive.txt")); err != nil {
					t.Errorf("connection %d: %v", i, err)
				}
				if k, err := conn.Read(buf); err != nil || !strings.HasPrefix(string(buf[:k]), "HTTP/1.1 200 ") {
					t.Errorf("connection %d: %q %v", i, buf[:k], err)
				}
			}
		})
	}
	wg.Wait()
	defer func() {
		for _, c := range conns {
			if c != nil {
				c.Close()
			}
		}
	}()
	if t.Failed() {
		return
	}
	s.alive(t)
	if got := established(t, s); got < n {
		t.Errorf("the server holds %d files, want %d connections", got, n)
	}
	// Every one of them is still good.
	for i := 0; i < n; i += 97 {
		_ = conns[i].SetDeadline(time.Now().Add(patience))
		c := newClient(conns[i])
		c.send(request("GET", "/alive.txt"))
		if r := c.mustRead(t, "GET"); r.StatusCode != 200 {
			t.Fatalf("connection %d: %s", i, r.Status)
		}
	}
	each := 0
	fits := within(15*time.Second, func() bool {
		each = (s.rss(t) - before) / n
		return each < 8<<10
	})
	t.Logf("%d bytes of memory for each idle connection, %d KiB before", each, before>>10)
	if !fits && !raceEnabled {
		t.Errorf("%d bytes of memory for each idle connection, want less than 8 KiB", each)
	}
}

// rss returns the resident memory of the server in bytes.
func (s *server) rss(t *testing.T) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(b)
	if m == nil {
		t.Fatalf("no VmRSS in %s", b)
	}
	kib, err := strconv.Atoi(string(m[1]))
	if err != nil {
		t.Fatal(err)
	}
	return kib << 10
}

// TestGoAccess: the real log analyser reads a log of everything that can
// happen without a line that it cannot parse.
func TestGoAccess(t *testing.T) {
	t.Parallel()
	path := realPeer(t, "goaccess")
	dir := t.TempDir()
	log := filepath.Join(dir, "access.log")
	s := start(t, "--root", oddRoot(t), "--access-log", log)
	for _, agent := range []string{"curl/8.0", `quote " backslash \`, "", "\xff\xfe", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36", strings.Repeat("x", 5000), "ünï", "tab\there"} {
		for _, referer := range []string{"http://a.example/x?y", "", `"`, "-"} {
			s.get(t, "/alive.txt", "User-Agent: "+agent, "Referer: "+referer)
		}
	}
	for _, target := range []string{
		"/", "/dir", "/missing", "/%00", "/secret.txt", "/with%20space.txt", `/quo"te`, `/back\slash`, "/%22", "/ünï", "/\xff", "/..", "*",
		"http://x/alive.txt", "/[x]", "/alive.txt?a=%22b%22&c=\"d\"", "/" + strings.Repeat("a", 7000), "/" + strings.Repeat("a", 100_000),
	} {
		s.get(t, target)
		s.exchange(t, request("HEAD", target))
	}
	for _, fields := range [][]string{{"Range: bytes=0-1"}, {"Range: bytes=999-"}, {`If-Match: "x"`}, {"If-None-Match: *"}, {"Expect: x"}, {"Bad : field"}} {
		s.get(t, "/alive.txt", fields...)
	}
	for _, wire := range []string{
		"nonsense\r\n\r\n", "GET /alive.txt\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03\r\n\r\n",
		"GET /alive.txt HTTP/1.0\r\n\r\n", request("DELETE", "/alive.txt"), request("FROB", "/alive.txt"), request("OPTIONS", "*"),
		post("/alive.txt", urlencoded, "a=b"), request("POST", "/alive.txt", "Content-Length: 99999999999"), "GET /\x1b[31m HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		s.exchange(t, wire)
	}
	s.signal(t, syscall.SIGTERM)
	s.exit(t)
	b, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Count(string(b), "\n")
	if lines < 85 {
		t.Errorf("%d lines in the log", lines)
	}
	report, invalid := filepath.Join(dir, "report.json"), filepath.Join(dir, "invalid.log")
	cmd := exec.Command(path, log, "--log-format=COMBINED", "--no-global-config", "--no-progress", "--invalid-requests="+invalid, "-o", report)
	cmd.Env = append(os.Environ(), "HOME="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("goaccess: %v\n%s", err, out)
	}
	text, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	var result struct {
		General struct {
			Total  int `json:"total_requests"`
			Valid  int `json:"valid_requests"`
			Failed int `json:"failed_requests"`
		} `json:"general"`
	}
	if err := json.Unmarshal(text, &result); err != nil {
		t.Fatal(err)
	}
	if result.General.Failed != 0 || result.General.Valid != lines || result.General.Total != lines {
		bad, _ := os.ReadFile(invalid)
		t.Errorf("of %d lines goaccess took %d and refused %d:\n%q", lines, result.General.Valid, result.General.Failed, bad)
	}
}
