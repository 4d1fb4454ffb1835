package form

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

const (
	urlencoded = "application/x-www-form-urlencoded"
	multi      = "multipart/form-data; boundary=XX"
)

// crlf writes a body with readable line ends.
func crlf(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

func sum(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])
}

func field(name, val string) Field {
	return Field{Name: name, Value: val, Size: int64(len(val))}
}

func file(field, name, contentType, content string) File {
	return File{Field: field, Name: name, ContentType: contentType, Size: int64(len(content)), SHA256: sum(content)}
}

func TestRead(t *testing.T) {
	tests := []struct {
		name        string
		contentType string
		body        string
		kind        Kind
		fields      []Field
		files       []File
	}{
		{"urlencoded", urlencoded, "a=1&b=2", URLEncoded, []Field{field("a", "1"), field("b", "2")}, nil},
		{"urlencoded empty", urlencoded, "", URLEncoded, nil, nil},
		{"urlencoded with charset", "Application/X-WWW-Form-URLencoded; charset=UTF-8", "a=1", URLEncoded, []Field{field("a", "1")}, nil},
		{"urlencoded with a bad parameter", urlencoded + "; charset", "a=1", URLEncoded, []Field{field("a", "1")}, nil},
		{"plus and escapes", urlencoded, "a+b=%41%2b%C4%8c+%3D", URLEncoded, []Field{field("a b", "A+Č =")}, nil},
		{"escape decoded once", urlencoded, "a=%2541", URLEncoded, []Field{field("a", "%41")}, nil},
		{"no equals sign", urlencoded, "a", URLEncoded, []Field{field("a", "")}, nil},
		{"no name", urlencoded, "=x", URLEncoded, []Field{field("", "x")}, nil},
		{"second equals sign", urlencoded, "a=b=c", URLEncoded, []Field{field("a", "b=c")}, nil},
		{"escaped separators", urlencoded, "a%3Db=c%26d", URLEncoded, []Field{field("a=b", "c&d")}, nil},
		{"empty pairs", urlencoded, "&&a=1&&", URLEncoded, []Field{field("a", "1")}, nil},
		{"semicolon is no separator", urlencoded, "a=1;b=2", URLEncoded, []Field{field("a", "1;b=2")}, nil},
		{"repeated name", urlencoded, "a=1&a=2", URLEncoded, []Field{field("a", "1"), field("a", "2")}, nil},
		{"bytes that are not UTF-8", urlencoded, "a=%FF%00\xfe", URLEncoded, []Field{field("a", "\xff\x00\xfe")}, nil},

		{"multipart", multi, crlf("--XX\nContent-Disposition: form-data; name=\"a\"\n\none\n--XX--\n"), Multipart, []Field{field("a", "one")}, nil},
		{"no line end after the final boundary", multi, crlf("--XX\nContent-Disposition: form-data; name=a\n\none\n--XX--"), Multipart, []Field{field("a", "one")}, nil},
		{"only the final boundary", multi, crlf("--XX--\n"), Multipart, nil, nil},
		{"preamble and epilogue", multi, crlf("hi\n--XX\nContent-Disposition: form-data; name=a\n\none\n--XX--\nbye --XX\n"), Multipart, []Field{field("a", "one")}, nil},
		{"line ends without carriage return", multi, "--XX\nContent-Disposition: form-data; name=a\n\none\n--XX--", Multipart, []Field{field("a", "one")}, nil},
		{"empty value", multi, crlf("--XX\nContent-Disposition: form-data; name=a\n\n\n--XX--\n"), Multipart, []Field{field("a", "")}, nil},
		{"near-boundary in the value", multi, crlf("--XX\nContent-Disposition: form-data; name=a\n\n\n--X\n --XX\n--XXX\n--XX--\n"), Multipart, []Field{field("a", "\r\n--X\r\n --XX\r\n--XXX")}, nil},
		{"spaces after the boundary", multi, crlf("--XX  \t\nContent-Disposition: form-data; name=a\n\none\n--XX-- \n"), Multipart, []Field{field("a", "one")}, nil},
		{"quoted boundary of odd characters", `multipart/form-data; boundary="a'()+_,-./:=? z"`, crlf("--a'()+_,-./:=? z\nContent-Disposition: form-data; name=a\n\none\n--a'()+_,-./:=? z--\n"), Multipart, []Field{field("a", "one")}, nil},
		{"boundary of 70", "multipart/form-data; boundary=" + strings.Repeat("b", 70), crlf("--" + strings.Repeat("b", 70) + "\nContent-Disposition: form-data; name=a\n\none\n--" + strings.Repeat("b", 70) + "--\n"), Multipart, []Field{field("a", "one")}, nil},
		{"file", multi, crlf("--XX\nContent-Disposition: form-data; name=f; filename=\"x.bin\"\nContent-Type: image/png\n\n\x00\xff\n--XX--\n"), Multipart, nil, []File{file("f", "x.bin", "image/png", "\x00\xff")}},
		{"no file chosen", multi, crlf("--XX\nContent-Disposition: form-data; name=f; filename=\"\"\nContent-Type: application/octet-stream\n\n\n--XX--\n"), Multipart, nil, []File{file("f", "", "application/octet-stream", "")}},
		{"quotes in names", multi, crlf("--XX\nContent-Disposition: form-data; name=\"a%22b\"; filename=\"c\\\"d%0D%0A\"\n\nx\n--XX--\n"), Multipart, nil, []File{file(`a"b`, "c\"d\r\n", "", "x")}},
		{"path as file name", multi, crlf("--XX\nContent-Disposition: form-data; name=f; filename=\"C:\\temp\\x.txt\"\n\nx\n--XX--\n"), Multipart, nil, []File{file("f", `C:\temp\x.txt`, "", "x")}},
		{"transfer encoding is not undone", multi, crlf("--XX\nContent-Disposition: form-data; name=a\nContent-Transfer-Encoding: quoted-printable\n\n=41\n--XX--\n"), Multipart, []Field{field("a", "=41")}, nil},

		{"plain text form", "text/plain", "a=1", Other, nil, nil},
		{"no content type", "", "a=1", Other, nil, nil},
		{"unreadable content type", ";;;", "a=1", Other, nil, nil},
		{"other multipart", "multipart/mixed; boundary=XX", "--XX--", Other, nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := &Result{Kind: tt.kind, ContentType: tt.contentType, Size: int64(len(tt.body)), Fields: tt.fields, Files: tt.files}
			if tt.kind == Other {
				want.SHA256 = sum(tt.body)
			}
			readers := map[string]io.Reader{
				"at once":        strings.NewReader(tt.body),
				"byte by byte":   iotest.OneByteReader(strings.NewReader(tt.body)),
				"data with EOF":  iotest.DataErrReader(strings.NewReader(tt.body)),
				"half at a time": iotest.HalfReader(strings.NewReader(tt.body)),
			}
			for how, r := range readers {
				got, err := Read(r, tt.contentType, Options{})
				if err != nil {
					t.Fatalf("%s: %v", how, err)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", how, diff)
				}
			}
		})
	}
}

func TestReadRefuses(t *testing.T) {
	part := func(head string) string { return crlf("--XX\n" + head + "\n\nx\n--XX--\n") }
	many := func(n int) string { return strings.Repeat("a&", n) }
	tests := []struct {
		name        string
		contentType string
		body        string
		status      int
	}{
		{"percent sign alone", urlencoded, "a=100%", 400},
		{"percent sign and one digit", urlencoded, "a=%4", 400},
		{"percent sign and letters", urlencoded, "a=%zz", 400},
		{"percent sign in the name", urlencoded, "%=a", 400},
		{"too many pairs", urlencoded, many(1001), 413},
		{"name too large", urlencoded, strings.Repeat("n", 256<<10+1), 413},
		{"values too large together", urlencoded, strings.Repeat("a="+strings.Repeat("v", 60<<10)+"&", 5), 413},

		{"no boundary", "multipart/form-data", "--XX--", 400},
		{"empty boundary", `multipart/form-data; boundary=""`, "----", 400},
		{"unreadable boundary", `multipart/form-data; boundary="X`, "--X--", 400},
		{"boundary of 71", "multipart/form-data; boundary=" + strings.Repeat("b", 71), "", 400},
		{"empty body", multi, "", 400},
		{"no boundary in the body", multi, "hello", 400},
		{"no final boundary", multi, crlf("--XX\nContent-Disposition: form-data; name=a\n\none\n--XX\n"), 400},
		{"cut in a value", multi, crlf("--XX\nContent-Disposition: form-data; name=a\n\non"), 400},
		{"cut in a part's head", multi, crlf("--XX\nContent-Disposition: form-"), 400},
		{"cut after a part's head", multi, crlf("--XX\nContent-Disposition: form-data; name=a\n\n"), 400},
		{"cut before the end of a part's head", multi, crlf("--XX\nContent-Disposition: form-data; name=a\n"), 400},
		{"cut after a boundary", multi, crlf("--XX\nContent-Disposition: form-data; name=a\n\none\n--XX"), 400},
		{"cut before the final boundary", multi, crlf("--XX\nContent-Disposition: form-data; name=a\n\none\n"), 400},
		{"cut in the final boundary", multi, crlf("--XX\nContent-Disposition: form-data; name=a\n\none\n--XX-"), 400},
		{"no head", multi, crlf("--XX\n\none\n--XX--\n"), 400},
		{"no name", multi, part("Content-Disposition: form-data"), 400},
		{"file without a name", multi, part("Content-Disposition: form-data; filename=x"), 400},
		{"not form-data", multi, part("Content-Disposition: attachment; name=a"), 400},
		{"name twice", multi, part("Content-Disposition: form-data; name=a; name=b"), 400},
		{"no colon in the head", multi, part("Content-Disposition form-data"), 400},
		{"huge head of a part", multi, part("Content-Disposition: form-data; name=a\nX: " + strings.Repeat("x", 1<<20)), 413},
		{"endless fields in the head of a part", multi, part("Content-Disposition: form-data; name=a" + strings.Repeat("\nX: y", 1<<18)), 413},
		{"huge preamble", multi, strings.Repeat("preamble\r\n", 1<<16) + part("Content-Disposition: form-data; name=a"), 413},
		{"too many parts", multi, strings.Repeat(crlf("--XX\nContent-Disposition: form-data; name=a\n\n\n"), 1001) + "--XX--", 413},
		{"too many files", multi, strings.Repeat(crlf("--XX\nContent-Disposition: form-data; name=a; filename=b\n\n\n"), 1001) + "--XX--", 413},
		{"large file names", multi, strings.Repeat(crlf("--XX\nContent-Disposition: form-data; name=a; filename="+strings.Repeat("b", 10<<10)+"\n\n\n"), 30) + "--XX--", 413},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			result, err := Read(strings.NewReader(tt.body), tt.contentType, Options{})
			var refusal *Error
			if !errors.As(err, &refusal) {
				t.Fatalf("Read = %+v, %v; want an *Error", result, err)
			}
			if refusal.Status != tt.status {
				t.Errorf("status %d (%s), want %d", refusal.Status, refusal.Reason, tt.status)
			}
			if refusal.Reason == "" || len(refusal.Reason) > 300 || strings.ContainsAny(refusal.Reason, "\r\n") {
				t.Errorf("reason is not one short line: %q", refusal.Reason)
			}
		})
	}
}

// The limits admit exactly what they say.
func TestReadLimits(t *testing.T) {
	opts := Options{MaxParts: 3, MaxFieldBytes: 10, MaxValueBytes: 4}
	tests := []struct {
		name, body string
		status     int
		fields     []Field
	}{
		{"most parts", "a&b&c&", 0, []Field{field("a", ""), field("b", ""), field("c", "")}},
		{"one part more", "a&b&c&d", 413, nil},
		{"whole value", "a=1234", 0, []Field{field("a", "1234")}},
		{"cut value", "a=123456", 0, []Field{{Name: "a", Value: "1234", Size: 6, Truncated: true}}},
		{"cut between characters", "a=123%C4%8C5", 0, []Field{{Name: "a", Value: "123", Size: 6, Truncated: true}}},
		{"dropped bytes do not count", "a=" + strings.Repeat("x", 99) + "&b=yyyy", 0, []Field{{Name: "a", Value: "xxxx", Size: 99, Truncated: true}, field("b", "yyyy")}},
		{"one byte too many", "a=xxxx&bc=yyyy", 413, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Read(strings.NewReader(tt.body), urlencoded, opts)
			var refusal *Error
			if errors.As(err, &refusal) != (tt.status != 0) || refusal != nil && refusal.Status != tt.status {
				t.Fatalf("error %v, want status %d", err, tt.status)
			}
			if tt.status == 0 {
				if diff := cmp.Diff(tt.fields, got.Fields); diff != "" {
					t.Errorf("fields (-want +got):\n%s", diff)
				}
			}
		})
	}
}

// An error of the body is the caller's own and comes back as such.
func TestReadBodyError(t *testing.T) {
	gone := errors.New("connection reset")
	bodies := map[string]string{
		urlencoded:                         "a=1&b",
		multi:                              crlf("--XX\nContent-Disposition: form-data; name=a\n\none"),
		"text/plain":                       "hello",
		"multipart/form-data; boundary=YY": crlf("--YY\nContent-Disposition: form-data; name=a\n\none\n--YY--\nepilogue"),
	}
	for contentType, body := range bodies {
		t.Run(contentType, func(t *testing.T) {
			for _, cause := range []error{gone, io.ErrUnexpectedEOF, &Error{Status: 413, Reason: "the caller's"}} {
				_, err := Read(io.MultiReader(strings.NewReader(body), iotest.ErrReader(cause)), contentType, Options{})
				if !errors.Is(err, cause) {
					t.Errorf("error %v, want one that wraps %v", err, cause)
				}
				var refusal *Error
				if errors.As(err, &refusal) && !errors.Is(cause, refusal) {
					t.Errorf("an error of the body became the client's fault: %v", err)
				}
			}
		})
	}
}

// Memory does not grow with the body.
func TestReadMemory(t *testing.T) {
	const size = 64 << 20
	var zeros io.Reader = zeroReader{}
	bodies := map[string]struct {
		contentType string
		body        io.Reader
	}{
		"large file":  {multi, io.MultiReader(strings.NewReader(crlf("--XX\nContent-Disposition: form-data; name=f; filename=x\n\n")), io.LimitReader(zeros, size), strings.NewReader("\r\n--XX--"))},
		"large value": {multi, io.MultiReader(strings.NewReader(crlf("--XX\nContent-Disposition: form-data; name=f\n\n")), io.LimitReader(zeros, size), strings.NewReader("\r\n--XX--"))},
		"other":       {"", io.LimitReader(zeros, size)},
	}
	for name, b := range bodies {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			result, err := Read(b.body, b.contentType, Options{})
			runtime.ReadMemStats(&after)
			if err != nil {
				t.Fatal(err)
			}
			if result.Size < size {
				t.Errorf("size %d, want at least %d", result.Size, size)
			}
			if grown := after.TotalAlloc - before.TotalAlloc; grown > 2<<20 {
				t.Errorf("allocated %d bytes for a body of %d", grown, size)
			}
		})
	}
}

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// recorded returns a body that a real client sent: a file whose first line is
// the Content-Type, followed by an empty line and the body.
func recorded(tb testing.TB, name string) (contentType string, body []byte) {
	tb.Helper()
	all, err := os.ReadFile(filepath.Join("testdata", name+".body"))
	if err != nil {
		tb.Fatal(err)
	}
	head, body, ok := bytes.Cut(all, []byte("\r\n\r\n"))
	if !ok {
		tb.Fatalf("%s has no empty line", name)
	}
	return string(head), body
}

// Bodies as Chromium, curl and Python sent them.
func TestReadRecorded(t *testing.T) {
	const (
		ada         = "Ada Lovelace & Čapek"
		octetStream = "application/octet-stream"
		binary      = "\x00\xff\r\n--\r\n\x01"
	)
	typed := []Field{field("name", ada), field(`naïve "key"`, "a+b=c&d%")}
	tests := []struct {
		name   string
		fields []Field
		files  []File
	}{
		{
			"chromium-multipart", append(typed[:2:2], field("message", "first line\r\nsecond line"), field("copy", "yes")),
			[]File{file("file", "hello.txt", "text/plain", "hello\n"), file("file", `quote".bin`, octetStream, binary), file("file", "文件 name.txt", "text/plain", "x"), file("none", "", octetStream, "")},
		},
		{
			"chromium-urlencoded", append(typed[:2:2], field("message", "first line\r\nsecond line"), field("copy", "yes"), field("file", "hello.txt"), field("file", `quote".bin`), field("file", "文件 name.txt"), field("none", "")),
			nil,
		},
		{"chromium-plain", nil, nil},
		{
			"curl-multipart", typed,
			[]File{file("file", "hello.txt", "text/plain", "hello\n"), file("file", `quote".bin`, octetStream, binary), file("file", "文件 name.txt", "text/plain", "hello\n"), file("win", `C:\temp\hello.txt`, "text/plain", "hello\n")},
		},
		{"curl-urlencoded", []Field{field("name", ada), field("pct", "100%"), field("plain", "a b")}, nil},
		{
			"python-multipart",
			[]Field{field("name", "Ada Lovelace")},
			[]File{file("file", "文件.txt", octetStream, "hello\r\n"), file("file2", "plain.bin", octetStream, "a=3D b")},
		},
		{"python-urlencoded", []Field{field("name", ada), field("pct", "100%"), field("multi", "a"), field("multi", "b")}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			contentType, body := recorded(t, tt.name)
			got, err := Read(bytes.NewReader(body), contentType, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.fields, got.Fields); diff != "" {
				t.Errorf("fields (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.files, got.Files); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
		})
	}
}

func ExampleRead() {
	result, err := Read(strings.NewReader("name=Ada+Lovelace"), "application/x-www-form-urlencoded", Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, f := range result.Fields {
		fmt.Printf("%s: %s\n", f.Name, f.Value)
	}
	// Output: name: Ada Lovelace
}
