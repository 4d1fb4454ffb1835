//go:build unix

package e2e_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestMethods: GET, HEAD, OPTIONS and POST; the other methods of HTTP are
// known but not allowed, the rest is not implemented (sections 9, 15.5.6 and
// 15.6.2).
func TestMethods(t *testing.T) {
	t.Parallel()
	s := start(t, "--root", writeTree(t, map[string]string{"dir/index.html": "index"}))
	for _, test := range []struct{ method, target, want string }{
		{"GET", "/alive.txt", "200"},
		{"HEAD", "/alive.txt", "200"},
		{"OPTIONS", "/alive.txt", "200|204"},
		{"OPTIONS", "/dir/", "200|204"},
		{"OPTIONS", "/missing", "200|204|404"},
		{"OPTIONS", "*", "200|204"},
		{"PUT", "/alive.txt", "405"},
		{"DELETE", "/alive.txt", "405"},
		{"PATCH", "/alive.txt", "405"},
		{"TRACE", "/alive.txt", "405|501"},
		{"DELETE", "/", "405"},
		{"CONNECT", "test.localhost:443", "405|501"},
		{"CONNECT", "/alive.txt", "400|405|501"},
		{"FROB", "/alive.txt", "501"},
		{"get", "/alive.txt", "501"},
		{"Get", "/alive.txt", "501"},
		{"GETX", "/alive.txt", "501"},
		{"G", "/alive.txt", "501"},
		{"M-SEARCH", "*", "400|501"},
		{"!#$%&'*+-.^_`|~", "/alive.txt", "501"},
	} {
		r := s.exchange(t, request(test.method, test.target))
		if !statuses(test.want, r.StatusCode) {
			t.Errorf("%s %s: %s, want %s", test.method, test.target, r.Status, test.want)
		}
		if r.StatusCode == 405 || test.method == "OPTIONS" && r.StatusCode < 300 {
			allowed := strings.FieldsFunc(r.field("Allow"), func(c rune) bool { return c == ',' || c == ' ' })
			for _, method := range []string{"GET", "HEAD", "OPTIONS", "POST"} {
				if !slices.Contains(allowed, method) {
					t.Errorf("%s %s: Allow %q without %s", test.method, test.target, r.field("Allow"), method)
				}
			}
			if slices.Contains(allowed, test.method) && r.StatusCode == 405 {
				t.Errorf("%s: 405, but Allow %q", test.method, r.field("Allow"))
			}
		}
		// TRACE would give a client's secrets back.
		if test.method == "TRACE" && strings.Contains(string(r.body), "test.localhost") {
			t.Error("TRACE repeats the request")
		}
	}
	s.alive(t)
}

// TestHeadIsGetWithoutBody compares the fields of both for responses of every
// kind (section 9.3.2).
func TestHeadIsGetWithoutBody(t *testing.T) {
	t.Parallel()
	root := writeTree(t, map[string]string{
		"page.html": strings.Repeat("<p>compressible</p>\n", 1000), "dir/index.html": "index", "list/a.txt": "a",
		"app.css": "a{}", "app.css.gz": "gz", "app.css.br": "br",
	})
	s := start(t, "--root", root, "--listing")
	etag := s.get(t, "/page.html").field("ETag")
	for _, test := range []struct {
		target string
		fields []string
	}{
		{target: "/alive.txt"},
		{target: "/page.html"},
		{target: "/page.html", fields: []string{"Accept-Encoding: gzip"}},
		{target: "/app.css", fields: []string{"Accept-Encoding: br"}},
		{target: "/page.html", fields: []string{"If-None-Match: " + etag}},
		{target: "/page.html", fields: []string{`If-Match: "x"`}},
		{target: "/dir"},
		{target: "/dir/"},
		{target: "/list/"},
		{target: "/list/", fields: []string{"Accept: application/json"}},
		{target: "/missing"},
		{target: "/%00"},
	} {
		get := s.exchange(t, request("GET", test.target, test.fields...))
		head := s.exchange(t, request("HEAD", test.target, test.fields...))
		if get.StatusCode != head.StatusCode {
			t.Errorf("%s: GET %s, HEAD %s", test.target, get.Status, head.Status)
		}
		if len(head.body) > 0 {
			t.Errorf("HEAD %s: a body of %d bytes", test.target, len(head.body))
		}
		g, h := maps.Clone(get.Header), maps.Clone(head.Header)
		delete(g, "Date")
		delete(h, "Date")
		if diff := cmp.Diff(g, h); diff != "" {
			t.Errorf("%s %v: fields differ (-GET +HEAD):\n%s", test.target, test.fields, diff)
		}
	}
	// The body must not come either: the next response starts right behind.
	c := s.dial(t)
	c.send(request("HEAD", "/page.html") + request("HEAD", "/missing") + request("GET", "/alive.txt", "Connection: close"))
	c.mustRead(t, "HEAD")
	c.mustRead(t, "HEAD")
	if r := c.mustRead(t, "GET"); string(r.body) != aliveText {
		t.Errorf("behind HEAD: %s %q", r.Status, r.body)
	}
	c.mustClose(t)
}

// TestTypes: the media type follows the name's extension, with a charset for
// text; unknown and missing extensions are byte streams.
func TestTypes(t *testing.T) {
	t.Parallel()
	types := map[string]string{
		"a.html": "text/html; charset=utf-8", "a.htm": "text/html; charset=utf-8", "a.HTML": "text/html; charset=utf-8",
		"a.css": "text/css; charset=utf-8", "a.js": "text/javascript; charset=utf-8", "a.mjs": "text/javascript; charset=utf-8",
		"a.txt": "text/plain; charset=utf-8", "a.json": "application/json", "a.png": "image/png", "a.jpg": "image/jpeg",
		"a.jpeg": "image/jpeg", "a.gif": "image/gif", "a.svg": "image/svg+xml", "a.webp": "image/webp", "a.ico": "image/",
		"a.pdf": "application/pdf", "a.wasm": "application/wasm", "a.mp4": "video/mp4", "a.mp3": "audio/mpeg",
		"a.woff2": "font/woff2", "a.zip": "application/zip", "a.xml": "xml", "noextension": "application/octet-stream",
		"a.unheardof": "application/octet-stream", "a.": "application/octet-stream", "a.tar.gz": "gzip",
	}
	files := map[string]string{}
	for name := range types {
		files[name] = "content of " + name
	}
	s := start(t, "--root", writeTree(t, files))
	for name, want := range types {
		r := s.get(t, "/"+name)
		got := strings.ToLower(r.field("Content-Type"))
		if r.StatusCode != 200 || !strings.Contains(got, want) {
			t.Errorf("%s: %s, Content-Type %q, want %q", name, r.Status, got, want)
		}
		if r.field("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: X-Content-Type-Options %q", name, r.field("X-Content-Type-Options"))
		}
	}
}
