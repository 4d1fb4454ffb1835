package site

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestPageEnd: what is sent behind a page is a part of it, in length, entity tag and
// codings; files of other kinds, too long ones and those on disk stay as they are.
func TestPageEnd(t *testing.T) {
	page := strings.Repeat("<p>page ", 500)
	root := writeTree(t, map[string]string{
		"p.html": page, "p.html.br": "brotli", "p.html.gz": "gzip", "empty.htm": "", "a.css": "a", "big.html": strings.Repeat("x", hotMax+1),
	})
	const end = "<script></script>"
	plain, with := newSite(t, Options{Root: root}), newSite(t, Options{Root: root, PageEnd: end})
	find := func(s *Site, p string) *Resource {
		t.Helper()
		result := s.Find(p, time.Now())
		if result.Kind != File {
			t.Fatalf("%s: %v", p, result)
		}
		return result.Resource
	}
	for p, changed := range map[string]bool{"/p.html": true, "/empty.htm": true, "/a.css": false, "/big.html": false} {
		before, after := find(plain, p).Plain(), find(with, p).Plain()
		if changed != (before.ETag != after.ETag) {
			t.Errorf("%s: entity tags %s and %s", p, before.ETag, after.ETag)
		}
		want := before.Size
		if changed {
			want += int64(len(end))
		}
		if after.Size != want || after.Body != nil && int64(len(after.Body)) != want || strings.HasSuffix(string(after.Body), end) != changed {
			t.Errorf("%s: %d bytes, %d of them there, want %d", p, after.Size, len(after.Body), want)
		}
	}
	with = newSite(t, Options{Root: root, PageEnd: end})
	for coding, want := range map[string]string{"br": "", "gzip": "gzip"} {
		rep := find(with, "/p.html").Select(coding, true)
		if rep.Encoding != want || string(rep.Body) == coding {
			t.Errorf("%s: %q is sent, which has no end", coding, rep.Encoding)
		}
	}
	if text, err := os.ReadFile(filepath.Join(root, "p.html")); err != nil || string(text) != page {
		t.Error("the file on disk has changed", err)
	}
}
