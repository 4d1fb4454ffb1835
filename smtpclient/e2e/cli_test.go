package e2e

import (
	"encoding/base64"
	"encoding/json"
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

// report is the result of send as JSON.
type report struct {
	MessageID  string `json:"message_id"`
	Recipients []struct{ Address, Status, Enhanced string }
	Error      string
}
