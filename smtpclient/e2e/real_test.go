//go:build linux

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/emersion/go-msgauth/dkim"
	"github.com/google/go-cmp/cmp"
)

// sendJSON runs send and returns its report.
func sendJSON(t *testing.T, wantCode int, args ...string) *report {
	t.Helper()
	return sendJSONWith(t, "", wantCode, args...)
}

// sendJSONWith is sendJSON with a standard input.
func sendJSONWith(t *testing.T, in string, wantCode int, args ...string) *report {
	t.Helper()
	code, out, errOut := programWith(t, in, append([]string{"send", "--json"}, args...)...)
	var report report
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		t.Fatalf("%v\n%s\n%s", err, out, errOut)
	}
	if code != wantCode {
		t.Fatalf("exit code %d, want %d\n%s\n%s", code, wantCode, out, errOut)
	}
	return &report
}

// parsed is a message as Python's email package reads it.
type parsed struct {
	From    []string `json:"from"`
	To      []string `json:"to"`
	Cc      []string `json:"cc"`
	Subject string   `json:"subject"`
	Defects []string `json:"defects"`
	Parts   []struct {
		Type, Name, ID, Text, SHA256 string
	} `json:"parts"`
}

const pythonReader = `
import sys, json, hashlib, email, email.policy
m = email.message_from_binary_file(open(sys.argv[1], "rb"), policy=email.policy.default)
defects = [repr(d) for p in m.walk() for d in p.defects]
for p in m.walk():
    for name, value in p.items():
        defects += [name + ": " + repr(d) for d in getattr(value, "defects", [])]
parts = []
for p in m.walk():
    if p.is_multipart(): continue
    data = p.get_payload(decode=True)
    parts.append(dict(type=p.get_content_type(), name=p.get_filename() or "", id=p.get("Content-ID", ""),
        text=p.get_content() if p.get_content_maintype() == "text" and not p.get_filename() else "", sha256=hashlib.sha256(data.replace(b"\r\n", b"\n")).hexdigest()))
people = lambda f: [a.display_name + "|" + a.addr_spec.encode("utf-8", "surrogateescape").decode("utf-8") for a in m[f].addresses] if m[f] else []
print(json.dumps({"from": people("From"), "to": people("To"), "cc": people("Cc"), "subject": m["Subject"], "defects": defects, "parts": parts}))
`

// canonicalSHA is the checksum of a text as it should arrive, lines ended
// by LF as in a Maildir.
func canonicalSHA(text string) string {
	text = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text)
	if !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// python is the interpreter that Debian's packages belong to.
const python = "/usr/bin/python3"

func readWithPython(t *testing.T, path string) *parsed {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), python, "-c", pythonReader, path).CombinedOutput()
	if err != nil {
		t.Fatalf("python: %v\n%s", err, out)
	}
	var p parsed
	if err := json.Unmarshal(out, &p); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return &p
}

// TestReal is the program with a real Postfix and a real Dovecot.
func TestReal(t *testing.T) {
	if testing.Short() {
		t.Skip("real servers take a while")
	}
	h := startMailHost(t)
	missing(t, python, "s-nail")
	t.Setenv("SMTP_PASSWORD", realPassword)
	login := []string{"--ca", h.ca, "--user", "alice"}
	submit := append([]string{"--server", h.submission}, login...)
	pop := func(name string) []string {
		return []string{"--pop3", h.pop3, "--ca", h.ca, "--user", name}
	}

	for _, mechanism := range []string{"", "SCRAM-SHA-256", "SCRAM-SHA-1", "CRAM-MD5", "PLAIN", "LOGIN"} {
		for _, link := range []struct{ name, addr, tls string }{
			{"STARTTLS", h.submission, "auto"}, {"implicit TLS", h.smtps, "implicit"},
		} {
			t.Run("AUTH "+mechanism+" over "+link.name, func(t *testing.T) {
				args := append([]string{"--server", link.addr, "--tls", link.tls, "--from", "alice@lab.test", "--to", "alice@lab.test", "--text", "hello", "--subject", "s"}, login...)
				if mechanism != "" {
					args = append(args, "--auth", mechanism)
				}
				report := sendJSON(t, 0, args...)
				h.stored(t, "alice", report.MessageID)
			})
		}
	}
	t.Run("wrong password", func(t *testing.T) {
		t.Setenv("SMTP_PASSWORD", "wrong-password")
		report := sendJSON(t, 77, append(submit, "--from", "alice@lab.test", "--to", "alice@lab.test")...)
		if !strings.Contains(report.Error, "535") {
			t.Error(report.Error)
		}
	})
	t.Run("implicit TLS on the STARTTLS port", func(t *testing.T) {
		report := sendJSON(t, 76, append(submit, "--tls", "implicit", "--from", "alice@lab.test", "--to", "alice@lab.test")...)
		if !strings.Contains(report.Error, "use --tls starttls") {
			t.Error(report.Error)
		}
	})
	t.Run("several recipients", func(t *testing.T) {
		report := sendJSON(t, 79, "--server", h.smtp, "--ca", h.ca, "--from", "alice@lab.test",
			"--to", "bob@lab.test, reject@lab.test", "--cc", "tempfail@lab.test", "--bcc", "carol@lab.test", "--text", "hello", "--subject", "s")
		got := make(map[string]string)
		for _, to := range report.Recipients {
			got[to.Address] = to.Status + " " + to.Enhanced
		}
		want := map[string]string{
			"bob@lab.test": "accepted 2.0.0", "carol@lab.test": "accepted 2.0.0",
			"reject@lab.test": "refused 5.1.1", "tempfail@lab.test": "deferred 4.2.0",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		h.stored(t, "bob", report.MessageID)
		if text := readFile(t, h.stored(t, "carol", report.MessageID)); strings.Contains(strings.ReplaceAll(text, "X-Original-To: carol", ""), "\nBcc") {
			t.Errorf("Bcc reached the message:\n%s", text)
		}
		sendJSON(t, 75, "--server", h.smtp, "--ca", h.ca, "--from", "alice@lab.test", "--to", "reject@lab.test,tempfail@lab.test", "--text", "x", "--subject", "s")
		sendJSON(t, 69, "--server", h.smtp, "--ca", h.ca, "--from", "alice@lab.test", "--to", "reject@lab.test", "--text", "x", "--subject", "s")
	})

	dir := t.TempDir()
	picture := write(t, filepath.Join(dir, "cat.png"), "\x89PNG\r\n\x1a\nnot really\x00\r\n.\r\n", 0o600)
	report1 := write(t, filepath.Join(dir, "Übersicht – 报告.txt"), strings.Repeat("line\n.\n..\n", 5000), 0o600)
	text := "Grüße,\n.\n..\nFrom the start\n" + strings.Repeat("long ", 1000) + "\n你好 \n"
	html := `<p>Grüße <img src="cid:cat.png"></p>` + "\n"
	full := []string{
		"--from", "Jürgen J. Müller <alice@lab.test>", "--to", "Zoë Ünïcode-With-A-Very-Long-Name Whose Words Have To Be Folded Over Several Lines 你好世界你好世界 <dave@lab.test>, \"Doe, John\" <erin@lab.test>",
		"--cc", "frank@lab.test", "--subject", "Ein Gruß – 你好，世界 " + strings.Repeat("und noch ein Wort ", 10),
		"--text", text, "--html", html, "--inline", picture, "--attach", report1, "--attach", picture, "--header", "X-Test: äöü",
	}
	t.Run("a mail with everything", func(t *testing.T) {
		sent := sendJSON(t, 0, append(append([]string{}, submit...), full...)...)
		path := h.stored(t, "dave", sent.MessageID)
		p := readWithPython(t, path)
		if len(p.Defects) > 0 {
			t.Errorf("Python finds defects: %q", p.Defects)
		}
		if diff := cmp.Diff([]string{"Jürgen J. Müller|alice@lab.test"}, p.From); diff != "" {
			t.Error(diff)
		}
		for i := range p.To { // Python 3.11 puts a space between the encoded words of a long name
			p.To[i] = strings.ReplaceAll(p.To[i], " ", "")
		}
		if diff := cmp.Diff([]string{"ZoëÜnïcode-With-A-Very-Long-NameWhoseWordsHaveToBeFoldedOverSeveralLines你好世界你好世界|dave@lab.test", "Doe,John|erin@lab.test"}, p.To); diff != "" {
			t.Error(diff)
		}
		if want := strings.TrimSpace("Ein Gruß – 你好，世界 " + strings.Repeat("und noch ein Wort ", 10)); p.Subject != want {
			t.Errorf("subject %q, want %q", p.Subject, want)
		}
		if len(p.Parts) != 5 {
			t.Fatalf("%d parts: %+v", len(p.Parts), p.Parts)
		}
		if p.Parts[0].Text != text || p.Parts[1].Text != html {
			t.Errorf("text and HTML are %q and %q", p.Parts[0].Text, p.Parts[1].Text)
		}
		if p.Parts[2].ID != "<cat.png>" || p.Parts[3].Name != filepath.Base(report1) || p.Parts[4].Name != "cat.png" {
			t.Errorf("%+v", p.Parts[2:])
		}
		// s-nail reads the text.
		mbox := write(t, filepath.Join(dir, "mbox"), "From x@y Thu Jan  1 00:00:00 1970\n"+strings.ReplaceAll(readFile(t, path), "\nFrom ", "\n>From ")+"\n", 0o600)
		snail := exec.CommandContext(t.Context(), "s-nail", "-n", "-#", "-R", "-S", "ttycharset=utf-8", "-Y", "type 1", "-Y", "xit", "-f", mbox)
		snail.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "MAILRC=/dev/null", "HOME="+dir)
		out, err := snail.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "Grüße,") || !strings.Contains(string(out), "你好") || !strings.Contains(string(out), "Ein Gruß – 你好，世界") {
			t.Errorf("s-nail: %v\n%s", err, out)
		}
		// And our own eyes, over POP3.
		to := filepath.Join(t.TempDir(), "saved")
		code, outText, errOut := program(t, append([]string{"inbox", "save", "1", to}, pop("dave")...)...)
		if code != 0 || errOut != "" {
			t.Fatalf("inbox save: %d %s %s", code, outText, errOut)
		}
		for name, original := range map[string]string{filepath.Base(report1): report1, "cat.png": picture, "cat-2.png": picture} {
			if readFile(t, filepath.Join(to, name)) != readFile(t, original) {
				t.Errorf("%s did not come back as it was sent", name)
			}
		}
		code, outText, _ = program(t, append([]string{"inbox", "show", "1"}, pop("dave")...)...)
		for _, want := range []string{"From: Jürgen J. Müller", "Whose Words Have To Be Folded Over Several Lines 你好世界你好世界 <dave", "Ein Gruß – 你好，世界", "Grüße,", "[1.2.2] image/png cat.png", filepath.Base(report1)} {
			if code != 0 || !strings.Contains(outText, want) {
				t.Errorf("inbox show does not have %q:\n%s", want, outText)
			}
		}
	})
	t.Run("CHUNKING and DSN", func(t *testing.T) {
		code, out, errOut := program(t, append(append([]string{"send", "-v", "--chunking", "--notify", "never", "--ret", "hdrs"}, submit...), full...)...)
		if code != 0 || !strings.Contains(out, "C: BDAT ") || !strings.Contains(out, "RET=HDRS") || !strings.Contains(out, "NOTIFY=NEVER ORCPT=rfc822;erin@lab.test") {
			t.Fatalf("%d\n%s\n%s", code, out, errOut)
		}
		id := strings.TrimSuffix(out[strings.Index(out, "Message-ID: <")+len("Message-ID: <"):], ">\n")
		p := readWithPython(t, h.stored(t, "erin", id))
		if len(p.Defects) > 0 || p.Parts[0].Text != text {
			t.Errorf("%+v", p)
		}
	})
	t.Run("an address beyond ASCII", func(t *testing.T) {
		sent := sendJSON(t, 0, append(append([]string{}, submit...), "--from", "alice@lab.test", "--to", "Jürgen <jürgen@lab.test>", "--subject", "ü", "--text", "hallo")...)
		p := readWithPython(t, h.stored(t, "jürgen", sent.MessageID))
		if diff := cmp.Diff([]string{"Jürgen|jürgen@lab.test"}, p.To); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("smuggling", func(t *testing.T) {
		attack := "\r\n.\r\nMAIL FROM:<alice@lab.test>\r\nRCPT TO:<mallory@lab.test>\r\nDATA\r\nSubject: smuggled\r\n\r\nhi\r\n.\r\n"
		var texts []string
		for _, mark := range []string{"\n.\n", "\n.\r\n", "\r.\r", "\r\n.\r", "\r.\r\n", "\r\n\x2e\n", "\n.\r", "\r\r\n.\r\r\n"} {
			texts = append(texts, "before"+strings.Replace(attack, "\r\n.\r\n", mark, 1)+"after\n")
		}
		texts = append(texts, "."+attack, strings.Repeat("x", 5000), "bare\rcr and\nlf", "nul \x00 byte", "8-bit \xff\xfe text")
		n := 0
		for _, body := range texts {
			text, in := []string{"--text", body}, ""
			if strings.Contains(body, "\x00") { // no argument can hold it
				text, in = []string{"--text-file", "-"}, body
			}
			sent := sendJSONWith(t, in, 0, append(append(append([]string{}, submit...), "--from", "alice@lab.test", "--to", "grace@lab.test", "--subject", "s"), text...)...)
			p := h.stored(t, "grace", sent.MessageID)
			n++
			got, want := readWithPython(t, p).Parts[0].SHA256, canonicalSHA(body)
			if got != want {
				t.Errorf("%q did not arrive as it was sent", body)
			}
		}
		// The same as ready messages, the last three of which must be refused.
		for i, body := range texts {
			eml := write(t, filepath.Join(t.TempDir(), "m.eml"), "Subject: raw\nFrom: alice@lab.test\n\n"+body, 0o600)
			want := 0
			if strings.Contains(body, "\x00") || len(body) == 5000 {
				want = 65
			}
			report := sendJSON(t, want, append(append([]string{}, submit...), "--message", eml, "--", "grace@lab.test")...)
			if want == 0 {
				n++
				h.stored(t, "grace", report.MessageID)
			} else if !strings.Contains(report.Error, "line 4") {
				t.Errorf("%d: %s", i, report.Error)
			}
		}
		// All deliveries of one queue run are over once the last one is stored.
		last := sendJSON(t, 0, append(append([]string{}, submit...), "--from", "alice@lab.test", "--to", "grace@lab.test", "--subject", "last", "--text", "x")...)
		h.stored(t, "grace", last.MessageID)
		if got := h.count("grace"); got != n+1 {
			t.Errorf("%d mails arrived, want %d", got, n+1)
		}
		if h.count("mallory") != 0 {
			t.Error("a mail was smuggled")
		}
		for _, bad := range [][]string{
			{"--subject", "a\r\nBcc: mallory@lab.test"},
			{"--header", "X: a\nBcc: mallory@lab.test"},
			{"--to", "grace@lab.test>\r\nRCPT TO:<mallory@lab.test"},
			{"--header", "Bcc: mallory@lab.test"},
			{"--helo", "x\r\nMAIL"},
			{"--reply-to", "a@b\r\nX: y"},
		} {
			code, _, errOut := program(t, append(append([]string{"send", "--to", "grace@lab.test", "--from", "alice@lab.test", "--text", "x"}, submit...), bad...)...)
			if code == 0 {
				t.Errorf("%q was accepted: %s", bad, errOut)
			}
		}
	})
	t.Run("roundtrip", func(t *testing.T) {
		for _, link := range [][]string{
			{"--pop3", h.pop3}, {"--pop3", h.pop3s, "--pop3-tls", "implicit"}, {"--pop3", h.pop3, "--pop3-auth", "PLAIN"}, {"--pop3", h.pop3, "--pop3-auth", "SCRAM-SHA-256"},
		} {
			args := append([]string{"roundtrip", "--to", "heidi@lab.test", "--pop3-user", "heidi"}, submit...)
			code, out, errOut := program(t, append(args, link...)...)
			if code != 0 || strings.Count(out, "the same") != 4 {
				t.Errorf("%v: %d\n%s\n%s", link, code, out, errOut)
			}
		}
		if h.count("heidi") != 0 {
			t.Error("the mails were not deleted")
		}
	})
	t.Run("a killed list asks Dovecot what has arrived", func(t *testing.T) {
		list := writeList(t, 12, func(int) string { return "mallory@lab.test" })
		mail := []string{"--from", "alice@lab.test", "--each", list, "--subject", "{{name}}", "--text", "x"}
		before := h.count("mallory")
		killAtDot(t, h.smtp, 5, mail...)
		await(t, "the mails before the kill", func() bool { return h.count("mallory") == before+5 })
		code, out, errOut := program(t, append([]string{
			"send", "--server", h.smtp, "--ca", h.ca, "--retry-uncertain=ask-server", "--pop3", h.pop3, "--pop3-user", "mallory",
		}, mail...)...)
		if code != 0 || !strings.Contains(out, "count as sent") || !strings.Contains(out, "12 rows: 12 sent, 0 refused, 0 uncertain, 0 left") {
			t.Errorf("%d\n%s\n%s", code, out, errOut)
		}
		await(t, "the others", func() bool { return h.count("mallory") >= before+12 })
		if n := h.count("mallory") - before; n != 12 {
			t.Errorf("%d mails arrived, want 12", n)
		}
	})
	t.Run("DKIM", func(t *testing.T) {
		public, private, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.MarshalPKCS8PrivateKey(private)
		if err != nil {
			t.Fatal(err)
		}
		key := write(t, filepath.Join(dir, "dkim.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), 0o600)
		sent := sendJSON(t, 0, append(append(append([]string{}, submit...), full...), "--dkim-key", key, "--dkim-selector", "sel")...)
		stored, err := os.ReadFile(h.stored(t, "frank", sent.MessageID))
		if err != nil {
			t.Fatal(err)
		}
		stored = bytes.ReplaceAll(stored, []byte("\n"), []byte("\r\n"))
		results, err := dkim.VerifyWithOptions(bytes.NewReader(stored), &dkim.VerifyOptions{LookupTXT: func(name string) ([]string, error) {
			if name != "sel._domainkey.lab.test" {
				t.Errorf("asked for %s", name)
			}
			return []string{"v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(public)}, nil
		}})
		if err != nil || len(results) != 1 || results[0].Err != nil {
			t.Errorf("%v %+v", err, results)
		}
	})
	t.Run("what Python sends", func(t *testing.T) {
		script := write(t, filepath.Join(dir, "send.py"), `
import smtplib, sys, email.message
m = email.message.EmailMessage()
m["From"] = "Pythön <alice@lab.test>"; m["To"] = "Ivan <ivan@lab.test>"; m["Subject"] = "Größe – 你好 " * 6
m.set_content("Grüße\n.\nEnde\n" + "x" * 3000 + "\n"); m.add_alternative("<p>Grüße</p>", subtype="html")
m.add_attachment(open(sys.argv[2], "rb").read(), maintype="image", subtype="png", filename="bild – 图.png")
s = smtplib.SMTP(sys.argv[1]); s.send_message(m); s.quit()
`, 0o600)
		if out, err := exec.CommandContext(t.Context(), python, script, h.smtp, picture).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		await(t, "Python's mail", func() bool { return h.count("ivan") > 0 })
		code, out, errOut := program(t, append([]string{"inbox", "list"}, pop("ivan")...)...)
		if code != 0 || !strings.Contains(out, "Pythön <alice@lab.test>") || !strings.Contains(out, "Größe – 你好") {
			t.Errorf("%d\n%s\n%s", code, out, errOut)
		}
		code, out, errOut = program(t, append([]string{"inbox", "show", "1"}, pop("ivan")...)...)
		if code != 0 || !strings.Contains(out, "Grüße\n.\nEnde\n"+strings.Repeat("x", 3000)+"\n") || !strings.Contains(out, "bild – 图.png") {
			t.Errorf("%d\n%s\n%s", code, out, errOut)
		}
		to := t.TempDir()
		code, out, errOut = program(t, append([]string{"inbox", "save", "1", to, "--raw"}, pop("ivan")...)...)
		if code != 0 || readFile(t, filepath.Join(to, "bild – 图.png")) != readFile(t, picture) {
			t.Errorf("%d\n%s\n%s", code, out, errOut)
		}
		code, out, errOut = program(t, append([]string{"inbox", "delete", "1"}, pop("ivan")...)...)
		if code != 0 || h.count("ivan") != 0 {
			t.Errorf("%d\n%s\n%s", code, out, errOut)
		}
	})
	t.Run("no secret on the way", func(t *testing.T) {
		forms := []string{realPassword, base64.StdEncoding.EncodeToString([]byte(realPassword)), base64.StdEncoding.EncodeToString([]byte("\x00alice\x00" + realPassword))}
		for _, mechanism := range []string{"SCRAM-SHA-256", "CRAM-MD5", "PLAIN", "LOGIN"} {
			_, out, errOut := program(t, append([]string{"send", "--trace", "--auth", mechanism, "--from", "alice@lab.test", "--to", "judy@lab.test", "--subject", "s", "--text", "x"}, submit...)...)
			for _, form := range forms {
				if strings.Contains(out+errOut, form) {
					t.Errorf("%s shows the password:\n%s", mechanism, out)
				}
			}
			if !strings.Contains(out, "AUTH "+mechanism) {
				t.Errorf("no dialogue:\n%s", out)
			}
		}
	})
}

// TestAiosmtpd sends to a second, independent server.
func TestAiosmtpd(t *testing.T) {
	missing(t, python)
	if err := exec.CommandContext(t.Context(), python, "-c", "import aiosmtpd").Run(); err != nil {
		missing(t, "python3-aiosmtpd")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, python, "-u", "-c", `
import asyncio, json, socket, sys
from aiosmtpd.smtp import SMTP
class Handler:
    async def handle_DATA(self, server, session, envelope):
        print(json.dumps({"from": envelope.mail_from, "to": envelope.rcpt_tos, "data": envelope.content.decode("utf-8")}), flush=True)
        return "250 kept"
async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(Handler(), enable_SMTPUTF8=True, loop=loop), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
`)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cancel(); _ = cmd.Wait() }()
	lines := bufio.NewReader(stdout)
	port, err := lines.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	sendJSON(t, 0, "--server", "127.0.0.1:"+strings.TrimSpace(port), "--from", "jürgen@lab.test", "--to", "Zoë <b@lab.test>", "--subject", "你好", "--text", ".\n..\nhallo\n")
	line, err := lines.ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	var got struct {
		From string
		To   []string
		Data string
	}
	if err := json.Unmarshal([]byte(line), &got); err != nil {
		t.Fatal(err)
	}
	if got.From != "jürgen@lab.test" || got.To[0] != "b@lab.test" || !strings.HasSuffix(got.Data, "\r\n\r\n.\r\n..\r\nhallo\r\n") {
		t.Errorf("%+v", got)
	}
}
