package form

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// addBodies seeds a fuzz target with bodies of all kinds.
func addBodies(f *testing.F) {
	f.Helper()
	for _, name := range []string{"chromium-multipart", "chromium-urlencoded", "curl-multipart", "curl-urlencoded", "python-multipart", "python-urlencoded"} {
		contentType, body := recorded(f, name)
		f.Add(contentType, body)
	}
	for _, name := range []string{"../x", `..\x`, "/etc/passwd", "CON", ".htaccess", "..", "a/../../b", "a\x00b", strings.Repeat("网", 100)} {
		f.Add(multi, []byte(filesBody(name, "x", name, "y")))
	}
	f.Add(urlencoded, []byte("a=%41&b=%"))
	f.Add(multi, []byte("--XX\nContent-Disposition: form-data; name=a\n\nx\n--XX--"))
	f.Add(multi, []byte(crlf("--XX\nContent-Disposition: form-data; name=a\n")))
}

// checkRefusal checks that an error of Read is the client's fault.
func checkRefusal(t *testing.T, err error) {
	t.Helper()
	var refusal *Error
	if !errors.As(err, &refusal) || refusal.Status != 400 && refusal.Status != 413 || refusal.Reason == "" {
		t.Errorf("a body gave %v", err)
	}
}

// FuzzRead feeds any body under any type: Read must not panic and must stay
// within its limits, however the body arrives; the page must stay a page.
func FuzzRead(f *testing.F) {
	addBodies(f)
	opts := Options{MaxParts: 20, MaxFieldBytes: 1000, MaxValueBytes: 100}
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		result, err := Read(bytes.NewReader(body), contentType, opts)
		again, errAgain := Read(iotest.OneByteReader(bytes.NewReader(body)), contentType, opts)
		if (err == nil) != (errAgain == nil) || err == nil && !cmp.Equal(result, again) {
			t.Fatalf("at once %+v, %v; byte by byte %+v, %v", result, err, again, errAgain)
		}
		if err != nil {
			checkRefusal(t, err)
			return
		}
		kept := 0
		for _, fd := range result.Fields {
			kept += len(fd.Name) + len(fd.Value)
			if len(fd.Value) > opts.MaxValueBytes || fd.Truncated != (int64(len(fd.Value)) < fd.Size) {
				t.Errorf("field of %d bytes, Size %d, Truncated %v", len(fd.Value), fd.Size, fd.Truncated)
			}
		}
		for _, fl := range result.Files {
			kept += len(fl.Field) + len(fl.Name) + len(fl.ContentType)
		}
		if kept > opts.MaxFieldBytes || len(result.Fields)+len(result.Files) > opts.MaxParts || result.Size != int64(len(body)) {
			t.Errorf("kept %d bytes, %d fields, %d files of a body of %d (Size %d)", kept, len(result.Fields), len(result.Files), len(body), result.Size)
		}
		checkPage(t, AppendHTML(nil, result))
		if !json.Valid(AppendJSON(nil, result)) {
			t.Error("AppendJSON is not JSON")
		}
	})
}

// FuzzUploads feeds any body to a store: every file must be inside the
// directory, whole, and nothing may be left of a body that is refused.
func FuzzUploads(f *testing.F) {
	addBodies(f)
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		outer := t.TempDir()
		dir := filepath.Join(outer, "in")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		u, err := OpenUploads(dir, Quota{PerRequest: 4 << 10, Total: 8 << 10})
		if err != nil {
			t.Fatal(err)
		}
		defer u.Close()
		result, err := Read(bytes.NewReader(body), contentType, Options{MaxParts: 20, Store: u})
		found := contents(t, outer)
		if err != nil {
			checkRefusal(t, err)
			if len(found) > 0 || u.Used() != 0 {
				t.Errorf("refused, but %d bytes and %q are left", u.Used(), found)
			}
			return
		}
		stored, size := 0, int64(0)
		for _, fl := range result.Files {
			if fl.StoredAs == "" {
				continue
			}
			stored++
			size += fl.Size
			if text, ok := found["in/"+fl.StoredAs]; !ok || sum(text) != fl.SHA256 || int64(len(text)) != fl.Size {
				t.Errorf("%q is not stored as %q", fl.Name, fl.StoredAs)
			}
		}
		if stored != len(found) || size != u.Used() {
			t.Errorf("%d files of %d bytes are stored, but %q exist and %d bytes count", stored, size, found, u.Used())
		}
	})
}
