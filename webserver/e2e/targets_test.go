//go:build unix

package e2e_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// outsideText is in a file beside the root; no response may ever hold it.
const outsideText = "TOP-SECRET-OUTSIDE-THE-ROOT"

// longName is the longest file name that the usual file systems take.
var longName = strings.Repeat("n", 251) + ".txt"

// oddRoot makes a root full of traps and returns it.
func oddRoot(t *testing.T) string {
	t.Helper()
	root := writeTree(t, map[string]string{
		"index.html":             "the index",
		"403.html":               "<p>our own page for 403</p>",
		"404.html":               "<p>our own page for 404</p>",
		"dir/index.html":         "the index of dir",
		"dir/file.txt":           "file in dir",
		"noindex/file.txt":       "file in noindex",
		"evil.example/index.txt": "not evil",
		"with space.txt":         "space",
		"ünï.txt":                "umlauts",
		"日本.txt":                 "nihon",
		"sem;i.txt":              "semicolon",
		"plus+name.txt":          "plus",
		"amp&eq=.txt":            "ampersand",
		"a..b.txt":               "two dots",
		"percent%41.txt":         "percent",
		"quest?ion.txt":          "question",
		"ha#sh.txt":              "hash",
		"col:on.txt":             "colon",
		"trailing.":              "trailing dot",
		"%2e%2e/literal.txt":     "literal percent",
		"noext":                  "no extension",
		longName:                 "long name",
		".hidden":                "hidden",
		".git/config":            "hidden",
		"dir/.env":               "hidden",
		"...":                    "hidden",
		".well-known/acme/token": "token",
		".well-known/.secret":    "hidden",
		"secret.txt":             "for the owner only",
	})
	outside := filepath.Join(filepath.Dir(root), "outside")
	writeFile(t, filepath.Join(outside, "secret.txt"), outsideText)
	writeFile(t, root+"-evil/secret.txt", outsideText)
	at := func(name string) string { return filepath.Join(root, name) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Chmod(at("secret.txt"), 0o600))
	for name, to := range map[string]string{
		"link-in.txt":     "alive.txt",
		"link-up-in.txt":  "dir/../alive.txt",
		"link-dir":        "dir",
		"link-out.txt":    filepath.Join(outside, "secret.txt"),
		"link-up-out.txt": "../outside/secret.txt",
		"link-outdir":     outside,
		"link-etc":        "/etc",
		"link-loop":       "link-loop",
		"link-nowhere":    "nothing.txt",
		"link-zero":       "/dev/zero",
		"link-proc":       "/proc/self/environ",
		"link-chain":      "link-out.txt",
		"dir/link-up":     "../../outside",
		"link-abs-in.txt": at("alive.txt"),
	} {
		must(os.Symlink(to, at(name)))
	}
	must(syscall.Mkfifo(at("fifo"), 0o666))
	must(syscall.Mkfifo(at("fifo.html"), 0o666))
	ln, err := net.Listen("unix", at("socket"))
	must(err)
	t.Cleanup(func() { ln.Close() })
	must(os.Chmod(at("socket"), 0o666))
	return root
}

// TestTargets asks for unsafe and odd targets. Decode once, then check: what
// is malformed gets 400, what leads out of the root or to something that is
// not a plain file 404.
func TestTargets(t *testing.T) {
	t.Parallel()
	const (
		page403 = "our own page for 403"
		page404 = "our own page for 404"
	)
	tests := []struct {
		target   string
		want     string // allowed statuses
		body     string // a part of the body
		location string // the whole Location
		method   string // GET when empty
	}{
		// Traversal: 400 or 404 above the root, served when it stays inside.
		{target: "/..", want: "400|404"},
		{target: "/../", want: "400|404"},
		{target: "/../etc/passwd", want: "400|404"},
		{target: "/../../../../../../etc/passwd", want: "400|404"},
		{target: "/dir/../../etc/passwd", want: "400|404"},
		{target: "/dir/../../root-evil/secret.txt", want: "400|404"},
		{target: "/../root/alive.txt", want: "400|404"},
		{target: "/../root-evil/secret.txt", want: "400|404"},
		{target: "/../outside/secret.txt", want: "400|404"},
		{target: "/%2e%2e/outside/secret.txt", want: "400|404"},
		{target: "/%2E%2E/outside/secret.txt", want: "400|404"},
		{target: "/.%2e/outside/secret.txt", want: "400|404"},
		{target: "/%2e./outside/secret.txt", want: "400|404"},
		{target: "/dir/%2e%2e/%2e%2e/outside/secret.txt", want: "400|404"},
		{target: "/dir/..", want: "200|301|308"},
		{target: "/dir/../alive.txt", want: "200|301|308"},
		{target: "/dir/%2e%2e/alive.txt", want: "200|301|308"},
		{target: "/./alive.txt", want: "200|301|308"},
		{target: "/dir/./file.txt", want: "200|301|308"},
		{target: "/.", want: "200|301|308"},
		{target: "/alive.txt/..", want: "200|301|308|400|404"},
		{target: "/nothing/../alive.txt", want: "200|301|308|400|404"},
		{target: "//etc/passwd", want: "400|404"},
		{target: "///etc/passwd", want: "400|404"},
		{target: "/./etc/passwd", want: "404"},
		{target: "/etc/passwd", want: "404", body: page404},
		{target: "/.../alive.txt", want: "404"},
		{target: "/..;/outside/secret.txt", want: "404"},
		{target: "/..%00/outside/secret.txt", want: "400"},
		// An encoded slash or a backslash never separates.
		{target: "/..%2foutside/secret.txt", want: "400"},
		{target: "/..%2Foutside%2Fsecret.txt", want: "400"},
		{target: "/%2e%2e%2f%2e%2e%2fetc/passwd", want: "400"},
		{target: "/dir%2ffile.txt", want: "400"},
		{target: "/alive.txt%2f", want: "400"},
		{target: "/%2f", want: "400"},
		{target: "/%2f%2fevil.example", want: "400"},
		{target: "/..%5coutside%5csecret.txt", want: "400"},
		{target: "/dir%5cfile.txt", want: "400"},
		{target: `/..\outside\secret.txt`, want: "400"},
		{target: `/dir\file.txt`, want: "400"},
		{target: `/\evil.example`, want: "400"},
		// Decoded once: a second layer stays literal.
		{target: "/%252e%252e/outside/secret.txt", want: "404"},
		{target: "/%252e%252e/literal.txt", want: "200", body: "literal percent"},
		{target: "/%252e%252e%252foutside/secret.txt", want: "404"},
		{target: "/percent%2541.txt", want: "200", body: "percent"},
		{target: "/percent%41.txt", want: "404"},
		{target: "/%25", want: "404"},
		{target: "/%2500", want: "404"},
		// NUL, control characters, bad escapes, overlong UTF-8.
		{target: "/%00", want: "400"},
		{target: "/alive.txt%00", want: "400"},
		{target: "/secret.txt%00.html", want: "400"},
		{target: "/%0a", want: "400"},
		{target: "/%0d%0aSet-Cookie:%20a=b", want: "400"},
		{target: "/dir%0d%0aX-Split:%20b", want: "400"},
		{target: "/%01", want: "400"},
		{target: "/%09", want: "400"},
		{target: "/%1f", want: "400"},
		{target: "/%7f", want: "400"},
		{target: "/%C2%85", want: "400|404"},
		{target: "/\x01", want: "400"},
		{target: "/alive\x7f.txt", want: "400"},
		{target: "/alive.txt\x00", want: "400"},
		{target: "/alive.txt\t", want: "400"},
		{target: "/%", want: "400"},
		{target: "/%4", want: "400"},
		{target: "/%zz", want: "400"},
		{target: "/%-1", want: "400"},
		{target: "/%+1", want: "400"},
		{target: "/%u002e%u002e/", want: "400"},
		{target: "/alive.txt%2", want: "400"},
		{target: "/%c0%ae%c0%ae/outside/secret.txt", want: "400"},
		{target: "/%c0%af%c0%afetc/passwd", want: "400"},
		{target: "/%e0%80%ae%e0%80%ae/outside/secret.txt", want: "400"},
		{target: "/%f0%80%80%ae/", want: "400"},
		{target: "/%c1%9c", want: "400"},
		{target: "/%ed%a0%80", want: "400|404"}, // a surrogate
		{target: "/%ff", want: "400|404"},
		{target: "/%e4.txt", want: "400|404"}, // Latin-1
		{target: "/\xc0\xae\xc0\xae/outside/secret.txt", want: "400"},
		{target: "/ünï.txt", want: "200|400"}, // not a URI without escapes
		{target: "/%EF%BC%8E%EF%BC%8E/", want: "404"},
		{target: "/%E2%80%AE", want: "404"},
		// Names.
		{target: "/with%20space.txt", want: "200", body: "space"},
		{target: "/with+space.txt", want: "404"},
		{target: "/with space.txt", want: "400"},
		{target: "/%C3%BCn%C3%AF.txt", want: "200", body: "umlauts"},
		{target: "/%e6%97%a5%e6%9c%ac.txt", want: "200", body: "nihon"},
		{target: "/u%CC%88ni%CC%88.txt", want: "404"}, // another normal form
		{target: "/sem;i.txt", want: "200", body: "semicolon"},
		{target: "/sem%3Bi.txt", want: "200", body: "semicolon"},
		{target: "/alive.txt;v=1", want: "404"},
		{target: "/plus+name.txt", want: "200", body: "plus"},
		{target: "/plus%2Bname.txt", want: "200", body: "plus"},
		{target: "/amp&eq=.txt", want: "200", body: "ampersand"},
		{target: "/quest%3Fion.txt", want: "200", body: "question"},
		{target: "/ha%23sh.txt", want: "200", body: "hash"},
		{target: "/col:on.txt", want: "200", body: "colon"},
		{target: "/a..b.txt", want: "200", body: "two dots"},
		{target: "/trailing.", want: "200", body: "trailing dot"},
		{target: "/trailing", want: "404"},
		{target: "/noext", want: "200", body: "no extension"},
		{target: "/alive.txt.", want: "404"},
		{target: "/alive.txt%20", want: "404"},
		{target: "/alive.txt::$DATA", want: "404"},
		{target: "/ALIVE.TXT", want: "404"},
		{target: "/%61live.txt", want: "200", body: "alive"},
		{target: "/%41live.txt", want: "404"},
		{target: "/C:/windows/win.ini", want: "404"},
		{target: "/~root", want: "404"},
		{target: "/con", want: "404"},
		{target: "/*", want: "404"},
		{target: "/%3Cscript%3Ealert(1)%3C/script%3E", want: "404"},
		{target: "/<script>alert(1)</script>", want: "400|404"},
		{target: `/"onload="x`, want: "400|404"},
		{target: "/{x}|^`", want: "400|404"},
		// A file is not a directory; directories redirect or show their index.
		{target: "/", want: "200", body: "the index"},
		{target: "/index.html", want: "200", body: "the index"},
		{target: "/alive.txt/", want: "404"},
		{target: "/alive.txt/x", want: "404"},
		{target: "/dir/", want: "200", body: "the index of dir"},
		{target: "/dir", want: "301|308", location: "/dir/"},
		{target: "/dir?a=1&b=//x", want: "301|308", location: "/dir/?a=1&b=//x"},
		{target: "/dir?", want: "301|308"},
		{target: "/dir?%0d%0aX-Split:y", want: "301|308", location: "/dir/?%0d%0aX-Split:y"},
		{target: "/%64ir", want: "301|308", location: "/dir/"},
		{target: "/%252e%252e", want: "301|308", location: "/%252e%252e/"},
		{target: "/noindex/", want: "403|404"},
		{target: "/evil.example", want: "301|308", location: "/evil.example/"},
		{target: "//evil.example", want: "301|308|400|404", location: "/evil.example/"},
		{target: "///evil.example", want: "301|308|400|404", location: "/evil.example/"},
		{target: "//evil.example/..", want: "200|301|308|400|404", location: "/"},
		{target: "/.//evil.example", want: "301|308|400|404", location: "/evil.example/"},
		{target: "/dir/..//evil.example", want: "301|308|400|404", location: "/evil.example/"},
		{target: "//", want: "200|301|308|400|404", location: "/"},
		// Queries are not part of the name; a fragment is not part of a request.
		{target: "/alive.txt?", want: "200", body: "alive"},
		{target: "/alive.txt?a=b&c", want: "200", body: "alive"},
		{target: "/alive.txt?../../etc/passwd", want: "200", body: "alive"},
		{target: "/alive.txt?x=/secret?y", want: "200", body: "alive"},
		{target: "/alive.txt?%00%zz", want: "200|400"},
		{target: "/?/../outside/secret.txt", want: "200", body: "the index"},
		{target: "/alive.txt#top", want: "400"},
		{target: "/alive.txt?a#top", want: "400"},
		{target: "/#", want: "400"},
		{target: "/alive.txt%23top", want: "404"},
		{target: "/alive.txt%3fx", want: "404"},
		// Dotfiles are hidden except .well-known.
		{target: "/.hidden", want: "404", body: page404},
		{target: "/%2ehidden", want: "404"},
		{target: "/.git/config", want: "404"},
		{target: "/.git/", want: "404"},
		{target: "/.git", want: "404"},
		{target: "/dir/.env", want: "404"},
		{target: "/...", want: "404"},
		{target: "/dir/../.hidden", want: "301|308|404"},
		{target: "/.well-known/acme/token", want: "200", body: "token"},
		{target: "/%2ewell-known/acme/token", want: "200", body: "token"},
		{target: "/.well-known/.secret", want: "404"},
		{target: "/.well-known/../.git/config", want: "301|308|404"},
		{target: "/.well-known", want: "301|308", location: "/.well-known/"},
		{target: "/.well-knownx", want: "404"},
		{target: "/.WELL-KNOWN/acme/token", want: "404"},
		// Symlinks only inside the root; no FIFO, socket or device.
		{target: "/link-in.txt", want: "200", body: "alive"},
		{target: "/link-up-in.txt", want: "200", body: "alive"},
		{target: "/link-abs-in.txt", want: "200|404"},
		{target: "/link-dir/file.txt", want: "200", body: "file in dir"},
		{target: "/link-dir", want: "301|308", location: "/link-dir/"},
		{target: "/link-dir/", want: "200", body: "the index of dir"},
		{target: "/link-dir/../alive.txt", want: "200|301|308"},
		{target: "/link-out.txt", want: "404", body: page404},
		{target: "/link-up-out.txt", want: "404"},
		{target: "/link-chain", want: "404"},
		{target: "/link-outdir", want: "404"},
		{target: "/link-outdir/", want: "404"},
		{target: "/link-outdir/secret.txt", want: "404"},
		{target: "/dir/link-up/secret.txt", want: "404"},
		{target: "/link-etc/passwd", want: "404"},
		{target: "/link-loop", want: "404"},
		{target: "/link-nowhere", want: "404"},
		{target: "/link-zero", want: "404"},
		{target: "/link-proc", want: "404"},
		{target: "/fifo", want: "404"},
		{target: "/fifo.html", want: "404"},
		{target: "/socket", want: "404"},
		// Not readable by others.
		{target: "/secret.txt", want: "403", body: page403},
		{target: "/secret.txt?x", want: "403", body: page403},
		{target: "/dir/../secret.txt", want: "301|308|403"},
		// Other forms of the target (section 3.2 of RFC 9112).
		{target: "http://test.localhost/alive.txt", want: "200", body: "alive"},
		{target: "HTTP://other.localhost/alive.txt", want: "200", body: "alive"},
		{target: "http://test.localhost:8080/alive.txt?x", want: "200", body: "alive"},
		{target: "http://test.localhost", want: "200", body: "the index"},
		{target: "http://test.localhost?x", want: "200", body: "the index"},
		{target: "http://[::1]/alive.txt", want: "200", body: "alive"},
		{target: "http://test.localhost/../outside/secret.txt", want: "400|404"},
		{target: "http://test.localhost//etc/passwd", want: "400|404"},
		{target: "http://test.localhost/alive.txt#x", want: "400"},
		{target: "http:///alive.txt", want: "400"},
		{target: "http://", want: "400"},
		{target: "http://te%zzst/alive.txt", want: "400"},
		{target: "http://user:pw@test.localhost/alive.txt", want: "200|400"},
		{target: "http:alive.txt", want: "400"},
		{target: "ftp://test.localhost/alive.txt", want: "400|404|421"},
		{target: "file:///etc/passwd", want: "400|404|421"},
		{target: "*", want: "400"},
		{target: "*/alive.txt", want: "400"},
		{target: "*", method: "OPTIONS", want: "200|204"},
		{target: "/*", method: "OPTIONS", want: "200|204|404"},
		{target: "**", method: "OPTIONS", want: "400"},
		{target: "test.localhost:80", want: "400"},
		{target: "alive.txt", want: "400"},
		{target: "../alive.txt", want: "400"},
		{target: "?x", want: "400"},
		{target: "", want: "400"},
		{target: "%2falive.txt", want: "400"},
		// Lengths: at least 8,000 bytes are accepted.
		{target: "/" + longName, want: "200", body: "long name"},
		{target: "/" + longName + "x", want: "404"},
		{target: "/" + strings.Repeat("a", 7_999), want: "404"},
		{target: "/" + strings.Repeat("%61", 2_666), want: "404"},
		{target: strings.Repeat("/a", 4_000), want: "404"},
		{target: strings.Repeat("/dir/..", 1_100) + "/alive.txt", want: "200|301|308|404"},
		{target: strings.Repeat("/..", 2_600), want: "400|404"},
		{target: "/alive.txt?" + strings.Repeat("q", 7_989), want: "200", body: "alive"},
		{target: "/" + strings.Repeat("a", 100_000), want: "414"},
		{target: "/alive.txt?" + strings.Repeat("q", 100_000), want: "414"},
		{target: "/" + strings.Repeat("a", 1<<20), want: "414"},
	}
	names := map[string]bool{}
	root := oddRoot(t)
	plainAndTLS(t, func(t *testing.T, s *server) {
		t.Helper()
		for _, test := range tests {
			if test.method == "" {
				test.method = "GET"
			}
			name := test.method + " " + test.target[:min(60, len(test.target))]
			t.Run(name, func(t *testing.T) {
				r := s.exchange(t, request(test.method, test.target))
				if !statuses(test.want, r.StatusCode) {
					t.Errorf("status %d, want %s", r.StatusCode, test.want)
				}
				if !strings.Contains(string(r.body), test.body) {
					t.Errorf("body %.200q, want %q in it", r.body, test.body)
				}
				location := r.field("Location")
				if location != "" && test.location != "" && location != test.location {
					t.Errorf("Location %q, want %q", location, test.location)
				}
				if location != "" && (!strings.HasPrefix(location, "/") || strings.HasPrefix(location, "//") || strings.HasPrefix(location, `/\`)) {
					t.Errorf("Location %q leaves this host", location)
				}
				if r.field("X-Split") != "" || r.field("Set-Cookie") != "" {
					t.Errorf("the target became a field:\n%s", r.head)
				}
				for _, never := range []string{outsideText, "root:x:0:0", "for the owner only", "<script>alert"} {
					if strings.Contains(string(r.body), never) {
						t.Errorf("the body holds %q", never)
					}
				}
				s.alive(t)
			})
		}
	}, "--root", root)
	for _, test := range tests {
		names[test.method+test.target] = true
	}
	if len(names) < 80 {
		t.Errorf("%d different targets, want 80 or more", len(names))
	}
}

// TestDevice asks for a device node inside the root, where the kernel lets the
// test make one.
func TestDevice(t *testing.T) {
	t.Parallel()
	root := writeTree(t, nil)
	if err := syscall.Mknod(filepath.Join(root, "zero"), syscall.S_IFCHR|0o666, 1<<8|5); err != nil {
		t.Skipf("no device nodes here: %v", err)
	}
	s := start(t, "--root", root)
	if r := s.get(t, "/zero"); r.StatusCode != 404 {
		t.Errorf("GET of a device: %s, want 404", r.Status)
	}
	s.alive(t)
}

// TestAbsoluteFormOverridesHost: a target in absolute form wins over the Host
// field (section 3.2.2 of RFC 9112), so an odd Host does not matter, but it
// still has to be there once.
func TestAbsoluteFormOverridesHost(t *testing.T) {
	t.Parallel()
	s := start(t, "--root", writeTree(t, nil))
	for wire, want := range map[string]int{
		"GET http://a.localhost/alive.txt HTTP/1.1\r\nHost: b.localhost\r\n\r\n":                      200,
		"GET http://a.localhost/alive.txt HTTP/1.1\r\n\r\n":                                           400,
		"GET http://a.localhost/alive.txt HTTP/1.1\r\nHost: a.localhost\r\nHost: a.localhost\r\n\r\n": 400,
		"GET http://a.localhost/alive.txt HTTP/1.0\r\n\r\n":                                           200,
	} {
		if r := s.exchange(t, wire); r.StatusCode != want {
			t.Errorf("%q: %s, want %d", wire, r.Status, want)
		}
	}
}

// TestErrorPages: 403.html and 404.html come from the root when it has them
// and are built in otherwise (W2, source 4).
func TestErrorPages(t *testing.T) {
	t.Parallel()
	root := writeTree(t, map[string]string{"secret.txt": "no"})
	if err := os.Chmod(filepath.Join(root, "secret.txt"), 0o640); err != nil {
		t.Fatal(err)
	}
	s := start(t, "--root", root)
	for target, want := range map[string]int{"/secret.txt": 403, "/missing": 404} {
		r := s.get(t, target)
		if r.StatusCode != want || !strings.HasPrefix(r.field("Content-Type"), "text/html") || !strings.Contains(string(r.body), "<") {
			t.Errorf("%s: %s %s %.100q, want an HTML page with %d", target, r.Status, r.field("Content-Type"), r.body, want)
		}
		// An error page is not the representation of the target.
		if etag := r.field("ETag"); etag != "" {
			if r := s.get(t, target, "If-None-Match: "+etag); r.StatusCode != want {
				t.Errorf("%s with If-None-Match: %s, want %d again", target, r.Status, want)
			}
		}
		if r := s.get(t, target, "Range: bytes=0-0"); r.StatusCode != want {
			t.Errorf("%s with Range: %s, want %d again", target, r.Status, want)
		}
	}
}
