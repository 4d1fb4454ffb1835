package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"testing"
)

// A file is open once for all who send it, and held for the next.
func TestOpenFiles(t *testing.T) {
	d := openDisk(t, DiskOptions{Small: 1})
	open := func(key string) *Body {
		t.Helper()
		b, err := lookup(t, d, key)[0].Open()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	held := func() int {
		d.open.mu.Lock()
		defer d.open.mu.Unlock()
		if n := d.open.queue.count; n != len(d.open.files) {
			t.Errorf("%d files are held, %d are in the queue", len(d.open.files), n)
		}
		return len(d.open.files)
	}
	want := bodyFor("", 0, 100<<10)
	for i := range maxOpen + 5 {
		key := fmt.Sprintf("http://a/%d", i)
		put(t, d, key, storedFor(key, 1), want)
		open(key).Close()
	}
	most := maxOpen
	if d.open.limit == 0 {
		most = 0 // Windows
	}
	if n := held(); n != most {
		t.Errorf("%d files are held, want %d", n, most)
	}
	key := fmt.Sprintf("http://a/%d", maxOpen+4)
	a, b := open(key), open(key)
	if most > 0 && a.file != b.file {
		t.Error("a file is open twice")
	}
	a.Close()
	if most == 0 {
		b.Close()
		return
	}
	d.Invalidate(t.Context(), key)
	if n := held(); n != most-1 {
		t.Errorf("%d files are held after one was removed, want %d", n, most-1)
	}
	if got, err := io.ReadAll(io.NewSectionReader(b, 0, b.Size())); err != nil || !bytes.Equal(got, want) {
		t.Errorf("of a removed file: %d bytes, %v", len(got), err)
	}
	b.Close()
	if _, err := b.file.Stat(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a removed file that nobody sends: %v, want %v", err, os.ErrClosed)
	}
	d.Close()
	if n := held(); n != 0 {
		t.Errorf("%d files are held by a closed store", n)
	}
}

// Whatever is opened and removed at a time, no file stays open that is gone.
func TestOpenFilesTogether(t *testing.T) {
	d := openDisk(t, DiskOptions{Small: 1})
	var tasks sync.WaitGroup
	for worker := range 4 {
		tasks.Go(func() {
			for i := range 100 {
				key := fmt.Sprintf("http://a/%d", i%7)
				if worker == 0 {
					put(t, d, key, storedFor(key, int64(i)), bodyFor(key, i, 1000))
				}
				for _, e := range lookup(t, d, key) {
					if b, err := e.Open(); err == nil {
						b.Close()
					} else if !errors.Is(err, ErrGone) {
						t.Errorf("%s: %v", key, err)
					}
				}
			}
		})
	}
	tasks.Wait()
	d.open.mu.Lock()
	defer d.open.mu.Unlock()
	for n, f := range d.open.files {
		if _, err := os.Stat(d.path(n)); err != nil || f.users != 1 {
			t.Errorf("%s is held for %d: %v", n, f.users, err)
		}
	}
}

// A body that is sent from its file leaves memory once it is there.
func TestCopied(t *testing.T) {
	d := openDisk(t, DiskOptions{})
	for size, tier := range map[int]string{copied: "memory", copied + 1: "disk"} {
		key := fmt.Sprintf("http://a/%d", size)
		want := bodyFor(key, 0, size)
		e, err := commit(t, d, key, storedFor(key, 1), want)
		if err != nil {
			t.Fatal(err)
		}
		d.Flush()
		for range 2 {
			if got, err := bodyOf(t, e); err != nil || !bytes.Equal(got, want) || e.Tier() != tier {
				t.Errorf("%d bytes, %v, from %s, want %d from %s", len(got), err, e.Tier(), size, tier)
			}
			if e, err = d.Update(t.Context(), e, storedFor(key, 2)); err != nil {
				t.Fatal(err)
			}
			d.Flush()
		}
	}
	d.mem.mu.Lock()
	defer d.mem.mu.Unlock()
	if d.mem.bytes > copied+8<<10 || d.mem.pinned != 0 {
		t.Errorf("%d bytes are in memory, %d pinned", d.mem.bytes, d.mem.pinned)
	}
}
