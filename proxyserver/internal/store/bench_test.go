package store

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"
)

func BenchmarkLookupHot(b *testing.B) {
	d, err := OpenDisk(DiskOptions{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	put(b, d, "http://example.org/path", storedFor("x", 1), make([]byte, 1024))
	b.ReportAllocs()
	for b.Loop() {
		if entries, _ := d.Lookup(b.Context(), "http://example.org/path"); len(entries) != 1 {
			b.Fatal("gone")
		}
	}
}

func BenchmarkLookupMiss(b *testing.B) {
	d, err := OpenDisk(DiskOptions{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	waitScan(d)
	b.ReportAllocs()
	for b.Loop() {
		d.Lookup(b.Context(), "http://example.org/path")
	}
}

func BenchmarkStore(b *testing.B) {
	for _, size := range []int{1 << 10, 100 << 10, 1 << 20} {
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			d, err := OpenDisk(DiskOptions{Dir: b.TempDir(), Size: 256 << 20})
			if err != nil {
				b.Fatal(err)
			}
			defer d.Close()
			body, stored := make([]byte, size), storedFor("x", 1)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				put(b, d, "http://example.org/"+strconv.Itoa(i), stored, body)
			}
		})
	}
}

// BenchmarkCommit tells how long a small response holds up whoever stores it:
// beside BenchmarkStore/1024, which waits for the disk.
func BenchmarkCommit(b *testing.B) {
	d, err := OpenDisk(DiskOptions{Dir: b.TempDir(), Size: 256 << 20})
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	body, stored := make([]byte, 1024), storedFor("x", 1)
	var took time.Duration
	for i := 0; b.Loop(); i++ {
		began := time.Now()
		if _, err := commit(b, d, "http://example.org/"+strconv.Itoa(i), stored, body); err != nil {
			b.Fatal(err)
		}
		took += time.Since(began)
		if i%64 == 0 {
			d.Flush() // the queue is never full
		}
	}
	b.ReportMetric(float64(took.Nanoseconds())/float64(b.N), "ns/commit")
}

func BenchmarkOpenFile(b *testing.B) {
	d, err := OpenDisk(DiskOptions{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	e := put(b, d, "http://example.org/", storedFor("x", 1), make([]byte, 10<<20))
	b.ReportAllocs()
	for b.Loop() {
		body, err := e.Open()
		if err != nil {
			b.Fatal(err)
		}
		body.Close()
	}
}

// BenchmarkIndex tells what a million entries take in memory.
func BenchmarkIndex(b *testing.B) {
	const entries = 1_000_000
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		x := newIndex(false)
		for i := range entries {
			x.add(newName(primaryOf("http://example.org/"+strconv.Itoa(i)), uint64(i), 1))
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/entries, "B/entry")
		runtime.KeepAlive(x)
	}
}

// BenchmarkOpenMillion tells how long a start with a million files takes. The
// files are made where TOPDOWN_MILLION says, and stay there for the next time.
func BenchmarkOpenMillion(b *testing.B) {
	dir := os.Getenv("TOPDOWN_MILLION")
	if dir == "" {
		b.Skip("set TOPDOWN_MILLION to a directory for a million files")
	}
	const entries = 1_000_000
	if _, err := os.Stat(filepath.Join(dir, "made")); err != nil {
		d := &Disk{dir: dir}
		for i := range folders {
			if err = os.MkdirAll(d.folderPath(i), 0o700); err != nil {
				b.Fatal(err)
			}
		}
		for i := range entries {
			key := fmt.Sprintf("http://example.org/%d", i)
			head := encodeHead(key, &storedFor(key, 1).Head)
			n := newName(primaryOf(key), uint64(i+1), 1)
			if err = os.WriteFile(d.path(n), appendTrailer(head, n, 0, sumOf(nil)), 0o600); err != nil {
				b.Fatal(err)
			}
		}
		os.WriteFile(filepath.Join(dir, "made"), nil, 0o600)
	}
	for b.Loop() {
		began := time.Now()
		d, err := OpenDisk(DiskOptions{Dir: dir, Size: 100 << 30})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(time.Since(began).Microseconds()), "µs-to-open")
		early := lookup(b, d, "http://example.org/999999")
		b.ReportMetric(float64(time.Since(began).Microseconds()), "µs-to-first-hit")
		if len(early) != 1 {
			b.Fatal("not found before the scan has ended")
		}
		if body, err := early[0].Open(); err != nil || body.Size() != 0 {
			b.Fatal(err)
		}
		waitScan(d)
		b.ReportMetric(time.Since(began).Seconds(), "s-to-scan")
		if s := d.Stats(); s.Entries != entries {
			b.Fatalf("%d entries", s.Entries)
		}
		d.Close()
	}
}
