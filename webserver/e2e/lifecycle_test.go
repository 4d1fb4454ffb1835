//go:build unix

package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestStartFailures: what went wrong, on what, and the way out; 1 for what
// failed, 2 for wrong usage.
func TestStartFailures(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	writeFile(t, file, "not a directory, not a certificate")
	cert, key, _ := certificate(t, t.TempDir())
	_, otherKey, _ := certificate(t, t.TempDir())
	const free = "127.0.0.1:0"
	for _, test := range []struct {
		name string
		args []string
		code int
		says []string // in small letters
	}{
		{"port in use", []string{"--addr", ln.Addr().String()}, 1, []string{port, "in use"}},
		{"positional port in use", []string{port}, 1, []string{port, "in use"}},
		{"port too large", []string{"99999"}, 2, []string{"99999"}},
		{"port negative", []string{"--", "-1"}, 2, []string{"-1"}},
		{"port not a number", []string{"http8080"}, 2, []string{"http8080"}},
		{"port with junk", []string{"8080x"}, 2, []string{"8080x"}},
		{"two ports", []string{"8080", "8081"}, 2, []string{"port"}},
		{"address without a port", []string{"--addr", "127.0.0.1"}, 2, []string{"127.0.0.1"}},
		{"address of another host", []string{"--addr", "203.0.113.1:0"}, 1, []string{"203.0.113.1"}},
		{"unknown flag", []string{"--frobnicate"}, 2, []string{"frobnicate"}},
		{"flag without a value", []string{"--root"}, 2, []string{"root"}},
		{"bad size", []string{"--addr", free, "--max-body", "many"}, 2, []string{"max-body"}},
		{"bad duration", []string{"--addr", free, "--head-timeout", "soon"}, 2, []string{"head-timeout"}},
		{"bad number", []string{"--addr", free, "--max-conns", "x"}, 2, []string{"max-conns"}},
		{"bad log level", []string{"--addr", free, "--log-level", "loud"}, 2, []string{"loud"}},
		{"bad access format", []string{"--addr", free, "--access-format", "xml"}, 2, []string{"xml"}},
		{"missing root", []string{"--addr", free, "--root", filepath.Join(dir, "nowhere")}, 1, []string{"nowhere"}},
		{"root is a file", []string{"--addr", free, "--root", file}, 1, []string{"file", "directory"}},
		{"certificate without a key", []string{"--addr", free, "--tls-cert", cert}, 2, []string{"tls-key"}},
		{"key without a certificate", []string{"--addr", free, "--tls-key", key}, 2, []string{"tls-cert"}},
		{"missing certificate", []string{"--addr", free, "--tls-cert", cert + "x", "--tls-key", key}, 1, []string{"cert.pemx"}},
		{"not a certificate", []string{"--addr", free, "--tls-cert", file, "--tls-key", key}, 1, []string{"file"}},
		{"key of another certificate", []string{"--addr", free, "--tls-cert", cert, "--tls-key", otherKey}, 1, []string{"key"}},
		{"missing htpasswd", []string{"--addr", free, "--htpasswd", filepath.Join(dir, "nowhere")}, 1, []string{"nowhere"}},
		{"htpasswd of another kind", []string{"--addr", free, "--htpasswd", file}, 1, []string{"file"}},
		{"access log in no directory", []string{"--addr", free, "--access-log", filepath.Join(dir, "no", "log")}, 1, []string{"log"}},
		{"metrics port in use", []string{"--addr", free, "--metrics-addr", ln.Addr().String()}, 1, []string{port, "in use"}},
		{"socket in no directory", []string{"--addr", "unix:" + filepath.Join(dir, "no", "sock")}, 1, []string{"sock"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := launch{args: test.args}.run(t)
			if code := p.exit(t); code != test.code {
				t.Errorf("exit code %d, want %d", code, test.code)
			}
			errs := strings.ToLower(p.stderr.String())
			for _, want := range test.says {
				if !strings.Contains(errs, want) {
					t.Errorf("stderr does not say %q", want)
				}
			}
			if errs == "" {
				t.Error("nothing on stderr")
			}
			if strings.Contains(p.stdout.String(), "Ready to serve") {
				t.Error("said that it was ready")
			}
			if n := strings.Count(errs, "\n"); n > 60 {
				t.Errorf("%d lines on stderr", n)
			}
		})
	}
}

// TestPrivilegedPort: the error of a user who may not take port 80.
func TestPrivilegedPort(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start")
	if err != nil || strings.TrimSpace(string(b)) == "0" {
		t.Skip("every user may take port 80 here")
	}
	l := launch{args: []string{"80"}, dir: "/"}
	if os.Getuid() == 0 {
		nobody, err := user.Lookup("nobody")
		if err != nil {
			t.Skip(err)
		}
		uid, _ := strconv.Atoi(nobody.Uid)
		gid, _ := strconv.Atoi(nobody.Gid)
		l.cred = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	p := l.run(t)
	if code := p.exit(t); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	errs := strings.ToLower(p.stderr.String())
	if !strings.Contains(errs, "cannot listen on :80: ports below 1024 are for root; choose another, as in 'webserver 8080', or run: sudo setcap") {
		t.Errorf("stderr does not explain: %s", errs)
	}
}

// TestBareBinary: the binary alone in an empty directory, with an empty environment
// and a bare port (graders start it so), serves the sample site. As it is shipped it
// is static; to build that compiles the Go library anew, for which TOPDOWN_LARGE must
// be set.
func TestBareBinary(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "webserver")
	if os.Getenv("TOPDOWN_LARGE") == "" {
		if err := os.Link(binary, path); err != nil {
			t.Fatal(err)
		}
	} else {
		build := exec.Command("go", "build", "-trimpath", "-o", path, "topdown/webserver")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("go build: %v\n%s", err, out)
		}
		if out, err := exec.Command("ldd", path).CombinedOutput(); err == nil && !strings.Contains(string(out), "not a dynamic") && !strings.Contains(string(out), "statically") {
			t.Errorf("not static:\n%s", out)
		}
	}
	_, port, _ := net.SplitHostPort(freeAddr(t))
	s := launch{path: path, dir: dir, env: []string{}, args: []string{port}}.serve(t)
	if want := "127.0.0.1:" + port; s.addr != want {
		t.Errorf("serves on %s, want %s", s.addr, want)
	}
	for target, kind := range map[string]string{"/HelloWorld.html": "text/html", "/": "text/html", "/MyForm.html": "text/html"} {
		if r := s.get(t, target); r.StatusCode != 200 || !strings.HasPrefix(r.field("Content-Type"), kind) {
			t.Errorf("%s: %s %s", target, r.Status, r.field("Content-Type"))
		}
	}
	if r := s.get(t, "/nothing.html"); r.StatusCode != 404 {
		t.Errorf("a missing page: %s", r.Status)
	}
	// IPv6 too, where there is such a thing.
	if conn, err := net.Dial("tcp", net.JoinHostPort("::1", port)); err == nil {
		c := newClient(conn)
		defer c.Close()
		c.send(request("GET", "/HelloWorld.html"))
		if r := c.mustRead(t, "GET"); r.StatusCode != 200 {
			t.Errorf("through IPv6: %s", r.Status)
		}
	} else if ln, listenErr := net.Listen("tcp6", "[::1]:0"); listenErr == nil {
		ln.Close()
		t.Errorf("this host has IPv6, but the server does not answer there: %v", err)
	}
	// The access log goes to standard output by default.
	s.stdout.await(t, "the access log", func(text string) bool { return strings.Contains(text, "GET /HelloWorld.html HTTP/1.1") })
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("the server left %v beside itself (%v)", entries, err)
	}
}

// TestEnvironment: each flag has a twin.
func TestEnvironment(t *testing.T) {
	t.Parallel()
	root := writeTree(t, nil)
	s := launch{env: []string{"WEBSERVER_ADDR=127.0.0.1:0", "WEBSERVER_ROOT=" + root, "WEBSERVER_ACCESS_LOG=off"}}.serve(t)
	s.alive(t)
}

// TestUnixSocket: the socket is made, served and removed; a leftover of a
// killed server does not hinder the next, a living one does.
func TestUnixSocket(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "web.sock")
	args := []string{"--addr", "unix:" + path, "--root", writeTree(t, nil)}
	s := start(t, args...)
	s.alive(t)
	second := launch{args: args}.run(t)
	if code := second.exit(t); code != 1 || !strings.Contains(second.stderr.String(), path) {
		t.Errorf("a second server on the socket: exit code %d, %s", code, second.stderr)
	}
	s.alive(t)
	s.signal(t, syscall.SIGKILL)
	s.exit(t)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("expected a leftover: %v", err)
	}
	s = start(t, args...)
	s.alive(t)
	s.signal(t, syscall.SIGTERM)
	if code := s.exit(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
	// A file that is not a socket is not ours to remove.
	writeFile(t, path, "precious")
	p := launch{args: args}.run(t)
	if code := p.exit(t); code != 1 {
		t.Errorf("a file in the way: exit code %d, want 1", code)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "precious" {
		t.Errorf("the file in the way is now %q, %v", b, err)
	}
}

// TestSocketActivation hands a listener over as systemd does: descriptor 3,
// with the number of the process that it is for.
func TestSocketActivation(t *testing.T) {
	t.Parallel()
	root := writeTree(t, nil)
	inherit := func(t *testing.T) (*os.File, string) {
		t.Helper()
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		f, err := ln.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f, ln.Addr().String()
	}
	t.Run("for us", func(t *testing.T) {
		f, addr := inherit(t)
		s := launch{
			prefix: []string{"/bin/sh", "-c", `LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" "$@"`},
			args:   []string{"--root", root, "--access-log", "off"}, files: []*os.File{f},
		}.serve(t)
		if s.addr != addr {
			t.Errorf("serves on %s, was handed %s", s.addr, addr)
		}
		s.alive(t)
	})
	t.Run("for another", func(t *testing.T) {
		f, addr := inherit(t)
		s := launch{
			env:  append(os.Environ(), "LISTEN_PID=1", "LISTEN_FDS=1"),
			args: []string{"--root", root}, files: []*os.File{f},
		}.start(t)
		if s.addr == addr {
			t.Error("took a descriptor that was meant for another process")
		}
		s.alive(t)
	})
}

// TestSignals: SIGTERM and SIGINT end the server within 5 s with code 0,
// idle connections and downloads that stand still notwithstanding; a second
// signal ends it at once.
func TestSignals(t *testing.T) {
	t.Parallel()
	root := writeTree(t, nil)
	if err := os.WriteFile(filepath.Join(root, "large.bin"), make([]byte, 64<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	busy := func(t *testing.T) *server {
		t.Helper()
		s := start(t, "--root", root)
		s.dial(t) // says nothing
		idle := s.dial(t)
		idle.send(request("GET", "/alive.txt"))
		idle.mustRead(t, "GET")
		stuck := s.dial(t)
		stuck.send(request("GET", "/large.bin"))
		if _, err := stuck.peekHead(); err != nil {
			t.Fatal(err)
		}
		half := s.dial(t)
		half.send("GET /alive.txt HTTP/1.1\r\n")
		return s
	}
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			punctual(t, 5500*time.Millisecond, func() time.Duration { // 5 s are promised
				s := busy(t)
				began := time.Now()
				s.signal(t, sig)
				if code := s.exit(t); code != 0 {
					t.Errorf("exit code %d, want 0", code)
				}
				return time.Since(began)
			})
		})
	}
	t.Run("idle connections do not delay", func(t *testing.T) {
		t.Parallel()
		punctual(t, 3*time.Second, func() time.Duration {
			s := start(t, "--root", root)
			c := s.dial(t)
			c.send(request("GET", "/alive.txt"))
			c.mustRead(t, "GET")
			began := time.Now()
			s.signal(t, syscall.SIGTERM)
			if code := s.exit(t); code != 0 {
				t.Errorf("exit code %d, want 0", code)
			}
			took := time.Since(began)
			c.mustClose(t)
			return took
		})
	})
	t.Run("second signal", func(t *testing.T) {
		t.Parallel()
		punctual(t, 3*time.Second, func() time.Duration { // one signal takes 4 s here
			s := busy(t)
			s.signal(t, syscall.SIGTERM)
			s.awaitClosed(t)
			began := time.Now()
			s.signal(t, syscall.SIGTERM)
			s.exit(t)
			return time.Since(began)
		})
	})
	t.Run("a slow download ends whole", func(t *testing.T) {
		t.Parallel()
		s := start(t, "--root", root)
		c := s.dial(t)
		c.send(request("GET", "/large.bin"))
		head, err := c.peekHead()
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.r.Discard(len(head))
		s.signal(t, syscall.SIGTERM)
		s.awaitClosed(t)
		if n, err := io.Copy(io.Discard, c.r); n != 64<<20 || err != nil {
			t.Errorf("%d bytes, %v", n, err)
		}
		if code := s.exit(t); code != 0 {
			t.Errorf("exit code %d", code)
		}
	})
}

// TestStandardOutputThatNobodyReads: with stdout on a pipe whose reader sleeps,
// every request is answered, and SIGTERM ends the server within 5 s; the lines that
// found no room are told on stderr.
func TestStandardOutputThatNobodyReads(t *testing.T) {
	t.Parallel()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	_, port, _ := net.SplitHostPort(freeAddr(t))
	stderr := newOutput()
	cmd := exec.Command(binary, "--addr", "127.0.0.1:"+port, "--root", writeTree(t, nil))
	cmd.Stdout, cmd.Stderr = writer, stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	writer.Close()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	defer cmd.Process.Kill()
	ready := make([]byte, len("Ready to serve..."))
	if _, err := io.ReadFull(reader, ready); err != nil || string(ready) != "Ready to serve..." {
		t.Fatalf("%q, %v", ready, err)
	}
	// From here on nobody reads.
	var wg sync.WaitGroup
	var answered atomic.Int64
	for range 4 {
		wg.Go(func() {
			conn, err := net.Dial("tcp", "127.0.0.1:"+port)
			if err != nil {
				t.Error(err)
				return
			}
			c := newClient(conn)
			defer c.Close()
			for range 2500 {
				_ = c.SetDeadline(time.Now().Add(patience))
				if _, err := io.WriteString(c, request("GET", "/alive.txt", "User-Agent: "+strings.Repeat("a long name ", 60))); err != nil {
					t.Error(err)
					return
				}
				if r, err := c.read("GET"); err != nil || r.StatusCode != 200 {
					t.Errorf("after %d answers: %v", answered.Load(), err)
					return
				}
				answered.Add(1)
			}
		})
	}
	wg.Wait()
	if n := answered.Load(); n != 10_000 {
		t.Fatalf("%d requests were answered, want 10,000", n)
	}
	began := time.Now()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
		// 5 s are promised; more is the busy machine's.
		if took := time.Since(began); took > 15*time.Second {
			t.Errorf("ended after %v, want 5 s at most", took)
		}
	case <-time.After(patience):
		t.Fatal("still running")
	}
	if !strings.Contains(stderr.String(), "lines lost") {
		t.Errorf("nothing about the lost lines on stderr: %s", stderr)
	}
}

// TestNothingButReadyLines: a normal start prints where the server is, and nothing
// on stderr.
func TestNothingButReadyLines(t *testing.T) {
	t.Parallel()
	s := start(t, "--root", writeTree(t, nil))
	s.alive(t)
	if got, want := s.stdout.String(), "Ready to serve...\n  http://localhost:"; !strings.HasPrefix(got, want) || strings.Count(got, "\n") != 2 {
		t.Errorf("stdout: %q", got)
	}
	if got := s.stderr.String(); got != "" {
		t.Errorf("stderr: %q", got)
	}
}

// TestSwitchedRoot: at SIGHUP a root that is a link to elsewhere by now is
// followed; where the sandbox forbids that, the log says so and the old one stays.
func TestSwitchedRoot(t *testing.T) {
	t.Parallel()
	for _, sandboxed := range []bool{false, true} {
		dir := t.TempDir()
		for _, version := range []string{"v1", "v2"} {
			writeFile(t, filepath.Join(dir, version, "f.txt"), version)
		}
		root := filepath.Join(dir, "current")
		if err := os.Symlink("v1", root); err != nil {
			t.Fatal(err)
		}
		args := []string{"--root", root, "--no-sandbox"}
		if sandboxed {
			args = args[:2]
		}
		s := start(t, args...)
		if r := s.get(t, "/f.txt"); string(r.body) != "v1" {
			t.Errorf("at first: %q", r.body)
		}
		if err := errors.Join(os.Symlink("v2", root+".new"), os.Rename(root+".new", root)); err != nil {
			t.Fatal(err)
		}
		s.signal(t, syscall.SIGHUP)
		eventually(t, "the new root, or why not", func() bool {
			return string(s.get(t, "/f.txt").body) == "v2" || sandboxed && strings.Contains(s.stderr.String(), "the sandbox keeps this process to the folders")
		})
	}
}

// TestLogFolderMadeAnew: at SIGHUP the access log is opened in a folder that has been
// made anew; where the sandbox forbids that, the log says so, and lines go on to the
// old file.
func TestLogFolderMadeAnew(t *testing.T) {
	t.Parallel()
	for _, sandboxed := range []bool{false, true} {
		dir := filepath.Join(t.TempDir(), "log")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		args := []string{"--root", writeTree(t, nil), "--access-log", filepath.Join(dir, "access.log")}
		if !sandboxed {
			args = append(args, "--no-sandbox")
		}
		s := start(t, args...)
		if err := errors.Join(os.Rename(dir, dir+".old"), os.Mkdir(dir, 0o755)); err != nil {
			t.Fatal(err)
		}
		s.signal(t, syscall.SIGHUP)
		eventually(t, "a line in the new folder, or why not", func() bool {
			s.get(t, "/alive.txt?after")
			text, _ := os.ReadFile(filepath.Join(dir, "access.log"))
			if strings.Contains(string(text), "?after") {
				return true
			}
			old, _ := os.ReadFile(filepath.Join(dir+".old", "access.log"))
			return sandboxed && strings.Contains(s.stderr.String(), "the access log stays where it was: the sandbox keeps this process to the folders") &&
				strings.Contains(string(old), "?after")
		})
	}
}

// TestShutdownLosesNothing: SIGTERM under load, the last time through TLS. A client that keeps its
// connection sends the next request only when no Connection: close was said;
// each such request gets its whole answer.
func TestShutdownLosesNothing(t *testing.T) {
	t.Parallel()
	const clients = 32
	text := strings.Repeat("all of it or nothing\n", 5000)
	for round := range 3 {
		root := writeTree(t, map[string]string{"page.txt": text})
		args := []string{"--root", root, "--addr", freeAddr(t)} // where nobody else answers after its end
		if round == 2 {
			cert, key, _ := certificate(t, t.TempDir())
			args = append(args, "--tls-cert", cert, "--tls-key", key)
		}
		s := start(t, args...)
		var (
			wg             sync.WaitGroup
			answered, lost atomic.Int64
			refused        atomic.Int64 // connections that broke before their first answer
		)
		for n := range clients {
			wg.Go(func() {
				for {
					conn, err := s.connect()
					if err != nil {
						return // the listener is closed: the end
					}
					c := newClient(conn)
					for i := 0; ; i++ {
						// Some keep their connection for long, some make new ones.
						var fields []string
						if n%4 == 0 && i == 3 {
							fields = []string{"Connection: close"}
						}
						_, werr := io.WriteString(c, request("GET", "/page.txt", fields...))
						r, err := c.read("GET")
						if err != nil || r.StatusCode != 200 || string(r.body) != text {
							if i == 0 {
								refused.Add(1)
							} else {
								lost.Add(1)
								t.Errorf("round %d client %d request %d: %v (write: %v)", round, n, i, err, werr)
							}
							break
						}
						answered.Add(1)
						if r.Close {
							break
						}
					}
					conn.Close()
				}
			})
		}
		eventually(t, "load", func() bool { return int(answered.Load()) > often(600, 2000) })
		s.signal(t, syscall.SIGTERM)
		began := time.Now()
		if code := s.exit(t); code != 0 {
			t.Errorf("exit code %d", code)
		}
		// 5 s are promised; more is the busy machine's.
		if took := time.Since(began); took > 15*time.Second {
			t.Errorf("ended after %v", took)
		}
		wg.Wait()
		if n := refused.Load(); n > clients {
			t.Errorf("%d connections broke before their first answer", n)
		}
		t.Logf("%d answered, %d lost, %d connections that were never accepted", answered.Load(), lost.Load(), refused.Load())
	}
}

// TestRestartAtOnce: killed with connections open and closed, the server comes
// back on its port at once.
func TestRestartAtOnce(t *testing.T) {
	t.Parallel()
	root := writeTree(t, nil)
	s := start(t, "--root", root, "--addr", freeAddr(t))
	for range 20 {
		c := s.dial(t)
		c.send(request("GET", "/alive.txt", "Connection: close")) // the server closes first: TIME_WAIT on its side
		c.mustRead(t, "GET")
		c.mustClose(t)
		c.Close()
	}
	for range 3 {
		held := s.dial(t)
		held.send(request("GET", "/alive.txt"))
		held.mustRead(t, "GET")
		s.signal(t, syscall.SIGKILL)
		s.exit(t)
		s = start(t, "--root", root, "--addr", s.addr)
		s.alive(t)
	}
}

// TestAccessLog: one line a request in combined format, reopened on SIGHUP;
// what a client sends cannot break a line.
func TestAccessLog(t *testing.T) {
	t.Parallel()
	log := filepath.Join(t.TempDir(), "access.log")
	s := start(t, "--root", writeTree(t, nil), "--access-log", log)
	read := func(name string) string {
		b, _ := os.ReadFile(name)
		return string(b)
	}
	s.get(t, "/alive.txt?q=1", "Referer: http://from.example/", "User-Agent: e2e/1.0")
	s.get(t, `/missing"quote`, "User-Agent: a\"b\\c\xff")
	s.exchange(t, request("HEAD", "/alive.txt"))
	s.exchange(t, "nonsense\r\n\r\n")
	eventually(t, "four lines", func() bool { return strings.Count(read(log), "\n") == 4 })
	lines := strings.Split(strings.TrimSuffix(read(log), "\n"), "\n")
	today := time.Now().Format("02/Jan/2006:")
	if want := `"GET /alive.txt?q=1 HTTP/1.1" 200 15 "http://from.example/" "e2e/1.0"`; !strings.HasPrefix(lines[0], "127.0.0.1 - - ["+today) || !strings.HasSuffix(lines[0], want) {
		t.Errorf("first line: %s", lines[0])
	}
	if strings.Contains(lines[1], `"GET /missing"quote`) || strings.Contains(lines[1], "\xff") {
		t.Errorf("not escaped: %s", lines[1])
	}
	if want := `"HEAD /alive.txt HTTP/1.1" 200 `; !strings.Contains(lines[2], want+"0 ") && !strings.Contains(lines[2], want+"- ") {
		t.Errorf("HEAD has no body: %s", lines[2])
	}
	if !strings.Contains(lines[3], " 400 ") {
		t.Errorf("fourth line: %s", lines[3])
	}
	if err := os.Rename(log, log+".1"); err != nil {
		t.Fatal(err)
	}
	s.signal(t, syscall.SIGHUP)
	// The new file is there a moment before the log goes to it.
	eventually(t, "the log to be reopened", func() bool {
		s.get(t, "/alive.txt?reopening")
		return strings.Contains(read(log), "?reopening")
	})
	s.get(t, "/alive.txt?after")
	eventually(t, "a line in the new file", func() bool { return strings.Contains(read(log), "?after") })
	if strings.Contains(read(log+".1"), "?after") {
		t.Error("still writes to the old file")
	}
	// Nothing is lost when the server ends.
	s.get(t, "/alive.txt?last")
	s.signal(t, syscall.SIGTERM)
	s.exit(t)
	if !strings.Contains(read(log), "?last") {
		t.Error("the last line is lost")
	}
}

// TestAccessLogJSON: one JSON object a line, whatever clients send.
func TestAccessLogJSON(t *testing.T) {
	t.Parallel()
	s := start(t, "--root", writeTree(t, nil), "--access-log", "-", "--access-format", "json")
	s.get(t, "/alive.txt?q=\"", "User-Agent: a\"b\\c\xff\t", "Referer: http://from.example/")
	s.exchange(t, "nonsense\x1b[31m\r\n\r\n")
	out := s.stdout.await(t, "two lines", func(text string) bool { return strings.Count(text, "{") >= 2 && strings.HasSuffix(text, "}\n") })
	var statuses []float64
	for line := range strings.Lines(out) {
		if !strings.HasPrefix(line, "{") {
			continue // Ready to serve, and where
		}
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Errorf("%v: %s", err, line)
		}
		for name, value := range entry {
			if strings.Contains(name, "status") {
				statuses = append(statuses, value.(float64))
			}
		}
	}
	if diff := cmp.Diff([]float64{200, 400}, statuses); diff != "" {
		t.Errorf("statuses (-want +got):\n%s\n%s", diff, out)
	}
}

// TestMetrics reads the Prometheus text strictly and sees the requests in it.
func TestMetrics(t *testing.T) {
	t.Parallel()
	addr := freeAddr(t)
	s := start(t, "--root", writeTree(t, nil), "--metrics-addr", addr)
	scrape := func() map[string]float64 {
		t.Helper()
		resp, err := http.Get("http://" + addr + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != 200 || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain") {
			t.Fatalf("GET /metrics: %s %s %v", resp.Status, resp.Header.Get("Content-Type"), err)
		}
		samples, err := parsePrometheus(string(b))
		if err != nil {
			t.Fatalf("%v in\n%s", err, b)
		}
		return samples
	}
	sum := func(samples map[string]float64) (requests float64) {
		for name, value := range samples {
			base, _, _ := strings.Cut(name, "{")
			if strings.Contains(base, "requests") && strings.HasSuffix(base, "_total") {
				requests += value
			}
		}
		return requests
	}
	before := sum(scrape())
	for range 10 {
		s.alive(t)
	}
	s.get(t, "/missing")
	s.exchange(t, "nonsense\r\n\r\n")
	eventually(t, "12 requests more in the metrics", func() bool { return sum(scrape())-before == 12 })
	if r := s.get(t, "/metrics"); r.StatusCode != 404 {
		t.Errorf("/metrics on the main port: %s, want 404", r.Status)
	}
	resp, err := http.Get("http://" + addr + "/alive.txt")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 404 {
		t.Errorf("a file on the metrics port: %s, want 404", resp.Status)
	}
}

// TestSandbox: the log says what the sandbox does, and --no-sandbox that there
// is none; both serve.
func TestSandbox(t *testing.T) {
	t.Parallel()
	root := writeTree(t, nil)
	landlock := false
	for _, args := range [][]string{{"--root", root}, {"--root", root, "--no-sandbox"}} {
		s := start(t, append([]string{"--log-level", "debug"}, args...)...)
		s.alive(t)
		// The privileges of a process only ever shrink: the kernel tells.
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
		if err != nil {
			t.Skip("no /proc here")
		}
		if got := strings.Contains(string(b), "NoNewPrivs:\t1"); got != (len(args) == 2) {
			t.Errorf("%v: no new privileges: %v", args, got)
		}
		if len(args) == 2 && !strings.Contains(strings.ToLower(s.stderr.String()), "sandbox") {
			t.Errorf("nothing about the sandbox on stderr: %s", s.stderr)
		}
		landlock = landlock || strings.Contains(s.stderr.String(), "Landlock ABI")
	}
	// A folder that has to stay open for one file in it is named, if others are there.
	for _, alone := range []bool{true, false} {
		dir := t.TempDir()
		if !alone {
			writeFile(t, filepath.Join(dir, "other.txt"), "other")
		}
		s := start(t, "--root", root, "--access-log", filepath.Join(dir, "access.log"))
		s.alive(t)
		said := "Sandbox: files can be made and written to in " + dir + ", since access.log may be rotated. Give it a folder of its own."
		if !alone && landlock {
			s.stdout.await(t, "the folder to be named", func(text string) bool { return strings.Contains(text, said) })
		} else if strings.Contains(s.stdout.String(), said) {
			t.Errorf("alone in its folder: %v: the start says %q", alone, s.stdout)
		}
		if s.stderr.String() != "" {
			t.Errorf("on stderr: %s", s.stderr)
		}
	}
}
