package store

import (
	"bytes"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func mustOpen(t *testing.T, e *Entry) Body {
	t.Helper()
	b, err := e.Open()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func wantMappings(t *testing.T, d *Disk, when string, want int32) {
	t.Helper()
	if got := d.mappings.Load(); got != want {
		t.Errorf("%s: %d mappings, want %d", when, got, want)
	}
}

func TestMapping(t *testing.T) {
	const key, size = "http://a/", 1 << 20
	d := openDisk(t, DiskOptions{})
	first := put(t, d, headFor(key, 1), bodyFor(key, 1, size))
	open, again := mustOpen(t, first), mustOpen(t, first)
	for _, b := range []*Body{&open, &again} {
		if !bytes.Equal(b.Mapped(), bodyFor(key, 1, size)) {
			t.Error("the mapping is not the body")
		}
	}
	again.Close()
	wantMappings(t, d, "opened twice", 1)

	second := put(t, d, headFor(key, 2), bodyFor(key, 2, size))
	newer := mustOpen(t, second)
	if !bytes.Equal(newer.Mapped(), bodyFor(key, 2, size)) {
		t.Error("after a replacement: the mapping is not the new body")
	}
	if !bytes.Equal(open.Mapped(), bodyFor(key, 1, size)) {
		t.Error("after a replacement: the body that is open has changed")
	}
	wantMappings(t, d, "replaced, the old one open", 2)
	open.Close()
	wantMappings(t, d, "the old one closed", 1)
	newer.Close()
	wantMappings(t, d, "nothing open", 1)

	// Another file in its place is mapped anew, or not at all.
	path := d.path(second.name)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "copy")
	if err = os.WriteFile(other, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err = os.Rename(other, path); err != nil {
		t.Fatal(err)
	}
	copied := mustOpen(t, second)
	if m := copied.Mapped(); m != nil && &m[0] == &second.mapped.Load().body[0] {
		t.Error("another file, and the mapping of the old one")
	}
	copied.Close()

	d.Remove(second)
	wantMappings(t, d, "removed", 0)
	if open, err := second.Open(); err == nil {
		t.Error("open after the removal")
		open.Close()
	}
}

func TestMappingsGoWithTheMemory(t *testing.T) {
	d := openDisk(t, DiskOptions{Memory: 64 << 10})
	for i := range 200 {
		key := "http://a/" + string(rune('0'+i%10)) + string(rune('a'+i/10))
		b := mustOpen(t, put(t, d, headFor(key, 1), bodyFor(key, 1, 8<<10)))
		b.Close()
	}
	if got := d.mappings.Load(); got == 0 || got > 64 {
		t.Errorf("%d mappings with memory for some 60 heads", got)
	}
	d.Clear()
	wantMappings(t, d, "cleared", 0)
}

// A file that is cut short under a mapping breaks the transfer off, and nothing
// else.
func TestMappingOfAFileCutShort(t *testing.T) {
	const key, size = "http://a/", 1 << 20
	d := openDisk(t, DiskOptions{})
	e := put(t, d, headFor(key, 1), bodyFor(key, 1, size))
	b := mustOpen(t, e)
	defer b.Close()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		if peer, err := ln.Accept(); err == nil {
			io.Copy(io.Discard, peer)
			peer.Close()
		}
	}()
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err = os.Truncate(d.path(e.name), 64<<10); err != nil {
		t.Fatal(err)
	}
	n, err := conn.Write(b.Mapped())
	if errno, ok := err.(*net.OpError); !ok || n >= size { //nolint:errorlint // that very type
		t.Fatalf("wrote %d octets, error %v", n, err)
	} else if sys, ok := errno.Err.(*os.SyscallError); !ok || sys.Err != syscall.EFAULT { //nolint:errorlint // that very type
		t.Errorf("error %v, want a bad address", err)
	}
}
