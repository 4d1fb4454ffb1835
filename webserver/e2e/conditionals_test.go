//go:build unix

package e2e_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

var strongETag = regexp.MustCompile(`^"[\x21\x23-\x7e]+"$`)

// TestConditionals: each precondition, and which goes before which (section
// 13.2.2). In the fields {E} is the entity tag of the file, {W} the same as a
// weak one, {M} the date of its modification, {B} and {A} dates before and
// after it. Where Go's ServeContent agrees with the RFC it is asked too.
func TestConditionals(t *testing.T) {
	t.Parallel()
	const text = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	root := writeTree(t, map[string]string{"letters.txt": text})
	before, date, after := fileDates(t, filepath.Join(root, "letters.txt"))
	s := start(t, "--root", root)
	full := s.get(t, "/letters.txt")
	etag := full.field("ETag")
	if full.StatusCode != 200 || !strongETag.MatchString(etag) {
		t.Fatalf("%s, ETag %s, want 200 and a strong entity tag", full.Status, etag)
	}
	if got := full.field("Last-Modified"); got != date {
		t.Errorf("Last-Modified %s, want %s", got, date)
	}
	modified, err := http.ParseTime(date)
	if err != nil {
		t.Fatal(err)
	}
	oracle := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", etag)
		http.ServeContent(w, r, "letters.txt", modified, strings.NewReader(text))
	}))
	defer oracle.Close()
	fill := strings.NewReplacer("{E}", etag, "{W}", "W/"+etag, "{M}", date, "{B}", before, "{A}", after,
		"{M850}", modified.Format("Monday, 02-Jan-06 15:04:05 GMT"), "{Masc}", modified.Format(time.ANSIC))

	tests := []struct {
		name   string
		method string // GET when empty
		fields []string
		want   int
		apart  string // why Go answers otherwise
	}{
		// If-None-Match compares weakly.
		{name: "INM same", fields: []string{"If-None-Match: {E}"}, want: 304},
		{name: "INM same, HEAD", method: "HEAD", fields: []string{"If-None-Match: {E}"}, want: 304},
		{name: "INM weak", fields: []string{"If-None-Match: {W}"}, want: 304},
		{name: "INM star", fields: []string{"If-None-Match: *"}, want: 304},
		{name: "INM other", fields: []string{`If-None-Match: "x"`}, want: 200},
		{name: "INM list", fields: []string{`If-None-Match: "x", W/"y", {E}`}, want: 304},
		{name: "INM list without blanks", fields: []string{`If-None-Match: "x",{E},"y"`}, want: 304},
		{name: "INM list of others", fields: []string{`If-None-Match: "x", "y"`}, want: 200},
		{name: "INM tag with a comma", fields: []string{`If-None-Match: "a,b", {E}`}, want: 304},
		{name: "INM two fields", fields: []string{`If-None-Match: "x"`, "If-None-Match: {E}"}, want: 304, apart: "Go reads the first field alone"},
		{name: "INM without quotes", fields: []string{"If-None-Match: " + strings.Trim(etag, `"`)}, want: 200},
		{name: "INM empty", fields: []string{"If-None-Match: "}, want: 200},
		{name: "INM small weak sign", fields: []string{"If-None-Match: w/{E}"}, want: 200},
		{name: "INM with junk behind", fields: []string{"If-None-Match: {E}x"}, want: 200, apart: "Go stops at the tag"},
		{name: "INM part of the tag", fields: []string{"If-None-Match: " + etag[:len(etag)-2] + `"`}, want: 200},
		{name: "INM same, POST", method: "POST", fields: []string{"If-None-Match: {E}"}, want: 412},
		{name: "INM star, POST", method: "POST", fields: []string{"If-None-Match: *"}, want: 412},
		{name: "INM other, POST", method: "POST", fields: []string{`If-None-Match: "x"`}, want: 200, apart: "Go's ServeContent sends the file"},

		// If-Modified-Since counts when there is no If-None-Match.
		{name: "IMS same", fields: []string{"If-Modified-Since: {M}"}, want: 304},
		{name: "IMS same, HEAD", method: "HEAD", fields: []string{"If-Modified-Since: {M}"}, want: 304},
		{name: "IMS after", fields: []string{"If-Modified-Since: {A}"}, want: 304},
		{name: "IMS before", fields: []string{"If-Modified-Since: {B}"}, want: 200},
		{name: "IMS in RFC 850 form", fields: []string{"If-Modified-Since: {M850}"}, want: 304},
		{name: "IMS in asctime form", fields: []string{"If-Modified-Since: {Masc}"}, want: 304},
		{name: "IMS malformed", fields: []string{"If-Modified-Since: yesterday"}, want: 200},
		{name: "IMS number", fields: []string{"If-Modified-Since: 99999999999"}, want: 200},
		{name: "IMS no such day", fields: []string{"If-Modified-Since: Sun, 31 Feb 2044 00:00:00 GMT"}, want: 200},
		{name: "IMS other zone", fields: []string{"If-Modified-Since: " + strings.Replace(after, "GMT", "+0200", 1)}, want: 200},
		{name: "IMS empty", fields: []string{"If-Modified-Since: "}, want: 200},
		{name: "IMS, POST", method: "POST", fields: []string{"If-Modified-Since: {M}"}, want: 200, apart: "Go's ServeContent sends the file"},
		{name: "INM other beats IMS same", fields: []string{`If-None-Match: "x"`, "If-Modified-Since: {M}"}, want: 200},
		{name: "INM same beats IMS before", fields: []string{"If-None-Match: {E}", "If-Modified-Since: {B}"}, want: 304},

		// If-Match compares strongly.
		{name: "IM same", fields: []string{"If-Match: {E}"}, want: 200},
		{name: "IM same, HEAD", method: "HEAD", fields: []string{"If-Match: {E}"}, want: 200},
		{name: "IM star", fields: []string{"If-Match: *"}, want: 200},
		{name: "IM other", fields: []string{`If-Match: "x"`}, want: 412},
		{name: "IM other, HEAD", method: "HEAD", fields: []string{`If-Match: "x"`}, want: 412},
		{name: "IM other, POST", method: "POST", fields: []string{`If-Match: "x"`}, want: 412},
		{name: "IM same, POST", method: "POST", fields: []string{"If-Match: {E}"}, want: 200, apart: "Go's ServeContent sends the file"},
		{name: "IM weak", fields: []string{"If-Match: {W}"}, want: 412},
		{name: "IM list", fields: []string{`If-Match: "x", {E}`}, want: 200},
		{name: "IM list of others", fields: []string{`If-Match: "x", {W}`}, want: 412},
		{name: "IM two fields", fields: []string{`If-Match: "x"`, "If-Match: {E}"}, want: 200, apart: "Go reads the first field alone"},

		// If-Unmodified-Since counts when there is no If-Match.
		{name: "IUS same", fields: []string{"If-Unmodified-Since: {M}"}, want: 200},
		{name: "IUS after", fields: []string{"If-Unmodified-Since: {A}"}, want: 200},
		{name: "IUS before", fields: []string{"If-Unmodified-Since: {B}"}, want: 412},
		{name: "IUS before, POST", method: "POST", fields: []string{"If-Unmodified-Since: {B}"}, want: 412},
		{name: "IUS malformed", fields: []string{"If-Unmodified-Since: x"}, want: 200},
		{name: "IM same beats IUS before", fields: []string{"If-Match: {E}", "If-Unmodified-Since: {B}"}, want: 200},
		{name: "IM other beats IUS after", fields: []string{`If-Match: "x"`, "If-Unmodified-Since: {A}"}, want: 412},

		// The first pair goes before the second.
		{name: "IM other, INM same", fields: []string{`If-Match: "x"`, "If-None-Match: {E}"}, want: 412},
		{name: "IM same, INM same", fields: []string{"If-Match: {E}", "If-None-Match: {E}"}, want: 304},
		{name: "IM same, INM other", fields: []string{"If-Match: {E}", `If-None-Match: "x"`}, want: 200},
		{name: "IM same, IMS same", fields: []string{"If-Match: {E}", "If-Modified-Since: {M}"}, want: 304},
		{name: "IUS before, INM same", fields: []string{"If-Unmodified-Since: {B}", "If-None-Match: {E}"}, want: 412},
		{name: "IUS same, INM same", fields: []string{"If-Unmodified-Since: {M}", "If-None-Match: {E}"}, want: 304},
		{name: "IUS before, IMS same", fields: []string{"If-Unmodified-Since: {B}", "If-Modified-Since: {M}"}, want: 412},
		{name: "all four, true", fields: []string{"If-Match: {E}", "If-Unmodified-Since: {B}", `If-None-Match: "x"`, "If-Modified-Since: {M}"}, want: 200},

		// Ranges come last.
		{name: "Range", fields: []string{"Range: bytes=0-4"}, want: 206},
		{name: "Range, INM same", fields: []string{"Range: bytes=0-4", "If-None-Match: {E}"}, want: 304},
		{name: "Range, INM other", fields: []string{"Range: bytes=0-4", `If-None-Match: "x"`}, want: 206},
		{name: "Range, IMS same", fields: []string{"Range: bytes=0-4", "If-Modified-Since: {M}"}, want: 304},
		{name: "Range, IM other", fields: []string{"Range: bytes=0-4", `If-Match: "x"`}, want: 412},
		{name: "Range, IM same", fields: []string{"Range: bytes=0-4", "If-Match: {E}"}, want: 206},
		{name: "Range, IUS before", fields: []string{"Range: bytes=0-4", "If-Unmodified-Since: {B}"}, want: 412},
		{name: "unsatisfiable, INM same", fields: []string{"Range: bytes=99-", "If-None-Match: {E}"}, want: 304},
		{name: "unsatisfiable, IM other", fields: []string{"Range: bytes=99-", `If-Match: "x"`}, want: 412},

		// If-Range needs a strong match.
		{name: "IR same", fields: []string{"Range: bytes=0-4", "If-Range: {E}"}, want: 206},
		{name: "IR weak", fields: []string{"Range: bytes=0-4", "If-Range: {W}"}, want: 200},
		{name: "IR other", fields: []string{"Range: bytes=0-4", `If-Range: "x"`}, want: 200},
		{name: "IR list", fields: []string{"Range: bytes=0-4", `If-Range: "x", {E}`}, want: 200},
		{name: "IR star", fields: []string{"Range: bytes=0-4", "If-Range: *"}, want: 200},
		{name: "IR same date", fields: []string{"Range: bytes=0-4", "If-Range: {M}"}, want: 206},
		{name: "IR later date", fields: []string{"Range: bytes=0-4", "If-Range: {A}"}, want: 200},
		{name: "IR earlier date", fields: []string{"Range: bytes=0-4", "If-Range: {B}"}, want: 200},
		{name: "IR malformed", fields: []string{"Range: bytes=0-4", "If-Range: x"}, want: 200},
		{name: "IR without Range", fields: []string{"If-Range: {E}"}, want: 200},
		{name: "IR other, unsatisfiable", fields: []string{"Range: bytes=99-", `If-Range: "x"`}, want: 200},
		{name: "IR same, unsatisfiable", fields: []string{"Range: bytes=99-", "If-Range: {E}"}, want: 416},
		{name: "IR same, INM same", fields: []string{"Range: bytes=0-4", "If-Range: {E}", "If-None-Match: {E}"}, want: 304},
		{name: "IR other, IM same", fields: []string{"Range: bytes=0-4", `If-Range: "x"`, "If-Match: {E}"}, want: 200},
		{name: "IR same, HEAD", method: "HEAD", fields: []string{"Range: bytes=0-4", "If-Range: {E}"}, want: 200, apart: "Go serves ranges to HEAD"},
		{name: "IR same, two ranges", fields: []string{"Range: bytes=0-1,20-21", "If-Range: {E}"}, want: 206},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.method == "" {
				test.method = "GET"
			}
			fields := make([]string, len(test.fields))
			for i, f := range test.fields {
				fields[i] = fill.Replace(f)
			}
			wire := request(test.method, "/letters.txt", fields...)
			if test.method == "POST" {
				wire = post("/letters.txt", "text/plain", "x", fields...)
			}
			r := s.exchange(t, wire)
			if r.StatusCode != test.want {
				t.Fatalf("status %d, want %d", r.StatusCode, test.want)
			}
			switch r.StatusCode {
			case 304:
				r.checkNotModified(t, full)
			case 206:
				r.parts(t, []byte(text))
			case 200:
				if test.method == "GET" && string(r.body) != text {
					t.Errorf("body %q", r.body)
				}
			}
			if test.apart != "" {
				return
			}
			req, err := http.NewRequest(test.method, oracle.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range fields {
				name, value, _ := strings.Cut(f, ": ")
				req.Header.Add(name, value)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if resp.StatusCode != test.want && test.method != "POST" {
				t.Errorf("Go's ServeContent answers %d", resp.StatusCode)
			}
		})
	}
	t.Run("missing page", func(t *testing.T) {
		// Section 13.2.1: preconditions are for what would succeed.
		for _, field := range []string{"If-Match: *", `If-Match: "x"`, "If-None-Match: *", "If-Unmodified-Since: " + before} {
			if r := s.get(t, "/missing", field); r.StatusCode != 404 {
				t.Errorf("%s: %s, want 404", field, r.Status)
			}
		}
	})
	t.Run("OPTIONS ignores them", func(t *testing.T) {
		if r := s.exchange(t, request("OPTIONS", "/letters.txt", "If-None-Match: "+etag, `If-Match: "x"`)); !statuses("200|204", r.StatusCode) {
			t.Errorf("status %s", r.Status)
		}
	})
}

// checkNotModified: a 304 has the fields that a 200 would have and that a
// cache needs, and no body (section 15.4.5).
func (r *reply) checkNotModified(t *testing.T, full *reply) {
	t.Helper()
	for _, name := range []string{"ETag", "Vary", "Cache-Control", "Content-Location", "Expires"} {
		if r.field(name) != full.field(name) {
			t.Errorf("304 with %s %q, the 200 has %q", name, r.field(name), full.field(name))
		}
	}
	if len(r.body) > 0 {
		t.Errorf("304 with a body: %q", r.body)
	}
	if cl := r.field("Content-Length"); cl != "" && cl != full.field("Content-Length") {
		t.Errorf("304 with Content-Length %s", cl)
	}
	if r.field("Content-Encoding") != "" {
		t.Error("304 with Content-Encoding")
	}
}

// TestETagIsOfTheContent: entity tags survive a lost modification time, are
// the same for the same content and differ for another.
func TestETagIsOfTheContent(t *testing.T) {
	t.Parallel()
	same := strings.Repeat("the same in both\n", 100)
	root := writeTree(t, map[string]string{"a/page.html": same, "b/page.html": same, "c/page.html": strings.Replace(same, "both", "neither", 1)})
	epoch := time.Unix(0, 0)
	for _, name := range []string{"a", "b", "c"} {
		if err := os.Chtimes(filepath.Join(root, name, "page.html"), epoch, epoch); err != nil {
			t.Fatal(err)
		}
	}
	first := start(t, "--root", root)
	a, c := first.get(t, "/a/page.html"), first.get(t, "/c/page.html")
	if a.field("ETag") == c.field("ETag") {
		t.Errorf("two contents have one ETag %s", a.field("ETag"))
	}
	// A copy of the site elsewhere, started anew, with other times.
	if err := os.Chtimes(filepath.Join(root, "b", "page.html"), time.Now(), time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	second := start(t, "--root", root)
	if b := second.get(t, "/b/page.html"); b.field("ETag") != a.field("ETag") {
		t.Errorf("ETag %s, another server gives the same content %s", b.field("ETag"), a.field("ETag"))
	}
	if r := second.get(t, "/a/page.html", "If-None-Match: "+a.field("ETag")); r.StatusCode != 304 {
		t.Errorf("the other server's ETag: %s, want 304", r.Status)
	}
}
