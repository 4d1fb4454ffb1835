package store

import (
	"bytes"
	"fmt"
	"testing"
)

// commit stores a response without waiting for the disk.
func commit(t *testing.T, s Store, h *Head, body []byte) {
	t.Helper()
	h.Since = s.Removals(h.Key)
	w, err := s.Create(h, int64(len(body)))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if _, err = w.Write(body); err != nil {
		t.Fatal(err)
	}
	if _, err = w.Commit(h); err != nil {
		t.Fatal(err)
	}
}

// What is not on disk yet is there all the same: it is found, although it has
// left memory, it is replaced, updated and removed, and what was removed does
// not come back.
func TestPending(t *testing.T) {
	dir := t.TempDir()
	d := openDisk(t, DiskOptions{Dir: dir, Memory: 64, Small: 1 << 20})
	d.small = 1 << 20 // bodies wait in memory, but hot keeps none of them
	for i := range 500 {
		key := fmt.Sprintf("http://a/%d", i)
		commit(t, d, headFor(key, 1), bodyFor(key, 1, 100))
		if n := len(d.Lookup(key)); n != 1 {
			t.Fatalf("%s: %d stored at once, want 1", key, n)
		}
		switch i % 5 {
		case 1:
			commit(t, d, headFor(key, 2), bodyFor(key, 2, 200))
		case 2:
			if e, err := d.Update(d.Lookup(key)[0], headFor(key, 3)); e == nil || err != nil {
				t.Fatalf("%s: Update: %v, %v", key, e, err)
			}
		case 3:
			if n := d.RemoveKey(key); n != 1 {
				t.Fatalf("%s: RemoveKey removed %d, want 1", key, n)
			}
		case 4:
			d.Remove(d.Lookup(key)[0])
		}
	}
	check := func(when string) {
		for i := range 500 {
			key := fmt.Sprintf("http://a/%d", i)
			entries := d.Lookup(key)
			version := int64(1)
			switch i % 5 {
			case 1:
				version = 2
			case 2:
				version = 3
			case 3, 4:
				if len(entries) != 0 {
					t.Fatalf("%s: %s: %d stored, want none", when, key, len(entries))
				}
				continue
			}
			if len(entries) != 1 || entries[0].Head.RequestTime != version {
				t.Fatalf("%s: %s: %d stored, want version %d alone", when, key, len(entries), version)
			}
			want := bodyFor(key, 1, 100)
			if i%5 == 1 {
				want = bodyFor(key, 2, 200)
			}
			if got, err := bodyOf(t, entries[0]); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%s: %s: %d octets, %v", when, key, len(got), err)
			}
		}
	}
	check("at once")
	d.Flush()
	check("on disk")
	d.Close()
	d = openDisk(t, DiskOptions{Dir: dir})
	check("after a restart")
}

// Closing writes what waits; clearing forgets it.
func TestPendingAtTheEnd(t *testing.T) {
	dir := t.TempDir()
	d := openDisk(t, DiskOptions{Dir: dir})
	for i := range 300 {
		key := fmt.Sprintf("http://a/%d", i)
		commit(t, d, headFor(key, 1), bodyFor(key, 1, 100))
		if i == 149 {
			d.Clear()
		}
	}
	d.Close()
	d = openDisk(t, DiskOptions{Dir: dir})
	for i := range 300 {
		want := 0
		if i >= 150 {
			want = 1
		}
		if n := len(d.Lookup(fmt.Sprintf("http://a/%d", i))); n != want {
			t.Fatalf("%d: %d stored, want %d", i, n, want)
		}
	}
}
