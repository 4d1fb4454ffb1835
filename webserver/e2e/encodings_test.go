//go:build unix

package e2e_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// encodedRoot has app.js with all sidecars. Their content is no real coding of
// it: what comes back tells which file was taken.
func encodedRoot(t *testing.T) string {
	t.Helper()
	root := writeTree(t, map[string]string{
		"app.js": "the source", "app.js.br": "the br sidecar", "app.js.zst": "the zst sidecar", "app.js.gz": "the gz sidecar",
		"only.css": "a{}", "only.css.gz": "the only sidecar",
		"orphan.js.gz": "no source",
	})
	// As old as its source is not older than it.
	built := time.Now().Add(-time.Hour)
	for _, name := range []string{"app.js", "app.js.br", "app.js.zst", "app.js.gz", "only.css", "only.css.gz"} {
		if err := os.Chtimes(filepath.Join(root, name), built, built); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// TestSidecars: which precompressed file goes out (section 12.5.3).
func TestSidecars(t *testing.T) {
	t.Parallel()
	s := start(t, "--root", encodedRoot(t))
	bodies := map[string]string{"": "the source", "br": "the br sidecar", "zstd": "the zst sidecar", "gzip": "the gz sidecar"}
	for _, test := range []struct {
		accept string // "-" for no field
		want   string // codings allowed, "" for none, "406" for that status
	}{
		{"-", ""},
		{"", ""},
		{"identity", ""},
		{"gzip", "gzip"},
		{"br", "br"},
		{"zstd", "zstd"},
		{"GZIP", "gzip"},
		{"x-gzip", "gzip|"},
		{"gzip, deflate, br", "gzip|br"},
		{"gzip, deflate, br, zstd", "gzip|br|zstd"},
		{"gzip;q=1.0, br;q=0.5", "gzip"},
		{"gzip;q=0.5, br;q=1.0", "br"},
		{"gzip;q=0.5, br;q=0.4, zstd;q=0.6", "zstd"},
		{"gzip;q=0.001", "gzip|"},
		{"gzip;q=0.9,identity;q=1", "|gzip"},
		{"identity;q=0.5, br;q=0.1", "|br"},
		{"gzip ; q=0.2 , br ; q=0.8", "br"},
		{"gzip;Q=0.2,br;Q=0.8", "br"},
		{"br;q=0", ""},
		{"br;q=0.000, gzip", "gzip"},
		{"gzip;q=0, br;q=0, zstd;q=0", ""},
		{"*", "gzip|br|zstd|"},
		{"br;q=0, *", "gzip|zstd|"},
		{"gzip, *;q=0", "gzip"},
		{"*;q=0", "406|"},
		{"identity;q=0", "406|"},
		{"identity;q=0, br", "br"},
		{"identity;q=0, *;q=0, gzip", "gzip"},
		{"*;q=0, zstd;q=0.1", "zstd"},
		{"deflate", ""},
		{"compress, deflate;q=0.9", ""},
		{"gzipx, xbr", ""},
		{"not-gzip", ""},
		{",, gzip ,", "gzip"},
		{"gzip;q=2", "gzip|"}, // malformed weights are no error
		{"gzip;q=x", "gzip|"},
		{"gzip;q=", "gzip|"},
		{"gzip;level=9", "gzip|"},
		{"gzip;q=0.1234", "gzip|"},
		{";;;", ""},
	} {
		var fields []string
		if test.accept != "-" {
			fields = []string{"Accept-Encoding: " + test.accept}
		}
		r := s.get(t, "/app.js", fields...)
		got := r.field("Content-Encoding")
		if r.StatusCode == 406 {
			got = "406"
		} else if r.StatusCode != 200 || string(r.body) != bodies[got] {
			t.Errorf("%q: %s, Content-Encoding %q with %q", test.accept, r.Status, got, r.body)
		}
		if !allowed(test.want, got) {
			t.Errorf("%q: %q, want %q", test.accept, got, test.want)
		}
		if r.StatusCode == 200 && !strings.HasPrefix(r.field("Content-Type"), "text/javascript") {
			t.Errorf("%q: Content-Type %q of the sidecar, not of the source", test.accept, r.field("Content-Type"))
		}
		if r.StatusCode == 200 && !strings.Contains(strings.ToLower(r.field("Vary")), "accept-encoding") {
			t.Errorf("%q: Vary %q", test.accept, r.field("Vary"))
		}
	}
	// Two fields are one list (section 5.3).
	if r := s.get(t, "/app.js", "Accept-Encoding: deflate", "Accept-Encoding: br"); r.field("Content-Encoding") != "br" {
		t.Errorf("two fields: %q, want br", r.field("Content-Encoding"))
	}
	// Only what is there.
	if r := s.get(t, "/only.css", "Accept-Encoding: br, zstd, gzip;q=0.1"); string(r.body) != "the only sidecar" {
		t.Errorf("only.css: %q", r.body)
	}
	// By its own name a sidecar is a file like any other; without a source it
	// does not stand for one.
	if r := s.get(t, "/app.js.gz", "Accept-Encoding: gzip"); r.StatusCode != 200 || string(r.body) != "the gz sidecar" || r.field("Content-Encoding") != "" {
		t.Errorf("app.js.gz: %s %q, Content-Encoding %q", r.Status, r.body, r.field("Content-Encoding"))
	}
	if r := s.get(t, "/orphan.js", "Accept-Encoding: gzip"); r.StatusCode != 404 {
		t.Errorf("a sidecar without a source: %s, want 404", r.Status)
	}
}

func allowed(want, got string) bool {
	for w := range strings.SplitSeq(want, "|") {
		if w == got {
			return true
		}
	}
	return false
}

// TestSidecarsRefused: a sidecar older than its source, of another kind than a
// plain file, outside the root or not for others is not taken.
func TestSidecarsRefused(t *testing.T) {
	t.Parallel()
	root := writeTree(t, map[string]string{
		"stale.js": "source", "stale.js.br": "stale",
		"link.js": "source",
		"dir.js":  "source", "dir.js.br/x": "directory",
		"own.js": "source", "own.js.br": "for the owner",
		"fifo.js":   "source",
		"secret.js": "secret source", "secret.js.br": "readable sidecar of a secret",
	})
	outside := filepath.Join(t.TempDir(), "outside.br")
	writeFile(t, outside, outsideText)
	at := func(name string) string { return filepath.Join(root, name) }
	old := time.Now().Add(-time.Hour)
	for _, err := range []error{
		os.Chtimes(at("stale.js.br"), old, old),
		os.Symlink(outside, at("link.js.br")),
		os.Chmod(at("own.js.br"), 0o600),
		os.Chmod(at("secret.js"), 0o600),
		mkfifo(at("fifo.js.br")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	s := start(t, "--root", root)
	for _, name := range []string{"/stale.js", "/link.js", "/dir.js", "/own.js", "/fifo.js"} {
		if r := s.get(t, name, "Accept-Encoding: br"); r.StatusCode != 200 || string(r.body) != "source" || r.field("Content-Encoding") != "" {
			t.Errorf("%s: %s %q, Content-Encoding %q, want the source", name, r.Status, r.body, r.field("Content-Encoding"))
		}
	}
	if r := s.get(t, "/secret.js", "Accept-Encoding: br"); r.StatusCode != 403 {
		t.Errorf("secret.js: %s %q, want 403", r.Status, r.body)
	}
	// It becomes stale while the server runs, and current again.
	fresh := func(want string) {
		t.Helper()
		eventually(t, "a body of "+want, func() bool { return string(s.get(t, "/own.js", "Accept-Encoding: br").body) == want })
	}
	writeFile(t, at("own.js.br"), "current sidecar")
	fresh("current sidecar")
	writeFile(t, at("own.js"), "a newer source")
	soon := time.Now().Add(2 * time.Second)
	if err := os.Chtimes(at("own.js"), soon, soon); err != nil {
		t.Fatal(err)
	}
	fresh("a newer source")
	if err := os.Chtimes(at("own.js.br"), soon, soon); err != nil {
		t.Fatal(err)
	}
	fresh("current sidecar")
	if err := os.Remove(at("own.js.br")); err != nil {
		t.Fatal(err)
	}
	fresh("a newer source")
}

// TestGzipOnTheFly: compressible types without a sidecar are compressed for
// those who want it, with a strong entity tag of their own.
func TestGzipOnTheFly(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("<p>a line that compresses well, and an ü</p>\n", 3000)
	png := "\x89PNG\r\n\x1a\n" + string(noise(50_000))
	root := writeTree(t, map[string]string{"page.html": text, "image.png": png, "data.bin": string(noise(50_000)), "empty.html": ""})
	s := start(t, "--root", root)
	plain := s.get(t, "/page.html")
	zipped := s.get(t, "/page.html", "Accept-Encoding: gzip")
	if zipped.field("Content-Encoding") != "gzip" || len(zipped.body) >= len(text)/4 {
		t.Fatalf("Content-Encoding %q, %d bytes of %d", zipped.field("Content-Encoding"), len(zipped.body), len(text))
	}
	if got := gunzip(t, zipped.body); got != text || string(plain.body) != text {
		t.Error("the bodies differ from the file")
	}
	for _, r := range []*reply{plain, zipped} {
		if !strongETag.MatchString(r.field("ETag")) {
			t.Errorf("ETag %q is not a strong one", r.field("ETag"))
		}
		if !strings.Contains(strings.ToLower(r.field("Vary")), "accept-encoding") {
			t.Errorf("Vary %q", r.field("Vary"))
		}
	}
	if plain.field("ETag") == zipped.field("ETag") {
		t.Errorf("both have ETag %s", plain.field("ETag"))
	}
	// A strong tag promises the same bytes again.
	again := s.get(t, "/page.html", "Accept-Encoding: gzip")
	if again.field("ETag") == zipped.field("ETag") && !bytes.Equal(again.body, zipped.body) {
		t.Error("other bytes under the same strong ETag")
	}
	if r := s.get(t, "/page.html", "Accept-Encoding: gzip", "If-None-Match: "+zipped.field("ETag")); r.StatusCode != 304 {
		t.Errorf("If-None-Match of the gzip copy: %s, want 304", r.Status)
	} else {
		r.checkNotModified(t, zipped)
	}
	// The tag of the other encoding says nothing about this one.
	if r := s.get(t, "/page.html", "If-None-Match: "+zipped.field("ETag")); r.StatusCode != 200 {
		t.Errorf("If-None-Match of the gzip copy for the plain one: %s, want 200", r.Status)
	}
	for _, name := range []string{"/image.png", "/data.bin"} {
		if r := s.get(t, name, "Accept-Encoding: gzip"); r.field("Content-Encoding") != "" {
			t.Errorf("%s: Content-Encoding %q", name, r.field("Content-Encoding"))
		}
	}
	if r := s.get(t, "/empty.html", "Accept-Encoding: gzip"); r.StatusCode != 200 || r.field("Content-Encoding") == "" && len(r.body) > 0 {
		t.Errorf("an empty page: %s, %d bytes", r.Status, len(r.body))
	}
	// Error pages too say what they vary by, or do not vary.
	if r := s.get(t, "/missing", "Accept-Encoding: gzip"); r.field("Content-Encoding") == "gzip" && !strings.Contains(gunzip(t, r.body), "<") {
		t.Errorf("an error page with Content-Encoding %q", r.field("Content-Encoding"))
	}
}

// TestRangesOfEncodings: a range is one of the representation whose entity tag
// stands beside it.
func TestRangesOfEncodings(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("a line that compresses well\n", 3000)
	root := encodedRoot(t)
	writeFile(t, filepath.Join(root, "page.html"), text)
	s := start(t, "--root", root)
	for _, name := range []string{"/page.html", "/app.js"} {
		copies := map[string]*reply{} // by ETag
		for _, accept := range []string{"identity", "gzip", "br"} {
			r := s.get(t, name, "Accept-Encoding: "+accept)
			copies[r.field("ETag")] = r
		}
		for _, accept := range []string{"identity", "gzip", "br", "gzip, br"} {
			for _, set := range []string{"bytes=2-5", "bytes=-3", "bytes=0-0,5-7"} {
				r := s.get(t, name, "Accept-Encoding: "+accept, "Range: "+set)
				whole := copies[r.field("ETag")]
				if r.StatusCode != 206 || whole == nil {
					t.Errorf("%s %s %s: %s with ETag %q", name, accept, set, r.Status, r.field("ETag"))
					continue
				}
				if diff := cmp.Diff(whole.field("Content-Encoding"), r.field("Content-Encoding")); diff != "" {
					t.Errorf("%s %s %s: one ETag, two encodings:\n%s", name, accept, set, diff)
				}
				if diff := cmp.Diff(whole.field("Vary"), r.field("Vary")); diff != "" {
					t.Errorf("%s %s %s: Vary of 200 and 206 differ:\n%s", name, accept, set, diff)
				}
				r.parts(t, whole.body)
				r = s.get(t, name, "Accept-Encoding: "+accept, "Range: "+set, "If-Range: "+r.field("ETag"))
				if r.StatusCode != 206 {
					t.Errorf("%s %s %s with its own tag in If-Range: %s", name, accept, set, r.Status)
				}
			}
			r := s.get(t, name, "Accept-Encoding: "+accept, "Range: bytes=1000000-")
			if r.StatusCode != 416 {
				t.Errorf("%s %s, unsatisfiable: %s", name, accept, r.Status)
			}
		}
		// A resumed download that changes its encoding starts anew.
		for etag, whole := range copies {
			for _, accept := range []string{"identity", "gzip", "br"} {
				r := s.get(t, name, "Accept-Encoding: "+accept, "Range: bytes=2-5", "If-Range: "+etag)
				if r.StatusCode == 206 && (r.field("ETag") != etag || r.field("Content-Encoding") != whole.field("Content-Encoding")) {
					t.Errorf("%s %s: a part of %s for If-Range %s", name, accept, r.field("ETag"), etag)
				}
			}
		}
	}
}
