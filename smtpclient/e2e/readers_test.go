//go:build linux

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// aboutForm are the rules of SpamAssassin about what a message is made of, not
// about what it says.
var aboutForm = regexp.MustCompile(`(?m)^ *-?[0-9.]+ +(\w*(MIME|HEADER|MISSING|INVALID|BASE64|CHARSET|BOUNDARY|FORGED|DATE|MSGID|MALFORMED|UNDISC|QP|RATWARE|CTYPE|ILLEGAL)\w*) `)

// TestReaders lets s-nail, mutt and SpamAssassin read what we send; outside of CI
// SpamAssassin reads one message.
func TestReaders(t *testing.T) {
	t.Parallel()
	missing(t, "s-nail", "mutt", "spamassassin", "script")
	dir := t.TempDir()
	picture := write(t, filepath.Join(dir, "my cat.png"), "\x89PNG\r\n", 0o600)
	latin := write(t, filepath.Join(dir, "latin.txt"), "Gr\xfc\xdfe,\nEnde\n", 0o600)
	eml := write(t, filepath.Join(dir, "ready.eml"), "From: Jürgen <alice@lab.test>\nTo: dave@lab.test\nSubject: =?utf-8?b?R3LDvMOfZQ==?=\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\nGrüße,\nEnde\n", 0o600)
	people := []string{"--from", "Jürgen Müller <alice@lab.test>", "--to", "Zoë <dave@lab.test>", "--subject", "Grüße – 你好 " + strings.Repeat("und mehr ", 12)}
	text := []string{"--text", "Grüße,\nEnde\n"}
	page := []string{"--html", `<html><body><p>Grüße, Ende <img src="cid:my cat.png"></body></html>`, "--inline", picture}
	for name, args := range map[string][]string{
		"text":       append(text, people...),
		"Latin-1":    append([]string{"--text-file", latin, "--charset", "iso-8859-1"}, people...),
		"HTML":       append(append([]string{}, page...), people...),
		"both":       append(append(append([]string{}, text...), page...), people...),
		"everything": append(append(append([]string{"--attach", picture + ":name=Grüße.png", "--cc", "\"Doe, John\" <erin@lab.test>", "--reply-to", "r@lab.test", "--header", "X-Test: äöü"}, text...), page...), people...),
		"long lines": append([]string{"--text", "Grüße,\nEnde\n" + strings.Repeat("x", 3000)}, people...),
		"Chinese":    append([]string{"--text", "Grüße,\nEnde\n" + strings.Repeat("你好世界", 300)}, people...),
		"blind":      {"--from", "alice@lab.test", "--bcc", "dave@lab.test", "--subject", "Grüße", "--text", "Grüße,\nEnde\n"},
		"ready":      {"--message", eml},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			home := t.TempDir()
			code, message, errOut := program(t, append([]string{"send", "--dry-run"}, args...)...)
			if code != 0 {
				t.Fatalf("%d %s", code, errOut)
			}
			mbox := write(t, filepath.Join(home, "mbox"), "From x@y Thu Jan  1 00:00:00 1970\n"+strings.ReplaceAll(strings.ReplaceAll(message, "\r\n", "\n"), "\nFrom ", "\n>From ")+"\n", 0o600)
			env := append(os.Environ(), "LC_ALL=C.UTF-8", "MAILRC=/dev/null", "HOME="+home, "TERM=xterm")
			reads := func(reader, out string) {
				for _, want := range []string{"Grüße", "Ende"} {
					if !strings.Contains(out, want) {
						t.Errorf("%s does not read %q:\n%s\n%s", reader, want, out, message)
					}
				}
			}
			snail := exec.CommandContext(t.Context(), "s-nail", "-n", "-#", "-R", "-S", "ttycharset=utf-8", "-Y", "type 1", "-Y", "xit", "-f", mbox)
			snail.Env = env
			out, err := snail.CombinedOutput()
			if err != nil {
				t.Errorf("s-nail: %v", err)
			}
			reads("s-nail", string(out))

			// mutt wants a terminal; "script" gives it one.
			printed := filepath.Join(home, "printed")
			rc := write(t, filepath.Join(home, "muttrc"), fmt.Sprintf("set pipe_decode=yes wait_key=no charset=utf-8 quit=yes read_only=yes folder=/tmp\nmacro index X \"<pipe-message>cat >%s<enter><exit>\"\npush X\n", printed), 0o600)
			mutt := exec.CommandContext(t.Context(), "script", "-qec", fmt.Sprintf("mutt -n -F %s -f %s", rc, mbox), "/dev/null")
			mutt.Env = env
			hold, err := mutt.StdinPipe() // an end of the input would end mutt
			if err != nil {
				t.Fatal(err)
			}
			if err = mutt.Start(); err != nil {
				t.Fatal(err)
			}
			await(t, "mutt", func() bool {
				text, _ := os.ReadFile(printed)
				return strings.Contains(string(text), "Ende")
			})
			hold.Close()
			if err = mutt.Wait(); err != nil {
				t.Errorf("mutt: %v", err)
			}
			reads("mutt", readFile(t, printed))

			if name != "everything" && os.Getenv("TOPDOWN_REQUIRE_REAL") != "1" {
				return // SpamAssassin takes more than a second to start: one message will do
			}
			spam := exec.CommandContext(t.Context(), "spamassassin", "-L", "-t")
			spam.Env = env
			spam.Stdin = strings.NewReader(message)
			out, err = spam.Output()
			if err != nil {
				t.Errorf("SpamAssassin: %v", err)
			}
			_, rules, found := strings.Cut(string(out), " pts rule name")
			if !found {
				t.Fatalf("SpamAssassin says nothing:\n%s", out)
			}
			for _, hit := range aboutForm.FindAllString(rules, -1) {
				if name != "HTML" || !strings.Contains(hit, "MIME_HTML_ONLY") { // there the user wants it so, and was warned
					t.Errorf("SpamAssassin: %q\n%s", hit, rules)
				}
			}
		})
	}
}
