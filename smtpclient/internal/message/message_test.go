package message

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/mail"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var aDate = time.Date(2026, 11, 20, 12, 0, 0, 0, time.FixedZone("", 3600))

func mustAddress(t *testing.T, s string) Address {
	t.Helper()
	a, err := ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func fileOf(name, content string) File {
	return File{Name: name, Size: int64(len(content)), Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content)), nil }}
}

func composed(t *testing.T, m *Mail) string {
	t.Helper()
	c, err := Compose(m)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if n, err := c.WriteTo(&b); err != nil || n != c.Size() || n != int64(b.Len()) {
		t.Fatalf("WriteTo: %d, %v; Size %d, %d bytes", n, err, c.Size(), b.Len())
	}
	for line := range strings.SplitAfterSeq(b.String(), "\r\n") {
		text := strings.TrimSuffix(line, "\r\n")
		if strings.ContainsAny(text, "\r\n") || len(text) > longestLine || line != "" && text == line {
			t.Errorf("not canonical: %.100q", line)
		}
	}
	return b.String()
}

// outline lists the parts of a message.
func outline(t *testing.T, text string) (parts []string) {
	t.Helper()
	err := Read(strings.NewReader(text), func(p *Part) error {
		body, err := io.ReadAll(p.Body)
		parts = append(parts, fmt.Sprintf("%s %s %s %s %s %.40q", p.Path, p.Type, p.Disposition, p.Filename, p.ContentID, body))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return parts
}

func TestStructure(t *testing.T) {
	picture, paper := fileOf("cat.png", "PNG"), fileOf("a ü.txt", "paper")
	for _, tt := range []struct {
		name string
		mail Mail
		want []string
	}{
		{"text", Mail{Text: "hi"}, []string{`1 text/plain    "hi\r\n"`}},
		{"HTML", Mail{HTML: "<p>"}, []string{`1 text/html    "<p>\r\n"`}},
		{"nothing", Mail{}, []string{`1 text/plain    ""`}},
		{"both", Mail{Text: "hi", HTML: "<p>"}, []string{`1 text/plain    "hi\r\n"`, `2 text/html    "<p>\r\n"`}},
		{"inline", Mail{HTML: "<p>", Inline: []File{picture}}, []string{`1 text/html    "<p>\r\n"`, `2 image/png inline cat.png cat.png "PNG"`}},
		{"inline without HTML", Mail{Text: "hi", Inline: []File{picture}}, []string{`1 text/plain    "hi\r\n"`, `2 image/png attachment cat.png  "PNG"`}},
		{"attachment alone", Mail{Attach: []File{paper}}, []string{`1 text/plain attachment a ü.txt  "paper"`}},
		{"all", Mail{Text: "hi", HTML: "<p>", Inline: []File{picture}, Attach: []File{paper, picture}}, []string{
			`1.1 text/plain    "hi\r\n"`, `1.2.1 text/html    "<p>\r\n"`, `1.2.2 image/png inline cat.png cat.png "PNG"`,
			`2 text/plain attachment a ü.txt  "paper"`, `3 image/png attachment cat.png  "PNG"`,
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := tt.mail
			m.From, m.Date, m.MessageID, m.Boundary = mustAddress(t, "a@lab.test"), aDate, "id@lab.test", "xyz"
			if diff := cmp.Diff(tt.want, outline(t, composed(t, &m))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestHeader(t *testing.T) {
	long := strings.Repeat("word ", 40) + strings.Repeat("x", 100)
	m := &Mail{
		From: mustAddress(t, "Jürgen <a@lab.test>"), ReplyTo: []Address{mustAddress(t, `"Doe, J. (x)" <b@lab.test>`)},
		To:      []Address{mustAddress(t, "c@bücher.example"), mustAddress(t, `"odd local"@lab.test`)},
		Subject: long + " größe", Date: aDate, MessageID: "id@lab.test", Boundary: "xyz", Text: "x",
		Extra: []Field{{"X-Long", long}, {"X-Odd", "=?utf-8?q?not_encoded?="}, {"X-Spaces", "a  b   c"}},
	}
	text := composed(t, m)
	head, _, _ := strings.Cut(text, "\r\n\r\n")
	for line := range strings.SplitSeq(head, "\r\n") {
		if len(line) > 76 && !strings.Contains(line, strings.Repeat("x", 100)) {
			t.Errorf("long line: %q", line)
		}
	}
	parsed, err := mail.ReadMessage(strings.NewReader(text)) // the standard library as a judge
	if err != nil {
		t.Fatal(err)
	}
	decode := func(name string) string {
		s, err := wordDecoder.DecodeHeader(parsed.Header.Get(name))
		if err != nil {
			t.Error(err)
		}
		return s
	}
	got := []string{decode("From"), parsed.Header.Get("Reply-To"), parsed.Header.Get("To"), decode("Subject"), parsed.Header.Get("Date"), parsed.Header.Get("Message-ID"), parsed.Header.Get("X-Long"), decode("X-Odd"), parsed.Header.Get("X-Spaces")}
	want := []string{
		"Jürgen <a@lab.test>", `"Doe, J. (x)" <b@lab.test>`, `c@xn--bcher-kva.example, "odd local"@lab.test`, long + " größe",
		"Fri, 20 Nov 2026 12:00:00 +0100", "<id@lab.test>", long, "=?utf-8?q?not_encoded?=", "a  b   c",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestRefused(t *testing.T) {
	from := mustAddress(t, "a@lab.test")
	for name, m := range map[string]*Mail{
		"subject with a line end":  {From: from, Subject: "a\r\nBcc: b@lab.test"},
		"subject with NUL":         {From: from, Subject: "a\x00"},
		"subject that is no UTF-8": {From: from, Subject: "\xff"},
		"field name":               {From: from, Extra: []Field{{"X Y", "a"}}},
		"field value":              {From: from, Extra: []Field{{"X", "a\nb"}}},
		"Bcc":                      {From: from, Extra: []Field{{"bcc", "a@lab.test"}}},
		"own field":                {From: from, Extra: []Field{{"Content-type", "x/y"}}},
		"no sender":                {},
		"file name":                {From: from, Attach: []File{fileOf("a\r\nb", "")}},
	} {
		if _, err := Compose(m); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for _, s := range []string{"", "a", "a@", "@b", "a@b\r\nc", "a\x00@b", "a@b c", "a b@c", "<a@b", "a@b>", "a@[x y]", strings.Repeat("x", 65) + "@b", "a@" + strings.Repeat("x.", 200) + "y", "a@b, c@d", "a@b..c"} {
		if a, err := ParseAddress(s); err == nil {
			t.Errorf("%q was taken for an address: %+v", s, a)
		}
	}
	f := fileOf("x", "abc")
	f.Size = 4
	c, err := Compose(&Mail{From: from, Attach: []File{f}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.WriteTo(io.Discard); err == nil {
		t.Error("a file that shrank was sent")
	}
}

func TestRaw(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"as it should be", "Date: d\r\nMessage-ID: <i>\r\n\r\nbody\r\n", "Date: d\r\nMessage-ID: <i>\r\n\r\nbody\r\n"},
		{"LF, nothing there", "Subject: s\n\na\n.\n\nb", "Date: Fri, 20 Nov 2026 12:00:00 +0100\r\nMessage-ID: <new@id>\r\nSubject: s\r\n\r\na\r\n.\r\n\r\nb\r\n"},
		{"From with a space", "From : x@y\nDate: d\nMessage-ID: <i>\n\n", "From : x@y\r\nDate: d\r\nMessage-ID: <i>\r\n\r\n"},
		{"Bcc and mbox", "From x@y\nBcc: a@b,\n c@d\nDate: d\nMessage-ID: <i>\nX: y\n\n", "Date: d\r\nMessage-ID: <i>\r\nX: y\r\n\r\n"},
		{"bare CR", "Date: d\rMessage-ID: <i>\r\ra\rb\r\r", "Date: d\r\nMessage-ID: <i>\r\n\r\na\r\nb\r\n\r\n"},
		{"header alone", "Date: d\nMessage-ID: <i>\nX: y", "Date: d\r\nMessage-ID: <i>\r\nX: y\r\n\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			raw, err := ReadRaw(strings.NewReader(tt.in))
			if err != nil {
				t.Fatal(err)
			}
			raw.Complete(aDate, "new@id")
			for range 2 {
				var b bytes.Buffer
				if n, err := raw.WriteTo(&b); err != nil || n != raw.Size() {
					t.Errorf("%d bytes, Size %d, %v", n, raw.Size(), err)
				}
				if diff := cmp.Diff(tt.want, b.String()); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
	for name, in := range map[string]string{
		"NUL": "X: y\n\na\x00", "NUL in header": "X: \x00\n\n", "long line": "X: y\n\n" + strings.Repeat("x", 999), "no header": "hello world\n\nx",
		"starts with a space": " x\n", "endless header": strings.Repeat("X: y\n", 2000),
	} {
		if _, err := ReadRaw(strings.NewReader(in)); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if h, err := ReadHeader(strings.NewReader("From : x@y\n\n")); err != nil || h.Get("From") != "x@y" {
		t.Errorf("a From field with a space is read as %q, %v", h, err)
	}
	raw, err := ReadRaw(strings.NewReader("Subject: ü\n\nü"))
	if err != nil || !raw.UTF8() || !raw.EightBit() {
		t.Errorf("%v %+v", err, raw)
	}
}

func TestRead(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     []string
	}{
		{"LF only", "A: b\n\nx\ny\n", []string{`1 text/plain    "x\ny\n"`}},
		{"no header", "\nbody", []string{`1 text/plain    "body"`}},
		{"empty", "", []string{`1 text/plain    ""`}},
		{"boundary is never closed", "Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b\n\ntwo\n", []string{`1 text/plain    "one"`, `2 text/plain    "two\n"`}},
		{"boundary never comes", "Content-Type: multipart/mixed; boundary=b\n\ntext", []string{`1 text/plain    "text"`}},
		{"no boundary given", "Content-Type: multipart/mixed\n\ntext", []string{`1 text/plain    "text"`}},
		{"outer boundary ends the inner", "Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/alternative; boundary=b\n\n--b\n\none\n--a\n\ntwo\n--a--\nrest", []string{`1.1 text/plain    "one"`, `2 text/plain    "two"`}},
		{"boundary with spaces behind", "Content-Type: multipart/mixed; boundary=a\n\n--a \t\n\none\n--a--  \n", []string{`1 text/plain    "one"`}},
		{"prefix of a boundary", "Content-Type: multipart/mixed; boundary=a\n\n--a\n\n--ab\none\n--a--", []string{`1 text/plain    "--ab\none"`}},
		{"part is only a header", "Content-Type: multipart/mixed; boundary=a\n\n--a\nX: y\n--a\n\ntwo\n--a--", []string{`1 text/plain    ""`, `2 text/plain    "two"`}},
		{"base64 with dirt", "Content-Transfer-Encoding: BASE64\n\n aGVs *bG8\n", []string{`1 text/plain    "hello"`}},
		{"base64 cut", "Content-Transfer-Encoding: base64\n\naGVsbG8gd", []string{`1 text/plain    "hello t"`}},
		{"quoted-printable", "Content-Transfer-Encoding: quoted-printable\n\na=3D=\nb =\n\n", []string{`1 text/plain    "a=b \n"`}},
		{"long line", "X: y\n\n" + strings.Repeat("x", 200000) + "\nend", []string{`1 text/plain    "` + strings.Repeat("x", 40) + `"`}},
		{"encoded names", "Content-Type: image/png; name=\"=?utf-8?q?gr=C3=BC=C3=9Fe.png?=\"\n\n", []string{`1 image/png  grüße.png  ""`}},
		{"broken type", "Content-Type: ;;;\n\nx", []string{`1 text/plain    "x"`}},
		{"line that is no field", "garbage\nContent-Type: text/html\n\nx", []string{`1 text/plain    "garbage\nContent-Type: text/html\n\nx"`}},
		{"no empty line", "Subject: s\nthe body begins\nhere: so", []string{`1 text/plain    "the body begins\nhere: so"`}},
		{"mbox marks", "From x@y Thu\nSubject: s\n>From z\nX: y\n\nx", []string{`1 text/plain    "x"`}},
		{"uuencode", "Content-Transfer-Encoding: x-uuencode\n\nbegin 644 x\n#0V%T\n`\nend\n", []string{`1 text/plain    "Cat"`}},
		{"uuencode without end", "Content-Transfer-Encoding: uuencode\n\nbegin 644 x\n#0V%T\n", []string{`1 text/plain    "Cat"`}},
		{"quoted-printable that is none", "Content-Transfer-Encoding: quoted-printable\n\n100% =zz = \nx =", []string{`1 text/plain    "100% =zz x "`}},
		{"digest", "Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: s\n\nx\n--b--", []string{`1 message/rfc822    "Subject: s\n\nx"`}},
		{"long preamble", "Content-Type: multipart/mixed; boundary=b\n\n" + strings.Repeat("x", 100000) + "\n--b\n\none\n--b--", []string{`0 text/plain    "` + strings.Repeat("x", 40) + `"`, `1 text/plain    "one"`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, outline(t, tt.in)); diff != "" {
				t.Error(diff)
			}
			if crlf := strings.ReplaceAll(tt.in, "\n", "\r\n"); len(outline(t, crlf)) != len(tt.want) {
				t.Errorf("with CRLF: %q", outline(t, crlf))
			}
		})
	}
}

func TestReadBounds(t *testing.T) {
	nested := ""
	for n := range 30 {
		nested += fmt.Sprintf("Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n", n, n)
	}
	for name, in := range map[string]string{
		"depth":  nested,
		"parts":  "Content-Type: multipart/mixed; boundary=b\n\n" + strings.Repeat("--b\n\nx\n", 2000),
		"fields": strings.Repeat("X: y\n", 2000) + "\nthe body",
		"header": "X: " + strings.Repeat("y", 1<<20) + "\n\nthe body",
	} {
		var body, warned string
		parts := 0
		visitor := &Visitor{Warn: func(text string) { warned += text }, Part: func(p *Part) error {
			text, err := io.ReadAll(p.Body)
			body = string(text)
			parts++
			return err
		}}
		if err := visitor.Read(strings.NewReader(in)); err != nil || warned == "" || parts > maxParts {
			t.Errorf("%s: %v, %d parts, warned %q", name, err, parts, warned)
		}
		if strings.HasSuffix(in, "the body") {
			if body != "the body" {
				t.Errorf("%s: the body is %.40q", name, body)
			}
			if h, err := ReadHeader(strings.NewReader(in)); !errors.Is(err, ErrTooComplex) || len(h) > maxHeaderFields {
				t.Errorf("%s: %v, %d fields", name, err, len(h))
			}
		}
	}
}

func TestCharsets(t *testing.T) {
	var got string
	visitor := &Visitor{Head: func(h Header) error {
		got = h.Text("Subject") + " "
		return nil
	}, Part: func(p *Part) error {
		text, err := io.ReadAll(p.Text())
		got += string(text)
		return err
	}}
	err := visitor.Read(strings.NewReader("Content-Type: text/plain; charset=gb2312\r\nSubject: =?gbk?b?xOO6ww==?=\r\n\r\n\xc4\xe3\xba\xc3"))
	if err != nil || got != "你好 你好" {
		t.Errorf("%q, %v", got, err)
	}
	if got := DecodeWords("gr\xfc\xdfe =?nonsense?q?x?="); got != "grüße =?nonsense?q?x?=" {
		t.Errorf("%q", got)
	}
}

func TestSafeName(t *testing.T) {
	for in, want := range map[string]string{
		"cat.png": "cat.png", "../../etc/passwd": "passwd", `C:\x\evil.exe`: "evil.exe", ".bashrc": "bashrc", "-rf": "rf",
		"a\x00b\r\n.txt": "ab.txt", "": "part-2.txt", "..": "part-2.txt", "/": "part-2.txt", "NUL.txt": "_NUL.txt", "nul.tar.gz": "_nul.tar.gz", "a:b|c.txt": "a_b_c.txt",
		"Grüße 你好.pdf": "Grüße 你好.pdf", "trailing. ": "trailing", "right\u202etxt.exe": "righttxt.exe",
		strings.Repeat("x", 300) + ".jpeg": strings.Repeat("x", maxName-5) + ".jpeg",
	} {
		if got := SafeName(&Part{Filename: in, Path: "2", Type: "text/plain"}); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestCheck(t *testing.T) {
	m := &Mail{Subject: "s", Text: strings.Repeat("x", 5000), HTML: `<img src="cid:a.png"><img src='cid:missing.png'>`, Inline: []File{fileOf("a.png", ""), fileOf("b.png", "")}}
	want := []string{
		"the HTML shows cid:missing.png, but there is no inline file of that name",
		"the HTML does not show the inline file b.png: refer to it as cid:b.png",
		"line 1 of the text has 5000 bytes, more than the 998 that mail allows: it is sent as quoted-printable or base64",
	}
	if diff := cmp.Diff(want, m.Check()); diff != "" {
		t.Error(diff)
	}
}

// TestReferences matches names with spaces, as they are and as URLs have them.
func TestReferences(t *testing.T) {
	m := &Mail{
		From: Address{Local: "a", Domain: "b.c"}, Subject: "s", Text: "x", Boundary: "b", MessageID: "i@b",
		HTML:   `<img src="cid:my cat.png"><img src='cid:my%20cat.png' alt='x'><p style="background: url(cid:gr%C3%BCn.png)"><img src=cid:plain.png><img src="cid:none at all.png">`,
		Inline: []File{fileOf("my cat.png", "1"), fileOf("grün.png", "2"), fileOf("plain.png", "3")},
	}
	if diff := cmp.Diff([]string{"the HTML shows cid:none_at_all.png, but there is no inline file of that name"}, m.Check()); diff != "" {
		t.Error(diff)
	}
	var html string
	ids := make(map[string]bool)
	err := Read(strings.NewReader(composed(t, m)), func(p *Part) error {
		ids[p.ContentID] = true
		if p.Type == "text/html" {
			b, err := io.ReadAll(p.Body)
			html = string(b)
			return err
		}
		return nil
	})
	want := `<img src="cid:my_cat.png"><img src='cid:my_cat.png' alt='x'><p style="background: url(cid:gr_n.png)"><img src=cid:plain.png><img src="cid:none at all.png">`
	if err != nil || strings.TrimSpace(html) != want {
		t.Errorf("%v\n%s\n%s", err, html, want)
	}
	for _, id := range []string{"my_cat.png", "gr_n.png", "plain.png"} {
		if !ids[id] {
			t.Errorf("no part %s: %v", id, ids)
		}
	}
}

func TestPlainText(t *testing.T) {
	got, err := PlainText(strings.NewReader("<html><head><title>t</title><style>x</style></head><body><p>Gr&uuml;&szlig;e<br>you &amp; me</p>\n<p>bye<script>alert(1)</script></p>"))
	if want := "Grüße\nyou & me\n\nbye\n"; err != nil || got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// FuzzAddress checks that what is taken for an address is one line, without
// anything that ends a path early, and reads back as the same.
func FuzzAddress(f *testing.F) {
	for _, seed := range []string{"a@b.c", "Jürgen <j@bücher.example>", `"a b"@c.d`, `"\"\\"@x.y`, "a@[127.0.0.1]", "=?utf-8?q?a?= <b@c.d>", "a@b\r\nRCPT TO:<c@d>", "nobody:;"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		list, err := ParseAddressList(s)
		if err != nil {
			return
		}
		for _, a := range list {
			spec := a.Spec()
			if strings.ContainsAny(spec, "\r\n\x00") {
				t.Fatalf("%q holds a line end", spec)
			}
			if inner := strings.NewReplacer(`\\`, "", `\"`, "").Replace(spec); strings.Count(inner, `"`)%2 != 0 || strings.Count(inner, `"`) == 0 && strings.ContainsAny(spec, "<> ") {
				t.Fatalf("%q can end early", spec)
			}
			again, err := ParseAddress(spec)
			if err != nil || again.Spec() != spec {
				t.Fatalf("%q became %q: %v", spec, again.Spec(), err)
			}
		}
		var b bytes.Buffer
		writeAddresses(&b, "To", list)
		checkFields(t, b.String()+"X: y\r\n", min(1, len(list))+1)
	})
}

// checkFields checks that a header has n fields and nothing else.
func checkFields(t *testing.T, text string, n int) {
	t.Helper()
	fields := 0
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\r\n"), "\r\n") {
		if strings.ContainsAny(line, "\r\n\x00") || line == "" || strings.TrimSpace(line) == "" {
			t.Fatalf("bad line %q in %q", line, text)
		}
		if !isSpace(line[0]) {
			fields++
		}
	}
	if fields != n {
		t.Fatalf("%d fields instead of %d: %q", fields, n, text)
	}
}

// FuzzHeader checks that any text survives a header field and stays one field.
func FuzzHeader(f *testing.F) {
	for _, seed := range []string{"plain", "größe", strings.Repeat("long ", 50), strings.Repeat("x", 2000), "=?utf-8?q?x?=", "a  b", "你好" + strings.Repeat("世界", 60), " x ", "a\r\nb"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		field := Field{"X-Test", s}
		if field.Check() != nil {
			return
		}
		var b bytes.Buffer
		writeUnstructured(&b, field.Name, field.Value)
		checkFields(t, b.String(), 1)
		h, err := ReadHeader(strings.NewReader(b.String() + "\r\n"))
		if err != nil || len(h) != 1 {
			t.Fatalf("%v %v", h, err)
		}
		squeeze := func(s string) string { return strings.Join(strings.Fields(s), " ") }
		if got := DecodeWords(h[0].Value); squeeze(got) != squeeze(s) {
			t.Fatalf("%q came back as %q from %q", s, got, b.String())
		}
	})
}

// FuzzRead checks that the MIME reader neither fails nor grows on any input,
// and gives the same for any size of reads.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		"A: b\r\n\r\nx", "Content-Type: multipart/mixed; boundary=a\n\n--a\n\none\n--a--\n", "Content-Transfer-Encoding: base64\n\naGk=",
		"Content-Transfer-Encoding: quoted-printable\n\na=\n=3D", "Content-Type: multipart/x; boundary=a\n\n--a\nContent-Type: multipart/x; boundary=b\n\n--b\n--a--",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		total := 0
		err := Read(bytes.NewReader(data), func(p *Part) error {
			n, _ := io.Copy(io.Discard, p.Body) // encodings may be damaged
			total += int(n)
			_ = SafeName(p)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if total > len(data)+3 {
			t.Fatalf("%d bytes came out of %d", total, len(data))
		}
	})
}

// FuzzRaw checks that a ready message is canonical or refused.
func FuzzRaw(f *testing.F) {
	for _, seed := range []string{"A: b\n\nx", "A: b\r\n\r\n.\r\n", "Bcc: x\n y\nA: b\n\n", "From x\nA: b", "A: b\r\r\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		raw, err := ReadRaw(bytes.NewReader(data))
		if err != nil {
			return
		}
		raw.Complete(aDate, "id@x")
		var b bytes.Buffer
		if n, err := raw.WriteTo(&b); err != nil || n != raw.Size() {
			t.Fatalf("%d, Size %d, %v", n, raw.Size(), err)
		}
		for line := range strings.SplitAfterSeq(b.String(), "\r\n") {
			text := strings.TrimSuffix(line, "\r\n")
			if strings.ContainsAny(text, "\r\n\x00") || len(text) > longestLine || line != "" && text == line {
				t.Fatalf("not canonical: %q", line)
			}
		}
	})
}
