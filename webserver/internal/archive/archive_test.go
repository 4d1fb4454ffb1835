package archive

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"topdown/webserver/internal/site"
)

// zipOf writes a folder as a zip, and reads that again.
func zipOf(t *testing.T, folder *site.Folder) *zip.Reader {
	t.Helper()
	var out bytes.Buffer
	if err := Write(&out, Zip, "x", folder); err != nil {
		t.Fatal(err)
	}
	r, err := zip.NewReader(bytes.NewReader(out.Bytes()), int64(out.Len()))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// folderOf makes files and lists them as the site does.
func folderOf(t *testing.T, files map[string]string) (root string, folder *site.Folder) {
	t.Helper()
	root = t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	s, err := site.New(site.Options{Root: root, Builtin: fstest.MapFS{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if folder, err = s.Folder("/", 1<<20, 1<<40); err != nil {
		t.Fatal(err)
	}
	return root, folder
}

// read returns the contents of an archive by name, those of folders as "/".
func read(format Format, archive []byte) (map[string]string, error) {
	files := map[string]string{}
	take := func(name string, folder bool, r io.Reader) error {
		text, err := io.ReadAll(r)
		if files[name] = string(text); folder {
			files[name] += "/"
		}
		return err
	}
	if format.Name == Zip.Name {
		r, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
		if err != nil {
			return nil, err
		}
		for _, f := range r.File {
			content, err := f.Open()
			if err == nil {
				err = take(f.Name, f.Mode().IsDir(), content)
			}
			if err != nil {
				return nil, err
			}
		}
		return files, nil
	}
	unzipped, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		return nil, err
	}
	for r := tar.NewReader(unzipped); ; {
		head, err := r.Next()
		if errors.Is(err, io.EOF) {
			// What follows the end must be well, too: the checksum.
			_, err = io.Copy(io.Discard, unzipped)
			return files, err
		}
		if err == nil {
			err = take(head.Name, head.Typeflag == tar.TypeDir, r)
		}
		if err != nil {
			return nil, err
		}
	}
}

func TestWrite(t *testing.T) {
	long := strings.Repeat("long/", 60) + "name"
	_, folder := folderOf(t, map[string]string{
		"a.txt": "a", "größe": strings.Repeat("text ", 50_000), "p.png": strings.Repeat("\x89packed", 50_000), "q.png": "", "d/e/f": "f", long: "l",
	})
	want := map[string]string{
		"x y/a.txt": "a", "x y/größe": strings.Repeat("text ", 50_000), "x y/p.png": strings.Repeat("\x89packed", 50_000), "x y/q.png": "",
		"x y/d/": "/", "x y/d/e/": "/", "x y/d/e/f": "f", "x y/" + long: "l",
	}
	for i := range 60 {
		want["x y/"+strings.Repeat("long/", i+1)] = "/"
	}
	for _, format := range []Format{Zip, TarGz} {
		var out bytes.Buffer
		if err := Write(&out, format, "x y", folder); err != nil {
			t.Fatal(err)
		}
		got, err := read(format, out.Bytes())
		if err != nil {
			t.Errorf("%s: %v", format.Name, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", format.Name, diff)
		}
		if format.Name == Zip.Name && out.Len() < 350_000 {
			t.Errorf("%d bytes: what is packed already has been packed again", out.Len())
		}
	}
}

// hook calls do before the first byte of the second 64 KiB.
type hook struct {
	bytes.Buffer
	do func()
}

func (h *hook) Write(p []byte) (int, error) {
	if do := h.do; do != nil && h.Len() > 64<<10 {
		h.do = nil
		do()
	}
	return h.Buffer.Write(p)
}

// TestChangedMeanwhile: an archive in which a file would be of two versions gets no
// end, so that no reader takes it for whole; a file that is gone is left out.
func TestChangedMeanwhile(t *testing.T) {
	noise := make([]byte, 300_000)
	for i, x := 0, uint32(1); i < len(noise); i++ {
		x = x*1664525 + 1013904223
		noise[i] = byte(x >> 24)
	}
	for _, format := range []Format{Zip, TarGz} {
		for _, name := range []string{"a", "b"} {
			root, folder := folderOf(t, map[string]string{"a": string(noise), "b": "b"})
			out := &hook{do: func() {
				f, err := os.OpenFile(filepath.Join(root, name), os.O_WRONLY, 0)
				if err == nil {
					_, before := f.WriteAt([]byte("changed"), 10)
					_, behind := f.WriteAt([]byte("changed"), 200_000)
					err = errors.Join(before, behind, f.Close())
				}
				if name == "b" {
					err = os.Remove(filepath.Join(root, name))
				}
				if err != nil {
					t.Error(err)
				}
			}}
			err := Write(out, format, "x", folder)
			got, readErr := read(format, out.Bytes())
			switch name {
			case "a":
				if !errors.Is(err, site.ErrChanged) || readErr == nil {
					t.Errorf("%s: a file changed: %v, and readers say %v", format.Name, err, readErr)
				}
			case "b":
				if err != nil || readErr != nil || len(got) != 1 || got["x/a"] != string(noise) {
					t.Errorf("%s: a file was removed before its turn: %v, %v, %d files", format.Name, err, readErr, len(got))
				}
			}
		}
	}
}

// TestOldFiles: what a zip file cannot say of a time does not become another time.
func TestOldFiles(t *testing.T) {
	root, _ := folderOf(t, map[string]string{"old": "", "sub/new": ""})
	late := time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)
	if err := errors.Join(os.Chtimes(filepath.Join(root, "old"), time.Unix(0, 0), time.Unix(0, 0)), os.Chtimes(filepath.Join(root, "sub"), late, late)); err != nil {
		t.Fatal(err)
	}
	s, err := site.New(site.Options{Root: root, Builtin: fstest.MapFS{}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	folder, err := s.Folder("/", 100, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	r := zipOf(t, folder)
	years := map[string]int{}
	for _, f := range r.File {
		years[f.Name] = 1980 + int(f.ModifiedDate>>9) // what readers without the extension see
	}
	want := map[string]int{"x/old": 1980, "x/sub/": 2107, "x/sub/new": time.Now().Year()}
	if diff := cmp.Diff(want, years); diff != "" {
		t.Errorf("years (-want +got):\n%s", diff)
	}
}

func TestParseQuery(t *testing.T) {
	for query, want := range map[string]string{
		"archive=zip": "zip", "archive=tar.gz": "tar.gz", "sort=size&archive=zip": "zip", "archive=": "unknown", "archive=rar": "unknown",
		"": "", "archive": "", "xarchive=zip": "", "sort=archive=zip": "",
	} {
		got, asked := ParseQuery(query)
		if asked && got.Name == "" {
			got.Name = "unknown"
		}
		if got.Name != want || asked != (want != "") {
			t.Errorf("%q: %q, asked %v; want %q", query, got.Name, asked, want)
		}
	}
}

// TestZip64: a file that is longer than a plain zip file can say.
func TestZip64(t *testing.T) {
	if os.Getenv("TOPDOWN_LARGE") == "" {
		t.Skip("TOPDOWN_LARGE is not set: 4 GiB to compress")
	}
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		t.Setenv("TMPDIR", "/dev/shm") // where the holes of a file take no memory
	}
	root, folder := folderOf(t, map[string]string{"large": ""})
	if err := os.Truncate(filepath.Join(root, "large"), 1<<32+7); err != nil {
		t.Fatal(err)
	}
	r := zipOf(t, folder)
	if len(r.File) != 1 {
		t.Fatalf("%d members, want 1", len(r.File))
	}
	for _, f := range r.File {
		content, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, content); n != 1<<32+7 || err != nil { // it checks the sum at the end
			t.Errorf("%d bytes, %v", n, err)
		}
	}
}
