package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"topdown/pkg/httpmsg"
	"topdown/proxyserver/internal/rules"

	"github.com/google/go-cmp/cmp"
)

func openDisk(t *testing.T, o DiskOptions) *Disk {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	d, err := OpenDisk(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// waitScan waits until all files of an earlier run are in the index.
func waitScan(d *Disk) {
	for i := range folders {
		d.scanFolder(i)
	}
}

func storedFor(key string, at int64, vary ...httpmsg.Field) *rules.Stored {
	return rules.NewStored(rules.Head{
		Vary: vary, Status: 200, Reason: "OK", RequestTime: time.Unix(0, at), ResponseTime: time.Unix(0, at+1), Total: -1,
		Fields: httpmsg.Fields{{Name: "Content-Type", Value: "text/plain"}, {Name: "ETag", Value: `"` + key + `"`}},
	}, rules.Config{})
}

// version returns the time that storedFor was given.
func version(e *Entry) int64 { return e.Stored.RequestTime.UnixNano() }

// bodyFor is a body from which its key, version and length can be told.
func bodyFor(key string, version, size int) []byte {
	seed := [32]byte{}
	binary.LittleEndian.PutUint64(seed[:], uint64(version))
	copy(seed[8:], key)
	b := make([]byte, size)
	rng := rand.NewChaCha8(seed)
	rng.Read(b)
	return b
}

// commit stores a response without waiting for the disk.
func commit(tb testing.TB, s Store, key string, stored *rules.Stored, body []byte) (*Entry, error) {
	tb.Helper()
	_, gen := s.Lookup(tb.Context(), key)
	w, err := s.Create(tb.Context(), key, gen, int64(len(body)))
	if err != nil {
		tb.Fatal(err)
	}
	defer w.Close()
	for len(body) > 0 {
		n := min(len(body), 64<<10)
		if _, err = w.Write(body[:n]); err != nil {
			tb.Fatal(err)
		}
		body = body[n:]
	}
	return w.Commit(stored)
}

// put stores a response and waits for the disk.
func put(tb testing.TB, s Store, key string, stored *rules.Stored, body []byte) *Entry {
	tb.Helper()
	e, err := commit(tb, s, key, stored, body)
	if err != nil {
		tb.Fatal(err)
	}
	flush(s)
	return e
}

func flush(s Store) {
	if d, ok := s.(*Disk); ok && d.dir != "" {
		d.Flush()
	}
}

func lookup(tb testing.TB, s Store, key string) []*Entry {
	tb.Helper()
	entries, _ := s.Lookup(tb.Context(), key)
	return entries
}

func bodyOf(tb testing.TB, e *Entry) ([]byte, error) {
	tb.Helper()
	b, err := e.Open()
	if err != nil {
		return nil, err
	}
	defer b.Close()
	var out bytes.Buffer
	if _, err = b.WriteTo(&out, 0, b.Size()); err != nil {
		return nil, err
	}
	again, err := io.ReadAll(io.NewSectionReader(b, 0, b.Size()))
	if err != nil || !bytes.Equal(again, out.Bytes()) {
		return nil, fmt.Errorf("ReadAt gives another body than WriteTo: %w", err)
	}
	return again, nil
}

func TestStoreRoundTrip(t *testing.T) {
	for name, s := range map[string]Store{
		"memory":          NewMemory(64<<20, 0),
		"disk":            openDisk(t, DiskOptions{}),
		"disk, no memory": openDisk(t, DiskOptions{Memory: 1, Small: 1}),
	} {
		t.Run(name, func(t *testing.T) {
			for _, size := range []int{0, 1, 1000, 300 << 10, 1 << 20} {
				key := fmt.Sprintf("http://a/%d", size)
				want := bodyFor(key, 0, size)
				put(t, s, key, storedFor(key, 1), want)
				entries := lookup(t, s, key)
				if len(entries) != 1 {
					t.Fatalf("%s: %d stored, want 1", key, len(entries))
				}
				if diff := cmp.Diff(storedFor(key, 1).Head, entries[0].Stored.Head); diff != "" {
					t.Errorf("%s: head (-want +got)\n%s", key, diff)
				}
				if got, err := bodyOf(t, entries[0]); err != nil || !bytes.Equal(got, want) {
					t.Errorf("%s: %d bytes, %v", key, len(got), err)
				}
			}
			key := "http://a/v"
			for i := range 3 {
				put(t, s, key, storedFor(key, int64(i*10), httpmsg.Field{Name: "foo", Value: fmt.Sprint(i)}), bodyFor(key, i, 10))
			}
			entries := lookup(t, s, key)
			if len(entries) != 3 || version(entries[0]) != 20 {
				t.Fatalf("%d variants, want 3, the newest first", len(entries))
			}
			old := entries[1]
			updated, err := s.Update(t.Context(), old, storedFor(key, 100, old.Stored.Vary...))
			if err != nil || updated == nil {
				t.Fatalf("Update: %v, %v", updated, err)
			}
			flush(s)
			entries = lookup(t, s, key)
			if version(entries[0]) != 100 {
				t.Errorf("the updated entry is not the newest")
			}
			if got, err := bodyOf(t, entries[0]); err != nil || !bytes.Equal(got, bodyFor(key, 1, 10)) {
				t.Errorf("body after Update: %q, %v", got, err)
			}
			s.Remove(t.Context(), entries[0])
			if n := len(lookup(t, s, key)); n != 2 {
				t.Errorf("%d left after Remove, want 2", n)
			}
			if again, err := s.Update(t.Context(), entries[0], storedFor(key, 200, old.Stored.Vary...)); again != nil || !errors.Is(err, ErrGone) {
				t.Errorf("Update of a removed entry: %v, %v", again, err)
			}
			if n := s.Invalidate(t.Context(), key); n != 2 {
				t.Errorf("Invalidate removed %d, want 2", n)
			}
			if n := len(lookup(t, s, key)); n != 0 {
				t.Errorf("%d left after Invalidate", n)
			}
			if n := s.Clear(t.Context()); n != 5 {
				t.Errorf("Clear removed %d, want 5", n)
			}
			if n := len(lookup(t, s, "http://a/1000")); n != 0 {
				t.Errorf("%d left after Clear", n)
			}
		})
	}
}

// What was being fetched when its key was invalidated is not stored.
func TestGeneration(t *testing.T) {
	for name, s := range map[string]Store{"memory": NewMemory(0, 0), "disk": openDisk(t, DiskOptions{})} {
		for _, size := range []int{10, 1 << 20} {
			for how, invalidate := range map[string]func(key string){
				"invalidated": func(key string) { s.Invalidate(t.Context(), key) },
				"cleared":     func(string) { s.Clear(t.Context()) },
			} {
				key := fmt.Sprintf("http://a/%s/%d", how, size)
				_, gen := s.Lookup(t.Context(), key)
				w, err := s.Create(t.Context(), key, gen, -1)
				if err != nil {
					t.Fatal(err)
				}
				if _, err = w.Write(make([]byte, size)); err != nil {
					t.Fatal(err)
				}
				invalidate(key)
				if e, err := w.Commit(storedFor(key, 1)); e != nil || !errors.Is(err, ErrGone) {
					t.Errorf("%s, %s, %d bytes: Commit: %v, %v, want ErrGone", name, how, size, e, err)
				}
				w.Close()
				if n := len(lookup(t, s, key)); n != 0 {
					t.Errorf("%s, %s, %d bytes: %d stored", name, how, size, n)
				}
				if d, ok := s.(*Disk); ok && d.dir != "" {
					if n := filesIn(t, d.dir); n != 0 {
						t.Errorf("%s, %d bytes: %d files are left", how, size, n)
					}
				}
			}
		}
	}
}

// filesIn counts the files of responses in a directory, temporary ones too.
func filesIn(t *testing.T, dir string) (n int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, f fs.DirEntry, err error) error {
		if err == nil && !f.IsDir() && f.Name() != "lock" {
			n++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A store that is opened again has what was stored, before and after the scan.
func TestReopen(t *testing.T) {
	dir := t.TempDir()
	d := openDisk(t, DiskOptions{Dir: dir, Small: 40_000})
	for i := range 100 {
		key := fmt.Sprintf("http://a/%d", i)
		e := put(t, d, key, storedFor(key, 1), bodyFor(key, 0, i*1000))
		for n := range i % 4 {
			var err error
			if e, err = d.Update(t.Context(), e, storedFor(key, int64(n+2))); err != nil || e == nil {
				t.Fatal(e, err)
			}
			if i%3 == 0 {
				d.Flush()
			}
		}
	}
	if _, err := OpenDisk(DiskOptions{Dir: dir}); !errors.Is(err, ErrInUse) {
		t.Errorf("opened a second time: %v, want ErrInUse", err)
	}
	before := d.Stats()
	d.Close()
	d = openDisk(t, DiskOptions{Dir: dir})
	for i := range 100 {
		key := fmt.Sprintf("http://a/%d", i)
		if i == 50 {
			waitScan(d)
		}
		entries := lookup(t, d, key)
		if len(entries) != 1 {
			t.Fatalf("%s: %d stored, want 1", key, len(entries))
		}
		want := storedFor(key, 1)
		if i%4 > 0 {
			want = storedFor(key, int64(i%4+1))
		}
		if diff := cmp.Diff(want.Head, entries[0].Stored.Head); diff != "" {
			t.Errorf("%s: head (-want +got)\n%s", key, diff)
		}
		if got, err := bodyOf(t, entries[0]); err != nil || !bytes.Equal(got, bodyFor(key, 0, i*1000)) {
			t.Errorf("%s: %d bytes, %v", key, len(got), err)
		}
	}
	if s := d.Stats(); s.Entries != 100 || before.Entries != 100 {
		t.Errorf("%d entries, then %d, want 100", before.Entries, s.Entries)
	}
	if got, want := d.Stats().Bytes, onDisk(dir); got != want {
		t.Errorf("the store says %d bytes, the directory has %d", got, want)
	}
}

// onDisk is what a directory takes: files and folders, in blocks.
func onDisk(dir string) (bytes int64) {
	filepath.WalkDir(dir, func(_ string, f os.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if info, err := f.Info(); err == nil {
			bytes += blocksOf(info.Size()) * blockSize
		}
		return nil
	})
	return bytes
}

func TestEviction(t *testing.T) {
	d := openDisk(t, DiskOptions{Size: 1 << 20, Memory: 1 << 16})
	put(t, d, "http://a/popular", storedFor("http://a/popular", 1), bodyFor("p", 0, 10000))
	for i := range 500 {
		key := fmt.Sprintf("http://a/%d", i)
		put(t, d, key, storedFor(key, 1), bodyFor(key, 0, 10000))
		if len(lookup(t, d, "http://a/popular")) != 1 {
			t.Fatalf("the popular one was evicted after %d", i)
		}
		if used := onDisk(d.dir); used > 1<<20 {
			t.Fatalf("after %d: the directory takes %d bytes", i, used)
		}
	}
	s := d.Stats()
	if s.Bytes > 1<<20 || s.Bytes < 900<<10 {
		t.Errorf("%d bytes are stored, want nearly %d", s.Bytes, 1<<20)
	}
	if s.Evictions == 0 || s.Evictions+uint64(s.Entries) != 501 {
		t.Errorf("%d evictions, %d entries of 501", s.Evictions, s.Entries)
	}
	if files, used := filesIn(t, d.dir), onDisk(d.dir); files != s.Entries || used != s.Bytes {
		t.Errorf("the directory has %d files and %d bytes, the store says %d and %d", files, used, s.Entries, s.Bytes)
	}
	w, err := d.Create(t.Context(), "http://a/huge", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for err == nil {
		_, err = w.Write(make([]byte, 32<<10))
	}
	if !errors.Is(err, ErrTooLarge) {
		t.Errorf("writing without end: %v", err)
	}
}

// Every byte of a file, and its length, is changed in turn (outside of CI every
// fifth): what is then handed out is what was stored, or nothing.
func TestCorruption(t *testing.T) {
	for name, c := range map[string]struct {
		small int64 // read into memory or as a file
		size  int
		step  int // between the bytes that are changed
		head  bool
	}{
		"read into memory":      {small: 1 << 20, size: 700, step: 1},
		"read as a file":        {small: 1, size: 700, step: 1},
		"large, with head file": {small: 1, size: 3 * rewrite, step: 97},
		"the head file":         {small: 1, size: 3 * rewrite, step: 1, head: true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			key := "http://a/c"
			want := bodyFor(key, 0, c.size)
			d := openDisk(t, DiskOptions{Dir: dir, Small: c.small})
			e := put(t, d, key, storedFor(key, 1), want)
			e, err := d.Update(t.Context(), e, storedFor(key, 7))
			if err != nil {
				t.Fatal(err)
			}
			d.Flush()
			f := *d.index.find(e.content.file)
			path, other := d.path(f.name), d.headPath(f)
			d.Close()
			if c.head {
				path, other = other, path
			}
			whole, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			beside, err := os.ReadFile(other)
			if err != nil {
				t.Fatal(err)
			}
			step := c.step
			if !large() {
				step *= 5
			}
			served := 0
			check := func(what string, damaged []byte) {
				if err := errors.Join(os.WriteFile(other, beside, 0o600), os.WriteFile(path, damaged, 0o600)); err != nil {
					t.Fatal(err)
				}
				d := openDisk(t, DiskOptions{Dir: dir, Small: c.small})
				defer d.Close()
				for _, e := range lookup(t, d, key) {
					if diff := cmp.Diff(storedFor(key, 7).Head, e.Stored.Head); diff != "" {
						t.Errorf("%s: head %s", what, diff)
					}
					got, err := bodyOf(t, e)
					if err == nil && !bytes.Equal(got, want) {
						t.Errorf("%s: wrong body", what)
					}
					if err == nil {
						served++
					} else if !errors.Is(err, ErrGone) {
						t.Errorf("%s: %v, want ErrGone", what, err)
					} else if _, err = os.Stat(path); err == nil {
						t.Errorf("%s: the file is still there", what)
					}
				}
				if len(lookup(t, d, key)) == 0 && filesIn(t, dir) != 0 {
					t.Errorf("%s: %d files are left", what, filesIn(t, dir))
				}
			}
			check("whole", whole)
			if served != 1 {
				t.Fatal("the whole file was not served")
			}
			for i := 0; i < len(whole); i += step {
				damaged := bytes.Clone(whole)
				damaged[i] ^= 1 << (i % 8)
				check(fmt.Sprintf("byte %d", i), damaged)
			}
			for n := 0; n < len(whole); n += 7 * step {
				check(fmt.Sprintf("cut at %d", n), whole[:n])
			}
			check("longer", append(bytes.Clone(whole), make([]byte, 5000)...))
			check("zeros", make([]byte, len(whole)))
		})
	}
}

// A file that is changed while the store is open is noticed as well.
func TestCorruptionWhileOpen(t *testing.T) {
	d := openDisk(t, DiskOptions{Small: 1})
	key := "http://a/c"
	want := bodyFor(key, 0, 100<<10)
	e := put(t, d, key, storedFor(key, 1), want)
	if got, err := bodyOf(t, e); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	f, err := os.OpenFile(d.path(e.content.file), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteAt([]byte{want[5000] ^ 1}, 5000)
	f.Close()
	if got, err := bodyOf(t, e); !errors.Is(err, ErrGone) {
		t.Fatalf("%d bytes, %v, want ErrGone", len(got), err)
	}
	if n := len(lookup(t, d, key)); n != 0 {
		t.Errorf("%d still stored", n)
	}
	put(t, d, key, storedFor(key, 2), want)
	if got, err := bodyOf(t, lookup(t, d, key)[0]); err != nil || !bytes.Equal(got, want) {
		t.Errorf("after storing it again: %d bytes, %v", len(got), err)
	}
}

// Whoever has a body open keeps it, whatever happens to the entry.
func TestOpenBodyStays(t *testing.T) {
	d := openDisk(t, DiskOptions{Small: 1})
	key := "http://a/c"
	e := put(t, d, key, storedFor(key, 1), bodyFor(key, 0, 100<<10))
	b, err := e.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if _, err = d.Update(t.Context(), e, storedFor(key, 2)); err != nil {
		t.Fatal(err)
	}
	put(t, d, key, storedFor(key, 3), bodyFor(key, 1, 50<<10))
	d.Invalidate(t.Context(), key)
	got, err := io.ReadAll(io.NewSectionReader(b, 0, b.Size()))
	if err != nil || !bytes.Equal(got, bodyFor(key, 0, 100<<10)) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if _, err = e.Open(); !errors.Is(err, ErrGone) {
		t.Errorf("opened after it was invalidated: %v, want ErrGone", err)
	}
}

// sink is a connection as far as a body is concerned.
type sink struct {
	bytes.Buffer
	files int
}

func (s *sink) ReadFrom(r io.Reader) (int64, error) {
	if part, ok := r.(*io.SectionReader); ok {
		outer, _, _ := part.Outer()
		if _, ok = outer.(*os.File); ok {
			s.files++
		}
	}
	return s.Buffer.ReadFrom(r)
}

// Parts of a large body go out as files, from which the kernel can send them.
func TestWriteTo(t *testing.T) {
	d := openDisk(t, DiskOptions{Small: 1 << 10})
	for _, size := range []int{100, 1 << 20} {
		want := bodyFor("", 0, size)
		key := fmt.Sprintf("http://a/%d", size)
		b, err := put(t, d, key, storedFor(key, 1), want).Open()
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		for _, part := range [][2]int{{0, size}, {10, 20}, {size - 1, 1}, {size - 1, 5}, {size, 5}, {7, 0}} {
			var out sink
			from, to := part[0], min(part[0]+part[1], size)
			n, err := b.WriteTo(&out, int64(part[0]), int64(part[1]))
			if err != nil || n != int64(to-from) || !bytes.Equal(out.Bytes(), want[from:to]) {
				t.Errorf("%d bytes, %v: %d, %v", size, part, n, err)
			}
			if _, inMemory := b.Bytes(); (out.files > 0) != (!inMemory && n > 0) {
				t.Errorf("%d bytes, %v: %d files", size, part, out.files)
			}
		}
		if _, inMemory := b.Bytes(); !inMemory {
			if err = os.Truncate(b.file.Name(), 5000); err != nil {
				t.Fatal(err)
			}
			if n, err := b.WriteTo(io.Discard, 0, int64(size)); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("of a file cut short: %d, %v", n, err)
			}
		}
	}
}

func TestWriterNeverStoresAPart(t *testing.T) {
	for name, s := range map[string]Store{
		"memory": NewMemory(0, 0), "disk": openDisk(t, DiskOptions{}), "disk, as a file": openDisk(t, DiskOptions{Small: 1}),
	} {
		w, err := s.Create(t.Context(), "http://a/c", 0, 1000)
		if err != nil {
			t.Fatal(err)
		}
		w.Write(make([]byte, 999))
		if _, err = w.Commit(storedFor("http://a/c", 1)); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: Commit of a part: %v", name, err)
		}
		w.Close()
		if n := len(lookup(t, s, "http://a/c")); n != 0 {
			t.Errorf("%s: %d stored", name, n)
		}
		if d, ok := s.(*Disk); ok && d.dir != "" && (filesIn(t, d.dir) != 0 || d.Stats().Bytes != onDisk(d.dir)) {
			t.Errorf("%s: %d temporary files are left, %d bytes counted", name, filesIn(t, d.dir), d.Stats().Bytes)
		}
	}
}

func TestListAndFind(t *testing.T) {
	disk := openDisk(t, DiskOptions{Memory: 8 << 10})
	for _, s := range []interface {
		Store
		List(visit func(Info) bool)
		Find(key string) []Info
	}{NewMemory(0, 0), disk} {
		for i := range 10 {
			key := fmt.Sprintf("http://a/%d", i)
			put(t, s, key, storedFor(key, 1), bodyFor(key, 0, 100))
			put(t, s, key, storedFor(key, 2, httpmsg.Field{Name: "foo", Value: "1"}), bodyFor(key, 1, 100))
		}
		n := 0
		s.List(func(i Info) bool {
			n++
			if _, err := os.Stat(i.Path); i.Size != 100 || s == Store(disk) && err != nil {
				t.Errorf("%s: %d bytes in %q: %v", i.Key, i.Size, i.Path, err)
			}
			return true
		})
		if n != 20 {
			t.Errorf("List: %d, want 20", n)
		}
		n = 0
		s.List(func(Info) bool { n++; return n < 3 })
		if n != 3 {
			t.Errorf("List went on to %d, want 3", n)
		}
		found := s.Find("http://a/3")
		if len(found) != 2 || version(found[0].Entry) != 2 || found[0].Size != 100 {
			t.Errorf("Find: %+v", found)
		}
		if n = s.Invalidate(t.Context(), "http://a/3"); n != 2 {
			t.Errorf("Invalidate: %d, want 2", n)
		}
		if n = len(lookup(t, s, "http://a/3")) + len(s.Find("http://a/3")); n != 0 {
			t.Errorf("the store still has %d", n)
		}
		if n = len(lookup(t, s, "http://a/4")); n != 2 {
			t.Errorf("the store has %d of another key, want 2", n)
		}
		if n = s.Clear(t.Context()); n != 18 {
			t.Errorf("Clear: %d, want 18", n)
		}
		if n = len(lookup(t, s, "http://a/4")); n != 0 {
			t.Errorf("the store still has %d", n)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(disk.dir, "?")); len(left) != 0 {
		t.Errorf("Clear left the folders %q", left)
	}
	if got, want := disk.Stats().Bytes, onDisk(disk.dir); got != want {
		t.Errorf("the store says %d bytes, the directory has %d", got, want)
	}
}

func TestNames(t *testing.T) {
	n := newName(primaryOf("http://a/"), 1<<50+3, 77)
	if n.primary() != primaryOf("http://a/") || n.serial() != 1<<50+3 || n.blocks() != 77 {
		t.Errorf("%v, %d, %d", n.primary(), n.serial(), n.blocks())
	}
	d := &Disk{dir: "dir"}
	for _, head := range []int32{0, 1} {
		base := filepath.Base(d.headPath(file{name: n, head: head}))
		if got, isHead, ok := parseName(base); !ok || got != n || isHead != (head > 0) {
			t.Errorf("parseName(%q) = %v, %v, %v", base, got, isHead, ok)
		}
	}
	base := n.String()
	for _, bad := range []string{"", "ab", strings.ToUpper(base), base + "0", "z" + base[1:], "../" + base[3:], base[:38] + "v", base + ".", base + ".head.head", headSuffix} {
		if _, _, ok := parseName(bad); ok {
			t.Errorf("parseName(%q) is ok", bad)
		}
	}
}

// What is not a cache's stays, also where a cache has its unfinished files.
func TestDirectoryInUse(t *testing.T) {
	dir := t.TempDir()
	paths := map[string]bool{"tmp/notes": true, "tmp/1": true, "1/notes": true, "ab/notes": true, "notes": true, "tmp/1" + tempSuffix: false}
	for path := range paths {
		path = filepath.Join(dir, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte("x"), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	d := openDisk(t, DiskOptions{Dir: dir})
	d.Clear(t.Context())
	d.Close()
	for path, stays := range paths {
		if _, err := os.Stat(filepath.Join(dir, path)); (err == nil) != stays {
			t.Errorf("%s: %v, want it to stay: %v", path, err, stays)
		}
	}
}

// A directory of an older version is emptied, and what is not a cache's stays.
func TestOldLayout(t *testing.T) {
	dir := t.TempDir()
	old := strings.Repeat("abcd", 16)
	for path, stays := range map[string]bool{
		"ab/cd/" + old: false, "ab/ce/" + old[1:]: true, "12/34/notes": true, "1/notes": true, "notes": true,
	} {
		path = filepath.Join(dir, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte("x"), 0o600)); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if _, err := os.Stat(path); (err == nil) != stays {
				t.Errorf("%s: %v, want it to stay: %v", path, err, stays)
			}
		})
	}
	d := openDisk(t, DiskOptions{Dir: dir})
	for !d.scanned.Load() {
		time.Sleep(time.Millisecond)
	}
	d.Close()
	if _, err := os.Stat(filepath.Join(dir, "ab", "cd")); err == nil {
		t.Error("the old folder is still there")
	}
}
