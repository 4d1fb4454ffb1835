package store

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// commitNow stores a response without waiting for the disk.
func commitNow(t *testing.T, s Store, key string, at int64, body []byte) {
	t.Helper()
	if _, err := commit(t, s, key, storedFor(key, at), body); err != nil {
		t.Fatal(err)
	}
}

// What is not on disk yet is there all the same: it is found, although it has
// left the part of memory that may be evicted, it is replaced, updated and removed, and what was removed does
// not come back.
func TestPending(t *testing.T) {
	dir := t.TempDir()
	d := openDisk(t, DiskOptions{Dir: dir, Memory: 64, Small: 1 << 20})
	d.small = 1 << 20 // bodies wait in memory, but hot keeps none of them
	for i := range 500 {
		key := fmt.Sprintf("http://a/%d", i)
		commitNow(t, d, key, 1, bodyFor(key, 1, 100))
		if n := len(lookup(t, d, key)); n != 1 {
			t.Fatalf("%s: %d stored at once, want 1", key, n)
		}
		switch i % 5 {
		case 1:
			commitNow(t, d, key, 2, bodyFor(key, 2, 200))
		case 2:
			if e, err := d.Update(t.Context(), lookup(t, d, key)[0], storedFor(key, 3)); e == nil || err != nil {
				t.Fatalf("%s: Update: %v, %v", key, e, err)
			}
		case 3:
			if n := d.Invalidate(t.Context(), key); n != 1 {
				t.Fatalf("%s: Invalidate removed %d, want 1", key, n)
			}
		case 4:
			d.Remove(t.Context(), lookup(t, d, key)[0])
		}
	}
	check := func(when string) {
		for i := range 500 {
			key := fmt.Sprintf("http://a/%d", i)
			entries := lookup(t, d, key)
			want := int64(1)
			switch i % 5 {
			case 1:
				want = 2
			case 2:
				want = 3
			case 3, 4:
				if len(entries) != 0 {
					t.Fatalf("%s: %s: %d stored, want none", when, key, len(entries))
				}
				continue
			}
			if len(entries) != 1 || version(entries[0]) != want {
				t.Fatalf("%s: %s: %d stored, want version %d alone", when, key, len(entries), want)
			}
			body := bodyFor(key, 1, 100)
			if i%5 == 1 {
				body = bodyFor(key, 2, 200)
			}
			if got, err := bodyOf(t, entries[0]); err != nil || !bytes.Equal(got, body) {
				t.Fatalf("%s: %s: %d bytes, %v", when, key, len(got), err)
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
		commitNow(t, d, key, 1, bodyFor(key, 1, 100))
		if i == 149 {
			d.Clear(t.Context())
		}
	}
	d.Close()
	d = openDisk(t, DiskOptions{Dir: dir})
	for i := range 300 {
		want := 0
		if i >= 150 {
			want = 1
		}
		if n := len(lookup(t, d, fmt.Sprintf("http://a/%d", i))); n != want {
			t.Fatalf("%d: %d stored, want %d", i, n, want)
		}
	}
}

// An invalidation is never lost, whatever is being stored, written, read and
// evicted beside it: what was committed before is not found after it, and what
// is committed later comes from a later lookup (RFC 9111, section 4.4).
func TestInvalidationIsNeverLost(t *testing.T) {
	removals := 20_000 // in CI 100,000
	if large() {
		removals = 100_000
	}
	for name, s := range map[string]Store{
		"memory": NewMemory(64<<10, 0),
		"disk":   openDisk(t, DiskOptions{Memory: 64 << 10, Small: 1000, Size: 1 << 20}),
	} {
		t.Run(name, func(t *testing.T) {
			const keys = 8
			var allowed [keys]atomic.Int64 // the oldest version that may be found
			var clock atomic.Int64
			var stop atomic.Bool
			var tasks sync.WaitGroup
			var found, committed atomic.Int64
			for range 4 {
				tasks.Go(func() {
					for !stop.Load() {
						i := rand.IntN(keys)
						key := fmt.Sprintf("http://a/%d", i)
						least := allowed[i].Load()
						entries, gen := s.Lookup(t.Context(), key)
						for _, e := range entries {
							found.Add(1)
							if v := version(e); v < least {
								t.Errorf("%s: version %d is found, all before %d were invalidated", key, v, least)
								stop.Store(true)
							}
							if rand.IntN(4) == 0 {
								s.Update(t.Context(), e, storedFor(key, version(e)))
							}
						}
						at := clock.Add(1) // what the origin has now
						size := 100
						if rand.IntN(8) == 0 {
							size = 2000
						}
						w, err := s.Create(t.Context(), key, gen, -1)
						if err != nil {
							t.Error(err)
							return
						}
						if _, err = w.Write(make([]byte, size)); err == nil {
							if _, err = w.Commit(storedFor(key, at)); err == nil {
								committed.Add(1)
							}
						}
						w.Close()
					}
				})
			}
			for r := 0; r < removals && !stop.Load(); r++ {
				for committed.Load() < int64(r/4) && !stop.Load() {
					runtime.Gosched() // or there would be nothing to lose
				}
				i := r % keys
				before := clock.Add(1)
				s.Invalidate(t.Context(), fmt.Sprintf("http://a/%d", i))
				allowed[i].Store(before)
			}
			stop.Store(true)
			tasks.Wait()
			if n := int(found.Load()); n < removals/100 {
				t.Errorf("%d entries found: too few to mean anything", n)
			}
		})
	}
}
