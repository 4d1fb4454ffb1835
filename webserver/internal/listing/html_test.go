package listing

import (
	"bytes"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"
)

// elements are all that a listing may be made of.
var elements = map[string]bool{
	"html": true, "head": true, "meta": true, "title": true, "link": true, "style": true, "body": true,
	"svg": true, "defs": true, "symbol": true, "path": true, "use": true, "nav": true, "main": true, "h1": true, "p": true,
	"div": true, "table": true, "thead": true, "tbody": true, "tr": true, "th": true, "td": true,
	"a": true, "bdi": true, "span": true, "time": true, "footer": true,
}

// link is an anchor of a page: where it leads and what it shows.
type link struct{ href, text string }

// parsed is what a test wants to know of a page.
type parsed struct {
	title, heading string
	links          []link   // in the order of the page
	rows           []string // text of each row, cells joined by "|"
	paragraphs     []string
	footer         string
	sorted         string // aria-sort, with the column's name
}

func text(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data)
		}
	}
	return b.String()
}

// parse reads a page as a browser does and fails on any element or attribute
// that is not the page's own.
func parse(t *testing.T, page []byte) parsed {
	t.Helper()
	doc, err := html.Parse(bytes.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	var p parsed
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
			if strings.HasPrefix(a.Key, "on") || a.Key == "style" || a.Key == "src" {
				t.Errorf("attribute <%s %s=%q>", n.Data, a.Key, a.Val)
			}
			if a.Key == "href" && n.Data == "a" {
				p.links = append(p.links, link{a.Val, text(n)})
			}
			if a.Key == "aria-sort" {
				p.sorted += text(n) + " " + a.Val
			}
		}
		switch n.Data {
		case "title":
			p.title = text(n)
		case "h1":
			p.heading = text(n)
		case "p":
			p.paragraphs = append(p.paragraphs, text(n))
		case "footer":
			p.footer = text(n)
		case "tr":
			var cells []string
			for c := range n.ChildNodes() {
				if c.Type == html.ElementNode {
					cells = append(cells, text(c))
				}
			}
			p.rows = append(p.rows, strings.Join(cells, "|"))
		}
	}
	return p
}

func TestAppendHTML(t *testing.T) {
	page := AppendHTML([]byte("kept"), Page{
		Path: "/a b/c/",
		Note: "Only <the first>.",
		Sort: BySize,
		Desc: true,
		Entries: []Entry{
			{Name: "x.txt", Size: 1536, ModTime: time.Date(2026, 11, 3, 1, 2, 3, 4, time.FixedZone("", 2*3600))},
			{Name: "sub", IsDir: true, ModTime: noon},
			{Name: "unknown"},
		},
	})
	if !bytes.HasPrefix(page, []byte("kept<!DOCTYPE html>")) {
		t.Fatalf("the page is not appended: %.30q", page)
	}
	got := parse(t, page[len("kept"):])
	want := parsed{
		title:   "Index of /a b/c/",
		heading: "c/",
		sorted:  "Size ↓ descending",
		links: []link{
			{"../../", "Top"},
			{"../", "a b"},
			{"?sort=name", "Name"},
			{"?sort=size", "Size ↓"},
			{"?sort=time", "Modified (UTC)"},
			{"../", "Parent directory"},
			{"./sub/", "sub/"},
			{"./x.txt", "x.txt"},
			{"./unknown", "unknown"},
		},
		rows: []string{
			"Name|Size ↓|Modified (UTC)",
			"Parent directory||",
			"sub/|–|2026-11-03 12:00",
			"x.txt|1.5 KiB|2026-11-02 23:02",
			"unknown|0 B|",
		},
		paragraphs: []string{"Only <the first>."},
		footer:     "1 directory, 2 files, 1.5 KiB",
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(parsed{}, link{})); diff != "" {
		t.Errorf("page (-want +got):\n%s", diff)
	}
	for _, exact := range []string{`title="1536 bytes"`, `title="2026-11-02 23:02:03Z"`} {
		if !bytes.Contains(page, []byte(exact)) {
			t.Errorf("the page lacks %s", exact)
		}
	}
}

// TestUploadForm: a form that works without script, only where it is asked for.
func TestUploadForm(t *testing.T) {
	for _, upload := range []int64{100 << 20, 0} {
		page := string(AppendHTML(nil, Page{Path: "/", Upload: upload}))
		for _, part := range []string{`<form method="post" enctype="multipart/form-data" action="./">`, `<label for="files">`, "at most 100 MiB", `data-max="104857600"`, "<script>"} {
			if strings.Contains(page, part) != (upload > 0) {
				t.Errorf("upload %d: %s is there: %v", upload, part, upload == 0)
			}
		}
	}
}

// TestLongListing: below 300 files nobody finds the form, and nobody the archives.
func TestLongListing(t *testing.T) {
	for _, n := range []int{3, 300} {
		page := string(AppendHTML(nil, Page{Path: "/", Upload: 100 << 20, Archive: true, Entries: make([]Entry, n)}))
		form, archive, table := strings.Index(page, `href="#files"`), strings.Index(page, "archive=zip"), strings.Index(page, "<table>")
		if archive < 0 || archive > table || (form >= 0) != (n > onScreen) || form > table {
			t.Errorf("%d files: the archive is at %d, the way to the form at %d, the table at %d", n, archive, form, table)
		}
	}
}

func TestAppendHTMLRoot(t *testing.T) {
	for _, path := range []string{"/", "", "//"} {
		got := parse(t, AppendHTML(nil, Page{Path: path}))
		want := parsed{
			title: "Index of /", heading: "Index of /", sorted: "Name ↑ ascending",
			links:  []link{{"?sort=name&order=desc", "Name ↑"}, {"?sort=size", "Size"}, {"?sort=time", "Modified (UTC)"}},
			rows:   []string{"Name ↑|Size|Modified (UTC)"},
			footer: "This directory is empty.",
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(parsed{}, link{})); diff != "" {
			t.Errorf("path %q (-want +got):\n%s", path, diff)
		}
	}
}

// Every order of the page can be reached by its links, and each link says what
// ParseQuery reads.
func TestSortLinks(t *testing.T) {
	seen := map[string]bool{}
	todo := []string{""}
	for len(todo) > 0 {
		query := todo[0]
		todo = todo[1:]
		sort, desc := ParseQuery(query)
		state := fmt.Sprint(sort, desc)
		if seen[state] {
			continue
		}
		seen[state] = true
		for _, l := range parse(t, AppendHTML(nil, Page{Path: "/", Sort: sort, Desc: desc})).links {
			todo = append(todo, strings.TrimPrefix(l.href, "?"))
		}
	}
	if len(seen) != 6 {
		t.Errorf("the links reach %v, want three columns up and down", seen)
	}
}

// A link far up does not make the page grow without bound.
func TestDeepPath(t *testing.T) {
	got := parse(t, AppendHTML(nil, Page{Path: strings.Repeat("/d", 4000) + "/"}))
	if n := len(got.links); n != 1+maxCrumbs+3+1 {
		t.Errorf("%d links", n)
	}
	if want := strings.Repeat("../", 4000); got.links[0].href != want {
		t.Errorf("the first link does not lead to the top")
	}
}

// checkHref resolves a link as a browser does, and decodes it as the server
// does: it must lead to this name in this directory.
func checkHref(t *testing.T, href string, e Entry) {
	t.Helper()
	base, err := url.Parse("http://host/dir/sub/?sort=size")
	if err != nil {
		t.Fatal(err)
	}
	u, err := base.Parse(href)
	if err != nil {
		t.Fatalf("name %q: link %q: %v", e.Name, href, err)
	}
	want := "/dir/sub/" + e.Name
	if e.IsDir {
		want += "/"
	}
	if u.Scheme != "http" || u.Host != "host" || u.Path != want || u.RawQuery != "" || u.Fragment != "" {
		t.Errorf("name %q: link %q leads to %s (path %q)", e.Name, href, u, u.Path)
	}
}

func TestHref(t *testing.T) {
	names := []string{
		"plain.txt", "a b", "a+b", "100%", "%41", "%2e%2e", "what?", "a#b", "a:b", "javascript:alert(1)", "data:,x", "http:", `a\b`,
		`"quoted"`, "'", "<b>", "&amp;", "a\nb", "a\rb", "a\tb", "\x00", "\x7f", "a;b", "a=b&c", "~user", "...", "-", "@", "\xff\xfe", "č", "网络.pdf", "😀", "\u202e", " ", "a ", "*", "|", "{}", "[x]", "`",
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			for _, dir := range []bool{false, true} {
				e := Entry{Name: name, IsDir: dir}
				got := parse(t, AppendHTML(nil, Page{Path: "/dir/sub/", Entries: []Entry{e}}))
				checkHref(t, got.links[len(got.links)-1].href, e)
			}
		})
	}
}

// FuzzAppendHTML: with any names, the page is made of its own elements, and
// each link leads to its name.
func FuzzAppendHTML(f *testing.F) {
	f.Add("/", "a.txt", "b", int64(1), int64(0), "size", true)
	f.Add("/a/../b/", "javascript:x", "<script>", int64(-1), int64(1<<62), "name", false)
	f.Add("/%/\xff/\"/", "\n", "'\"><svg onload=x>", int64(1)<<62, int64(-1<<62), "time", false)
	f.Add("//<b>//", "</style><script>", "]]><!--", int64(1023), int64(253402300800), "", true)
	f.Fuzz(func(t *testing.T, path, one, two string, size, seconds int64, sort string, desc bool) {
		entries := []Entry{
			{Name: one, Size: size, ModTime: time.Unix(seconds, 0)},
			{Name: two, IsDir: true, Size: size},
			{Name: two, Size: 1<<63 - 1},
		}
		for _, e := range entries {
			if e.Name == "" || e.Name == "." || e.Name == ".." || strings.ContainsAny(e.Name, "/\x00") {
				t.Skip("no file has such a name")
			}
		}
		page := Page{Path: path, Entries: entries, Sort: sort, Desc: desc, Note: one}
		out := AppendHTML(nil, page)
		if !utf8.Valid(out) {
			t.Error("the page is not UTF-8")
		}
		got := parse(t, out)
		if len(got.links) < len(entries) {
			t.Fatalf("%d links", len(got.links))
		}
		for i, e := range page.sorted() {
			l := got.links[len(got.links)-len(entries)+i]
			checkHref(t, l.href, e)
		}
		checkJSON(t, AppendJSON(nil, page), len(entries))
	})
}
