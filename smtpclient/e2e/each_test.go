package e2e

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"topdown/smtpclient/internal/testserver"
)

// start runs a test server until stop is called.
func start(s *testserver.Server) (smtp, pop3 string, stop func() error, err error) {
	lns := make([]net.Listener, 2)
	for i := range lns {
		if lns[i], err = testserver.Listen("127.0.0.1:0"); err != nil {
			return "", "", nil, err
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, lns[0], lns[1]) }()
	return lns[0].Addr().String(), lns[1].Addr().String(), func() error { cancel(); return <-done }, nil
}

// serve runs a test server until the test ends and returns its addresses.
func serve(t *testing.T, s *testserver.Server) (smtp, pop3 string) {
	t.Helper()
	smtp, pop3, stop, err := start(s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	return smtp, pop3
}

func writeList(t *testing.T, rows int, address func(int) string) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("to,name\n")
	for n := 1; n <= rows; n++ {
		fmt.Fprintf(&b, "%s,\"N%d, <b>\"\n", address(n), n)
	}
	path := filepath.Join(t.TempDir(), "list.csv")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestKill kills a bulk run 50 times without warning and resumes it. In the end
// everyone has the mail once, except those that the journal calls uncertain,
// who have it once or not at all.
func TestKill(t *testing.T) {
	const rows, kills, connections = 4000, 50, 2
	var mu sync.Mutex
	got := make(map[string]int)
	var victim *os.Process
	fuse := 0
	address, _ := serve(t, &testserver.Server{Discard: true, Delivered: func(m testserver.Mail) {
		mu.Lock()
		defer mu.Unlock()
		got[m.To]++
		if fuse--; fuse == 0 && victim != nil {
			_ = victim.Kill() // SIGKILL: nothing can be tidied up
		}
	}})
	list := writeList(t, rows, func(n int) string { return fmt.Sprintf("user%d@lab.test", n) })
	start := func() *exec.Cmd {
		return exec.Command(binary, "send", "--server", address, "--from", "me@lab.test", "--each", list,
			"--connections", strconv.Itoa(connections), "--subject", "Hello {{name}}", "--text", "Dear {{name}}\n")
	}
	killed := 0
	for round := range kills {
		cmd := start()
		mu.Lock()
		if err := cmd.Start(); err != nil {
			mu.Unlock()
			t.Fatal(err)
		}
		victim, fuse = cmd.Process, 1+rand.IntN(60)
		mu.Unlock()
		if round%5 == 4 { // some die at any moment, before the first mail too
			time.AfterFunc(time.Duration(rand.IntN(80))*time.Millisecond, func() { _ = cmd.Process.Kill() })
		}
		if err := cmd.Wait(); err != nil && cmd.ProcessState.ExitCode() == -1 {
			killed++
		}
	}
	mu.Lock()
	victim = nil
	mu.Unlock()
	if killed < kills*9/10 {
		t.Fatalf("only %d of %d runs were killed", killed, kills)
	}
	out, err := start().CombinedOutput()
	if code := exitCode(err); code != 0 && code != 80 {
		t.Fatalf("the last run: %v\n%s", err, out)
	}
	// Servers may still be reading what killed clients have sent.
	mu.Lock()
	once := maps.Clone(got)
	mu.Unlock()
	states := readJournal(t, list+".journal")
	uncertain := 0
	for n := 1; n <= rows; n++ {
		to := fmt.Sprintf("user%d@lab.test", n)
		switch state := states[n]; {
		case state == "sent" && once[to] == 1:
		case state == "start" && once[to] <= 1:
			uncertain++
		default:
			t.Errorf("%s: journal %q, received %d times", to, state, once[to])
		}
	}
	if uncertain > kills*connections {
		t.Errorf("%d rows are uncertain, more than %d kills of %d connections explain", uncertain, kills, connections)
	}
	if want := fmt.Sprintf("%d rows: %d sent, 0 refused, %d uncertain, 0 left", rows, rows-uncertain, uncertain); !strings.Contains(string(out), want) {
		t.Errorf("the program says %s instead of %q", out, want)
	}
	t.Logf("%d runs killed, %d rows uncertain", killed, uncertain)
	cmd := start()
	cmd.Args = append(cmd.Args, "--retry-uncertain")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	mu.Lock()
	defer mu.Unlock()
	for n := 1; n <= rows; n++ {
		if to := fmt.Sprintf("user%d@lab.test", n); got[to] == 0 {
			t.Errorf("%s was forgotten", to)
		}
	}
}

func exitCode(err error) int {
	if err == nil {
		return 0
	}
	if exit, ok := err.(*exec.ExitError); ok { //nolint:errorlint // Wait returns it unwrapped
		return exit.ExitCode()
	}
	return -1
}

// readJournal returns the last word about each row.
func readJournal(t *testing.T, path string) map[int]string {
	t.Helper()
	states := make(map[int]string)
	lines := bufio.NewScanner(strings.NewReader(readFile(t, path)))
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if n, err := strconv.Atoi(words[1]); err == nil {
			states[n] = words[0]
		}
	}
	return states
}

// TestEach is a list whose rows fare differently.
func TestEach(t *testing.T) {
	server := &testserver.Server{}
	address, _ := serve(t, server)
	list := writeList(t, 20, func(n int) string {
		switch n {
		case 3:
			return "reject3@lab.test"
		case 5:
			return "defer5@lab.test"
		}
		return fmt.Sprintf("u%d@lab.test", n)
	})
	args := []string{
		"send", "--server", address, "--from", "me@lab.test", "--each", list, "--retries", "1", "--retry-delay", "10ms",
		"--subject", "Dear {{name}}", "--text", "{{to}} {{ NAME }}", "--html", "<p>{{name}}",
	}
	code, out, errOut := program(t, args...)
	if code != 75 || !strings.Contains(out, "20 rows: 18 sent, 1 refused, 0 uncertain, 1 left") ||
		!strings.Contains(out, "Not now for defer5@lab.test: 450 4.2.0 <defer5@lab.test>: try again later (will be tried again)\n") {
		t.Errorf("%d\n%s\n%s", code, out, errOut)
	}
	mails := server.Mails("u7@lab.test")
	if len(mails) != 1 {
		t.Fatalf("%d mails", len(mails))
	}
	for _, want := range []string{"Subject: Dear N7, <b>\r\n", "To: u7@lab.test\r\n", "u7@lab.test N7, <b>\r\n", "<p>N7, &lt;b&gt;"} {
		if !strings.Contains(string(mails[0].Data), want) {
			t.Errorf("no %q in\n%s", want, mails[0].Data)
		}
	}
	code, out, _ = program(t, append(args, "--json")...)
	if code != 75 || !strings.Contains(out, `"result":"deferred","exit":75,"rows":20,"sent":18,"refused":1,"uncertain":0,"left":1`) {
		t.Errorf("%d\n%s", code, out)
	}
	if len(server.Mails("u7@lab.test")) != 1 {
		t.Error("a mail was sent twice")
	}
	for _, bad := range []struct {
		args []string
		code int
		errs string
	}{
		{[]string{"--text", "{{nme}}"}, 64, "no such column"},
		{[]string{"--text", "{{name"}, 64, "not closed"},
		{[]string{"--to", "a@lab.test"}, 64, "leave out --to"},
		{[]string{"--text", "another text"}, 65, "another list or another mail"},
		{[]string{"--each", filepath.Join(t.TempDir(), "none.csv")}, 66, "no such file"},
		{[]string{"--connections", "0"}, 64, "--connections"},
	} {
		code, _, errOut := program(t, append(append([]string{}, args...), bad.args...)...)
		if code != bad.code || !strings.Contains(errOut, bad.errs) {
			t.Errorf("%v: %d %s", bad.args, code, errOut)
		}
	}
}

// TestEachFaults is a server that fails in the middle of a list.
func TestEachFaults(t *testing.T) {
	mail := "C MAIL\nS 250 ok\nC RCPT\nS 250 ok\nC DATA\nS 354 go\nDATA\n"
	for _, tt := range []struct {
		name, script string
		code         int
		out          string
	}{
		// The script is played anew for each connection.
		{"421 between mails", helloed + mail + "S 250 ok\nC MAIL\nS 421 enough\nCLOSE\n", 0, "5 sent, 0 refused, 0 uncertain, 0 left"},
		{"closed between mails", helloed + mail + "S 250 ok\nCLOSE\n", 0, "5 sent, 0 refused, 0 uncertain, 0 left"},
		{"closed after each dot", helloed + mail + "CLOSE\n", 80, "0 sent, 0 refused, 5 uncertain, 0 left"},
		{"sender refused", helloed + "C MAIL\nS 550 who are you?\n", 69, "0 sent, 0 refused, 0 uncertain, 5 left"},
		{"message refused", helloed + mail + "S 554 spam\nC RSET\nS 250 ok\n" + mail + "S 554 spam\nC RSET\nS 250 ok\n" + mail + "S 554 spam\nC RSET\nS 250 ok\n" + mail + "S 554 spam\nC RSET\nS 250 ok\n" + mail + "S 554 spam\n", 69, "0 sent, 5 refused, 0 uncertain, 0 left"},
		{"never able", greeted + "C EHLO\nS 421 busy\nCLOSE\n", 75, "0 sent, 0 refused, 0 uncertain, 5 left"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := play(t, nil, tt.script)
			list := writeList(t, 5, func(n int) string { return fmt.Sprintf("u%d@lab.test", n) })
			code, out, errOut := program(t, "send", "--server", server.addr, "--from", "me@lab.test", "--each", list, "--retries", "2", "--retry-delay", "1ms", "--subject", "s", "--text", "x")
			if code != tt.code || !strings.Contains(out, tt.out) {
				t.Errorf("%d, want %d\n%s\n%s", code, tt.code, out, errOut)
			}
		})
	}
}
