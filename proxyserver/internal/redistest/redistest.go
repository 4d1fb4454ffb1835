// Package redistest starts redis-servers for tests, or valkey-servers where
// TOPDOWN_ENGINE=valkey.
package redistest

import (
	"cmp"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"topdown/proxyserver/internal/freeport"
)

// Engine is a redis-server of a test's own, on a free port of this machine.
type Engine struct {
	Port string

	name string // "redis" or "valkey"
	t    testing.TB
	args []string
	cmd  *exec.Cmd
}

// Start starts a redis-server with more options, and ends it with the test.
// Where there is none, the test is skipped.
func Start(tb testing.TB, args ...string) *Engine {
	tb.Helper()
	e := StartShared(tb, append(args, "--dir", tb.TempDir())...)
	tb.Cleanup(e.Kill)
	return e
}

// StartShared starts one that stays after the test, until Kill.
func StartShared(tb testing.TB, args ...string) *Engine {
	tb.Helper()
	name := cmp.Or(os.Getenv("TOPDOWN_ENGINE"), "redis") //nolint:forbidigo // test code
	if _, err := exec.LookPath(name + "-server"); err != nil {
		const why = "redis-server is not installed: scripts/peers install proxyserver"
		if os.Getenv("TOPDOWN_REQUIRE_REAL") == "1" { //nolint:forbidigo // test code
			tb.Fatal(why)
		}
		tb.Skip(why)
	}
	e := &Engine{Port: strconv.Itoa(freeport.Take(tb)), name: name, t: tb, args: args}
	e.Start()
	return e
}

// Start starts it again after Kill: empty.
func (e *Engine) Start() {
	e.t.Helper()
	e.cmd = exec.Command(e.name+"-server", append([]string{
		"--bind", "127.0.0.1", "--port", e.Port, "--save", "", "--appendonly", "no", "--daemonize", "no",
	}, e.args...)...)
	if err := e.cmd.Start(); err != nil {
		e.t.Fatal(err)
	}
	for began := time.Now(); !e.answers(); time.Sleep(2 * time.Millisecond) {
		if time.Since(began) > time.Minute {
			e.t.Fatal("the engine does not answer")
		}
	}
}

func (e *Engine) answers() bool {
	conn, err := net.Dial("tcp", e.Addr())
	if err != nil {
		return false
	}
	defer conn.Close()
	fmt.Fprint(conn, "PING\r\n")
	_, err = io.ReadFull(conn, make([]byte, 5))
	return err == nil
}

// Addr is its host:port.
func (e *Engine) Addr() string { return net.JoinHostPort("127.0.0.1", e.Port) }

// URL is that of a store in it, with a prefix.
func (e *Engine) URL(prefix string) string { return "redis://" + e.Addr() + "?prefix=" + prefix }

// Running reports whether it was started and not killed.
func (e *Engine) Running() bool { return e.cmd != nil }

// Kill ends it at once.
func (e *Engine) Kill() {
	if e.cmd != nil {
		e.cmd.Process.Kill() //nolint:errcheck // it has ended by itself
		e.cmd.Wait()         //nolint:errcheck // it was killed
		e.cmd = nil
	}
}

// Stop has it stand still, Continue go on.
func (e *Engine) Stop() { _ = e.cmd.Process.Signal(sigStop) }

// Continue ends Stop.
func (e *Engine) Continue() { _ = e.cmd.Process.Signal(sigContinue) }

// CLI runs redis-cli, whose commands must not fail, and returns what it prints.
func (e *Engine) CLI(args ...string) string {
	e.t.Helper()
	out, err := exec.Command(e.name+"-cli", append([]string{"-e", "-p", e.Port}, args...)...).CombinedOutput()
	if err != nil {
		e.t.Fatalf("redis-cli %q: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}
