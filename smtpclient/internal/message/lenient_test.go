package message

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParameters(t *testing.T) {
	for _, tt := range []struct {
		name, in, kind string
		want           map[string]string
	}{
		{"plain", `text/plain; charset=utf-8`, "text/plain", map[string]string{"charset": "utf-8"}},
		{"comment behind", `multipart/mixed; boundary="B" (a comment)`, "multipart/mixed", map[string]string{"boundary": "B"}},
		{"comment behind a word", `text/plain; charset=us-ascii (Plain text)`, "text/plain", map[string]string{"charset": "us-ascii"}},
		{"comments before", `(a (b)) text/plain (c); (d) charset=x`, "text/plain", map[string]string{"charset": "x"}},
		{"empty parameters", `multipart/mixed;; ; boundary=B;`, "multipart/mixed", map[string]string{"boundary": "B"}},
		{"value with a slash", `multipart/related; type=text/html; boundary=B`, "multipart/related", map[string]string{"type": "text/html", "boundary": "B"}},
		{"value with spaces", `attachment; filename=my own file.pdf; size=3`, "attachment", map[string]string{"filename": "my own file.pdf", "size": "3"}},
		{"parentheses in a name", `attachment; filename=copy(2).pdf`, "attachment", map[string]string{"filename": "copy(2).pdf"}},
		{"raw UTF-8", `attachment; filename="grüße.pdf"`, "attachment", map[string]string{"filename": "grüße.pdf"}},
		{"raw Latin-1", "attachment; filename=gr\xfc\xdfe.pdf", "attachment", map[string]string{"filename": "grüße.pdf"}},
		{"a path of Windows", `attachment; filename="C:\own\file.pdf"`, "attachment", map[string]string{"filename": `C:\own\file.pdf`}},
		{"escaped quotes", `attachment; filename="a \"b\" \\c"`, "attachment", map[string]string{"filename": `a "b" \c`}},
		{"quote that does not close", `attachment; filename="a.pdf`, "attachment", map[string]string{"filename": "a.pdf"}},
		{"boundary*=", `multipart/mixed; boundary*=us-ascii''B%20C`, "multipart/mixed", map[string]string{"boundary": "B C"}},
		{"RFC 2231, any charset", `attachment; filename*=iso-8859-5''%BF%E0%D8%D2%D5%E2.txt`, "attachment", map[string]string{"filename": "Привет.txt"}},
		{"RFC 2231 goes before", `attachment; filename="gr.pdf"; filename*=utf-8'de'gr%C3%BC.pdf`, "attachment", map[string]string{"filename": "grü.pdf"}},
		{"continuations out of order", `attachment; filename*2=".pdf"; filename*0*=utf-8''gr%C3%BC; filename*1*=%C3%9Fe`, "attachment", map[string]string{"filename": "grüße.pdf"}},
		{"a character cut in two", `attachment; filename*0*=utf-8''gr%C3; filename*1*=%BC.pdf`, "attachment", map[string]string{"filename": "grü.pdf"}},
		{"semicolon forgotten", `text/plain charset=utf-8`, "text/plain", map[string]string{"charset": "utf-8"}},
		{"comma for semicolon", `multipart/mixed, boundary="B"`, "multipart/mixed", map[string]string{"boundary": "B"}},
		{"space around =", `text/plain; charset = "utf-8"`, "text/plain", map[string]string{"charset": "utf-8"}},
		{"first of two", `text/plain; charset=a; charset=b`, "text/plain", map[string]string{"charset": "a"}},
		{"comment without end", `text/plain; charset=a (b`, "text/plain", map[string]string{"charset": "a"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			kind, got := parseParameters(tt.in)
			if kind != tt.kind {
				t.Errorf("kind %q", kind)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	long := strings.Repeat("b", 300)
	if parts := outline(t, "Content-Type: multipart/mixed; boundary="+long+"\n\n--"+long+"\n\none\n--"+long+"--\n"); len(parts) != 1 || !strings.Contains(parts[0], "one") {
		t.Errorf("a long boundary: %q", parts)
	}
}

func TestWords(t *testing.T) {
	for in, want := range map[string]string{
		"plain": "plain", "a =?utf-8?q?gr=C3=BC=C3=9Fe?= b": "a grüße b",
		"=?us-ascii*en?Q?with_language?=":       "with language",
		"=?utf-8?b?5L2g5Q==?= =?utf-8?b?pb0=?=": "你好",
		"=?utf-8?q?gr=C3?=\t=?utf-8?q?=BC?=":    "grü",
		"=?iso-8859-1?q?a?= =?utf-8?q?=C3=BC?=": "aü",
		"=?utf-8?q?raw \xc3\xbc inside?=":       "raw ü inside",
		"=?utf-8?Q?raw =FC byte?=":              "raw ü byte",
		"=?utf-8?b?5L2g5aW9?":                   "=?utf-8?b?5L2g5aW9?", "=?x?y?z?=": "=?x?y?z?=", "=??q?x?=": "=??q?x?=",
		"=?utf-8?b?5L2g5aW9!?=": "你好", "word=?utf-8?q?=C3=BC?=next": "wordünext",
		"=?iso-2022-jp?B?GyRCRnxLXBsoQg==?= =?iso-2022-jp?B?GyRCOGwbKEI=?=": "日本語",
		"=?utf-7?q?Hi_Mom_+Jjo-?=": "Hi Mom ☺", "=?cp850?q?gr=81n?=": "grün", "=?utf-8?q??=x": "x",
	} {
		if got := DecodeWords(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestTextOfCharsets(t *testing.T) {
	for _, tt := range []struct{ charset, body, want string }{
		{"utf-8", "gr\xc3\xbcn", "grün"},
		{"", "gr\xfcn", "grün"},
		{"us-ascii", "gr\xfcn", "grün"},
		{"iso-8859-15", "\xa4", "€"},
		{"windows-1251", "\xcf\xf0\xe8", "При"},
		{"koi8-r", "\xf0\xd2\xc9", "При"},
		{"cp850", "gr\x81n", "grün"},
		{"utf-7", "A+ImIDkQ- +- caf+AOk- end", "A≢Α + café end"},
		{"utf-7", "+2D3eAA-", "😀"},
		{"gb18030", "\xc4\xe3\xba\xc3", "你好"},
		{"big5", "\xa7A\xa6n", "你好"},
		{"euc-kr", "\xbe\xc8", "안"},
		{"shift_jis", "\x93\xfa", "日"},
		{"utf-16le", "h\x00i\x00", "hi"},
		{"utf-16", "\xfe\xff\x00h\x00i", "hi"},
		{"UTF-16", "\xff\xfeh\x00i\x00", "hi"},
		{"cp932", "\x82\xb1", "こ"},
		{"IBM437", "gr\x81n", "grün"},
		{"x-no-such", "gr\xfcn", "grün"},
		{"utf-8", "\xef\xbb\xbfwith a mark", "with a mark"},
	} {
		var got string
		visitor := &Visitor{Part: func(p *Part) error {
			text, err := io.ReadAll(p.Text())
			got = string(text)
			return err
		}}
		err := visitor.Read(strings.NewReader("Content-Type: text/plain; charset=" + tt.charset + "\n\n" + tt.body))
		if err != nil || got != tt.want {
			t.Errorf("%s: %q, want %q; %v", tt.charset, got, tt.want, err)
		}
	}
}

func TestMessageInMessage(t *testing.T) {
	mail := "Subject: fwd\nContent-Type: multipart/mixed; boundary=a\n\n--a\n\nsee below\n--a\nContent-Type: message/rfc822\n\n" +
		"Subject: inner\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nhello\n--b\nContent-Type: image/png; name=x.png\n\nPNG\n--b--\n--a\nContent-Type: message/rfc822\n\nSubject: second\n\nplain\n--a--\n"
	var got []string
	var visitor *Visitor
	visitor = &Visitor{
		Head: func(h Header) error { got = append(got, "subject "+h.Text("Subject")); return nil },
		Part: func(p *Part) error {
			if p.IsMessage() {
				got = append(got, p.Path+" "+p.Type)
				return p.Read(visitor)
			}
			body, err := io.ReadAll(p.Body)
			got = append(got, p.Path+" "+p.Type+" "+string(body))
			return err
		},
	}
	if err := visitor.Read(strings.NewReader(mail)); err != nil {
		t.Fatal(err)
	}
	want := []string{"subject fwd", "1 text/plain see below", "2 message/rfc822", "subject inner", "2.1 text/plain hello", "2.2 image/png PNG", "3 message/rfc822", "subject second", "3.1 text/plain plain"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	deep := strings.Repeat("Content-Type: message/rfc822\n\n", 50) + "Subject: s\n\nx"
	warned := 0
	visitor.Warn = func(string) { warned++ }
	if err := visitor.Read(strings.NewReader(deep)); err != nil || warned == 0 {
		t.Errorf("%v, %d warnings", err, warned)
	}
}

func TestWarnings(t *testing.T) {
	for in, want := range map[string]string{
		"Content-Type: multipart/mixed; boundary=b\n\ntext":                                "multipart/mixed: nothing separates its parts, so it is taken for text",
		"Content-Type: multipart/mixed\n\ntext":                                            "multipart/mixed: it does not say what separates its parts, so it is taken for text",
		"Content-Transfer-Encoding: base64\n\naGVsbG8gd29":                                 "part 1: its base64 is cut off: this is what there is",
		"Content-Transfer-Encoding: uuencode\n\nbegin 644 x\n#0V%T\n":                      "part 1: what uuencode wrote has no end: this is what there is",
		"Content-Transfer-Encoding: base64\n\n" + strings.Repeat("not a bit of it\n", 9):   "part 1: it says that it is base64, and is not",
		"Content-Transfer-Encoding: x-magic\n\nx":                                          "part 1: its transfer encoding is unknown, and not undone",
		"Content-Type: text/plain; charset=x-no-such\n\nx":                                 `part 1: the character set "x-no-such" is unknown`,
		"Content-Transfer-Encoding: base64\n\naGVsbG8=\n":                                  "",
		"Content-Type: multipart/mixed; boundary=b\n\npreamble\n--b\n\nx\n--b--\nepilogue": "",
	} {
		var got string
		visitor := &Visitor{Warn: func(text string) { got += text }, Part: func(p *Part) error {
			_, err := io.Copy(io.Discard, p.Text())
			return err
		}}
		if err := visitor.Read(strings.NewReader(in)); err != nil || got != want {
			t.Errorf("%q: %q, want %q; %v", in, got, want, err)
		}
	}
}

func TestDeliveries(t *testing.T) {
	const report = "Reporting-MTA: dns; mx.example\n\nFinal-Recipient: rfc822; x@y.example\nAction: failed\nStatus: 5.1.1 (bad)\nDiagnostic-Code: smtp; 550 5.1.1\n <x@y.example>: no such user\n\n" +
		"Original-Recipient: rfc822;z@y.example\nAction: delayed\nStatus: 4.4.1\n\n\n"
	for _, text := range []string{report, strings.ReplaceAll(report, "\n", "\r\n")} {
		list, err := ReadDeliveries(strings.NewReader(text))
		if err != nil || len(list) != 2 {
			t.Fatalf("%+v %v", list, err)
		}
		if got, want := list[0].String(), "to x@y.example: refused, 5.1.1 (550 5.1.1 <x@y.example>: no such user)"; got != want {
			t.Errorf("%q, want %q", got, want)
		}
		if got, want := list[1].String(), "to z@y.example: not delivered yet, the server goes on trying, 4.4.1"; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestEvents(t *testing.T) {
	for in, want := range map[string]Event{
		"BEGIN:VCALENDAR\nMETHOD:REQUEST\nBEGIN:VTIMEZONE\nDTSTART:19700101T000000\nEND:VTIMEZONE\nBEGIN:VEVENT\nSUMMARY:Planning\\, part\n  two\nDTSTART;TZID=Europe/Berlin:20261123T140000\n" +
			"DTEND;TZID=Europe/Berlin:20261123T150000\nLOCATION:Room 5\\; first floor\nORGANIZER;CN=\"Ann: boss\":mailto:ann@example.com\nBEGIN:VALARM\nSUMMARY:no\nEND:VALARM\nEND:VEVENT\nEND:VCALENDAR\n": {
			"REQUEST", "Planning, part two", "2026-11-23 14:00 to 15:00 Europe/Berlin", "Room 5; first floor", "Ann: boss <ann@example.com>",
		},
		"BEGIN:VEVENT\nSUMMARY:s\nDTSTART:20261123T140000Z\nDURATION:PT1H\nEND:VEVENT\n":     {Summary: "s", When: "2026-11-23 14:00 UTC, 1h"},
		"BEGIN:VEVENT\nDTSTART;VALUE=DATE:20261123\nDTEND;VALUE=DATE:20261125\nEND:VEVENT\n": {When: "2026-11-23 to 2026-11-25"},
		"METHOD:CANCEL\nBEGIN:VEVENT\nSUMMARY:cut off\nDTSTART:soon":                         {Method: "CANCEL", Summary: "cut off", When: "soon"},
	} {
		for _, text := range []string{in, strings.ReplaceAll(in, "\n", "\r\n")} {
			got, err := ReadEvent(strings.NewReader(text))
			if err != nil || got == nil {
				t.Fatal(got, err)
			}
			if diff := cmp.Diff(want, *got); diff != "" {
				t.Error(diff)
			}
		}
	}
	if e, err := ReadEvent(strings.NewReader("BEGIN:VTODO\nEND:VTODO\n")); e != nil || err != nil {
		t.Error(e, err)
	}
}

// TestQuotedPrintableInPieces reads with every size of buffer.
func TestQuotedPrintableInPieces(t *testing.T) {
	line := "=C3=BC  \t end=20=\r\n =3D\t\r\nlast= \n"
	in := "Content-Transfer-Encoding: quoted-printable\n\n" + strings.Repeat(line, 3000)
	want := strings.Repeat("ü  \t end  =\r\nlast", 3000)
	err := Read(strings.NewReader(in), func(p *Part) error {
		var b bytes.Buffer
		_, err := io.CopyBuffer(&b, struct{ io.Reader }{p.Body}, make([]byte, 7))
		if b.String() != want {
			t.Errorf("%.200q\n%.200q", b.String(), want)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// FuzzParameters checks that no field's value makes the parser fail or grow.
func FuzzParameters(f *testing.F) {
	f.Add(`a/b; c="d\"; e*0*=utf-8''%41; e*1=x (f(g)); h`)
	f.Fuzz(func(t *testing.T, s string) {
		_, parameters := parseParameters(s)
		total := 0
		for name, value := range parameters {
			total += len(name) + len(value)
		}
		if total > 4*len(s)+16 {
			t.Fatalf("%d bytes from %d", total, len(s))
		}
		if len(DecodeWords(s)) > 6*len(s)+16 {
			t.Fatal("the words grow")
		}
	})
}
