package e2e

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"topdown/smtpclient/internal/testserver"
)

// TestSecrets lets servers repeat the password in every way and looks for it in
// everything that the program prints or writes.
func TestSecrets(t *testing.T) {
	const password = "s3cret-Pässword"
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	plain := b64("\x00me@lab.test\x00" + password)
	token := b64("user=me@lab.test\x01auth=Bearer " + password + "\x01\x01")
	forms := []string{password, b64(password), plain, token, strings.TrimRight(b64(password), "=")}
	t.Setenv("SMTP_PASSWORD", password)
	dir := t.TempDir()
	list := writeList(t, 2, func(int) string { return "a@lab.test" })
	parrot := func(code, more string) string {
		return "S " + code + " you said " + password + " and " + plain + " and " + b64(password) + " and " + token + more + "\n"
	}
	scripts := map[string]string{
		"refused":   authing + "C AUTH\n" + parrot("535", ""),
		"login":     greeted + "C EHLO\nS 250-hi\nS 250 AUTH LOGIN\nC AUTH\nS 334 VXNlcm5hbWU6\nC \nS 334 " + b64(password) + "\nC \n" + parrot("535", ""),
		"cram":      greeted + "C EHLO\nS 250-hi\nS 250 AUTH CRAM-MD5\nC AUTH\nS 334 " + b64("<x>") + "\nC \n" + parrot("535", ""),
		"later":     greeted + "C EHLO\nS 250-hi\nS 250 AUTH PLAIN\nC AUTH\nS 235 ok\nC MAIL\n" + parrot("550", ""),
		"rcpt":      greeted + "C EHLO\nS 250-hi\nS 250 AUTH PLAIN\nC AUTH\nS 235 ok\nC MAIL\nS 250 ok\nC RCPT\n" + parrot("550", ""),
		"nonsense":  greeted + "C EHLO\nS 250-hi\nS 250 AUTH PLAIN\nC AUTH\nS " + password + "\n",
		"challenge": greeted + "C EHLO\nS 250-hi\nS 250 AUTH PLAIN\nC AUTH\nS 334 " + plain + "\nC *\nS 501 " + password + "\n",
		"dot":       greeted + "C EHLO\nS 250-hi\nS 250 AUTH PLAIN\nC AUTH\nS 235 " + password + "\nC MAIL\nS 250 ok\nC RCPT\nS 250 ok\nC DATA\nS 354 go\nDATA\n" + parrot("451", ""),
		"uncertain": greeted + "C EHLO\nS 250-hi\nS 250 AUTH PLAIN\nC AUTH\nS 235 ok\nC MAIL\nS 250 ok\nC RCPT\nS 250 ok\nC DATA\nS 354 go\nDATA\nS " + password + "\n",
		"xoauth2":   greeted + "C EHLO\nS 250-hi\nS 250 AUTH XOAUTH2\nC AUTH XOAUTH2\nS 334 " + token + "\nC \n" + parrot("535", ""),
	}
	look := func(t *testing.T, what, text string) {
		t.Helper()
		for _, form := range forms {
			if strings.Contains(text, form) {
				t.Errorf("%s shows the password as %q:\n%s", what, form, text)
			}
		}
	}
	for name, script := range scripts {
		for _, detail := range []string{"-q", "--trace", "--json", "-v"} {
			server := play(t, nil, script)
			args := []string{"send", detail, "--server", server.addr, "--user", "me@lab.test", "--from", "a@lab.test", "--subject", "s", "--text", "x"}
			if name == "xoauth2" {
				args = append(args, "--auth", "xoauth2")
			}
			code, out, errOut := program(t, append(args, "--to", "b@lab.test")...)
			if code == 0 || !strings.Contains(server.said(), "AUTH") {
				t.Errorf("%s: exit code %d, the server heard %s", name, code, server.said())
			}
			look(t, name+" "+detail, out+errOut)
			journal := filepath.Join(dir, name+detail)
			_, out, errOut = program(t, append(args, "--each", list, "--journal", journal, "--retries", "0")...)
			look(t, name+" each "+detail, out+errOut)
			data, err := os.ReadFile(journal)
			if err == nil {
				look(t, "journal of "+name, string(data))
			}
			if name == "uncertain" && !strings.Contains(string(data), "uncertain 1 a@lab.test") {
				t.Errorf("the journal of %s %s is %q", name, detail, data)
			}
		}
	}
	for name, script := range map[string]string{
		"PASS": "S +OK\nC CAPA\nS -ERR\nC USER\nS +OK\nC PASS\nS -ERR [AUTH] not " + password + " nor " + plain + "\n",
		"AUTH": "S +OK\nC CAPA\nS +OK\nS SASL PLAIN\nS .\nC AUTH\nS + " + plain + "\nC *\nS -ERR " + b64(password) + "\n",
		"odd":  "S +OK\nC CAPA\nS -ERR\nC USER\nS +OK\nC PASS\nS " + password + "\n",
	} {
		for _, detail := range []string{"--trace", "--json", "-v"} {
			server := play(t, nil, script)
			code, out, errOut := program(t, "inbox", "list", detail, "--pop3", server.addr, "--user", "me@lab.test")
			if code == 0 {
				t.Errorf("%s: success", name)
			}
			look(t, name+" "+detail, out+errOut)
		}
	}
}

// TestAccounts takes everything from the accounts file.
func TestAccounts(t *testing.T) {
	smtp, pop3 := serve(t, &testserver.Server{Password: "lab-password"})
	path := filepath.Join(t.TempDir(), "accounts")
	text := "[work]\nserver = " + smtp + "\nuser = me@lab.test\nfrom = Me <me@lab.test>\npassword-command = echo lab-password\npop3 = " + pop3 + "\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SMTP_PASSWORD", "")
	t.Setenv("SMTPCLIENT_ACCOUNTS_FILE", path)
	if code, out, errOut := program(t, "roundtrip", "--account", "work", "--to", "me@lab.test"); code != 0 || !strings.Contains(out, "235 ") {
		t.Errorf("%d\n%s\n%s", code, out, errOut)
	}
	if code, _, errOut := program(t, "send", "--account", "play"); code != 78 || !strings.Contains(errOut, "it has: work") {
		t.Errorf("%d %s", code, errOut)
	}
}

// TestInput reads bodies and messages from the standard input.
func TestInput(t *testing.T) {
	server := &testserver.Server{}
	smtp, _ := serve(t, server)
	base := []string{"send", "--server", smtp, "--json"}
	code, out, errOut := programWith(t, "text from a pipe\n", append(base, "--from", "a@lab.test", "--to", "b@lab.test", "--subject", "s", "--text-file", "-")...)
	if code != 0 || !strings.Contains(string(server.Mails("b@lab.test")[0].Data), "text from a pipe") {
		t.Errorf("%d %s %s", code, out, errOut)
	}
	code, out, errOut = programWith(t, "From: X <x@lab.test>\nTo: c@lab.test, D <d@lab.test>\nBcc: e@lab.test\nMessage-ID: <mine@x>\n\nhello\n", append(base, "--message", "-")...)
	var report report
	if err := json.Unmarshal([]byte(out), &report); err != nil || code != 0 || report.MessageID != "mine@x" || len(report.Recipients) != 3 {
		t.Errorf("%d %s %s %v", code, out, errOut, err)
	}
	if mails := server.Mails("e@lab.test"); len(mails) != 1 || strings.Contains(string(mails[0].Data), "Bcc") || mails[0].From != "x@lab.test" {
		t.Errorf("%+v", mails)
	}
	for _, bad := range []struct {
		args []string
		code int
	}{
		{[]string{"--message", "-", "--subject", "x"}, 64},
		{[]string{"--message", filepath.Join(t.TempDir(), "none")}, 66},
		{[]string{"--attach", t.TempDir(), "--from", "a@lab.test", "--to", "b@lab.test"}, 66},
		{[]string{"--text", "x", "--text-file", "y", "--from", "a@lab.test", "--to", "b@lab.test"}, 64},
		{[]string{"--notify", "sometimes", "--from", "a@lab.test", "--to", "b@lab.test"}, 64},
		{[]string{"--dkim-selector", "s", "--from", "a@lab.test", "--to", "b@lab.test"}, 64},
		{[]string{"--tls", "maybe", "--from", "a@lab.test", "--to", "b@lab.test"}, 64},
		{[]string{"--ca", filepath.Join(t.TempDir(), "none"), "--from", "a@lab.test", "--to", "b@lab.test"}, 66},
	} {
		if code, _, errOut := programWith(t, "", append(append([]string{}, base...), bad.args...)...); code != bad.code {
			t.Errorf("%v: %d, want %d: %s", bad.args, code, bad.code, errOut)
		}
	}
	if code, _, errOut := program(t, "send", "--server", "no-such-host.invalid", "--from", "a@lab.test", "--to", "b@lab.test", "--timeout", "5s"); code != 68 && code != 75 {
		t.Errorf("unknown host: %d %s", code, errOut)
	}
	if code, _, errOut := program(t, "send", "--server", "127.0.0.1:1", "--from", "a@lab.test", "--to", "b@lab.test"); code != 75 || !strings.Contains(errOut, "refused") {
		t.Errorf("refused connection: %d %s", code, errOut)
	}
}

// TestFromUser takes the sender from the login.
func TestFromUser(t *testing.T) {
	server := &testserver.Server{Password: "lab-password"}
	smtp, _ := serve(t, server)
	t.Setenv("SMTP_PASSWORD", "lab-password")
	base := []string{"send", "-q", "--server", smtp, "--to", "b@lab.test", "--subject", "s", "--text", "x"}
	for _, tt := range []struct {
		args         []string
		code         int
		from, header string // of the mail that arrives
	}{
		{[]string{"--user", "me@lab.test"}, 0, "me@lab.test", "From: me@lab.test\r\n"},
		{[]string{"--user", "me@lab.test", "--from", "Other <other@lab.test>"}, 0, "other@lab.test", "From: Other <other@lab.test>\r\n"},
		{[]string{"--user", "me@lab.test", "--envelope-from", "bounces@lab.test"}, 0, "bounces@lab.test", "From: me@lab.test\r\n"},
		{[]string{"--user", "me"}, 64, "", ""},
	} {
		before := len(server.Mails("b@lab.test"))
		code, _, errOut := program(t, append(append([]string{}, base...), tt.args...)...)
		mails := server.Mails("b@lab.test")[before:]
		if code != tt.code || (len(mails) == 1) != (code == 0) {
			t.Errorf("%v: %d %s, %d mails", tt.args, code, errOut, len(mails))
		} else if code == 0 && (mails[0].From != tt.from || !strings.Contains(string(mails[0].Data), tt.header)) {
			t.Errorf("%v: from %s\n%s", tt.args, mails[0].From, mails[0].Data)
		} else if code != 0 && !strings.Contains(errOut, "--from") {
			t.Errorf("%v: %s", tt.args, errOut)
		}
	}
	// A ready message has a sender of its own.
	code, _, errOut := programWith(t, "From: x@lab.test\nTo: c@lab.test\n\nhello\n", "send", "-q", "--server", smtp, "--user", "me@lab.test", "--message", "-")
	if mails := server.Mails("c@lab.test"); code != 0 || len(mails) != 1 || mails[0].From != "x@lab.test" {
		t.Errorf("%d %s %+v", code, errOut, mails)
	}
}

// TestNetworks leaves one kind of address with -4 and -6.
func TestNetworks(t *testing.T) {
	v4 := &testserver.Server{}
	smtp4, _ := serve(t, v4)
	_, port, err := net.SplitHostPort(smtp4)
	if err != nil {
		t.Fatal(err)
	}
	smtp6 := ""
	if ln, err := testserver.Listen("[::1]:0"); err == nil {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- (&testserver.Server{}).Serve(ctx, ln, nil) }()
		t.Cleanup(func() { cancel(); <-done })
		smtp6 = ln.Addr().String()
	}
	mail := []string{"--from", "a@lab.test", "--to", "b@lab.test", "--subject", "s", "--text", "x"}
	for _, tt := range []struct {
		flags  []string
		server string
		code   int
		says   string
	}{
		{[]string{"-4"}, smtp4, 0, "greets [127.0.0.1]"},
		{[]string{"--ipv4"}, "localhost:" + port, 0, "greets [127.0.0.1]"},
		{[]string{"-6"}, smtp4, 75, "connect to 127.0.0.1"},
		{[]string{"-6"}, smtp6, 0, "greets [IPv6:::1]"},
		{[]string{"-4"}, smtp6, 75, "connect to [::1]"},
		{[]string{"-4", "-6"}, smtp4, 64, "-4 and -6 exclude each other"},
	} {
		if tt.server == "" {
			t.Log("this machine has no IPv6: not tried")
			continue
		}
		code, out, errOut := program(t, append(append([]string{"send", "--server", tt.server}, tt.flags...), mail...)...)
		if code != tt.code || !strings.Contains(out+errOut, tt.says) {
			t.Errorf("%v to %s: %d, want %d and %q\n%s\n%s", tt.flags, tt.server, code, tt.code, tt.says, out, errOut)
		}
	}
}

// TestRetrRefused is a mailbox that lists a message and will not give it: its
// header is shown, if there is TOP.
func TestRetrRefused(t *testing.T) {
	t.Setenv("POP3_PASSWORD", "lab-password")
	listed := "S +OK\nC CAPA\nS -ERR\nC USER\nS +OK\nC PASS\nS +OK\nC LIST\nS +OK\nS 1 100\nS 2 100\nS .\nC UIDL\nS -ERR\nC RETR 2\nS "
	const quit, top = "C QUIT\nS +OK\n", "C TOP 2 0\nS +OK\nS Subject: Here I am\nS \nS .\n"
	for _, tt := range []struct {
		name, pop3 string
		args       []string
		code       int
		out, says  string
	}{
		{"header shown", "-ERR no\n" + top + quit, []string{"show", "2"}, 69, "Subject: Here I am\n", `message 2: RETR 2: the server answered "-ERR no"`},
		{"header as JSON", "-ERR no\n" + top + quit, []string{"show", "2", "--json"}, 69, `"Subject":"Here I am"`, `message 2: RETR 2: the server answered "-ERR no"`},
		{"no TOP either", "-ERR no\nC TOP\nS -ERR what?\n", []string{"show", "2"}, 69, "", `message 2: RETR 2: the server answered "-ERR no"`},
		{"for now", "-ERR [SYS/TEMP] disk trouble\nC TOP\nS -ERR what?\n", []string{"show", "2"}, 75, "", "disk trouble"},
		{"save", "-ERR no\n" + quit, []string{"save", "2", t.TempDir(), "--raw"}, 69, "", `message 2: RETR 2: the server answered "-ERR no"`},
		{"gone", "-ERR no\nCLOSE\n", []string{"show", "2"}, 69, "", `RETR 2`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			box := play(t, nil, listed+tt.pop3)
			code, out, errOut := program(t, append([]string{"inbox", tt.args[0], "--pop3", box.addr, "--user", "me"}, tt.args[1:]...)...)
			if code != tt.code || !strings.Contains(errOut, tt.says) || !strings.Contains(out, tt.out) || tt.out == "" && out != "" {
				t.Errorf("%d, want %d, %q and %q\n%s\n%s", code, tt.code, tt.out, tt.says, out, errOut)
			}
			box.mu.Lock()
			defer box.mu.Unlock()
			if box.failure != "" {
				t.Error(box.failure)
			}
		})
	}
}

// report is the result of send as JSON.
type report struct {
	MessageID  string `json:"message_id"`
	Recipients []struct{ Address, Status, Enhanced string }
	Error      string
}
