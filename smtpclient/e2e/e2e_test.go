// Package e2e tests the program from outside, as it is built. What the command
// line does stands in testdata/script, as transcripts.
package e2e

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"testing"

	"topdown/smtpclient/internal/testserver"

	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "write the golden parts of the transcripts anew")

// binary is the program under test.
var binary string

func TestMain(m *testing.M) {
	flag.Parse()
	// The tests wait for servers that are silent: more of them at a time than
	// there are processors.
	if parallel := flag.Lookup("test.parallel"); parallel != nil && parallel.Value.String() == parallel.DefValue {
		_ = flag.Set("test.parallel", "8") // it is a number
	}
	dir, err := os.MkdirTemp("", "smtpclient-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binary = filepath.Join(dir, "smtpclient.exe")
	// As the tests themselves are built, so that nothing is compiled twice.
	build := exec.Command("go", "build", "-o", binary, "..")
	code := 1
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
	} else {
		code = m.Run()
	}
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// changing are the parts of an output that differ from run to run.
var changing = []struct {
	pattern *regexp.Regexp
	name    string
}{
	{regexp.MustCompile(`[0-9a-f]{32}@`), "UNIQUE@"},
	{regexp.MustCompile(`=_[0-9a-f]{16}_`), "=_UNIQUE_"},
	{regexp.MustCompile(` +[0-9.]+s ([CS!-]):`), "   0.000s $1:"},
	{regexp.MustCompile(`127\.0\.0\.1:[0-9]+`), "127.0.0.1:PORT"},
	{regexp.MustCompile(`Date: [^\\\n]*`), "Date: DATE"},
	{regexp.MustCompile(`"(date|Date)":"[^"]*"`), `"$1":"DATE"`},
	{regexp.MustCompile(`after [0-9.]+ s`), "after TIME s"},
	{regexp.MustCompile(`[0-9a-f]{8}( {2}the same|\b.*往返)`), "$1"},
	{regexp.MustCompile(`"(send|total)_seconds":[0-9.e-]+`), `"${1}_seconds":TIME`},
	{regexp.MustCompile(`"start":"[^"]*"`), `"start":"TIME"`},
	{regexp.MustCompile(`"time":[0-9]+`), `"time":0`},
	{regexp.MustCompile(`(\.go):[0-9]+"`), `$1:LINE"`},
}

// TestScripts runs the transcripts of testdata/script. Besides testscript's own
// commands they have "exits CODE smtpclient ARGS", and "plain", which replaces
// what differs from run to run in the last output: stdout and stderr go to the
// files out and err. $SMTP and $POP3 are a test server's addresses, whose
// password is in the environment, and $TAKEN is an address that has a listener.
func TestScripts(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() }) // the scripts run in parallel, after this returns
	testscript.Run(t, testscript.Params{
		Dir:           filepath.Join("testdata", "script"),
		UpdateScripts: *update,
		Setup: func(env *testscript.Env) error {
			smtp, pop3, stop, err := start(&testserver.Server{Password: "lab-password"})
			if err != nil {
				return err
			}
			env.Defer(func() {
				if err := stop(); err != nil {
					fmt.Fprintln(os.Stderr, err)
				}
			})
			// The program is called by its name everywhere.
			program := filepath.Join(env.WorkDir, ".bin", "smtpclient")
			if err := os.MkdirAll(filepath.Dir(program), 0o700); err != nil {
				return err
			}
			if filepath.Separator == '\\' {
				program += ".exe"
			}
			if err := link(binary, program); err != nil {
				return err
			}
			env.Setenv("PATH", filepath.Dir(program)+string(os.PathListSeparator)+env.Getenv("PATH"))
			for name, value := range map[string]string{
				"SMTP": smtp, "POP3": pop3, "TAKEN": taken.Addr().String(), "PID": strconv.Itoa(os.Getpid()), "SMTP_PASSWORD": "lab-password",
			} {
				env.Setenv(name, value)
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "plain": plain},
		Condition: func(condition string) (bool, error) {
			if condition == "unprivileged" {
				return os.Getuid() != 0, nil
			}
			return false, fmt.Errorf("unknown condition %s", condition)
		},
	})
}

// link gives a program a second name, or copies it where that cannot be.
func link(from, to string) error {
	if os.Link(from, to) == nil {
		return nil
	}
	// A process that another test starts meanwhile would inherit the open file, and
	// what is open for writing cannot be run.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o700)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
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

// plain writes the last output to the files out and err, without what changes.
func plain(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 0 {
		ts.Fatalf("usage: plain")
	}
	for from, to := range map[string]string{"stdout": "out", "stderr": "err"} {
		text := ts.ReadFile(from)
		for _, c := range changing {
			text = c.pattern.ReplaceAllString(text, c.name)
		}
		ts.Check(os.WriteFile(ts.MkAbs(to), []byte(text), 0o600))
	}
}
