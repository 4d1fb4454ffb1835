package store

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// Whatever is stored, updated, broken off, read, invalidated and evicted, the
// directory never holds more than the size, folders and unfinished files
// included, every body is what was stored, and nothing is left open.
func TestNeverAboveTheSize(t *testing.T) {
	const size = 4 << 20
	rounds := 1200 // in CI 4,000
	if large() {
		rounds = 4000
	}
	dir := t.TempDir()
	d := openDisk(t, DiskOptions{Dir: dir, Size: size, Memory: 1 << 20, Small: 32 << 10})
	before := descriptors(t)
	var tasks sync.WaitGroup
	var hits atomic.Int64
	var pause sync.RWMutex // so that the directory can be measured at one moment
	for worker := range 4 {
		tasks.Go(func() {
			var unfinished Writer
			for i := range rounds / 4 {
				pause.RLock()
				if unfinished != nil {
					unfinished.Close()
					unfinished = nil
				}
				n := rand.IntN(400)
				key := fmt.Sprintf("http://a/%d", n)
				length := 1 + n*n
				entries, gen := d.Lookup(t.Context(), key)
				for _, e := range entries {
					if got, err := bodyOf(t, e); err == nil {
						hits.Add(1)
						if !bytes.Equal(got, bodyFor(key, 0, length)) {
							t.Errorf("%s: wrong body of %d bytes", key, len(got))
						}
					}
					switch rand.IntN(6) {
					case 0:
						d.Invalidate(t.Context(), key)
					case 1, 2:
						d.Update(t.Context(), e, storedFor(key, version(e)+1))
					}
				}
				if len(entries) > 0 {
					pause.RUnlock()
					continue
				}
				w, err := d.Create(t.Context(), key, gen, int64(length))
				if err != nil {
					t.Error(err)
					return
				}
				body := bodyFor(key, 0, length)
				if rand.IntN(5) == 0 {
					w.Write(body[:length/2])
					unfinished = w
				} else {
					if _, err = w.Write(body); err == nil {
						w.Commit(storedFor(key, int64(i*4+worker)))
					}
					w.Close()
				}
				pause.RUnlock()
			}
			if unfinished != nil {
				unfinished.Close()
			}
		})
	}
	done := make(chan struct{})
	go func() {
		tasks.Wait()
		d.Flush()
		close(done)
	}()
	most := int64(0)
	for running := true; running; {
		select {
		case <-done:
			running = false
		case <-time.After(5 * time.Millisecond):
			pause.Lock()
			d.Flush()
			if got, want := d.Stats().Bytes, onDisk(dir); got < want {
				t.Errorf("the store says %d bytes, the directory has %d", got, want)
			}
			most = max(most, onDisk(dir))
			pause.Unlock()
		}
	}
	if most > size || most < size*3/4 {
		t.Errorf("the directory took up to %d bytes, want nearly %d", most, size)
	}
	if hits.Load() < int64(rounds)/10 {
		t.Errorf("%d hits", hits.Load())
	}
	if got, want := d.Stats().Bytes, onDisk(dir); got != want {
		t.Errorf("the store says %d bytes, the directory has %d", got, want)
	}
	d.open.mu.Lock()
	held := len(d.open.files)
	d.open.mu.Unlock()
	if after := descriptors(t); after > before+held || held > maxOpen {
		t.Errorf("%d descriptors, %d before, of %d files held open", after, before, held)
	}
	d.mem.mu.Lock()
	defer d.mem.mu.Unlock()
	if d.temps != 0 || d.mem.pinned != 0 || d.mem.writing.Load() != 0 {
		t.Errorf("%d blocks of unfinished files, %d bytes pinned, %d bytes being written are counted", d.temps, d.mem.pinned, d.mem.writing.Load())
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	if runtime.GOOS != "linux" {
		return 0
	}
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}

// A disk that fails is one line in the log, and one when it works again,
// wherever it fails: requests go on.
func TestOneLineForAFault(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	dir := t.TempDir()
	d := openDisk(t, DiskOptions{Dir: dir, Small: 64 << 10, Log: zap.New(core)})
	waitScan(d)
	small := put(t, d, "http://a/small", storedFor("http://a/small", 1), make([]byte, 1000))
	large := put(t, d, "http://a/large", storedFor("http://a/large", 1), make([]byte, 100<<10))
	logs.TakeAll()

	// A file where the folder for unfinished files was.
	tmp := filepath.Join(dir, "tmp")
	if err := os.Remove(tmp); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(tmp, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		key := fmt.Sprintf("http://a/%d", i)
		put(t, d, key, storedFor(key, 1), make([]byte, 1000))
		if len(lookup(t, d, key)) != 1 {
			t.Errorf("%s is not kept in memory", key)
		}
		w, err := d.Create(t.Context(), key, 0, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = w.Write(make([]byte, 1<<20)); err == nil {
			t.Error("a large response was written")
		}
		w.Close()
	}
	if e, err := d.Update(t.Context(), small, storedFor("http://a/small", 2)); err != nil || version(e) != 2 {
		t.Errorf("Update of a small response: %v", err)
	}
	if _, err := d.Update(t.Context(), large, storedFor("http://a/large", 2)); err != nil {
		t.Errorf("Update of a large response: %v", err)
	}
	d.Flush()
	if entries := lookup(t, d, "http://a/small"); len(entries) != 1 || version(entries[0]) != 2 {
		t.Errorf("%d entries after an update that could not be written", len(entries))
	}
	// Its old head must not come back.
	if entries := lookup(t, d, "http://a/large"); len(entries) != 0 {
		t.Error("a large response is found whose new head could not be written")
	}
	if n := logs.Len(); n != 1 || !d.Stats().Failing {
		t.Errorf("%d lines, want 1: %v", n, logs.All())
	}

	os.Remove(tmp)
	d.writing.mu.Lock()
	d.writing.last = time.Now().Add(-quiet - time.Second)
	d.writing.mu.Unlock()
	for i := range 20 {
		key := fmt.Sprintf("http://a/%d", i)
		put(t, d, key, storedFor(key, 2), make([]byte, 1000))
	}
	if n := logs.Len(); n != 2 || d.Stats().Failing {
		t.Errorf("%d lines after it worked again, want 2: %v", n, logs.All())
	}
}
