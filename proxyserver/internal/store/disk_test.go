package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"topdown/pkg/httpmsg"

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
	t.Cleanup(func() {
		select {
		case <-d.stop:
		default:
			d.Close()
		}
	})
	return d
}

func headFor(key string, at int64, vary ...httpmsg.Field) *Head {
	return &Head{
		Key: key, Vary: vary, Status: 200, Reason: "OK", RequestTime: at, ResponseTime: at + 1, Total: -1,
		Fields: httpmsg.Fields{{Name: "Content-Type", Value: "text/plain"}, {Name: "ETag", Value: `"` + key + `"`}},
	}
}

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

func put(tb testing.TB, s Store, h *Head, body []byte) *Entry {
	tb.Helper()
	h.Since = s.Removals(h.Key)
	w, err := s.Create(h, int64(len(body)))
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
	e, err := w.Commit(h)
	if err != nil {
		tb.Fatal(err)
	}
	if d, ok := s.(*Disk); ok {
		d.Flush()
	}
	return e
}

func bodyOf(tb testing.TB, e *Entry) ([]byte, error) {
	tb.Helper()
	b, err := e.Open()
	if err != nil {
		return nil, err
	}
	defer b.Close()
	return io.ReadAll(io.NewSectionReader(&b, 0, b.Size()))
}

func TestStoreRoundTrip(t *testing.T) {
	for name, s := range map[string]Store{
		"memory":          NewMemory(64 << 20),
		"disk":            openDisk(t, DiskOptions{}),
		"disk, no memory": openDisk(t, DiskOptions{Memory: 1, Small: 1}),
	} {
		t.Run(name, func(t *testing.T) {
			for _, size := range []int{0, 1, 1000, 300 << 10, 1 << 20} {
				key := fmt.Sprintf("http://a/%d", size)
				want := bodyFor(key, 0, size)
				put(t, s, headFor(key, 1), want)
				entries := s.Lookup(key)
				if len(entries) != 1 {
					t.Fatalf("%s: %d stored, want 1", key, len(entries))
				}
				if diff := cmp.Diff(headFor(key, 1), entries[0].Head); diff != "" {
					t.Errorf("%s: head (-want +got)\n%s", key, diff)
				}
				if got, err := bodyOf(t, entries[0]); err != nil || !bytes.Equal(got, want) {
					t.Errorf("%s: %d octets, %v", key, len(got), err)
				}
			}
			key := "http://a/v"
			for i := range 3 {
				put(t, s, headFor(key, int64(i*10), httpmsg.Field{Name: "foo", Value: fmt.Sprint(i)}), bodyFor(key, i, 10))
			}
			entries := s.Lookup(key)
			if len(entries) != 3 || entries[0].Head.RequestTime != 20 {
				t.Fatalf("%d variants, want 3, the newest first", len(entries))
			}
			old := entries[1]
			updated, err := s.Update(old, headFor(key, 100, old.Head.Vary...))
			if err != nil || updated == nil {
				t.Fatalf("Update: %v, %v", updated, err)
			}
			entries = s.Lookup(key)
			if entries[0].Head.RequestTime != 100 {
				t.Errorf("the updated entry is not the newest")
			}
			if got, err := bodyOf(t, entries[0]); err != nil || !bytes.Equal(got, bodyFor(key, 1, 10)) {
				t.Errorf("body after Update: %q, %v", got, err)
			}
			s.Remove(entries[0])
			if n := len(s.Lookup(key)); n != 2 {
				t.Errorf("%d left after Remove, want 2", n)
			}
			if again, err := s.Update(entries[0], headFor(key, 200, old.Head.Vary...)); again != nil || err != nil {
				t.Errorf("Update of a removed entry: %v, %v", again, err)
			}
			if n := s.RemoveKey(key); n != 2 {
				t.Errorf("RemoveKey removed %d, want 2", n)
			}
			if n := len(s.Lookup(key)); n != 0 {
				t.Errorf("%d left after RemoveKey", n)
			}
		})
	}
}

// A store that is opened again has what was stored, before and after the scan.
func TestReopen(t *testing.T) {
	dir := t.TempDir()
	d := openDisk(t, DiskOptions{Dir: dir})
	for i := range 100 {
		key := fmt.Sprintf("http://a/%d", i)
		e := put(t, d, headFor(key, 1), bodyFor(key, 0, i*1000))
		for n := range i % 4 {
			var err error
			if e, err = d.Update(e, headFor(key, int64(n+2))); err != nil || e == nil {
				t.Fatal(e, err)
			}
		}
	}
	if _, err := OpenDisk(DiskOptions{Dir: dir}); err == nil {
		t.Error("two stores have the directory open")
	}
	d.Close()
	d = openDisk(t, DiskOptions{Dir: dir})
	for i := range 100 {
		key := fmt.Sprintf("http://a/%d", i)
		if i == 50 {
			for !d.scanned.Load() {
				time.Sleep(time.Millisecond)
			}
		}
		entries := d.Lookup(key)
		if len(entries) != 1 {
			t.Fatalf("%s: %d stored, want 1", key, len(entries))
		}
		want := headFor(key, 1)
		if i%4 > 0 {
			want = headFor(key, int64(i%4+1))
		}
		if diff := cmp.Diff(want, entries[0].Head); diff != "" {
			t.Errorf("%s: head (-want +got)\n%s", key, diff)
		}
		if got, err := bodyOf(t, entries[0]); err != nil || !bytes.Equal(got, bodyFor(key, 0, i*1000)) {
			t.Errorf("%s: %d octets, %v", key, len(got), err)
		}
	}
	if s := d.Stats(); s.Entries != 100 {
		t.Errorf("%d entries, want 100", s.Entries)
	}
}

func TestEviction(t *testing.T) {
	d := openDisk(t, DiskOptions{Size: 1 << 20, Memory: 1 << 16})
	put(t, d, headFor("http://a/popular", 1), bodyFor("p", 0, 10000))
	for i := range 500 {
		key := fmt.Sprintf("http://a/%d", i)
		put(t, d, headFor(key, 1), bodyFor(key, 0, 10000))
		if len(d.Lookup("http://a/popular")) != 1 {
			t.Fatalf("the popular one was evicted after %d", i)
		}
	}
	s := d.Stats()
	if s.Bytes > 1<<20 || s.Bytes < 900<<10 {
		t.Errorf("%d octets are stored, want nearly %d", s.Bytes, 1<<20)
	}
	files, used := 0, int64(0)
	filepath.WalkDir(d.dir, func(path string, f os.DirEntry, err error) error {
		if _, ok := parseName(f.Name()); ok {
			info, _ := f.Info()
			files++
			used += block(info.Size())
		}
		return err
	})
	if files != s.Entries || used != s.Bytes {
		t.Errorf("the directory has %d files of %d octets, the index says %d of %d", files, used, s.Entries, s.Bytes)
	}
	w, err := d.Create(headFor("http://a/huge", 1), -1)
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

// Every octet of a file, and its length, is changed in turn: what is then
// handed out is what was stored, or nothing.
func TestCorruption(t *testing.T) {
	for _, small := range []int64{1, 1 << 20} { // read as a file, read into memory
		dir := t.TempDir()
		key := "http://a/c"
		want := bodyFor(key, 0, 700)
		write := func() string {
			d := openDisk(t, DiskOptions{Dir: dir, Small: small})
			e := put(t, d, headFor(key, 1), want)
			e, err := d.Update(e, headFor(key, 7))
			if err != nil {
				t.Fatal(err)
			}
			path := d.path(e.name)
			d.Close()
			return path
		}
		path := write()
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		served := 0
		check := func(what string, damaged []byte) {
			if err := os.WriteFile(path, damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			d := openDisk(t, DiskOptions{Dir: dir, Small: small})
			defer d.Close()
			for _, e := range d.Lookup(key) {
				if diff := cmp.Diff(headFor(key, 7), e.Head); diff != "" {
					// The older head is whole as well, and true.
					if diff = cmp.Diff(headFor(key, 1), e.Head); diff != "" {
						t.Errorf("%s: head %s", what, diff)
					}
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
		}
		for i := range whole {
			damaged := bytes.Clone(whole)
			damaged[i] ^= 1 << (i % 8)
			check(fmt.Sprintf("octet %d", i), damaged)
		}
		for n := 0; n < len(whole); n += 7 {
			check(fmt.Sprintf("cut at %d", n), whole[:n])
		}
		check("longer", append(bytes.Clone(whole), make([]byte, 5000)...))
		check("zeros", make([]byte, len(whole)))
		if served == 0 {
			t.Error("nothing was ever served: octets that do not matter should not")
		}
	}
}

// A file that is changed while the store is open is noticed as well.
func TestCorruptionWhileOpen(t *testing.T) {
	d := openDisk(t, DiskOptions{Small: 1})
	key := "http://a/c"
	want := bodyFor(key, 0, 100<<10)
	e := put(t, d, headFor(key, 1), want)
	if got, err := bodyOf(t, e); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%d octets, %v", len(got), err)
	}
	f, err := os.OpenFile(d.path(e.name), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteAt([]byte{want[5000] ^ 1}, e.place.base()+5000)
	f.Close()
	if got, err := bodyOf(t, e); !errors.Is(err, ErrGone) {
		t.Fatalf("%d octets, %v, want ErrGone", len(got), err)
	}
	if n := len(d.Lookup(key)); n != 0 {
		t.Errorf("%d still stored", n)
	}
	put(t, d, headFor(key, 2), want)
	if got, err := bodyOf(t, d.Lookup(key)[0]); err != nil || !bytes.Equal(got, want) {
		t.Errorf("after storing it again: %d octets, %v", len(got), err)
	}
}

// Whoever has a body open keeps it, whatever happens to the entry.
func TestOpenBodyStays(t *testing.T) {
	d := openDisk(t, DiskOptions{Small: 1})
	key := "http://a/c"
	e := put(t, d, headFor(key, 1), bodyFor(key, 0, 100<<10))
	b, err := e.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	put(t, d, headFor(key, 2), bodyFor(key, 1, 50<<10))
	d.RemoveKey(key)
	got, err := io.ReadAll(io.NewSectionReader(&b, 0, b.Size()))
	if err != nil || !bytes.Equal(got, bodyFor(key, 0, 100<<10)) {
		t.Errorf("%d octets, %v", len(got), err)
	}
}

func TestWriterNeverStoresAPart(t *testing.T) {
	for _, small := range []int64{1, 1 << 20} {
		d := openDisk(t, DiskOptions{Small: small})
		h := headFor("http://a/c", 1)
		w, err := d.Create(h, 1000)
		if err != nil {
			t.Fatal(err)
		}
		w.Write(make([]byte, 999))
		if _, err = w.Commit(h); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("Commit of a part: %v", err)
		}
		w.Close()
		if n := len(d.Lookup(h.Key)); n != 0 {
			t.Errorf("%d stored", n)
		}
		if left, _ := os.ReadDir(filepath.Join(d.dir, "tmp")); len(left) != 0 {
			t.Errorf("%d temporary files are left", len(left))
		}
	}
}

func TestDir(t *testing.T) {
	dir := t.TempDir()
	d := openDisk(t, DiskOptions{Dir: dir})
	for i := range 10 {
		key := fmt.Sprintf("http://a/%d", i)
		put(t, d, headFor(key, 1), bodyFor(key, 0, 100))
		put(t, d, headFor(key, 2, httpmsg.Field{Name: "foo", Value: "1"}), bodyFor(key, 1, 100))
	}
	outside, err := OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	if err = outside.List(func(Info) bool { n++; return true }); err != nil || n != 20 {
		t.Errorf("List: %d, %v, want 20", n, err)
	}
	found, err := outside.Find("http://a/3")
	if err != nil || len(found) != 2 || found[0].Head.RequestTime != 2 || found[0].Size != 100 {
		t.Errorf("Find: %+v, %v", found, err)
	}
	d.Lookup("http://a/3")
	if n, err = outside.Purge("http://a/3"); err != nil || n != 2 {
		t.Errorf("Purge: %d, %v, want 2", n, err)
	}
	if n = len(d.Lookup("http://a/3")); n != 0 {
		t.Errorf("the running store still has %d", n)
	}
	if n = len(d.Lookup("http://a/4")); n != 2 {
		t.Errorf("the running store has %d of another key, want 2", n)
	}
	if n, err = outside.PurgeAll(); err != nil || n != 18 {
		t.Errorf("PurgeAll: %d, %v, want 18", n, err)
	}
	if n = len(d.Lookup("http://a/4")); n != 0 {
		t.Errorf("the running store still has %d", n)
	}
	d.Close()
	if n, err = outside.Purge("http://a/5"); err != nil || n != 0 {
		t.Errorf("Purge without a store: %d, %v", n, err)
	}
}

func TestNames(t *testing.T) {
	n := nameOf(headFor("http://a/", 1))
	path := filePath("dir", n)
	base := filepath.Base(path)
	if got, ok := parseName(base); !ok || got != n {
		t.Errorf("parseName(%q) = %v, %v", base, got, ok)
	}
	if want := filepath.Join("dir", base[:2], base[2:4], base); path != want {
		t.Errorf("path %q, want %q", path, want)
	}
	for _, bad := range []string{"", "ab", strings.ToUpper(base), base + "0", "g" + base[1:], "../" + base[3:]} {
		if _, ok := parseName(bad); ok {
			t.Errorf("parseName(%q) is ok", bad)
		}
	}
}
