package form

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
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
	"h1": true, "h2": true, "p": true, "a": true, "code": true, "dl": true, "dt": true, "dd": true,
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

// FuzzRead feeds any body under any type: Read must not panic, must stay within
// its limits, must keep every file inside the directory, and must leave nothing
// there when it fails.
func FuzzRead(f *testing.F) {
	for _, name := range []string{"chromium-multipart", "chromium-urlencoded", "curl-multipart", "curl-urlencoded", "python-multipart", "python-urlencoded"} {
		contentType, body := recorded(f, name)
		f.Add(contentType, body)
	}
	for _, name := range []string{"../x", `..\x`, "/etc/passwd", "CON", ".htaccess", "..", "a/../../b", "a\x00b", strings.Repeat("网", 100)} {
		f.Add(multi, []byte(filesBody(name, "x")))
	}
	f.Add(urlencoded, []byte("a=%41&b=%"))
	f.Add(multi, []byte("--XX\nContent-Disposition: form-data; name=a\n\nx\n--XX--"))
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		outer := t.TempDir()
		dir := filepath.Join(outer, "in")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		u, err := OpenUploads(dir, Quota{PerRequest: 4 << 10, Total: 8 << 10})
		if err != nil {
			t.Fatal(err)
		}
		defer u.Close()
		opts := Options{MaxParts: 20, MaxFieldBytes: 1000, MaxValueBytes: 100, Store: u}
		result, err := Read(bytes.NewReader(body), contentType, opts)

		found := contents(t, outer)
		if err != nil {
			var refusal *Error
			if !errors.As(err, &refusal) || refusal.Status != 400 && refusal.Status != 413 {
				t.Errorf("a body gave %v", err)
			}
			if len(found) > 0 || u.Used() != 0 {
				t.Errorf("refused, but %d bytes and %q are left", u.Used(), found)
			}
			return
		}
		kept := 0
		for _, fd := range result.Fields {
			kept += len(fd.Name) + len(fd.Value)
			if len(fd.Value) > opts.MaxValueBytes || fd.Truncated != (int64(len(fd.Value)) < fd.Size) {
				t.Errorf("field of %d bytes, Size %d, Truncated %v", len(fd.Value), fd.Size, fd.Truncated)
			}
		}
		stored, size := 0, int64(0)
		for _, fl := range result.Files {
			kept += len(fl.Field) + len(fl.Name) + len(fl.ContentType)
			if fl.StoredAs == "" {
				continue
			}
			stored++
			size += fl.Size
			if text, ok := found["in/"+fl.StoredAs]; !ok || sum(text) != fl.SHA256 || int64(len(text)) != fl.Size {
				t.Errorf("%q is not stored as %q", fl.Name, fl.StoredAs)
			}
		}
		if stored != len(found) || size != u.Used() {
			t.Errorf("%d files of %d bytes are stored, but %q exist and %d bytes count", stored, size, found, u.Used())
		}
		if kept > opts.MaxFieldBytes || len(result.Fields)+len(result.Files) > opts.MaxParts || result.Size != int64(len(body)) {
			t.Errorf("kept %d bytes, %d fields, %d files of a body of %d (Size %d)", kept, len(result.Fields), len(result.Files), len(body), result.Size)
		}
		checkPage(t, AppendHTML(nil, result))
		if !json.Valid(AppendJSON(nil, result)) {
			t.Error("AppendJSON is not JSON")
		}
	})
}
