package mailbox

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

const bounce = `From: mailer@lab.test
Subject: Undelivered
Content-Type: multipart/report; report-type=delivery-status; boundary=b

--b

Sorry.
--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.lab.test

Final-Recipient: rfc822; x@lab.test
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 no such user

--b
Content-Type: message/rfc822

From: me@lab.test
Subject: Hello

the original
--b--
`

const invitation = `Subject: Meeting
Content-Type: multipart/alternative; boundary=b

--b

Please come.
--b
Content-Type: text/calendar; method=REQUEST

BEGIN:VCALENDAR
METHOD:REQUEST
BEGIN:VEVENT
SUMMARY:Planning
DTSTART:20261123T140000Z
LOCATION:Room 5
END:VEVENT
END:VCALENDAR
--b--
`

func TestShow(t *testing.T) {
	for _, tt := range []struct {
		name, in, want string
		warned         int
	}{
		{"plain", "Subject: s\nFrom: a@b\n\ntext\x1b[31m\n", "From: a@b\nSubject: s\n\ntext\\x1b[31m\n", 0},
		{"HTML alone", "Content-Type: text/html\n\n<p>one</p><ul><li>two</ul>", "\none\n\n* two\n", 0},
		{"text before HTML", "Content-Type: multipart/alternative; boundary=b\n\n--b\n\ntext\n--b\nContent-Type: text/html\n\n<p>no\n--b--\n", "\ntext\n", 0},
		{"attachment", "Content-Type: multipart/mixed; boundary=b\n\n--b\n\ntext\n--b\nContent-Disposition: attachment; filename=\"a\u202eb.txt\"\n\nxyz\n--b--\n", "\ntext\n\n[2] text/plain a\\u202eb.txt 3 B\n", 0},
		{"bounce", bounce, `From: mailer@lab.test
Subject: Undelivered

Sorry.

Delivery report:
  to x@lab.test: refused, 5.1.1 (550 no such user)

-------- Message in the message [3] --------
From: me@lab.test
Subject: Hello

the original
-------- End of the message [3] --------
`, 0},
		{"invitation", invitation, "Subject: Meeting\n\nPlease come.\n\nInvitation: Planning\nWhen: 2026-11-23 14:00 UTC\nWhere: Room 5\n", 0},
		{"multipart without parts", "Content-Type: multipart/mixed; boundary=b\n\nall there is\n", "\nall there is\n", 1},
		{"header without end", strings.Repeat("X: y\n", 2000) + "\nthe text\n", "\nthe text\n", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out strings.Builder
			shown, err := Show(strings.NewReader(tt.in), &out)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, out.String()); diff != "" {
				t.Error(diff)
			}
			if len(shown.Warnings) != tt.warned {
				t.Errorf("%q", shown.Warnings)
			}
		})
	}
	shown, err := Show(strings.NewReader(bounce), nil)
	if err != nil || shown.Header["Subject"] != "Undelivered" || !strings.HasPrefix(shown.Text, "Sorry.\n") || !strings.Contains(shown.Text, "Subject: Hello") {
		t.Errorf("%+v %v", shown, err)
	}
}

func TestSave(t *testing.T) {
	dir := t.TempDir()
	var saved, warned []string
	s := &Saver{
		Dir: dir, Raw: "message-1.eml",
		Saved: func(p SavedPart) {
			saved = append(saved, fmt.Sprintf("%s %s %s %d", p.Part, p.Type, filepath.Base(p.File), p.Size))
		},
		Warn: func(format string, args ...any) { warned = append(warned, fmt.Sprintf(format, args...)) },
	}
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.Symlink(outside, filepath.Join(dir, "linked.txt")); err != nil {
		t.Skip(err)
	}
	mail := bounce[:strings.LastIndex(bounce, "--b--")] + "--b\nContent-Disposition: attachment; filename=linked.txt\nContent-Transfer-Encoding: base64\n\naGVsbG8gd29\n--b--\n"
	if err := s.Save(strings.NewReader(mail)); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"1 text/plain part-1.txt 6", "2 message/delivery-status part-2.bin 138", "3.1 text/plain part-3.1.txt 12",
		"3 message/rfc822 part-3.eml 46", "4 text/plain linked-2.txt 8", "0 message/rfc822 message-1.eml 501",
	}
	if diff := cmp.Diff(want, saved); diff != "" {
		t.Error(diff)
	}
	if len(warned) != 1 || !strings.Contains(warned[0], "cut off") {
		t.Errorf("%q", warned)
	}
	if _, err := os.Stat(outside); err == nil {
		t.Error("a link was followed")
	}
	raw, err := os.ReadFile(filepath.Join(dir, "message-1.eml"))
	if err != nil || string(raw) != mail {
		t.Errorf("%v %q", err, raw)
	}
	s.Dir = filepath.Join(dir, "none")
	if err := s.Save(strings.NewReader(mail)); !errors.Is(err, ErrOutput) {
		t.Error(err)
	}
	s.Raw = ""
	if err := s.Save(strings.NewReader(mail)); !errors.Is(err, ErrOutput) {
		t.Error(err)
	}
}

// TestSaveTornMessage leaves no file behind that looks like the whole message.
func TestSaveTornMessage(t *testing.T) {
	s := &Saver{Dir: t.TempDir(), Raw: "message-1.eml", Saved: func(SavedPart) {}, Warn: func(string, ...any) {}}
	gone := errors.New("gone")
	if err := s.Save(io.MultiReader(strings.NewReader("Subject: s\n\nhalf of the te"), iotest.ErrReader(gone))); !errors.Is(err, gone) {
		t.Error(err)
	}
	if left, err := os.ReadDir(s.Dir); len(left) > 0 || err != nil {
		t.Errorf("%v %v", left, err)
	}
}

// TestShowBounded shows a mail of many long texts as far as it goes, and says so.
func TestShowBounded(t *testing.T) {
	text := strings.Repeat("one line of the text\n", 1<<20/21)
	mail := "Content-Type: multipart/mixed; boundary=b\n" + strings.Repeat("\n--b\n\n"+text, 5) + "\n--b--\n"
	for _, out := range []io.Writer{io.Discard, nil} {
		shown, err := Show(strings.NewReader(mail), out)
		if err != nil {
			t.Fatal(err)
		}
		if len(shown.Text) > maxShown+100 || len(shown.Warnings) != 1 || !strings.Contains(shown.Warnings[0], "4.0 MiB") {
			t.Errorf("%d bytes, %q", len(shown.Text), shown.Warnings)
		}
	}
	var long strings.Builder // a character may stand anywhere in the line
	if _, err := Show(strings.NewReader("\n"+strings.Repeat("你", 1<<17)+"\n"), &long); err != nil || strings.Contains(long.String(), `\x`) {
		t.Errorf("a long line is cut within a character: %v", err)
	}
	if shown, err := Show(strings.NewReader("\n"+strings.Repeat("x", maxShown-1)+"\n"), io.Discard); err != nil || len(shown.Warnings) > 0 {
		t.Errorf("%v %q", err, shown.Warnings)
	}
}

func TestLine(t *testing.T) {
	for want, line := range map[string]Line{
		"   3     2.0 KiB  Ann <a@b>                       hi":     {Number: 3, Size: 2048, From: "Ann <a@b>", Subject: "hi"},
		"   4         5 B  (unreadable: no\\x1b)":                  {Number: 4, Size: 5, Unreadable: "no\x1b"},
		"   5     3.0 GiB  " + strings.Repeat("x", 29) + "…  s\\n": {Number: 5, Size: 3 << 30, From: strings.Repeat("x", 40), Subject: "s\n"},
	} {
		if got := line.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	for _, name := range []string{"", "0", "-1", "x", "1.5"} {
		if err := CheckName(name); !errors.Is(err, ErrName) {
			t.Errorf("%q: %v", name, err)
		}
	}
}
