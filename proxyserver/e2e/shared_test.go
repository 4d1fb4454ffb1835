//go:build !windows

package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"topdown/proxyserver/internal/redistest"
)

// sharing is three proxies, one engine that asks for a password, one origin.
type sharing struct {
	t       *testing.T
	engine  *redistest.Engine
	args    []string
	proxies []*running
	dirs    []string
	origin  *httptest.Server
	asked   atomic.Int64
	slow    atomic.Int64 // milliseconds
}

const enginePassword = "open sesame"

func startSharing(t *testing.T) *sharing {
	t.Helper()
	engine, overTLS := redistest.StartTLS(t)
	s := &sharing{t: t, engine: engine}
	s.engine.CLI("CONFIG", "SET", "requirepass", enginePassword)
	s.origin = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := s.asked.Add(1)
		select {
		case <-time.After(time.Duration(s.slow.Load()) * time.Millisecond):
		case <-r.Context().Done():
			return
		}
		w.Header().Set("Cache-Control", "max-age=60")
		fmt.Fprintf(w, "%s %d\n%s", r.URL.Path, n, strings.Repeat("x", 100_000))
	}))
	t.Cleanup(s.origin.Close)
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(enginePassword+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.args = []string{"--store", "rediss://" + overTLS.Addr + "?prefix=e2e:", "--store-password-file", file, "--store-ca-file", overTLS.CAFile}
	for i := range 3 {
		dir := t.TempDir()
		s.dirs = append(s.dirs, dir)
		args, env := s.args, []string(nil)
		if i == 1 {
			args, env = s.args[4:], []string{"PROXYSERVER_STORE=rediss://:open%20sesame@" + overTLS.Addr + "?prefix=e2e:"}
		}
		// The machine may be busy with other tests, the engine with it.
		s.proxies = append(s.proxies, start(t, env, append(slices.Clip(args), "--store-timeout", "2s",
			"--cache-dir", dir, "--access-log", "off", "--metrics-addr", "127.0.0.1:0", "0")...))
	}
	return s
}

// get asks a proxy and returns the first line of the content and what the cache
// says of it.
func (s *sharing) get(proxy int, path string) (line, status string) {
	s.t.Helper()
	through, err := url.Parse("http://" + s.proxies[proxy].addr)
	if err != nil {
		s.t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(through), DisableKeepAlives: true}, Timeout: patience}
	resp, err := client.Get(s.origin.URL + path)
	if err != nil {
		s.t.Errorf("proxy %d: %v", proxy, err)
		return "", ""
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		s.t.Errorf("proxy %d: %s, %v", proxy, resp.Status, err)
	}
	line, rest, _ := strings.Cut(string(content), "\n")
	if rest != strings.Repeat("x", 100_000) || !strings.HasPrefix(line, path+" ") {
		s.t.Errorf("proxy %d: wrong content of %d bytes: %q", proxy, len(content), line)
	}
	return line, resp.Header.Get("Cache-Status")
}

var statusLine = regexp.MustCompile(`status: +(http://\S+)`)

// metric returns a metric of a proxy.
func (s *sharing) metric(proxy int, name string) string {
	s.t.Helper()
	at := statusLine.FindStringSubmatch(s.proxies[proxy].stdout.String())
	if at == nil {
		s.t.Fatalf("no status page: %s", s.proxies[proxy].stdout)
	}
	resp, err := http.Get(at[1] + "metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	match := regexp.MustCompile(`(?m)^` + name + ` (\S+)$`).FindSubmatch(text)
	if match == nil {
		s.t.Fatalf("no metric %s", name)
	}
	return string(match[1])
}

// Three proxies and one Redis: what one has fetched the others have, and what
// is purged on one is gone on all, also on one that stood still meanwhile.
func TestThreeProxies(t *testing.T) {
	s := startSharing(t)
	first, _ := s.get(0, "/page")
	for proxy := range 3 {
		if line, status := s.get(proxy, "/page"); line != first || !strings.Contains(status, "hit") {
			t.Errorf("proxy %d: %q, %s, want a hit on %q", proxy, line, status, first)
		}
	}
	if n := s.asked.Load(); n != 1 {
		t.Errorf("the origin was asked %d times, want once", n)
	}

	s.slow.Store(200)
	s.asked.Store(0)
	var clients sync.WaitGroup
	for i := range 60 {
		clients.Go(func() { s.get(i%3, "/cold") })
	}
	clients.Wait()
	if n := s.asked.Load(); n != 1 {
		t.Errorf("for 60 clients the origin was asked %d times, want once", n)
	}
	s.slow.Store(0)

	program := program(t)
	command := func(words ...string) string {
		t.Helper()
		out, err := startOutput(program, append([]string{"--cache-dir", s.dirs[0]}, append(s.args, words...)...))
		if err != nil {
			t.Errorf("%q: %v: %s", words, err, out)
		}
		return out
	}
	if out := command("cache", "list"); !strings.Contains(out, s.origin.URL+"/page") || !strings.Contains(out, s.origin.URL+"/cold") {
		t.Errorf("cache list:\n%s", out)
	}
	if out := command("cache", "show", s.origin.URL+"/page"); !strings.Contains(out, "e2e:h:{") || !strings.Contains(out, "Cache-Control: max-age=60") {
		t.Errorf("cache show:\n%s", out)
	}
	// From a directory that no proxy has open the engine is asked directly.
	if out, err := startOutput(program, append([]string{"--cache-dir", t.TempDir()}, append(s.args, "cache", "list")...)); err != nil ||
		!strings.Contains(out, s.origin.URL+"/page") {
		t.Errorf("cache list without a proxy: %v\n%s", err, out)
	}
	s.get(2, "/page")
	s.proxies[2].cmd.Process.Signal(syscall.SIGSTOP)
	stopped := time.Now()
	if out := command("cache", "purge", s.origin.URL+"/page"); !strings.HasPrefix(out, "removed 1 ") {
		t.Errorf("cache purge: %s", out)
	}
	// One that stood still for less may not have read yet what it was told.
	time.Sleep(time.Until(stopped.Add(500 * time.Millisecond)))
	s.proxies[2].cmd.Process.Signal(syscall.SIGCONT)
	second, _ := s.get(2, "/page")
	if second == first {
		t.Error("a proxy that stood still serves what was purged meanwhile")
	}
	for proxy := range 3 {
		if line, _ := s.get(proxy, "/page"); line != second {
			t.Errorf("proxy %d: %q after the purge, want %q", proxy, line, second)
		}
	}

	// A proxy that dies with the right to fetch holds up the others for the
	// lease's life at most.
	s.slow.Store(60_000)
	clients.Go(func() {
		resp, err := (&http.Client{Transport: &http.Transport{Proxy: func(*http.Request) (*url.URL, error) {
			return url.Parse("http://" + s.proxies[2].addr)
		}}}).Get(s.origin.URL + "/orphan")
		if err == nil {
			resp.Body.Close()
		}
	})
	asked := s.asked.Load()
	waitFor(t, "the origin to be asked", func() bool { return s.asked.Load() > asked })
	s.slow.Store(0)
	s.proxies[2].cmd.Process.Kill()
	clients.Wait()
	began := time.Now()
	s.get(0, "/orphan")
	if took := time.Since(began); took > 20*time.Second { // 3 s, and what a busy machine adds
		t.Errorf("waited %v for a proxy that is dead", took)
	}

	// The engine dies and comes back empty: no request fails.
	if up := s.metric(0, "proxyserver_shared_store_up"); up != "1" {
		t.Errorf("shared store up: %s", up)
	}
	known, _ := s.get(0, "/page")
	s.engine.Kill()
	for proxy := range 2 {
		waitFor(t, "the outage to be noticed", func() bool { return s.metric(proxy, "proxyserver_shared_store_up") == "0" })
	}
	if line, status := s.get(0, "/page"); line != known || !strings.Contains(status, "hit") {
		t.Errorf("in an outage: %q, %s, want a hit", line, status)
	}
	s.get(0, "/new")
	if _, status := s.get(0, "/new"); !strings.Contains(status, "hit") {
		t.Errorf("in an outage: %s, want a hit", status)
	}
	s.engine.Start()
	s.engine.CLI("CONFIG", "SET", "requirepass", enginePassword)
	waitFor(t, "the outage to end", func() bool { return s.metric(0, "proxyserver_shared_store_up") == "1" })
	s.get(0, "/page")
	for i, p := range s.proxies[:2] {
		log := p.stderr.String()
		if strings.Count(log, "shared store is down") != 1 || strings.Contains(log, "sesame") {
			t.Errorf("proxy %d: its log:\n%s", i, log)
		}
	}
}

// startOutput runs a command to its end.
func startOutput(program string, args []string) (string, error) {
	cmd := exec.Command(program, args...)
	cmd.Env = []string{}
	out, err := cmd.CombinedOutput()
	return string(out), err
}
