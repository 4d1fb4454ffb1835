package draft

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"topdown/smtpclient/internal/bulk"
	"topdown/smtpclient/internal/dkim"
	"topdown/smtpclient/internal/message"

	"github.com/google/go-cmp/cmp"
)

// zeros is a source of random bytes for tests.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// newDraft completes a draft for a test.
func newDraft(d Draft, in string) *Draft {
	if d.From == "" && d.Message == "" {
		d.From = "me@lab.test"
	}
	if d.To == nil && d.Message == "" {
		d.To = []string{"you@lab.test"}
	}
	d.In, d.Random = strings.NewReader(in), zeros{}
	d.Now = func() time.Time { return time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC) }
	d.Warn = func(string, ...any) {}
	return &d
}

func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// textOf is a mail as it is sent.
func textOf(t *testing.T, d *Draft) (string, *Mail) {
	t.Helper()
	m, err := d.Prepare()
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	var b bytes.Buffer
	if _, err := m.Message.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.String(), m
}

// TestCharsets sends text files as what they are.
func TestCharsets(t *testing.T) {
	for _, tt := range []struct{ name, content, charset, want string }{
		{"UTF-8", "grün", "", "grün"},
		{"mark of UTF-8", "\xef\xbb\xbfgrün", "", "grün"},
		{"UTF-16, little end first", "\xff\xfeg\x00r\x00\xfc\x00n\x00", "", "grün"},
		{"UTF-16, big end first", "\xfe\xff\x00g\x00r\x00\xfc\x00n", "", "grün"},
		{"a mark goes before the charset", "\xef\xbb\xbfgrün", "iso-8859-1", "grün"},
		{"Latin-1", "gr\xfcn", "latin1", "grün"},
		{"gb18030", "\xc4\xe3\xba\xc3", "gb18030", "你好"},
		{"UTF-8 by name", "grün", "utf-8", "grün"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := write(t, "body", tt.content)
			for _, d := range []Draft{{TextFile: path, Charset: tt.charset}, {HTMLFile: path, Charset: tt.charset}} {
				text, _ := textOf(t, newDraft(d, ""))
				got := ""
				err := message.Read(strings.NewReader(text), func(p *message.Part) error {
					var b bytes.Buffer
					_, err := b.ReadFrom(p.Text())
					got = strings.TrimSpace(b.String())
					return err
				})
				if err != nil || got != tt.want {
					t.Errorf("%q, want %q; %v", got, tt.want, err)
				}
			}
		})
	}
	_, err := newDraft(Draft{TextFile: write(t, "body", "one\ntwo gr\xfcn\n")}, "").Prepare()
	if !errors.Is(err, message.ErrFormat) || !strings.Contains(err.Error(), "line 2: it is not UTF-8; say what it is, as in --charset") {
		t.Error(err)
	}
	_, err = newDraft(Draft{TextFile: write(t, "body", "x"), Charset: "klingon"}, "").Prepare()
	if _, ok := errors.AsType[*UsageError](err); !ok {
		t.Error(err)
	}
}

// TestFiles attaches files under other names and types, and standard input.
func TestFiles(t *testing.T) {
	path := write(t, "odd\tname\n.bin", "content")
	colon := write(t, "a:name=b", "colon")
	for _, tt := range []struct{ spec, in, want string }{
		{path, "", "application/octet-stream odd name .bin content"},
		{path + ":type=image/png", "", "image/png odd name .bin content"},
		{path + ":name=x.png", "", "image/png x.png content"},
		{path + ":type=text/csv:name=Größe.dat", "", "text/csv Größe.dat content"},
		{path + ":name=y:type=text/plain", "", "text/plain y content"},
		{"-", "from a pipe", "application/octet-stream attachment from a pipe"},
		{"-:name=p.txt", "from a pipe", "text/plain p.txt from a pipe"},
		{colon, "", "application/octet-stream a_name=b colon"},
	} {
		text, m := textOf(t, newDraft(Draft{Text: "see", Attach: []string{tt.spec}}, tt.in))
		got := ""
		err := message.Read(strings.NewReader(text), func(p *message.Part) error {
			if !p.Attachment() {
				return nil
			}
			var b bytes.Buffer
			_, err := b.ReadFrom(p.Body)
			got = p.Type + " " + strings.ReplaceAll(p.Filename, ":", "_") + " " + b.String()
			return err
		})
		if err != nil || got != tt.want {
			t.Errorf("%s: %q, want %q; %v", tt.spec, got, tt.want, err)
		}
		m.Close()
	}
	for _, bad := range []string{filepath.Join(t.TempDir(), "none"), t.TempDir()} {
		_, err := newDraft(Draft{Attach: []string{bad}}, "").Prepare()
		if _, ok := errors.AsType[*fs.PathError](err); !ok || !strings.HasPrefix(err.Error(), "--attach "+bad+": ") {
			t.Error(err)
		}
	}
}

func TestEnvelope(t *testing.T) {
	for _, tt := range []struct {
		draft  Draft
		from   string
		to     []string
		notify string
		ret    string
	}{
		{Draft{}, "me@lab.test", []string{"you@lab.test"}, "", ""},
		{Draft{EnvelopeFrom: "bounces@lab.test"}, "bounces@lab.test", []string{"you@lab.test"}, "", ""},
		{Draft{EnvelopeFrom: "<>"}, "", []string{"you@lab.test"}, "", ""},
		{Draft{To: []string{"a@x.y, B <b@x.y>"}, Cc: []string{"a@x.y"}, Bcc: []string{"c@x.y"}}, "me@lab.test", []string{"a@x.y", "b@x.y", "c@x.y"}, "", ""},
		{Draft{Notify: "success, failure", Return: "hdrs"}, "me@lab.test", []string{"you@lab.test"}, "SUCCESS,FAILURE", "HDRS"},
	} {
		text, m := textOf(t, newDraft(tt.draft, ""))
		if m.Envelope.From != tt.from || m.Envelope.Notify != tt.notify || m.Envelope.Return != tt.ret {
			t.Errorf("%+v: %+v", tt.draft, m.Envelope)
		}
		if diff := cmp.Diff(tt.to, m.Envelope.To); diff != "" {
			t.Error(diff)
		}
		if strings.Contains(text, "c@x.y") {
			t.Errorf("Bcc in\n%s", text)
		}
	}
}

func TestMistakes(t *testing.T) {
	for name, d := range map[string]Draft{
		"two texts":        {Text: "x", TextFile: "y"},
		"two inputs":       {TextFile: "-", Attach: []string{"-:name=x"}},
		"bad from":         {From: "nobody"},
		"bad to":           {To: []string{"a b c"}},
		"bad envelope":     {EnvelopeFrom: "x"},
		"bad notify":       {Notify: "never,success"},
		"bad ret":          {Return: "all"},
		"bad header":       {Header: []string{"X"}},
		"own header":       {Header: []string{"Subject: x"}},
		"line in a header": {Header: []string{"X: a\r\nBcc: b@c.d"}},
		"key alone":        {DKIMKey: "x"},
		"selector alone":   {DKIMSelector: "x"},
		"bad selector":     {DKIMKey: "x", DKIMSelector: "s\r\nBcc: b@c.d"},
		"bad domain":       {DKIMKey: "x", DKIMSelector: "s", DKIMDomain: "c.d\r\nBcc: b@c.d"},
		"domain and more":  {DKIMKey: "x", DKIMSelector: "s", DKIMDomain: "c.d; x=y"},
		"message and text": {Message: "x", Text: "y"},
		"bad reply-to":     {ReplyTo: "@"},
		"no media type":    {Attach: []string{"-:type=foo"}},
		"half a type":      {Inline: []string{"-:type=text/"}},
		"long file name":   {Attach: []string{"-:name=" + strings.Repeat("ü", 200)}},
	} {
		_, err := newDraft(d, "").Prepare()
		if _, ok := errors.AsType[*UsageError](err); !ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	d := newDraft(Draft{}, "")
	d.To = nil
	if _, err := d.Prepare(); err == nil || !strings.Contains(err.Error(), "nobody to send to") {
		t.Error(err)
	}
	key := write(t, "key.pem", "x")
	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := newDraft(Draft{DKIMKey: key, DKIMSelector: "s"}, "").Prepare(); !errors.Is(err, dkim.ErrKey) {
		t.Error(err)
	}
}

// TestReady sends a ready message.
func TestReady(t *testing.T) {
	const mail = "From: Ann <ann@bücher.example>\nTo: a@x.y\nCc: b@x.y\nBcc: c@x.y\nSubject: s\n\nhi\n"
	for _, in := range []struct{ path, stdin string }{{write(t, "m.eml", mail), ""}, {"-", mail}} {
		text, m := textOf(t, newDraft(Draft{Message: in.path}, in.stdin))
		if diff := cmp.Diff([]string{"a@x.y", "b@x.y", "c@x.y"}, m.Envelope.To); diff != "" {
			t.Error(diff)
		}
		if m.Envelope.From != "ann@xn--bcher-kva.example" || m.MessageID != strings.Repeat("0", 32)+"@xn--bcher-kva.example" {
			t.Errorf("%+v %s", m.Envelope, m.MessageID)
		}
		if strings.Contains(text, "c@x.y") || !strings.Contains(text, "Date: Fri, 20 Nov 2026") || !strings.Contains(text, "Message-ID: <"+m.MessageID+">\r\n") {
			t.Error(text)
		}
	}
	text, m := textOf(t, newDraft(Draft{Message: write(t, "m.eml", "From: a@b.c\nMessage-ID: <mine@x>\n\nx"), From: "other@b.c", To: []string{"d@e.f"}}, ""))
	if m.MessageID != "mine@x" || m.Envelope.From != "other@b.c" || strings.Count(text, "Message-ID") != 1 {
		t.Errorf("%+v\n%s", m, text)
	}
	if _, err := newDraft(Draft{Message: write(t, "m.eml", "From: a@b.c\nTo: nobody at all\n\nx")}, "").Prepare(); !errors.Is(err, message.ErrFormat) {
		t.Error(err)
	}
	group := newDraft(Draft{Message: write(t, "m.eml", "From: nobody:;\nTo: a@b.c\n\nx")}, "")
	if _, err := group.Prepare(); err == nil || !strings.Contains(err.Error(), `"nobody:;" names nobody`) {
		t.Error(err)
	}
	if _, err := newDraft(Draft{Message: "/nowhere/m.eml"}, "").Prepare(); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func TestSeries(t *testing.T) {
	list := write(t, "list.csv", "to,name\na@x.y,Ann\nb@x.y,Bob <b>\n")
	d := newDraft(Draft{Subject: "Dear {{name}}", Text: "Hi {{ NAME }}", HTML: "<p>{{name}}"}, "")
	d.To = nil
	s, err := d.Series()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	first, rows, err := s.Survey(list)
	if err != nil || rows != 2 {
		t.Fatal(rows, err)
	}
	if again, _, _ := s.Survey(list); again != first {
		t.Error("the fingerprint changes")
	}
	opened, err := bulk.OpenList(list, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	_, _ = opened.Next()
	row, err := opened.Next()
	if err != nil {
		t.Fatal(err)
	}
	env, m, id, err := s.Compose(row)
	if err != nil || env.To[0] != "b@x.y" || id == "" {
		t.Fatal(env, err)
	}
	var b bytes.Buffer
	if _, err := m.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Subject: Dear Bob <b>\r\n", "Hi Bob <b>", "<p>Bob &lt;b&gt;"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	for name, list := range map[string]string{
		"no to": "name\nx\n", "bad address": "to,name\nx,y\n", "line in the subject": "to,name\na@b.c,\"x\ny\"\n", "nothing": "",
	} {
		if _, _, err := s.Survey(write(t, "list.csv", list)); !errors.Is(err, bulk.ErrList) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := s.Survey(write(t, "list.csv", "to\na@b.c\n")); err == nil || !strings.Contains(err.Error(), "no such column") {
		t.Error(err)
	}
	if _, err := newDraft(Draft{Text: "{{x"}, "").Series(); err == nil {
		t.Error("a list beside --to")
	}
}
