package site

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// askAgain asks for a file until it is sealed, or often enough for that.
func askAgain(t *testing.T, s *Site, p string, want bool) *LargeFile {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		now := time.Now()
		found := s.Find(p, now)
		if found.Kind != File {
			t.Fatalf("%s: %+v", p, found)
		}
		if rep := found.Resource.Plain(); rep.sealed != nil {
			f, err := s.Open(rep)
			if err != nil || !f.Sealed() || rep.Body != nil {
				t.Fatalf("%s: %v, %d bytes in memory, too", p, err, len(rep.Body))
			}
			return f
		}
		// Once its folder has rested, the second request is that from memory.
		if !want && !found.Resource.sealable.Load() && found.Resource.settled || now.After(deadline) {
			return nil
		}
	}
}

func TestSeal(t *testing.T) {
	text := func(size int) string { return strings.Repeat("0123456789abcdef", size/16+1)[:size] }
	files := map[string]string{
		"page.html": text(sealMin + 1), "small.bin": text(sealMin), "huge.bin": text(sealMax + 1),
		"picture.png": text(sealMin + 1), "large.bin": text(3 << 20), "large.csv": text(hotMax + 1),
	}
	root := writeTree(t, files)
	zero, err := syscall.Open("/dev/zero", syscall.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(zero)
	s, never := newSite(t, Options{Root: root, Seal: true}), newSite(t, Options{Root: root})
	for name, want := range map[string]bool{
		"page.html": false, "small.bin": false, "huge.bin": false,
		"picture.png": true, "large.bin": true, "large.csv": true,
	} {
		f := askAgain(t, s, "/"+name, want)
		if (f != nil) != want || askAgain(t, never, "/"+name, false) != nil {
			t.Errorf("%s is sealed: %v, want %v", name, f != nil, want)
		}
		if f == nil {
			continue
		}
		// Nobody can change it, the kernel neither, and the file may change as it likes.
		if n, err := syscall.Read(zero, f.sealed.text); !errors.Is(err, syscall.EFAULT) {
			t.Errorf("%s: written to: %d, %v", name, n, err)
		}
		path := filepath.Join(root, name)
		if err := errors.Join(os.WriteFile(path, []byte("new"), 0o644), f.Check(true)); err != nil {
			t.Error(err)
		}
		f.Close()
		if got, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<30)); err != nil || string(got) != files[name] {
			t.Errorf("%s: the copy has %d bytes, %v", name, len(got), err)
		}
		if got := s.Find("/"+name, time.Now()).Resource.Plain(); string(got.Body) != "new" || got.sealed != nil {
			t.Errorf("%s: after a change %d bytes are served, sealed: %v", name, got.Size, got.sealed != nil)
		}
	}
}

// TestSealedStayWithinTheirBudget: what is sealed counts as what else is kept does,
// and is given back.
func TestSealedStayWithinTheirBudget(t *testing.T) {
	const size, budget = sealMin + 1, 4 * (sealMin + entryCost + 1)
	files := map[string]string{}
	for i := range 30 {
		files[fmt.Sprintf("%d.bin", i)] = strings.Repeat("x", size)
	}
	s := newSite(t, Options{Root: writeTree(t, files), Seal: true, HotTotal: budget})
	sealed := 0
	for range 3 {
		for i := range 30 {
			p := fmt.Sprintf("/%d.bin", i)
			for range 3 { // twice in memory, as soon as the folder has rested
				rep := s.Find(p, time.Now()).Resource.Plain()
				if rep.sealed != nil {
					sealed++
				} else if len(rep.Body) != size {
					t.Fatalf("%s: %d bytes", p, len(rep.Body))
				}
				if s.hot.size > budget || s.sealed.size.Load() > 2*budget {
					t.Fatalf("%d bytes are kept and %d sealed, of %d allowed", s.hot.size, s.sealed.size.Load(), budget)
				}
			}
			time.Sleep(time.Millisecond)
		}
	}
	if sealed == 0 {
		t.Error("nothing was sealed")
	}
	s.hot.clear()
	for deadline := time.Now().Add(20 * time.Second); s.sealed.size.Load() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d sealed bytes are still there", s.sealed.size.Load())
		}
		runtime.GC()
	}
	// Without room there is none.
	s.sealed.size.Store(2*budget - size + 1)
	if f := s.sealed.seal(bytes.NewReader(make([]byte, size)), size); f != nil {
		t.Error("one more than there may be")
	}
}

// TestSealedShareBlocks: small copies lie side by side, each whole, until the last
// of a block has gone.
func TestSealedShareBlocks(t *testing.T) {
	const size = 100<<10 + 1
	content := func(i int) []byte { return bytes.Repeat([]byte{byte(i)}, size) }
	s := &sealedMemory{budget: 3 * hugePage}
	var copies []*sealed
	for i := 0; ; i++ {
		m := s.seal(bytes.NewReader(content(i)), size)
		if m == nil {
			break
		}
		copies = append(copies, m)
	}
	if want := 3 * (hugePage / (26 * 4096)); os.Getpagesize() == 4096 && len(copies) < want {
		t.Errorf("%d copies found room, want %d or more", len(copies), want)
	}
	if copies[0].in != copies[1].in {
		t.Error("the first two are not in one block")
	}
	for i, m := range copies {
		if got, err := io.ReadAll(io.NewSectionReader(m, 0, 1<<30)); err != nil || !bytes.Equal(got, content(i)) {
			t.Errorf("copy %d: %d bytes, %v", i, len(got), err)
		}
	}
	last := copies[len(copies)-1]
	clear(copies)
	for deadline := time.Now().Add(20 * time.Second); s.size.Load() > hugePage; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d bytes are still there", s.size.Load())
		}
		runtime.GC()
	}
	if n, err := last.ReadAt(make([]byte, size), 0); n != size || err != nil {
		t.Errorf("the copy that is left: %d bytes, %v", n, err)
	}
}
