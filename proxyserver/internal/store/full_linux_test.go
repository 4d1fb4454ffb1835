package store

import (
	"bytes"
	"fmt"
	"os"
	"syscall"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// tmpfs mounts a file system of its own, which takes root.
func tmpfs(t *testing.T, size string) string {
	t.Helper()
	if os.Getuid() != 0 {
		skip(t, "mounting a small file system takes root")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		skip(t, "mount tmpfs: "+err.Error())
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

func skip(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("TOPDOWN_REQUIRE_REAL") == "1" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// readOnly makes a directory unwritable: by its mode, or for root, whom that
// does not stop, by mounting it so.
func readOnly(t *testing.T, dir string) {
	t.Helper()
	if os.Getuid() != 0 {
		if err := os.Chmod(dir, 0o500); err != nil {
			t.Fatal(err)
		}
		for _, sub := range []string{"/lock", "/tmp"} {
			if err := os.Chmod(dir+sub, 0o400); err != nil {
				t.Fatal(err)
			}
		}
		t.Cleanup(func() {
			os.Chmod(dir, 0o700)
			os.Chmod(dir+"/tmp", 0o700)
		})
		return
	}
	if err := syscall.Mount(dir, dir, "", syscall.MS_BIND, ""); err != nil {
		skip(t, "bind mount: "+err.Error())
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	if err := syscall.Mount("", dir, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
}

// A disk that is full before the cache is: nothing wrong is handed out, the
// reason is logged, room is made, and storing goes on.
func TestDiskFull(t *testing.T) {
	core, logs := observer.New(zap.WarnLevel)
	d := openDisk(t, DiskOptions{Dir: tmpfs(t, "4m"), Size: 1 << 30, Memory: 1 << 20, Small: 16 << 10, Log: zap.New(core)})
	failed, hits := 0, 0
	for i := range 300 {
		key := fmt.Sprintf("http://a/%d", i)
		body := bodyFor(key, 0, 5000+i%5*40000)
		_, gen := d.Lookup(t.Context(), key)
		w, err := d.Create(t.Context(), key, gen, int64(len(body)))
		if err != nil {
			t.Fatal(err)
		}
		n, err := w.Write(body)
		// What was accepted can be read, whatever happened.
		back := make([]byte, n)
		if n > 0 {
			if got, readErr := w.ReadAt(back, 0); got != n && readErr != nil {
				t.Fatalf("%s: reading back: %d, %v", key, got, readErr)
			} else if !bytes.Equal(back[:got], body[:got]) {
				t.Fatalf("%s: reading back gives something else", key)
			}
		}
		if err == nil {
			_, err = w.Commit(storedFor(key, 1))
		}
		if err != nil {
			failed++
		}
		w.Close()
		if i%4 != 0 && !large() {
			continue
		}
		for j := max(0, i-20); j <= i; j++ {
			key := fmt.Sprintf("http://a/%d", j)
			for _, e := range lookup(t, d, key) {
				got, err := bodyOf(t, e)
				if err != nil {
					continue
				}
				hits++
				if !bytes.Equal(got, bodyFor(key, 0, 5000+j%5*40000)) {
					t.Fatalf("%s: wrong body of %d bytes", key, len(got))
				}
			}
		}
	}
	if failed == 0 || logs.Len() == 0 {
		t.Errorf("%d writes failed, %d lines logged: the disk was not full", failed, logs.Len())
	}
	if failed > 200 {
		t.Errorf("%d of 300 writes failed: no room was made", failed)
	}
	if hits < 300 {
		t.Errorf("%d hits", hits)
	}
}

// In a directory that cannot be written small responses are kept in memory,
// large ones are not stored, and the reason is logged.
func TestReadOnly(t *testing.T) {
	dir := t.TempDir()
	d := openDisk(t, DiskOptions{Dir: dir})
	put(t, d, "http://a/old", storedFor("http://a/old", 1), bodyFor("old", 0, 1000))
	d.Close()
	readOnly(t, dir)
	core, logs := observer.New(zap.WarnLevel)
	d = openDisk(t, DiskOptions{Dir: dir, Log: zap.New(core)})
	if entries := lookup(t, d, "http://a/old"); len(entries) != 1 {
		t.Error("what was stored before is not found")
	} else if got, err := bodyOf(t, entries[0]); err != nil || !bytes.Equal(got, bodyFor("old", 0, 1000)) {
		t.Errorf("what was stored before: %v", err)
	}
	put(t, d, "http://a/small", storedFor("http://a/small", 1), bodyFor("small", 0, 1000))
	if entries := lookup(t, d, "http://a/small"); len(entries) != 1 {
		t.Error("a small response is not kept in memory")
	} else if got, err := bodyOf(t, entries[0]); err != nil || !bytes.Equal(got, bodyFor("small", 0, 1000)) {
		t.Errorf("a small response: %v", err)
	}
	w, err := d.Create(t.Context(), "http://a/large", 0, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if _, err = w.Write(make([]byte, 1<<20)); err == nil {
		t.Error("a large response was taken")
	}
	if logs.Len() == 0 {
		t.Error("nothing was logged")
	}
}
