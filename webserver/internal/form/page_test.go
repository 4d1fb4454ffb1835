package form

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"
)

// hostile are texts that would become markup if they were not escaped.
var hostile = []string{
	`<script>alert(1)</script>`,
	`"><img src=x onerror=alert(1)>`,
	`'><svg/onload=alert(1)>`,
	`</pre></dd></dl><h1>owned`,
	`</style><script>alert(1)</script>`,
	`<!--`, `]]>`, `&lt;b&gt;`, `&#60;b&#62;`, "\x00<b>", "\xff<b>", "<\x00b>", "\u202e<b>",
	`javascript:alert(1)`, "\n\n\n",
}

// elements are all that a result page may be made of.
var elements = map[string]bool{
	"html": true, "head": true, "meta": true, "title": true, "link": true, "style": true, "body": true,
	"main": true, "h1": true, "h2": true, "p": true, "a": true, "code": true, "dl": true, "dt": true, "dd": true,
	"pre": true, "span": true, "br": true, "bdi": true,
}

// checkPage parses a page and reports every element, attribute and address that
// the page does not have by itself. It returns the text of all <pre> elements.
func checkPage(t *testing.T, page []byte) (pre []string) {
	t.Helper()
	doc, err := html.Parse(bytes.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	for n := range doc.Descendants() {
		if n.Type == html.CommentNode {
			t.Errorf("comment %q", n.Data)
		}
		if n.Type != html.ElementNode {
			continue
		}
		if !elements[n.Data] {
			t.Errorf("element <%s>", n.Data)
		}
		for _, a := range n.Attr {
			switch {
			case a.Key == "class", a.Key == "lang", a.Key == "charset", a.Key == "rel", n.Data == "meta":
			case a.Key == "href" && (a.Val == "" || a.Val == "data:,"):
			default:
				t.Errorf("<%s %s=%q>", n.Data, a.Key, a.Val)
			}
		}
		if n.Data == "pre" {
			var text strings.Builder
			for c := range n.ChildNodes() {
				text.WriteString(c.Data)
			}
			pre = append(pre, text.String())
		}
	}
	return pre
}

func TestAppendHTMLEscapes(t *testing.T) {
	for _, s := range hostile {
		t.Run(s, func(t *testing.T) {
			r := &Result{
				Kind: Multipart, ContentType: s, Size: 1,
				Fields: []Field{{Name: s, Value: s, Size: int64(len(s))}, {Name: s, Value: s, Size: 99, Truncated: true}},
				Files:  []File{{Field: s, Name: s, ContentType: s, Size: 1, SHA256: s, StoredAs: s}},
			}
			checkPage(t, AppendHTML(nil, r))
			checkPage(t, AppendHTML(nil, &Result{Kind: Other, ContentType: s, SHA256: s}))
		})
	}
}

func TestAppendHTMLShows(t *testing.T) {
	r := &Result{
		Kind: Multipart, ContentType: multi, Size: 1234,
		Fields: []Field{
			field("message", "\r\n two\r\n\tlines & <more>"),
			{Name: "long", Value: "begin", Size: 99999, Truncated: true},
			field("nothing", ""), field("", "anonymous"), field("bytes", "a\xff\x00\x1b\u202eb"),
		},
		Files: []File{
			{Field: "doc", Name: "../a.pdf", ContentType: "application/pdf", Size: 1, SHA256: sum("x"), StoredAs: "a-1.pdf"},
			{Field: "none"},
		},
	}
	page := AppendHTML([]byte("kept"), r)
	if !bytes.HasPrefix(page, []byte("kept<!DOCTYPE html>")) {
		t.Errorf("the page is not appended: %.30q", page)
	}
	page = page[len("kept"):]
	// A browser drops one line end after <pre> and shows CRLF as one.
	want := []string{"\n two\n\tlines & <more>", "begin", "anonymous", "a\ufffd\ufffd\ufffd\ufffdb"}
	if diff := cmp.Diff(want, checkPage(t, page)); diff != "" {
		t.Errorf("values (-want +got):\n%s", diff)
	}
	for _, text := range []string{
		"1234 bytes", "multipart/form-data", "the first 5 of 99999 bytes", ">empty<", "(no name)",
		"../a.pdf", "application/pdf", "a-1.pdf", "1 byte,", sum("x"), "no file chosen",
	} {
		if !bytes.Contains(page, []byte(text)) {
			t.Errorf("the page does not show %q", text)
		}
	}
}

func TestAppendJSON(t *testing.T) {
	r := &Result{
		Kind: Multipart, ContentType: multi, Size: 7,
		Fields: []Field{field("a", "<b>\n"), {Name: "c", Value: "d", Size: 9, Truncated: true}},
		Files:  []File{{Field: "f", Name: "x", Size: 1, SHA256: "00", StoredAs: "x-1"}},
	}
	var got Result
	if err := json.Unmarshal(AppendJSON(nil, r), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r, &got); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
	text := string(AppendJSON([]byte("kept"), &Result{Kind: Other, SHA256: "00"}))
	if want := "kept{\n  \"kind\": \"other\",\n  \"size\": 0,\n  \"sha256\": \"00\"\n}\n"; text != want {
		t.Errorf("AppendJSON = %q, want %q", text, want)
	}
}
