package site

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestFolder(t *testing.T) {
	root := writeTree(t, map[string]string{
		"d/a.txt": "a", "d/b.png": "b", "d/.hidden": "h", "d/.git/config": "secret", "d/private": "p", "d/empty/": "", "d/sub/deep/c": "c",
		"d/page/index.html": "page", "d/page/unlisted": "u", "e/outside": "o", "d/back\\slash": "b", "d/con\x01trol": "c",
	})
	for link, to := range map[string]string{"d/link": "a.txt", "d/folder": "../e", "d/out": "/etc/passwd", "also": "d"} {
		if err := os.Symlink(to, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(root, "d/private"), 0o640); err != nil {
		t.Fatal(err)
	}
	for name, open := range map[string]func(string) (tree, error){"this system's": openRoot, "portable": openPortableRoot} {
		s := newSite(t, Options{Root: root})
		tree, err := open(root)
		if err != nil {
			t.Fatal(err)
		}
		s.tree.Store(&servedTree{tree: tree})
		want := []string{"a.txt", "b.png (packed)", "empty/", "page/", "page/index.html", "sub/", "sub/deep/", "sub/deep/c"}
		for _, p := range []string{"/d/", "/also/"} {
			folder, err := s.Folder(p, 100, 100)
			if err != nil {
				t.Fatalf("%s: %s: %v", name, p, err)
			}
			var got []string
			for _, m := range folder.Members {
				if m.Packed {
					m.Name += " (packed)"
				}
				got = append(got, m.Name)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s: %s: %s", name, p, diff)
			}
		}
		if _, err := s.Folder("/d/", 5, 100); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: more names than may be: %v", name, err)
		}
		if _, err := s.Folder("/d/", 100, 6); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: more bytes than may be: %v", name, err)
		}
		if _, err := s.Folder("/d/", 100, 7); err != nil {
			t.Errorf("%s: as many bytes as may be: %v", name, err)
		}
		if _, err := s.Folder("/nowhere/", 100, 100); err == nil {
			t.Errorf("%s: a directory that is not there", name)
		}
	}
}

// changing calls change once, after the first piece.
type changing struct {
	strings.Builder
	change func() error
}

func (c *changing) Write(p []byte) (int, error) {
	if change := c.change; change != nil {
		c.change = nil
		if err := change(); err != nil {
			return 0, err
		}
	}
	return c.Builder.Write(p)
}

// TestMemberChanges: what WriteTo has written without an error is one version, and
// what is gone or hidden when it is opened is left out.
func TestMemberChanges(t *testing.T) {
	text := strings.Repeat("0123456789abcdef", 10_000)
	for _, rested := range []bool{true, false} {
		root := writeTree(t, nil)
		path := filepath.Join(root, "f")
		s := newSite(t, Options{Root: root})
		open := func() *MemberFile {
			t.Helper()
			if err := errors.Join(os.RemoveAll(path), os.WriteFile(path, []byte(text), 0o644)); err != nil {
				t.Fatal(err)
			}
			if rested {
				time.Sleep(2 * settle) // what the file system's clock needs, not this test
			}
			folder, err := s.Folder("/", 10, 1<<20)
			if err != nil || len(folder.Members) != 1 {
				t.Fatal(folder, err)
			}
			f, err := folder.Open(folder.Members[0])
			if f == nil || err != nil {
				t.Fatal(f, err)
			}
			t.Cleanup(func() { f.Close() })
			return f
		}
		write := func(text string, flags int) func() error {
			return func() error {
				f, err := os.OpenFile(path, os.O_WRONLY|flags, 0)
				if err != nil {
					return err
				}
				_, err = f.WriteString(text)
				return errors.Join(err, f.Close())
			}
		}
		for _, test := range []struct {
			name   string
			change func() error
			want   error // nil: the old version, whole
		}{
			{"nothing", func() error { return nil }, nil},
			{"renamed over", func() error {
				return errors.Join(os.WriteFile(path+".new", []byte("new"), 0o644), os.Rename(path+".new", path))
			}, nil},
			{"removed", func() error { return os.Remove(path) }, nil},
			{"added to", write("more", os.O_APPEND), nil},
			{"changed in place, before", write("changed", 0), ErrChanged},
			{"cut off", func() error { return os.Truncate(path, 100) }, ErrShrunk},
			{"written anew", write(strings.ToUpper(text), os.O_TRUNC), ErrChanged},
		} {
			var out changing
			out.change = test.change
			f := open()
			if _, err := f.WriteTo(&out); !errors.Is(err, test.want) || test.want != nil && err == nil {
				t.Errorf("rested %v, %s: %v, want %v", rested, test.name, err, test.want)
			}
			if test.want == nil && out.String() != text {
				t.Errorf("rested %v, %s: not the old version", rested, test.name)
			}
		}
	}
	root := writeTree(t, map[string]string{"f": "f", "g": "g", "h": "h", "secret": "s", "new": ""})
	if err := os.Chmod(filepath.Join(root, "secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newSite(t, Options{Root: root})
	folder, err := s.Folder("/", 10, 10)
	if err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(root, name) }
	if err := errors.Join(os.Remove(at("f")), os.Remove(at("g")), os.Symlink("new", at("g")), os.Chmod(at("h"), 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, m := range folder.Members {
		f, err := folder.Open(m)
		if err != nil || (f != nil) != (m.Name == "new") {
			t.Errorf("%s: %v, %v", m.Name, f, err)
		}
		if f != nil {
			var out strings.Builder
			if _, err := f.WriteTo(&out); err != nil || out.Len() != 0 {
				t.Errorf("an empty file that has just been made: %q, %v", out.String(), err)
			}
			f.Close()
		}
	}
}

// TestState: every change that a reader could see makes another number, others none.
func TestState(t *testing.T) {
	root := writeTree(t, map[string]string{"a": "a", "d/b": "b", "d/e/c": "c", ".git/x": "x"})
	s := newSite(t, Options{Root: root})
	at := func(name string) string { return filepath.Join(root, name) }
	last, whole := s.State(100)
	if !whole {
		t.Error("not whole")
	}
	for _, step := range []struct {
		name   string
		change func() error
		same   bool
	}{
		{"nothing", func() error { return nil }, true},
		{"written in place", func() error { return os.WriteFile(at("a"), []byte("aa"), 0o644) }, false},
		{"renamed over", func() error {
			return errors.Join(os.WriteFile(at("d/.b.swp"), []byte("B"), 0o644), os.Rename(at("d/.b.swp"), at("d/b")))
		}, false},
		{"a hidden file", func() error { return os.WriteFile(at(".git/x"), []byte("y"), 0o644) }, true},
		{"a new file", func() error { return os.WriteFile(at("d/e/new"), nil, 0o644) }, false},
		{"a file removed", func() error { return os.Remove(at("d/e/new")) }, false},
		{"a folder renamed", func() error { return os.Rename(at("d/e"), at("d/f")) }, false},
		{"a link", func() error { return os.Symlink("a", at("link")) }, false},
		{"the link turned", func() error { return errors.Join(os.Remove(at("link")), os.Symlink("d/b", at("link"))) }, false},
	} {
		if err := step.change(); err != nil {
			t.Fatal(err)
		}
		now, _ := s.State(100)
		if (now == last) != step.same {
			t.Errorf("%s: the same: %v, want %v", step.name, now == last, step.same)
		}
		last = now
	}
	if _, whole := s.State(3); whole {
		t.Error("more names than the limit are whole")
	}
}

// holes is a tree whose files claim to be as large as a file can be.
type holes struct{ tree }

func (holes) lstat(name string) (fs.FileInfo, error) { return hole{name: name}, nil }

type hole struct {
	fs.FileInfo

	name string
}

func (hole) Mode() fs.FileMode  { return 0o644 }
func (hole) Size() int64        { return math.MaxInt64 }
func (hole) ModTime() time.Time { return time.Time{} }

// TestHoles: sizes that add up to more than a number holds are too large, and not
// small again.
func TestHoles(t *testing.T) {
	f := &Folder{tree: holes{}}
	most := int64(1 << 30)
	for i := range 4 {
		if f.add("f", "f", &most); most >= 0 {
			t.Errorf("after %d files, %d bytes are left", i+1, most)
		}
	}
}
