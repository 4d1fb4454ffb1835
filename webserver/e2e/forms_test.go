//go:build unix

package e2e_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"html"
	"mime/multipart"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const urlencoded = "application/x-www-form-urlencoded"

// file is one that a form sends.
type file struct{ field, name, kind, text string }

// multipartBody encodes fields and files with mime/multipart, the names of the
// files as they are.
func multipartBody(t *testing.T, fields [][2]string, files ...file) (body, contentType string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, f := range fields {
		if err := w.WriteField(f[0], f[1]); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range files {
		head := textproto.MIMEHeader{}
		head.Set("Content-Disposition", fmt.Sprintf(`form-data; name="%s"; filename="%s"`, f.field, f.name))
		if f.kind != "" {
			head.Set("Content-Type", f.kind)
		}
		part, err := w.CreatePart(head)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := part.Write([]byte(f.text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String(), w.FormDataContentType()
}

func sum(text string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(text))) }

// TestForms: POST to an existing page answers with a page of what came.
func TestForms(t *testing.T) {
	t.Parallel()
	s := start(t) // the built-in site
	multi, multiType := multipartBody(t, [][2]string{{"note", "with & <b>"}},
		file{"up", "photo.png", "image/png", "\x89PNG\x00\xff"}, file{"up", "empty.txt", "text/plain", ""})
	for _, test := range []struct {
		name, wire string
		want       string   // allowed statuses
		shows      []string // in the page's text
		hides      []string // in its source
	}{
		{"urlencoded", post("/MyForm.html", urlencoded, "name=Ada+L%C3%B6w&message=a%26b%3D%0D%0Ac&empty="), "200", []string{"name", "Ada Löw", "message", "a&b=", "empty"}, nil},
		{"urlencoded with charset", post("/MyForm.html", urlencoded+"; charset=UTF-8", "k=v1"), "200", []string{"k", "v1"}, nil},
		{"type in capitals", post("/MyForm.html", strings.ToUpper(urlencoded), "k=v2"), "200", []string{"k", "v2"}, nil},
		{"same name twice", post("/MyForm.html", urlencoded, "k=first&k=second"), "200", []string{"first", "second"}, nil},
		{"markup is escaped", post("/MyForm.html", urlencoded, "%3Cscript%3Ealert(1)%3C/script%3E=%22%3E%3Cimg+src=x+onerror=alert(2)%3E"), "200", []string{"<script>alert(1)</script>", `"><img src=x onerror=alert(2)>`}, []string{"<script>alert", "<img src"}},
		{"bad escapes", post("/MyForm.html", urlencoded, "a=%zz&b=100%&c=%"), "200|400", []string{"a", "b", "c"}, nil},
		{"not UTF-8", post("/MyForm.html", urlencoded, "a=%ff%fe&b=ok"), "200", []string{"ok"}, nil},
		{"empty", post("/MyForm.html", urlencoded, ""), "200", nil, nil},
		{"no body, no type", request("POST", "/MyForm.html", "Content-Length: 0"), "200", nil, nil},
		{"neither length nor coding", request("POST", "/MyForm.html"), "200", nil, nil},
		{"query is not a field", post("/MyForm.html?q=query", urlencoded, "k=v3"), "200", []string{"v3"}, nil},
		{"multipart", post("/MyForm.html", multiType, multi), "200", []string{"note", "with & <b>", "photo.png", "6", sum("\x89PNG\x00\xff"), "empty.txt", sum("")}, []string{"with & <b>"}},
		{"other type", post("/MyForm.html", "application/json", `{"a":1}`), "200", []string{"7", sum(`{"a":1}`)}, nil},
		{"other type, chunked", request("POST", "/MyForm.html", "Content-Type: text/plain", "Transfer-Encoding: chunked") + "3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n", "200", []string{"6", sum("abcdef")}, nil},
		{"hostile type", post("/MyForm.html", `text/x-<script>alert(3)</script>`, "x"), "200", []string{sum("x")}, []string{"<script>alert(3)"}},
		{"multipart without boundary", post("/MyForm.html", "multipart/form-data", "x"), "400", nil, nil},
		{"multipart cut off", post("/MyForm.html", multiType, multi[:len(multi)-30]), "400", nil, nil},
		{"multipart of another boundary", post("/MyForm.html", "multipart/form-data; boundary=other", multi), "400", nil, nil},
		{"directory with an index", post("/", urlencoded, "k=v4"), "200", []string{"v4"}, nil},
		{"missing page", post("/missing.html", urlencoded, "k=v5"), "404", nil, nil},
		{"above the limit of 10 MiB", post("/MyForm.html", "text/plain", strings.Repeat("x", 11<<20)), "413", nil, nil},
		{"just below it", post("/MyForm.html", "text/plain", strings.Repeat("x", 9<<20)), "200", []string{sum(strings.Repeat("x", 9<<20))}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := s.exchange(t, test.wire)
			if !statuses(test.want, r.StatusCode) {
				t.Fatalf("%s, want %s", r.Status, test.want)
			}
			if r.StatusCode != 200 {
				return
			}
			if !strings.HasPrefix(r.field("Content-Type"), "text/html") {
				t.Errorf("Content-Type %q, want a page", r.field("Content-Type"))
			}
			// The answer to a POST must not come out of a cache.
			if cc := r.field("Cache-Control"); !strings.Contains(cc, "no-store") && !strings.Contains(cc, "no-cache") {
				t.Errorf("Cache-Control %q of a result page", cc)
			}
			text := html.UnescapeString(string(r.body))
			for _, want := range test.shows {
				if !strings.Contains(text, want) {
					t.Errorf("the page does not show %q:\n%s", want, r.body)
				}
			}
			for _, never := range test.hides {
				if strings.Contains(string(r.body), never) {
					t.Errorf("the page's source holds %q", never)
				}
			}
		})
	}
	if r := s.get(t, "/HelloWorld.html"); r.StatusCode != 200 {
		t.Errorf("afterwards: %s", r.Status)
	}
}

// curl runs the real curl with a time limit and returns what it prints.
func curl(t *testing.T, args ...string) string {
	t.Helper()
	path := realPeer(t, "curl")
	cmd := exec.Command(path, append([]string{"--silent", "--show-error", "--max-time", "60", "--http1.1", "--noproxy", "*"}, args...)...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("curl %q: %v: %s", args, err, stderr.String())
	}
	return string(out)
}

// TestCurl: what people do with curl works: forms, files, ranges, resumed
// downloads, compression, expectations, a method that is refused.
func TestCurl(t *testing.T) {
	t.Parallel()
	realPeer(t, "curl")
	whole := string(noise(3 << 20))
	page := strings.Repeat("<p>a line that compresses well</p>\n", 2000)
	root := writeTree(t, map[string]string{"data.bin": whole, "page.html": page, "form.html": "<form>", "dir/index.html": "the index of dir"})
	s := start(t, "--root", root)
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	read := func(name string) string {
		b, err := os.ReadFile(at(name))
		if err != nil {
			t.Error(err)
		}
		return string(b)
	}
	if got := curl(t, s.url("/alive.txt")); got != aliveText {
		t.Errorf("plain: %q", got)
	}
	if got := curl(t, "--http1.0", s.url("/alive.txt")); got != aliveText {
		t.Errorf("HTTP/1.0: %q", got)
	}
	if got := curl(t, "-L", s.url("/dir")); got != "the index of dir" {
		t.Errorf("redirect followed: %q", got)
	}
	if got := curl(t, "--path-as-is", "-o", os.DevNull, "-w", "%{http_code}", s.url("/../../etc/passwd")); got != "404" && got != "400" {
		t.Errorf("--path-as-is: %s", got)
	}
	if got := curl(t, "-r", "1000-1999", s.url("/data.bin")); got != whole[1000:2000] {
		t.Errorf("range: %d bytes", len(got))
	}
	if got := curl(t, "-r", "0-9,1000000-1000009", s.url("/data.bin")); !strings.Contains(got, whole[1000000:1000010]) {
		t.Errorf("two ranges: %q", got)
	}
	writeFile(t, at("part"), whole[:1_234_567])
	curl(t, "-C", "-", "-o", at("part"), s.url("/data.bin"))
	if read("part") != whole {
		t.Error("a resumed download differs from the file")
	}
	curl(t, "-C", "-", "-o", at("part"), s.url("/data.bin"))
	if read("part") != whole {
		t.Error("resuming a whole download spoils it")
	}
	if got := curl(t, "--compressed", "-o", at("page"), "-w", "%{size_download}", s.url("/page.html")); read("page") != page || len(got) > 4 {
		t.Errorf("--compressed: %s bytes came", got)
	}
	curl(t, "-o", at("fresh"), "-R", s.url("/alive.txt"))
	curl(t, "-o", at("fresh"), "-z", at("fresh"), "-w", "%{http_code}", s.url("/alive.txt"))
	if read("fresh") != aliveText {
		t.Error("-z of an unchanged file changes it")
	}
	if got := curl(t, "--etag-save", at("etag"), "-o", os.DevNull, s.url("/alive.txt")) + curl(t, "--etag-compare", at("etag"), "-o", os.DevNull, "-w", "%{http_code}", s.url("/alive.txt")); got != "304" {
		t.Errorf("--etag-compare: %s, want 304", got)
	}
	if got := curl(t, "-I", s.url("/data.bin")); !strings.Contains(got, "Content-Length: 3145728") {
		t.Errorf("-I: %q", got)
	}
	if got := curl(t, "-d", "name=Ada", "--data-urlencode", "text=a&b", s.url("/form.html")); !strings.Contains(got, "Ada") || !strings.Contains(html.UnescapeString(got), "a&b") {
		t.Errorf("-d: %s", got)
	}
	if got := curl(t, "-F", "note=hello", "-F", "up=@"+at("part")+";filename=my \"data\".bin", s.url("/form.html")); !strings.Contains(got, sum(whole)) || !strings.Contains(got, "hello") || !strings.Contains(html.UnescapeString(got), `my "data".bin`) {
		t.Errorf("-F: %s", got)
	}
	if got := curl(t, "-H", "Transfer-Encoding: chunked", "--data-binary", "@"+at("part"), "-H", "Content-Type: application/octet-stream", s.url("/form.html")); !strings.Contains(got, sum(whole)) {
		t.Errorf("chunked: %s", got)
	}
	if got := curl(t, "-H", "Expect: 100-continue", "--expect100-timeout", "60", "--data-binary", "@"+at("part"), "-H", "Content-Type: application/octet-stream", s.url("/form.html")); !strings.Contains(got, sum(whole)) {
		t.Errorf("Expect: 100-continue: %s", got)
	}
	writeFile(t, at("large"), strings.Repeat("x", 20<<20))
	for _, expect := range []string{"Expect: 100-continue", "Expect:"} {
		if got := curl(t, "-H", expect, "--data-binary", "@"+at("large"), "-o", os.DevNull, "-w", "%{http_code}", s.url("/form.html")); got != "413" {
			t.Errorf("20 MiB with %q: %q, want 413", expect, got)
		}
	}
	if got := curl(t, "-T", at("part"), "-o", os.DevNull, "-w", "%{http_code}", s.url("/form.html")); got != "405" {
		t.Errorf("-T: %q, want 405", got)
	}
	if got := curl(t, "-X", "OPTIONS", "--request-target", "*", "-o", os.DevNull, "-w", "%{http_code}", s.url("/")); got != "200" && got != "204" {
		t.Errorf("OPTIONS *: %q", got)
	}
	if got := curl(t, s.url("/alive.txt"), s.url("/alive.txt"), s.url("/missing"), s.url("/alive.txt"), "-o", at("1"), "-o", at("2"), "-o", at("3"), "-o", at("4"), "-w", "%{num_connects}"); got != "1000" {
		t.Errorf("connections made for four requests: %q, want 1, 0, 0, 0", got)
	}
	s.alive(t)
}
