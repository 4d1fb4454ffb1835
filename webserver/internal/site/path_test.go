package site

import (
	"errors"
	"net/url"
	"path"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCleanPath(t *testing.T) {
	for escaped, want := range map[string]string{
		"/":                  "/",
		"/a/b.html":          "/a/b.html",
		"//":                 "/",
		"//etc//passwd":      "/etc/passwd",
		"/a//":               "/a/",
		"/./a/./b/.":         "/a/b/",
		"/a/../b":            "/b",
		"/a/b/..":            "/a/",
		"/a/%2e%2E/b":        "/b",
		"/%61%20%C3%A9":      "/a é",
		"/é":                 "/é",
		"/%2541":             "/%41",
		"/a+b":               "/a+b",
		"/a;b=c":             "/a;b=c",
		"/.well-known/x":     "/.well-known/x",
		"/a%3Fb%23c":         "/a?b#c",
		"/...":               "/...",
		"/a/.../b":           "/a/.../b",
		"":                   "!",
		"a":                  "!",
		"/..":                "!",
		"/a/../..":           "!",
		"/%2e%2e/etc/passwd": "!",
		"/%":                 "!",
		"/%4":                "!",
		"/%zz":               "!",
		"/%00":               "!",
		"/a%0d%0ab":          "!",
		"/%7f":               "!",
		"/a%2fb":             "!",
		"/a%5cb":             "!",
		`/a\b`:               "!",
		"/%c0%ae%c0%ae/":     "!", // overlong
		"/%ff":               "!",
		"/\xff":              "!",
		"/a\x01":             "!",
	} {
		got, err := CleanPath(escaped)
		if err != nil {
			got = "!"
			if !errors.Is(err, ErrBadPath) {
				t.Errorf("%q: error %v", escaped, err)
			}
		}
		if got != want {
			t.Errorf("%q became %q, want %q", escaped, got, want)
		}
	}
}

func FuzzCleanPath(f *testing.F) {
	for _, seed := range []string{"/", "/a/../b", "/%2e%2e/x", "//a%20b/", "/%c3%a9", "/a/./.."} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, escaped string) {
		clean, err := CleanPath(escaped)
		if err != nil {
			return
		}
		if clean[0] != '/' || !utf8.ValidString(clean) || strings.ContainsAny(clean, "\x00\\\r\n") {
			t.Fatalf("%q became %q", escaped, clean)
		}
		if slash := strings.TrimSuffix(clean, "/"); clean != "/" && slash != path.Clean(clean) {
			t.Fatalf("%q became %q, which is not clean", escaped, clean)
		}
		again, err := CleanPath(EscapePath(clean))
		if err != nil || again != clean {
			t.Fatalf("%q, escaped and cleaned again, became %q, %v", clean, again, err)
		}
		if u, err := url.Parse(EscapePath(clean)); err != nil || u.Host != "" || u.Path != clean {
			t.Fatalf("as a Location, %q leads to %v, %v", clean, u, err)
		}
	})
}

func TestHidden(t *testing.T) {
	for p, want := range map[string]bool{
		"/": false, "/a": false, "/a.b": false, "/.git/config": true, "/a/.htaccess": true, "/.": true,
		"/.well-known": false, "/.well-known/acme": false, "/.well-known/.x": true, "/a/.well-known": true,
		"/.well-known/a/.b": true, "/.well-knowns": true,
	} {
		if got := hidden(p); got != want {
			t.Errorf("hidden(%q) is %v", p, got)
		}
	}
}

func TestFingerprinted(t *testing.T) {
	for name, want := range map[string]bool{
		"app.3f2a9c1b.js": true, "index-BfX3k2a9.js": true, "main.0123456789abcdef.css": true,
		"app.js": false, "report-20261120.pdf": false, "jquery-3.7.1.js": false, "holiday-pictures.zip": false,
		"deadbeef.png": false, "x-deadbeef.png": false, "a.b": false, "INSTALL-GUIDE.txt": false, "v-12345678.js": false,
	} {
		if got := fingerprinted(name); got != want {
			t.Errorf("fingerprinted(%q) is %v", name, got)
		}
	}
	if got := cacheControl("dir/app.3f2a9c1b.js"); got != forever {
		t.Errorf("a fingerprinted script has Cache-Control %q", got)
	}
	if got := cacheControl("page.3f2a9c1b.html"); got != revalidate {
		t.Errorf("a fingerprinted page has Cache-Control %q: a page is where its readers start", got)
	}
}
