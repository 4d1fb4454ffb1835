//go:build unix

package e2e_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// span is a part of a representation, from the first byte to before end.
type span struct{ start, end int }

// rangeSize is the size of the file that the ranges are of.
const rangeSize = 10_000

// noise returns bytes that no two places share.
func noise(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(b)
	return b
}

// parts reads the spans that a 206 carries and checks their bytes against the
// whole representation.
func (r *reply) parts(t *testing.T, whole []byte) (spans []span) {
	t.Helper()
	check := func(contentRange string, b []byte) {
		t.Helper()
		var first, last, size int
		if n, err := fmt.Sscanf(contentRange, "bytes %d-%d/%d", &first, &last, &size); n != 3 || err != nil {
			t.Fatalf("Content-Range %q: %v", contentRange, err)
		}
		if size != len(whole) || first < 0 || last < first || last >= size {
			t.Fatalf("Content-Range %q of %d bytes", contentRange, len(whole))
		}
		if !bytes.Equal(b, whole[first:last+1]) {
			t.Errorf("Content-Range %q: wrong bytes (%d of them)", contentRange, len(b))
		}
		spans = append(spans, span{first, last + 1})
	}
	kind, params, err := mime.ParseMediaType(r.field("Content-Type"))
	if err != nil || kind != "multipart/byteranges" {
		check(r.field("Content-Range"), r.body)
		return spans
	}
	// Section 15.3.7.2: the field is in the parts, not in the head.
	if cr := r.field("Content-Range"); cr != "" {
		t.Errorf("multipart/byteranges with Content-Range %q in the head", cr)
	}
	mr := multipart.NewReader(bytes.NewReader(r.body), params["boundary"])
	for {
		part, err := mr.NextRawPart()
		if errors.Is(err, io.EOF) {
			return spans
		}
		if err != nil {
			t.Fatalf("multipart/byteranges: %v", err)
		}
		b, err := io.ReadAll(part)
		if err != nil {
			t.Fatalf("multipart/byteranges: %v", err)
		}
		if part.Header.Get("Content-Type") == "" {
			t.Error("a part without Content-Type")
		}
		check(part.Header.Get("Content-Range"), b)
	}
}

// covered merges spans that touch or overlap.
func covered(spans []span) (merged []span) {
	spans = slices.Clone(spans)
	slices.SortFunc(spans, func(a, b span) int { return a.start - b.start })
	for _, s := range spans {
		if n := len(merged); n > 0 && s.start <= merged[n-1].end {
			merged[n-1].end = max(merged[n-1].end, s.end)
			continue
		}
		merged = append(merged, s)
	}
	return merged
}

// TestRanges: single, suffix, open, multiple, unsatisfiable and malformed
// ranges (section 14). Where Go's file server agrees with the RFC its answer
// is compared as well.
func TestRanges(t *testing.T) {
	t.Parallel()
	whole := noise(rangeSize)
	root := writeTree(t, map[string]string{"data.bin": string(whole), "empty.bin": ""})
	s := start(t, "--root", root)
	oracle := httptest.NewServer(http.FileServer(http.Dir(root)))
	defer oracle.Close()
	full := s.get(t, "/data.bin")
	if full.StatusCode != 200 || !bytes.Equal(full.body, whole) {
		t.Fatalf("the whole file: %s, %d bytes", full.Status, len(full.body))
	}
	if full.field("Accept-Ranges") != "bytes" {
		t.Errorf("Accept-Ranges %q, want bytes", full.field("Accept-Ranges"))
	}

	repeat := func(n int, format string, args func(i int) []any) string {
		specs := make([]string, n)
		for i := range specs {
			specs[i] = fmt.Sprintf(format, args(i)...)
		}
		return "bytes=" + strings.Join(specs, ",")
	}
	tests := []struct {
		name, value string
		want        string // allowed statuses
		spans       []span // of a 206, in this order
		merged      bool   // the spans may come merged or in another order
		apart       string // why Go's file server answers otherwise
	}{
		{name: "first byte", value: "bytes=0-0", want: "206", spans: []span{{0, 1}}},
		{name: "last byte", value: "bytes=9999-9999", want: "206", spans: []span{{9999, 10000}}},
		{name: "middle", value: "bytes=100-199", want: "206", spans: []span{{100, 200}}},
		{name: "all", value: "bytes=0-9999", want: "206", spans: []span{{0, 10000}}},
		{name: "open", value: "bytes=9000-", want: "206", spans: []span{{9000, 10000}}},
		{name: "open from 0", value: "bytes=0-", want: "206", spans: []span{{0, 10000}}},
		{name: "end beyond the file", value: "bytes=9000-20000", want: "206", spans: []span{{9000, 10000}}},
		{name: "end beyond 64 bits", value: "bytes=9000-99999999999999999999", want: "200|206", spans: []span{{9000, 10000}}, apart: "Go refuses the number"},
		{name: "suffix", value: "bytes=-500", want: "206", spans: []span{{9500, 10000}}},
		{name: "suffix of 1", value: "bytes=-1", want: "206", spans: []span{{9999, 10000}}},
		{name: "suffix longer than the file", value: "bytes=-20000", want: "206", spans: []span{{0, 10000}}},
		{name: "leading zeros", value: "bytes=000100-000199", want: "206", spans: []span{{100, 200}}},
		{name: "unit in capitals", value: "Bytes=0-9", want: "200|206", spans: []span{{0, 10}}, apart: "Go knows small letters alone"},

		{name: "start at the end", value: "bytes=10000-", want: "416"},
		{name: "start beyond the end", value: "bytes=10000-10001", want: "416"},
		{name: "start beyond 64 bits", value: "bytes=99999999999999999999-", want: "200|416"},
		{name: "suffix of 0", value: "bytes=-0", want: "416", apart: "Go sends an empty part"},
		{name: "none of two satisfiable", value: "bytes=10000-,20000-20001", want: "416"},

		{name: "two", value: "bytes=0-9,5000-5009", want: "206", spans: []span{{0, 10}, {5000, 5010}}},
		{name: "three kinds", value: "bytes=10-19,-10,5000-5009", want: "206", spans: []span{{10, 20}, {9990, 10000}, {5000, 5010}}, merged: true},
		{name: "descending", value: "bytes=9000-9009,0-9", want: "206", spans: []span{{0, 10}, {9000, 9010}}, merged: true},
		{name: "with blanks", value: "bytes=0-9, 5000-5009 ,\t9000-9009", want: "206", spans: []span{{0, 10}, {5000, 5010}, {9000, 9010}}},
		{name: "with empty elements", value: "bytes=,0-9,,5000-5009,", want: "200|206", spans: []span{{0, 10}, {5000, 5010}}},
		{name: "one satisfiable of two", value: "bytes=10000-,0-9", want: "206", spans: []span{{0, 10}}},
		{name: "one satisfiable of two, suffix 0", value: "bytes=-0,0-9", want: "206", spans: []span{{0, 10}}, apart: "Go counts the empty one"},
		{name: "adjacent", value: "bytes=0-9,10-19", want: "200|206", spans: []span{{0, 20}}, merged: true},
		{name: "overlapping", value: "bytes=0-99,50-149", want: "200|206", spans: []span{{0, 150}}, merged: true},
		{name: "contained", value: "bytes=0-999,100-199", want: "200|206", spans: []span{{0, 1000}}, merged: true},
		{name: "same twice", value: "bytes=0-99,0-99", want: "200|206", spans: []span{{0, 100}}, merged: true},
		{name: "more than the file", value: "bytes=0-,0-,0-", want: "200|206", spans: []span{{0, 10000}}, merged: true},
		{name: "1,000 times the same", value: repeat(1000, "0-", func(int) []any { return nil }), want: "200|206", spans: []span{{0, 10000}}, merged: true},
		{name: "1,000 overlapping", value: repeat(1000, "%d-%d", func(i int) []any { return []any{i, i + 5000} }), want: "200|206", spans: []span{{0, 6000}}, merged: true},
		{name: "1,000 single bytes", value: repeat(1000, "%d-%d", func(i int) []any { return []any{i * 10, i * 10} }), want: "200|206", merged: true},

		{name: "unknown unit", value: "lines=0-9", want: "200", apart: "Go answers 416"},
		{name: "no unit", value: "0-9", want: "200", apart: "Go answers 416"},
		{name: "no set", value: "bytes=", want: "200", apart: "Go answers 416"},
		{name: "only commas", value: "bytes=,,", want: "200|416", apart: "syntax"},
		{name: "no dash", value: "bytes=5", want: "200", apart: "Go answers 416"},
		{name: "only a dash", value: "bytes=-", want: "200", apart: "Go answers 416"},
		{name: "letters", value: "bytes=a-b", want: "200", apart: "Go answers 416"},
		{name: "end before start", value: "bytes=9-0", want: "200", apart: "Go answers 416"},
		{name: "one of two malformed", value: "bytes=0-9,x", want: "200", apart: "Go answers 416"},
		{name: "one of two backwards", value: "bytes=0-9,20-10", want: "200", apart: "Go answers 416"},
		{name: "two dashes", value: "bytes=0-5-9", want: "200", apart: "Go answers 416"},
		{name: "negative", value: "bytes=--5", want: "200", apart: "Go answers 416"},
		{name: "plus", value: "bytes=+0-9", want: "200", apart: "Go takes the sign"},
		{name: "hex", value: "bytes=0x0-0x9", want: "200", apart: "Go answers 416"},
		{name: "blank inside", value: "bytes=0 - 9", want: "200", apart: "Go takes the blanks"},
		{name: "blank before the set", value: "bytes = 0-9", want: "200", apart: "Go answers 416"},
		{name: "semicolon", value: "bytes=0-9;5000-5009", want: "200", apart: "Go answers 416"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := s.get(t, "/data.bin", "Range: "+test.value)
			if !statuses(test.want, r.StatusCode) {
				t.Fatalf("status %d, want %s", r.StatusCode, test.want)
			}
			switch r.StatusCode {
			case 206:
				got, want := r.parts(t, whole), test.spans
				if test.merged {
					got, want = covered(got), covered(want)
				}
				if test.spans != nil && !slices.Equal(got, want) {
					t.Errorf("spans %v, want %v", got, want)
				}
				if n := len(r.body); n > 3*len(whole) {
					t.Errorf("%d bytes in answer to a file of %d", n, len(whole))
				}
				for _, name := range []string{"ETag", "Last-Modified", "Cache-Control", "Vary"} {
					if r.field(name) != full.field(name) {
						t.Errorf("%s of the 206 is %q, of the 200 %q", name, r.field(name), full.field(name))
					}
				}
			case 416:
				if cr := r.field("Content-Range"); cr != "bytes */10000" {
					t.Errorf("Content-Range %q, want bytes */10000", cr)
				}
			case 200:
				if !bytes.Equal(r.body, whole) || r.field("Content-Range") != "" {
					t.Errorf("200 with Content-Range %q and %d bytes", r.field("Content-Range"), len(r.body))
				}
			}
			if test.apart != "" || test.merged || strings.Contains(test.want, "|") {
				return
			}
			req, err := http.NewRequest("GET", oracle.URL+"/data.bin", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Range", test.value)
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if diff := cmp.Diff([]any{resp.StatusCode, resp.Header.Get("Content-Range")}, []any{r.StatusCode, r.field("Content-Range")}); diff != "" {
				t.Errorf("Go's file server answers otherwise (-Go +ours):\n%s", diff)
			}
		})
	}

	t.Run("only for GET", func(t *testing.T) {
		if r := s.exchange(t, request("HEAD", "/data.bin", "Range: bytes=0-9")); r.StatusCode != 200 || r.field("Content-Length") != "10000" {
			t.Errorf("HEAD: %s, Content-Length %s", r.Status, r.field("Content-Length"))
		}
		if r := s.exchange(t, request("HEAD", "/data.bin", "Range: bytes=20000-")); r.StatusCode != 200 {
			t.Errorf("HEAD, unsatisfiable: %s", r.Status)
		}
		for _, set := range []string{"bytes=0-9", "bytes=20000-"} {
			if r := s.exchange(t, post("/data.bin", "text/plain", "x", "Range: "+set)); r.StatusCode != 200 || r.field("Content-Range") != "" {
				t.Errorf("POST with %s: %s, Content-Range %q", set, r.Status, r.field("Content-Range"))
			}
		}
		if r := s.get(t, "/missing", "Range: bytes=0-9"); r.StatusCode != 404 {
			t.Errorf("a missing file: %s", r.Status)
		}
	})
	t.Run("two fields", func(t *testing.T) {
		if r := s.get(t, "/data.bin", "Range: bytes=0-9", "Range: bytes=20-29"); !statuses("200|206|400", r.StatusCode) {
			t.Errorf("status %s", r.Status)
		} else if r.StatusCode == 206 {
			r.parts(t, whole)
		}
	})
	t.Run("empty file", func(t *testing.T) {
		for set, want := range map[string]string{"bytes=0-": "416", "bytes=0-0": "416", "bytes=-0": "416", "bytes=-1": "200|416"} {
			r := s.get(t, "/empty.bin", "Range: "+set)
			if !statuses(want, r.StatusCode) || len(r.body) > 0 && r.StatusCode == 200 {
				t.Errorf("%s: %s, want %s", set, r.Status, want)
			}
			if r.StatusCode == 416 && r.field("Content-Range") != "bytes */0" {
				t.Errorf("%s: Content-Range %q", set, r.field("Content-Range"))
			}
		}
	})
	t.Run("keep-alive after each kind", func(t *testing.T) {
		c := s.dial(t)
		c.send(request("GET", "/data.bin", "Range: bytes=0-9,5000-5009") + request("GET", "/data.bin", "Range: bytes=10000-") +
			request("GET", "/data.bin", "Range: bytes=1-1") + request("GET", "/alive.txt", "Connection: close"))
		for _, want := range []int{206, 416, 206, 200} {
			if r := c.mustRead(t, "GET"); r.StatusCode != want {
				t.Errorf("status %s, want %d", r.Status, want)
			}
		}
		c.mustClose(t)
	})
}

// TestRangesOfLargeFile takes parts of a file that is sent by sendfile, beyond
// 4 GiB too: the file is sparse.
func TestRangesOfLargeFile(t *testing.T) {
	t.Parallel()
	root := writeTree(t, nil)
	f, err := os.Create(filepath.Join(root, "large.bin"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const size = 5<<30 + 7
	whole := noise(1 << 20)
	marks := []int64{0, 1<<31 - 1, 1 << 32, size - int64(len(whole))}
	for _, at := range marks {
		if _, err := f.WriteAt(whole, at); err != nil {
			t.Skipf("no sparse file of 5 GiB here: %v", err)
		}
	}
	if err := f.Chmod(0o644); err != nil {
		t.Fatal(err)
	}
	s := start(t, "--root", root)
	for _, at := range marks[1:] {
		r := s.get(t, "/large.bin", fmt.Sprintf("Range: bytes=%d-%d", at, at+int64(len(whole))-1))
		if r.StatusCode != 206 || !bytes.Equal(r.body, whole) {
			t.Errorf("range at %d: %s, %d bytes", at, r.Status, len(r.body))
		}
		if want := fmt.Sprintf("bytes %d-%d/%d", at, at+int64(len(whole))-1, int64(size)); r.field("Content-Range") != want {
			t.Errorf("Content-Range %q, want %q", r.field("Content-Range"), want)
		}
	}
	if r := s.exchange(t, request("HEAD", "/large.bin")); r.field("Content-Length") != fmt.Sprint(int64(size)) {
		t.Errorf("Content-Length %s, want %d", r.field("Content-Length"), int64(size))
	}
}

// fileDates gives a file a modification time and returns it with its
// neighbours, an hour before and after, as HTTP dates.
func fileDates(t *testing.T, path string) (before, at, after string) {
	t.Helper()
	m := time.Now().Add(-48 * time.Hour).Truncate(time.Second)
	if err := os.Chtimes(path, m, m); err != nil {
		t.Fatal(err)
	}
	date := func(d time.Duration) string { return m.Add(d).UTC().Format(http.TimeFormat) }
	return date(-time.Hour), date(0), date(time.Hour)
}
