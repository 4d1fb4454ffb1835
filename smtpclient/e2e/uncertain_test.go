package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"topdown/smtpclient/internal/testserver"
)

// killAtDot sends a list, and kills the program when the server has taken the
// nth mail, before the program can know it.
func killAtDot(t *testing.T, server string, n int, args ...string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	cmd := exec.Command(binary, append([]string{"send", "--server", ln.Addr().String(), "--tls", "none"}, args...)...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	client, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	up, err := net.Dial("tcp", server)
	if err != nil {
		t.Fatal(err)
	}
	defer up.Close()
	go func() { _, _ = io.Copy(up, client) }()
	replies := bufio.NewReader(up)
	for {
		line, err := replies.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(line, "250 2.0.0 ") {
			if n--; n == 0 {
				_ = cmd.Process.Kill() // before its connection is closed
				return
			}
		}
		if _, err := io.WriteString(client, line); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAskServer resumes a killed run whose last mail has arrived: it is found by
// its Message-ID, and nobody has it twice.
func TestAskServer(t *testing.T) {
	t.Parallel()
	server := &testserver.Server{Password: "lab-password"}
	smtp, pop3 := serve(t, server)
	list := writeList(t, 20, func(int) string { return "all@lab.test" })
	mail := []string{"--from", "me@lab.test", "--each", list, "--subject", "{{name}}", "--text", "x"}
	killAtDot(t, smtp, 7, mail...)
	uncertain := strings.Count(fmt.Sprint(readJournal(t, list+".journal")), ":start")
	if uncertain == 0 {
		t.Fatal("nothing is uncertain")
	}
	again := append([]string{"send", "--server", smtp, "--pop3", pop3, "--pop3-user", "all@lab.test", "--password-command", "echo lab-password", "--retry-uncertain=ask-server"}, mail...)
	code, out, errOut := program(t, again...)
	if want := fmt.Sprintf("%d of %[1]d uncertain mails are in the mailbox and count as sent\n", uncertain); code != 0 || !strings.Contains(out, want) ||
		!strings.Contains(out, "20 rows: 20 sent, 0 refused, 0 uncertain, 0 left") {
		t.Errorf("%d, want 0 and %q\n%s\n%s", code, want, out, errOut)
	}
	if n := len(server.Mails("all@lab.test")); n != 20 {
		t.Errorf("%d mails arrived, want 20", n)
	}
	if code, out, _ := program(t, again...); code != 0 || strings.Contains(out, "uncertain mails") {
		t.Errorf("with nothing uncertain: %d %s", code, out)
	}
}

// TestAskServerFaults are mailboxes that have some of the mails, or cannot tell.
func TestAskServerFaults(t *testing.T) {
	t.Parallel()
	var taken atomic.Int32
	smtp, _ := serve(t, &testserver.Server{Discard: true, Delivered: func(testserver.Mail) { taken.Add(1) }})
	// Every mail of this run is uncertain.
	cut := play(t, nil, helloed+"C MAIL\nS 250 ok\nC RCPT\nS 250 ok\nC DATA\nS 354 go\nDATA\nCLOSE\n")
	list := writeList(t, 3, func(n int) string { return fmt.Sprintf("u%d@lab.test", n) })
	mail := []string{"--from", "me@lab.test", "--each", list, "--retries", "0", "--subject", "s", "--text", "x"}
	if code, out, errOut := program(t, append([]string{"send", "--server", cut.addr}, mail...)...); code != 80 {
		t.Fatalf("%d\n%s\n%s", code, out, errOut)
	}
	before := readFile(t, list+".journal")
	var ids []string
	for line := range strings.Lines(before) {
		if words := strings.Fields(line); words[0] == "start" {
			ids = append(ids, words[2])
		}
	}
	opened := "S +OK\nC CAPA\nS -ERR\nC USER\nS +OK\nC PASS\nS +OK\n"
	listed := opened + "C LIST\nS +OK\nS 1 100\nS 2 100\nS 3 100\nS .\nC UIDL\nS -ERR\n"
	quit := "C QUIT\nS +OK\n"
	header := func(id string) string { return "S +OK\nS Message-ID: " + id + "\nS \nS .\n" }
	for _, tt := range []struct {
		name, pop3 string
		code       int
		said       string
		sent       int // rows
	}{
		{"login refused", "S +OK\nC CAPA\nS -ERR\nC USER\nS +OK\nC PASS\nS -ERR [AUTH] no\n", 77, "ask whether uncertain mails have arrived", 0},
		{"mailbox in use", "S +OK\nC CAPA\nS -ERR\nC USER\nS +OK\nC PASS\nS -ERR [IN-USE] no\n", 75, "IN-USE", 0},
		{"others' mails only", listed + "C TOP 3\n" + header("<x@y>") + "C TOP 2\n" + header("") + "C TOP 1\n" + header("<"+ids[0]) + quit, 80, "1 of 3 uncertain mails are in the mailbox", 1},
		{"one that cannot be read", listed + "C TOP 3\nS -ERR\nC RETR 3\nS -ERR broken\nC TOP 2\n" + header("<"+ids[1]+">") + "C TOP 1\n" + header("<"+ids[0]+">") + quit, 80, "1 of 2 uncertain mails are in the mailbox", 2},
		{"gone in the middle", listed + "C TOP 3\n" + header("<x@y>") + "C TOP 2\nCLOSE\n", 75, "3 rows: 2 sent, 0 refused, 1 uncertain, 0 left", 2},
		{"gone before QUIT", listed + "C TOP 3\n" + header("<"+ids[2]+">") + "CLOSE\n", 0, "1 of 1 uncertain mails", 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			box := play(t, nil, tt.pop3)
			code, out, errOut := program(t, append([]string{
				"send", "--server", smtp, "--pop3", box.addr, "--pop3-user", "me",
				"--password-command", "echo secret", "--retry-uncertain=ask-server",
			}, mail...)...)
			states := fmt.Sprint(readJournal(t, list+".journal"))
			if code != tt.code || !strings.Contains(out+errOut, tt.said) || strings.Count(states, ":sent") != tt.sent {
				t.Errorf("%d, want %d and %q; %s\n%s\n%s", code, tt.code, tt.said, states, out, errOut)
			}
			if n := taken.Load(); n != 0 {
				t.Errorf("%d uncertain mails were sent again", n)
			}
		})
	}
	if err := os.WriteFile(list+".journal", []byte(before), 0o600); err != nil {
		t.Fatal(err)
	}
	again := append([]string{"send", "--server", smtp}, mail...)
	for _, bad := range []struct{ flag, says string }{
		{"--retry-uncertain=ask-server", "needs --pop3"},
		{"--retry-uncertain=perhaps", "true, false or ask-server is expected"},
	} {
		if code, _, errOut := program(t, append(again, bad.flag)...); code != 64 || !strings.Contains(errOut, bad.says) {
			t.Errorf("%s: %d %s", bad.flag, code, errOut)
		}
	}
	if code, out, errOut := program(t, append(again, "--retry-uncertain")...); code != 0 || taken.Load() != 3 {
		t.Errorf("--retry-uncertain: %d, %d mails\n%s\n%s", code, taken.Load(), out, errOut)
	}
	// An account knows its mailbox: nothing is uncertain, so it is not asked.
	accounts := filepath.Join(t.TempDir(), "accounts")
	if err := os.WriteFile(accounts, []byte("[work]\nserver = "+smtp+"\npop3 = 127.0.0.1:1\npop3-user = me\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errOut := program(t, append([]string{"send", "--account", "work", "--accounts-file", accounts, "--retry-uncertain=ask-server"}, mail...)...); code != 0 {
		t.Errorf("with an account: %d %s", code, errOut)
	}
}
