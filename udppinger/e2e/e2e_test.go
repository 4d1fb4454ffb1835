//go:build unix

// Package e2e tests the program from outside, as it is built. What the command
// line does stands in testdata/script, as transcripts.
package e2e

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "write the golden files anew")

// binary is the program under test.
var binary string

func TestMain(m *testing.M) {
	flag.Parse()
	_ = flag.Set("test.parallel", "8") // nearly all of them wait
	dir, err := os.MkdirTemp("", "udppinger-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binary = filepath.Join(dir, "udppinger")
	code := 1
	if out, err := buildProgram("..", binary); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
	} else {
		code = m.Run()
	}
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// buildProgram builds what is in a directory as these tests are built, so that little
// is compiled twice.
func buildProgram(dir, to string) ([]byte, error) {
	cmd := exec.Command("go", "build", "-o", to, ".")
	cmd.Dir = dir
	return cmd.CombinedOutput()
}

// TestScripts runs the transcripts of testdata/script. Besides testscript's own
// commands they have
//
//	exits CODE PROGRAM ARGS   the program must end with this exit code
//	steady                    puts stdout into the file steady, without what
//	                          differs from run to run
//
// and $LAB, a lab server that drops sequences 3 and 5, $CLOSED, a port that nobody
// listens on, $TAKEN, a TCP address that somebody has, and $HOLDER, who that is.
func TestScripts(t *testing.T) {
	lab, closed, taken := labServer(t, "udp4", "3", "5"), closedPort(t), ""
	if ln, err := net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	} else {
		t.Cleanup(func() { ln.Close() })
		taken = ln.Addr().String()
	}
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/script",
		UpdateScripts: *update,
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", filepath.Dir(binary)+string(os.PathListSeparator)+env.Getenv("PATH"))
			env.Setenv("LAB", lab)
			env.Setenv("CLOSED", closed)
			env.Setenv("TAKEN", taken)
			env.Setenv("HOLDER", holder())
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits,
			"steady": func(ts *testscript.TestScript, _ bool, _ []string) {
				text := steady(ts.ReadFile("stdout"), lab, closed)
				ts.Check(os.WriteFile(ts.MkAbs("steady"), []byte(text), 0o600))
			},
		},
	})
}

// holder returns what the program calls this process, who has $TAKEN.
func holder() string {
	if runtime.GOOS != "linux" {
		return "another program"
	}
	return fmt.Sprintf("%s (pid %d)", filepath.Base(os.Args[0]), os.Getpid())
}

// exits runs a program that must end with a certain exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARGS…")
	}
	code := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		failed, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("%v", err)
		}
		code = failed.ExitCode()
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}

// steady replaces what differs from run to run.
func steady(text string, addrs ...string) string {
	for _, addr := range addrs {
		text = strings.ReplaceAll(text, addr, "127.0.0.1:PORT")
		if _, port, err := net.SplitHostPort(addr); err == nil {
			text = strings.ReplaceAll(text, "port "+port, "port PORT")
		}
	}
	for _, r := range []struct{ pattern, with string }{
		{`\d\.\d{6}s`, "#.######s"},
		{`(?i)(PING) (\d+) \d{10}\.\d{6}`, "$1 $2 ##########.######"},
		{`"start":"[^"]*"`, `"start":"#"`},
		{`"time":\d+`, `"time":0`},
		{`"source":"[^"]*"`, `"source":"127.0.0.1:PORT"`},
		{`(\.go):\d+"`, `$1:#"`},
		{`TD1 [0-9A-F]{16}`, "TD1 ################"},
		{`took [0-9.]+[mµ]?s`, "took # s"},
		{`= (\d\.\d{6}/)+\d\.\d{6} s`, "= #/# s"},
		{`jitter \d\.\d{6} s`, "jitter # s"},
		{`\d+\.\d µs`, "# µs"},
	} {
		text = regexp.MustCompile(r.pattern).ReplaceAllString(text, r.with)
	}
	return text
}

// labServer is the lab's server without losses: it upper-cases and sends back.
// It drops the requests whose sequences are in drop.
func labServer(t *testing.T, network string, drop ...string) string {
	t.Helper()
	addr := "127.0.0.1:0"
	if network == "udp6" {
		addr = "[::1]:0"
	}
	conn, err := net.ListenPacket(network, addr)
	if err != nil {
		t.Skipf("this machine has no %s: %v", network, err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		buffer := make([]byte, 1024)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			dropped := false
			for _, seq := range drop {
				dropped = dropped || strings.HasPrefix(string(buffer[:n]), "Ping "+seq+" ")
			}
			if !dropped {
				_, _ = conn.WriteTo(bytes.ToUpper(buffer[:n]), from)
			}
		}
	})
	t.Cleanup(func() {
		conn.Close()
		wg.Wait()
	})
	return conn.LocalAddr().String()
}

// closedPort returns a UDP address that refuses: the socket that has it until the
// test ends is connected to itself, so nobody else is given the port.
func closedPort(t *testing.T) string {
	t.Helper()
	for range 20 {
		probe, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		at := probe.LocalAddr().(*net.UDPAddr)
		probe.Close()
		if conn, err := net.DialUDP("udp4", at, at); err == nil {
			t.Cleanup(func() { conn.Close() })
			return at.String()
		}
	}
	t.Fatal("no port is free")
	return ""
}

// call runs the program and returns what it wrote and its exit code.
func call(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}
