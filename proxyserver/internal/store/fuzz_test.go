package store

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"topdown/pkg/httpmsg"
	"topdown/proxyserver/internal/rules"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// FuzzHead: whatever decodes encodes to the same again; nothing panics.
func FuzzHead(f *testing.F) {
	f.Add(encodeHead("http://a/", &storedFor("http://a/", 1).Head))
	f.Add(encodeHead("http://a/", &rules.Head{
		Status: 206, Partial: true, First: 5, Total: 10, RequestTime: time.Unix(1, 2), ResponseTime: time.Unix(3, 4),
		Vary: httpmsg.Fields{{Name: "foo", Value: "1"}}, Fields: httpmsg.Fields{{Name: "A", Value: ""}},
	}))
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff\x7f"))
	f.Fuzz(func(t *testing.T, b []byte) {
		key, h, err := decodeHead(b)
		if err != nil {
			return
		}
		keyAgain, again, err := decodeHead(encodeHead(key, &h))
		if err != nil {
			t.Fatalf("%+v does not decode again: %v", h, err)
		}
		if diff := cmp.Diff(h, again, cmpopts.EquateEmpty()); diff != "" || key != keyAgain {
			t.Fatal(key, keyAgain, diff)
		}
		rules.NewStored(h, rules.Config{})
	})
}

// FuzzFile: a file of anything is never read as an entry with a body that is
// not its own.
func FuzzFile(f *testing.F) {
	const key = "http://a/"
	head, body := encodeHead(key, &storedFor(key, 1).Head), bodyFor("a", 0, 50)
	n := newName(primaryOf(key), 7, 1)
	tail := appendTrailer(head, n, 50, sumOf(body))
	f.Add(append(body, tail...), false)
	f.Add(tail, true)
	// One file all the time: to close it after cutting it flushes the disk.
	file, err := os.Create(filepath.Join(f.TempDir(), "f"))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { file.Close() })
	f.Fuzz(func(t *testing.T, b []byte, isHead bool) {
		if err := file.Truncate(int64(len(b))); err != nil {
			t.Fatal(err)
		}
		if _, err := file.WriteAt(b, 0); err != nil {
			t.Fatal(err)
		}
		e, sum, err := readHead(file, n, isHead, rules.Config{})
		if err != nil {
			return
		}
		if e.Key != key || !isHead && e.Size > int64(len(b)) {
			t.Fatalf("%+v", e)
		}
		if !isHead {
			_ = checkBody(file, e.Size, sum)
		}
	})
}
