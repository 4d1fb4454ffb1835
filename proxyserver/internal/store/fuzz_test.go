package store

import (
	"os"
	"path/filepath"
	"testing"

	"topdown/pkg/httpmsg"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// FuzzHead: whatever decodes encodes to the same again; nothing panics.
func FuzzHead(f *testing.F) {
	f.Add(encodeHead(headFor("http://a/", 1)))
	f.Add(encodeHead(&Head{
		Key: "http://a/", Status: 206, Partial: true, First: 5, Total: 10,
		Vary: httpmsg.Fields{{Name: "foo", Value: "1"}}, Fields: httpmsg.Fields{{Name: "A", Value: ""}},
	}))
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff\x7f"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := decodeHead(b)
		if err != nil {
			return
		}
		again, err := decodeHead(encodeHead(h))
		if err != nil {
			t.Fatalf("%+v does not decode again: %v", h, err)
		}
		if diff := cmp.Diff(h, again, cmpopts.EquateEmpty()); diff != "" {
			t.Fatal(diff)
		}
	})
}

// FuzzFile: a file of anything is never read as an entry with a body that is
// not its own.
func FuzzFile(f *testing.F) {
	h := headFor("http://a/", 1)
	n := nameOf(h)
	body := bodyFor("a", 0, 50)
	slot := encodeSlot(1, encodeHead(h))
	p := place{room: roomFor(len(slot)), sum: sumOf(body)}
	whole := append(appendPrefix(nil, n, &p, 50), slot...)
	whole = append(whole, make([]byte, int(p.base())-len(whole))...)
	whole = append(whole, body...)
	f.Add(whole)
	f.Add(append(whole, encodeSlot(2, encodeHead(h))...))
	// One file all the time: to close it after cutting it flushes the disk.
	file, err := os.Create(filepath.Join(f.TempDir(), "f"))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { file.Close() })
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := file.Truncate(int64(len(b))); err != nil {
			t.Fatal(err)
		}
		if _, err := file.WriteAt(b, 0); err != nil {
			t.Fatal(err)
		}
		e, err := readEntry(file, n)
		if err != nil {
			return
		}
		if e.Head.Key != h.Key || e.place.base()+e.Size > int64(len(b)) {
			t.Fatalf("%+v", e.Head)
		}
		_ = checkBody(file, e.place.base(), e.Size, e.place.sum)
	})
}
