package site

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// writeTree writes files into a new directory; a name that ends with a slash is a
// directory.
func writeTree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "/") {
			if err := os.MkdirAll(p, 0o755); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func newSite(t *testing.T, options Options) *Site {
	t.Helper()
	if options.Builtin == nil {
		options.Builtin = fstest.MapFS{"404.html": {Data: []byte("built-in 404"), Mode: 0o644}}
	}
	s, err := New(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestFind(t *testing.T) {
	root := writeTree(t, map[string]string{
		"index.html": "home", "a.txt": "a", "dir/index.htm": "dir", "empty/": "", ".git/config": "secret",
		".well-known/x": "well known", "private.txt": "p", "page": "no extension",
	})
	if err := os.Chmod(filepath.Join(root, "private.txt"), 0o640); err != nil {
		t.Fatal(err)
	}
	outside := writeTree(t, map[string]string{"secret": "s"})
	for link, to := range map[string]string{"out": filepath.Join(outside, "secret"), "outdir": outside, "in.txt": "a.txt", "loop": "loop", "up": ".."} {
		if err := os.Symlink(to, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	for name, open := range map[string]func(string) (tree, error){"this system's": openRoot, "portable": openPortableRoot} {
		s := newSite(t, Options{Root: root})
		other, err := open(root)
		if err != nil {
			t.Fatal(err)
		}
		s.tree.Store(&servedTree{tree: other})
		for p, want := range map[string]string{
			"/": "file home", "/index.html": "file home", "/a.txt": "file a", "/dir/": "file dir",
			"/dir": "moved /dir/", "/empty/": "directory", "/a.txt/": "not found", "/none": "not found",
			"/a.txt/b": "not found", "/.git/config": "not found", "/.well-known/x": "file well known",
			"/private.txt": "forbidden", "/out": "not found", "/outdir/secret": "not found", "/outdir/": "not found",
			"/in.txt": "file a", "/loop": "not found", "/up/": "not found", "/page": "file no extension",
			"/" + strings.Repeat("x", 300): "not found",
		} {
			found := s.Find(p, time.Now())
			var got string
			switch found.Kind {
			case File:
				got = "file " + string(found.Resource.Plain().Body)
			case Moved:
				got = "moved " + found.Path
			case Directory:
				got = "directory"
			case Forbidden:
				got = "forbidden"
			case NotFound:
				got = "not found"
			case Failed:
				got = fmt.Sprint("failed: ", found.Err)
			}
			if got != want {
				t.Errorf("%s tree: %s is %q, want %q", name, p, got, want)
			}
		}
		if err := other.close(); err != nil {
			t.Error(err)
		}
	}
}

func TestSPA(t *testing.T) {
	s := newSite(t, Options{Root: writeTree(t, map[string]string{"index.html": "app"}), SPA: true})
	for p, want := range map[string]Kind{"/route/7": File, "/": File, "/missing.js": NotFound, "/.hidden": NotFound} {
		if got := s.Find(p, time.Now()).Kind; got != want {
			t.Errorf("%s is %v, want %v", p, got, want)
		}
	}
}

func TestErrorPage(t *testing.T) {
	own := newSite(t, Options{Root: writeTree(t, map[string]string{"404.html": "own 404"})})
	if got := own.ErrorPage("404.html", time.Now()); got == nil || string(got.Plain().Body) != "own 404" {
		t.Errorf("the root's own page is %v", got)
	}
	without := newSite(t, Options{Root: writeTree(t, nil)})
	if got := without.ErrorPage("404.html", time.Now()); got == nil || string(got.Plain().Body) != "built-in 404" {
		t.Errorf("without one of its own, the page is %v", got)
	}
	if got := without.ErrorPage("403.html", time.Now()); got != nil {
		t.Errorf("a page that is nowhere is %v", got)
	}
}

func TestSelect(t *testing.T) {
	text := strings.Repeat("all work and no play ", 200)
	root := writeTree(t, map[string]string{"page.html": text, "both.html": text, "small.html": "s", "image.png": text})
	for suffix, body := range map[string]string{".br": "BR", ".zst": "ZST", ".gz": "GZ"} {
		if err := os.WriteFile(filepath.Join(root, "both.html"+suffix), []byte(body), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	old := time.Now().Add(-time.Hour)
	if err := os.WriteFile(filepath.Join(root, "image.png.br"), []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(filepath.Join(root, "image.png.br"), old, old); err != nil {
		t.Fatal(err)
	}
	s := newSite(t, Options{Root: root})
	for _, tt := range []struct{ file, accept, want string }{
		{"both.html", "-", ""},
		{"both.html", "", ""},
		{"both.html", "br, gzip", "br"},
		{"both.html", "gzip, zstd", "zstd"},
		{"both.html", "gzip", "gzip"},
		{"both.html", "GZIP", "gzip"},
		{"both.html", "x-gzip", "gzip"},
		{"both.html", "br;q=0.5, gzip;q=0.8", "gzip"},
		{"both.html", "br;q=0, gzip;q=0", ""},
		{"both.html", "*", "br"},
		{"both.html", "*, br;q=0", "zstd"},
		{"both.html", "identity", ""},
		{"both.html", "identity;q=1, br;q=0.9", ""},
		{"both.html", "identity;q=0.5, br;q=0.9", "br"},
		{"both.html", "identity;q=0", "406"},
		{"both.html", "*;q=0", "406"},
		{"both.html", "*;q=0, gzip", "gzip"},
		{"both.html", "deflate", ""},
		{"both.html", "br;q=2", ""},
		{"both.html", "br;q=x", ""},
		{"both.html", "br; q=0.001", "br"},
		{"page.html", "br, gzip", "gzip"},
		{"page.html", "br", ""},
		{"small.html", "gzip", ""},
		{"image.png", "br, gzip", ""},
		{"image.png", "identity;q=0", "406"},
	} {
		found := s.Find("/"+tt.file, time.Now())
		if found.Kind != File {
			t.Fatalf("%s: %+v", tt.file, found)
		}
		rep := found.Resource.Select(tt.accept, tt.accept != "-")
		got := "406"
		if rep != nil {
			got = rep.Encoding
		}
		if got != tt.want {
			t.Errorf("%s with %q: %q, want %q", tt.file, tt.accept, got, tt.want)
		}
	}
	zipped := s.Find("/page.html", time.Now()).Resource.Select("gzip", true)
	r, err := gzip.NewReader(bytes.NewReader(zipped.Body))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(text, string(plain)); diff != "" {
		t.Errorf("unzipped (-want +got):\n%s", diff)
	}
	if !bytes.Contains(zipped.OK, []byte("Vary: Accept-Encoding\r\n")) || !bytes.Contains(zipped.NotModified, []byte("Vary: Accept-Encoding\r\n")) {
		t.Errorf("Vary is missing: %s", zipped.OK)
	}
}

// TestFresh changes a file in ways that a cache may miss: the next look sees the
// new content, every time.
func TestFresh(t *testing.T) {
	root := writeTree(t, map[string]string{"f.txt": "one"})
	p := filepath.Join(root, "f.txt")
	s := newSite(t, Options{Root: root})
	get := func() string {
		if r := s.Find("/f.txt", time.Now()).Resource; r != nil {
			return string(r.Plain().Body)
		}
		return "nothing"
	}
	info, err := os.Stat(p)
	if err != nil {
		t.Fatal(err)
	}
	changes := []func(text string) error{
		func(text string) error { return os.WriteFile(p, []byte(text), 0o644) },
		func(text string) error { // same size, same modification time
			return errors.Join(os.WriteFile(p, []byte(text), 0o644), os.Chtimes(p, info.ModTime(), info.ModTime()))
		},
		func(text string) error { // by rename
			return errors.Join(os.WriteFile(p+".new", []byte(text), 0o644), os.Rename(p+".new", p))
		},
	}
	for i := range 600 {
		if i%50 == 0 {
			time.Sleep(2 * settle) // what comes next meets a copy that is relied on
			get()
		}
		want := fmt.Sprintf("%03d", i)
		if err := changes[i%len(changes)](want); err != nil {
			t.Fatal(err)
		}
		if got := get(); got != want {
			t.Fatalf("change %d: %q, want %q", i, got, want)
		}
	}
	if err := os.Remove(p); err != nil {
		t.Fatal(err)
	}
	if got := get(); got != "nothing" {
		t.Errorf("removed: %q", got)
	}
}

// TestSidecarsAreSeenAtOnce: one that comes, changes or goes makes a difference
// to the next request.
func TestSidecarsAreSeenAtOnce(t *testing.T) {
	root := writeTree(t, map[string]string{"d/f.css": strings.Repeat("plain ", 10)})
	s := newSite(t, Options{Root: root})
	p := filepath.Join(root, "d", "f.css.br")
	coding := func() string {
		rep := s.Find("/d/f.css", time.Now()).Resource.Select("br", true)
		return rep.Encoding + " " + string(rep.Body)
	}
	for _, rest := range []time.Duration{0, 2 * settle} {
		for _, step := range []struct {
			change func() error
			want   string
		}{
			{func() error { return nil }, " " + strings.Repeat("plain ", 10)},
			{func() error { return os.WriteFile(p, []byte("one"), 0o644) }, "br one"},
			{func() error { return os.WriteFile(p, []byte("two"), 0o644) }, "br two"},
			{func() error { return os.Chmod(p, 0o600) }, " " + strings.Repeat("plain ", 10)},
			{func() error { return os.Chmod(p, 0o644) }, "br two"},
			{func() error { return os.Chtimes(p, time.Time{}, time.Unix(1e9, 0)) }, " " + strings.Repeat("plain ", 10)},
			{func() error { return os.Chtimes(p, time.Time{}, time.Now()) }, "br two"},
			{func() error { return os.Remove(p) }, " " + strings.Repeat("plain ", 10)},
		} {
			coding()
			time.Sleep(rest)
			if err := step.change(); err != nil {
				t.Fatal(err)
			}
			if got := coding(); got != step.want {
				t.Errorf("after %v: %q, want %q", rest, got, step.want)
			}
		}
	}
}

func TestETagIsOfTheContent(t *testing.T) {
	one := newSite(t, Options{Root: writeTree(t, map[string]string{"a": "same", "b": "same", "c": "other"})})
	tags := map[string]string{}
	for _, name := range []string{"a", "b", "c"} {
		tags[name] = one.Find("/"+name, time.Now()).Resource.Plain().ETag
	}
	if tags["a"] != tags["b"] || tags["a"] == tags["c"] || !strings.HasPrefix(tags["a"], `"`) {
		t.Errorf("entity tags %v", tags)
	}
}

func TestStrippedTimeIsNotSent(t *testing.T) {
	root := writeTree(t, map[string]string{"epoch": "x", "future": "x", "normal": "x"})
	for name, at := range map[string]time.Time{"epoch": time.Unix(1, 0), "future": time.Now().Add(time.Hour)} {
		if err := os.Chtimes(filepath.Join(root, name), at, at); err != nil {
			t.Fatal(err)
		}
	}
	s := newSite(t, Options{Root: root})
	for name, want := range map[string]bool{"epoch": false, "future": false, "normal": true} {
		rep := s.Find("/"+name, time.Now()).Resource.Plain()
		if got := bytes.Contains(rep.OK, []byte("Last-Modified")); got != want || rep.ModTime.IsZero() == want {
			t.Errorf("%s: Last-Modified is there: %v, want %v", name, got, want)
		}
	}
}

func TestLargeFileIsHashedInTheBackground(t *testing.T) {
	root := t.TempDir()
	f, err := os.Create(filepath.Join(root, "large"))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(hashNow + 1); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	s := newSite(t, Options{Root: root})
	if rep := s.Find("/large", time.Now()).Resource.Plain(); rep.Body != nil || rep.Size != hashNow+1 {
		t.Fatalf("%d bytes, %d of them in memory", rep.Size, len(rep.Body))
	}
	deadline := time.Now().Add(30 * time.Second)
	for s.Find("/large", time.Now()).Resource.Plain().ETag == "" {
		if time.Now().After(deadline) {
			t.Fatal("no entity tag after 30 s")
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestHotStaysWithinItsBudget(t *testing.T) {
	files := map[string]string{}
	for i := range 100 {
		files[fmt.Sprintf("%d.bin", i)] = strings.Repeat("x", 10_000)
	}
	s := newSite(t, Options{Root: writeTree(t, files), HotTotal: 100_000})
	for range 3 {
		for i := range 100 {
			p := fmt.Sprintf("/%d.bin", i)
			if found := s.Find(p, time.Now()); found.Kind != File || len(found.Resource.Plain().Body) != 10_000 {
				t.Fatalf("%s: %+v", p, found)
			}
			if s.hot.size > 100_000 {
				t.Fatalf("%d bytes are kept, of 100,000 allowed", s.hot.size)
			}
		}
	}
	var sum int64
	for _, e := range s.hot.entries {
		sum += e.size
	}
	if sum != s.hot.size || len(s.hot.entries) == 0 {
		t.Errorf("%d entries of %d bytes, counted as %d", len(s.hot.entries), sum, s.hot.size)
	}
}

// TestCheck changes a large file during a transfer in every way: what may still
// be one version goes on, everything else is broken off. With a tag the content
// decides, without one what has been sent.
func TestCheck(t *testing.T) {
	text := strings.Repeat("x", hotMax+1)
	const half = hotMax / 2
	write := func(t *testing.T, p, text string, at int64, flags int) {
		t.Helper()
		f, err := os.OpenFile(p, os.O_WRONLY|flags, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if flags&os.O_APPEND == 0 {
			_, err = f.WriteAt([]byte(text), at)
		} else {
			_, err = f.WriteString(text)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name           string
		change         func(t *testing.T, p string)
		now, end       error // of Check, for this piece and for the last one
		untaggedAndNow error
	}{
		{"untouched", func(*testing.T, string) {}, nil, nil, nil},
		{"touched", func(t *testing.T, p string) {
			t.Helper()
			if err := os.Chtimes(p, time.Time{}, time.Now().Add(-time.Hour)); err != nil {
				t.Fatal(err)
			}
		}, nil, nil, nil},
		{"added to", func(t *testing.T, p string) { t.Helper(); write(t, p, "more", 0, os.O_APPEND) }, nil, nil, nil},
		{"written over where it was sent", func(t *testing.T, p string) { t.Helper(); write(t, p, "y", half-1, 0) }, ErrChanged, ErrChanged, ErrChanged},
		// Without a tag, what is still to come may be of the new version: all of
		// that is then of the new one.
		{"written over where it is still to be sent", func(t *testing.T, p string) { t.Helper(); write(t, p, "y", half+1, 0) }, ErrChanged, ErrChanged, nil},
		{"written over and added to", func(t *testing.T, p string) {
			t.Helper()
			write(t, p, "y", half-1, 0)
			write(t, p, "more", 0, os.O_APPEND)
		}, nil, ErrChanged, nil},
		{"cut off", func(t *testing.T, p string) {
			t.Helper()
			if err := os.Truncate(p, 10); err != nil {
				t.Fatal(err)
			}
		}, ErrShrunk, ErrShrunk, ErrShrunk},
	} {
		for _, tagged := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, tag %v", tt.name, tagged), func(t *testing.T) {
				root := writeTree(t, map[string]string{"f": text})
				p := filepath.Join(root, "f")
				s := newSite(t, Options{Root: root})
				rep := *s.Find("/f", time.Now()).Resource.Plain()
				if !tagged {
					rep.ETag = ""
				}
				f, err := s.Open(&rep)
				if f == nil {
					t.Fatal(err)
				}
				defer f.Close()
				f.Start(0)
				f.Sent([]byte(text[:half]))
				tt.change(t, p)
				now := tt.now
				if !tagged {
					now = tt.untaggedAndNow
				}
				if err := f.Check(false); !errors.Is(err, now) {
					t.Errorf("in the middle: %v, want %v", err, now)
				} else if err == nil {
					end := tt.end
					if !tagged && now == nil && tt.now != nil {
						end = nil // it has been looked at, and goes on with the new version
					}
					if err := f.Check(true); !errors.Is(err, end) {
						t.Errorf("at the end: %v, want %v", err, end)
					}
				}
			})
		}
	}
}

// TestCheckOfParts: of a file without a tag, what was sent in an earlier part of the
// same response counts too.
func TestCheckOfParts(t *testing.T) {
	text := strings.Repeat("x", hotMax+1)
	root := writeTree(t, map[string]string{"f": text})
	s := newSite(t, Options{Root: root})
	rep := *s.Find("/f", time.Now()).Resource.Plain()
	rep.ETag = ""
	f, err := s.Open(&rep)
	if f == nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.Start(0)
	f.Sent([]byte(text[:10]))
	f.Start(1000)
	f.Sent([]byte(text[1000:1010]))
	if err := f.Check(false); err != nil {
		t.Fatalf("untouched: %v", err)
	}
	if err := os.WriteFile(filepath.Join(root, "f"), []byte("y"+text[1:]), 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Check(false); !errors.Is(err, ErrChanged) {
		t.Errorf("written over in the part before: %v", err)
	}
}

// TestReopen points the root elsewhere, as deployments do.
func TestReopen(t *testing.T) {
	dir := t.TempDir()
	for _, version := range []string{"v1", "v2"} {
		if err := os.Mkdir(filepath.Join(dir, version), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, version, "f"), []byte(version), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	root := filepath.Join(dir, "current")
	if err := os.Symlink("v1", root); err != nil {
		t.Skip(err)
	}
	s := newSite(t, Options{Root: root})
	get := func() string { return string(s.Find("/f", time.Now()).Resource.Plain().Body) }
	if changed, err := s.Reopen(); changed || err != nil || get() != "v1" {
		t.Errorf("at first: %v, %v, %q", changed, err, get())
	}
	if err := errors.Join(os.Remove(root), os.Symlink("v2", root)); err != nil {
		t.Fatal(err)
	}
	if changed, err := s.Reopen(); !changed || err != nil || get() != "v2" {
		t.Errorf("pointed elsewhere: %v, %v, %q", changed, err, get())
	}
	if err := os.Remove(root); err != nil {
		t.Fatal(err)
	}
	if changed, err := s.Reopen(); changed || err == nil || get() != "v2" {
		t.Errorf("removed: %v, %v, %q", changed, err, get())
	}
}

func TestEntries(t *testing.T) {
	root := writeTree(t, map[string]string{"a.txt": "a", "sub/b": "b", ".hidden": "h", ".well-known/x": "x", "private": "p", "b\\c": "no URL leads here"})
	if err := os.Chmod(filepath.Join(root, "private"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newSite(t, Options{Root: root})
	entries, err := s.Entries("/")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for _, e := range entries {
		got[e.Name] = e.IsDir
	}
	if diff := cmp.Diff(map[string]bool{"a.txt": false, "sub": true, ".well-known": true}, got); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
}
