//go:build unix

// Package e2e_test holds the black-box tests of the web server: the built
// binary is started as a user would start it and spoken to over real sockets.
// Nothing here imports a package of the lab, so each test says what the
// specification asks for and not what the code happens to do. RFC 9110 and
// RFC 9112 are meant where a comment names a section alone.
package e2e_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"topdown/webserver/internal/freeport"
)

// patience bounds every wait of the tests. It is generous because the machine
// may be busy; a healthy server never comes near it.
const patience = 30 * time.Second

// binary is the server that TestMain builds once.
var binary string

func TestMain(m *testing.M) {
	flag.Parse()
	// Most tests wait: more of them at a time than there are processors, except where
	// the race detector makes work of what was waiting.
	if parallel := flag.Lookup("test.parallel"); !raceEnabled && parallel.Value.String() == parallel.DefValue {
		_ = flag.Set("test.parallel", "6") // it is a number
	}
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "webserver-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	// Another user runs the binary in the test of privileged ports.
	if err := os.Chmod(dir, 0o755); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	binary = filepath.Join(dir, "webserver")
	args := []string{"build", "-o", binary}
	if raceEnabled {
		args = append(args, "-race")
	}
	if out, err := exec.Command("go", append(args, "topdown/webserver")...).CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go %s: %v\n%s", strings.Join(args, " "), err, out)
		return 1
	}
	defer func() {
		if shared.chromium != nil {
			shared.end()
		}
	}()
	return m.Run()
}

// output collects what a process prints, and lets a test wait for a part of it.
type output struct {
	mu      sync.Mutex
	buf     bytes.Buffer
	changed chan struct{}
}

func newOutput() *output { return &output{changed: make(chan struct{})} }

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.changed)
	o.changed = make(chan struct{})
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// await returns the text as soon as found says yes to it.
func (o *output) await(t *testing.T, what string, found func(text string) bool) string {
	t.Helper()
	deadline := time.After(patience)
	for {
		o.mu.Lock()
		text, changed := o.buf.String(), o.changed
		o.mu.Unlock()
		if found(text) {
			return text
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("waited %v for %s; printed so far:\n%s", patience, what, text)
		}
	}
}

// eventually polls until done says yes, for conditions that no one announces.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	if !within(patience, done) {
		t.Fatalf("waited %v for %s", patience, what)
	}
}

// punctual has something take a time up to the limit, at the third try at the latest:
// a busy machine is late now and then, a server that waits too long each time.
func punctual(t *testing.T, limit time.Duration, run func() (took time.Duration)) {
	t.Helper()
	var all []time.Duration
	for range 3 {
		took := run()
		if took <= limit {
			return
		}
		all = append(all, took)
	}
	t.Errorf("took %v, want %v at most", all, limit)
}

// within polls until done says yes; false when the time is over first.
func within(limit time.Duration, done func() bool) bool {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); <-tick.C {
		if done() {
			return true
		}
	}
	return done()
}

// launch says how to start the binary; the zero value starts it without
// arguments in the environment of the test.
type launch struct {
	args   []string
	env    []string   // instead of the test's environment when not nil
	dir    string     // working directory
	path   string     // instead of binary
	files  []*os.File // descriptors 3 and up
	prefix []string   // command line before the binary's
	cred   *syscall.Credential
}

// process is one run of the binary.
type process struct {
	cmd            *exec.Cmd
	stdout, stderr *output
	done           chan struct{} // closed when it has ended
	err            error         // set before done is closed
}

// run starts the process and sees to its end when the test ends.
func (l launch) run(t *testing.T) *process {
	t.Helper()
	if l.path == "" {
		l.path = binary
	}
	argv := slices.Concat(l.prefix, []string{l.path}, l.args)
	p := &process{cmd: exec.Command(argv[0], argv[1:]...), stdout: newOutput(), stderr: newOutput(), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p.stdout, p.stderr
	p.cmd.Dir, p.cmd.Env, p.cmd.ExtraFiles = l.dir, l.env, l.files
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: l.cred}
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", strings.Join(argv, " "), err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
		// Those who wait for output see that there will be no more.
		_, _ = p.stdout.Write(nil)
		_, _ = p.stderr.Write(nil)
	}()
	t.Cleanup(func() {
		select {
		case <-p.done:
		default:
			p.signal(t, syscall.SIGTERM)
			if code := p.exit(t); code != 0 {
				t.Errorf("exit code %d after SIGTERM, want 0", code)
			}
		}
		errs := p.stderr.String()
		for _, bad := range []string{"DATA RACE", "panic:", "fatal error:", "goroutine 1 ["} {
			if strings.Contains(errs, bad) {
				t.Errorf("the server printed %q", bad)
			}
		}
		if t.Failed() && errs != "" {
			t.Logf("the server's stderr ends with:\n%s", errs[max(0, len(errs)-4000):])
		}
	})
	return p
}

func (p *process) signal(t *testing.T, sig os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatalf("signal %v: %v", sig, err)
	}
}

// exit waits for the end of the process and returns its code, -1 for a signal.
func (p *process) exit(t *testing.T) int {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		_ = p.cmd.Process.Signal(syscall.SIGQUIT)
		select {
		case <-p.done:
		case <-time.After(5 * time.Second):
			_ = p.cmd.Process.Kill()
			<-p.done
		}
		t.Fatalf("still running after %v; stderr:\n%s", patience, p.stderr)
	}
	return p.cmd.ProcessState.ExitCode()
}

// server is a process that is ready to serve.
type server struct {
	*process
	network string // "tcp" or "unix"
	addr    string // host:port, or the path of the socket
	tls     bool
}

// start runs the server on a free loopback port, without an access log unless
// args ask for one, and returns when it is ready.
func start(t *testing.T, args ...string) *server {
	t.Helper()
	return launch{args: args}.start(t)
}

var servedURL = regexp.MustCompile(`(?m)^\s*(https?)://\S*?:(\d+)/?\s*$`)

func (l launch) start(t *testing.T) *server {
	t.Helper()
	if !slices.Contains(l.args, "--addr") {
		l.args = append([]string{"--addr", "127.0.0.1:0"}, l.args...)
	}
	if !slices.Contains(l.args, "--access-log") {
		l.args = append([]string{"--access-log", "off"}, l.args...)
	}
	return l.serve(t)
}

// serve runs with the arguments as they are and waits for the line that says
// Ready to serve (W4) and the address after it.
func (l launch) serve(t *testing.T) *server {
	t.Helper()
	s := &server{process: l.run(t), network: "tcp"}
	if i := slices.Index(l.args, "--addr"); i >= 0 && strings.HasPrefix(l.args[i+1], "unix:") {
		s.network, s.addr = "unix", strings.TrimPrefix(l.args[i+1], "unix:")
	}
	s.stdout.await(t, "the server to be ready (stderr: "+s.stderr.String()+")", func(text string) bool {
		select {
		case <-s.done:
			t.Fatalf("the server ended before it was ready: %v\nstderr:\n%s", s.err, s.stderr)
		default:
		}
		_, after, ready := strings.Cut(text, "Ready to serve...")
		if !ready || s.network == "unix" {
			return ready
		}
		m := servedURL.FindStringSubmatch(after)
		if m == nil {
			return false
		}
		s.tls, s.addr = m[1] == "https", "127.0.0.1:"+m[2]
		return true
	})
	return s
}

// scheme returns the scheme of the server's URLs.
func (s *server) scheme() string {
	if s.tls {
		return "https"
	}
	return "http"
}

// url returns the address of a path that starts with a slash.
func (s *server) url(path string) string { return s.scheme() + "://" + s.addr + path }

// freeAddr returns an address for a listener that must be told one.
func freeAddr(t *testing.T) string {
	t.Helper()
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(freeport.Take(t)))
}

// realPeer returns the path of a program that a test needs. A missing one
// skips the test, or fails it when TOPDOWN_REQUIRE_REAL=1.
func realPeer(t *testing.T, names ...string) string {
	t.Helper()
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	require(t, "no "+strings.Join(names, " or ")+" on this machine")
	return ""
}

// require ends a test that cannot run here: skipped, or failed when
// TOPDOWN_REQUIRE_REAL=1.
func require(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("TOPDOWN_REQUIRE_REAL") == "1" {
		t.Fatalf("TOPDOWN_REQUIRE_REAL=1, but %s", why)
	}
	t.Skip(why)
}

// often returns how many times a test does what fails rarely if it fails: many times
// where TOPDOWN_LARGE is set, as scripts/peers test does.
func often(few, many int) int {
	if os.Getenv("TOPDOWN_LARGE") != "" {
		return many
	}
	return few
}

// writeFile makes a file readable by others whatever the umask, with its
// directories.
func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
}

// writeTree makes a root directory out of names and texts, plus alive.txt, the
// file that follow-up requests ask for.
func writeTree(t *testing.T, files map[string]string) (root string) {
	t.Helper()
	root = filepath.Join(t.TempDir(), "root")
	writeFile(t, filepath.Join(root, "alive.txt"), aliveText)
	for name, text := range files {
		writeFile(t, filepath.Join(root, name), text)
	}
	return root
}

const aliveText = "alive and well\n"
