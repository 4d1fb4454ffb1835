//go:build unix

package e2e_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// stored reads the upload directory: the texts by name.
func stored(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = string(b)
	}
	return files
}

func uploadDirs(t *testing.T) (root, uploads string) {
	t.Helper()
	root = writeTree(t, map[string]string{"form.html": "<form method=post>"})
	uploads = filepath.Join(t.TempDir(), "uploads")
	if err := os.Mkdir(uploads, 0o755); err != nil {
		t.Fatal(err)
	}
	return root, uploads
}

func upload(t *testing.T, name, text string, fields ...string) string {
	t.Helper()
	body, kind := multipartBody(t, nil, file{"file", name, "application/octet-stream", text})
	return post("/form.html", kind, body, fields...)
}

// TestUploads: files are stored whole under safe names, and nothing is ever
// overwritten.
func TestUploads(t *testing.T) {
	t.Parallel()
	root, dir := uploadDirs(t)
	s := start(t, "--root", root, "--uploads", dir)
	texts := map[string]bool{}
	send := func(name, text string) {
		t.Helper()
		r := s.exchange(t, upload(t, name, text))
		if !statuses("200|201", r.StatusCode) {
			t.Fatalf("%s: %s, want 200 or 201", name, r.Status)
		}
		texts[text] = true
	}
	send("report.txt", "first")
	if stored(t, dir)["report.txt"] != "first" {
		t.Errorf("stored: %q, want report.txt", stored(t, dir))
	}
	send("report.txt", "second") // a collision
	if got := stored(t, dir); got["report.txt"] != "first" || len(got) != 2 {
		t.Errorf("after a collision: %q", got)
	}
	for i, name := range []string{
		"../../escape.txt", "/etc/cron.d/escape", `..\\..\\escape.txt`, `C:\\escape.txt`, ".htaccess", "..", ".", "", "a/b/c", "nul\x01.txt",
		"%2e%2e%2fescape", strings.Repeat("n", 5_000) + ".txt", "ünï.txt", "\xff\xfe.txt", "CON", "x\u202etxt.exe", "report.txt/", " spaces ", "-rf",
	} {
		text := "odd name " + string(rune('a'+i))
		r := s.exchange(t, upload(t, name, text))
		switch {
		case r.StatusCode == 400: // refused is safe too
		case statuses("200|201", r.StatusCode):
			texts[text] = true
		default:
			t.Errorf("name %.40q: %s", name, r.Status)
		}
	}
	got := stored(t, dir)
	for name, text := range got {
		if strings.HasPrefix(name, ".") || strings.ContainsAny(name, "/\\\x00\x01") {
			t.Errorf("stored under %q", name)
		}
		if !texts[text] {
			t.Errorf("%q holds %.40q, which no one sent", name, text)
		}
		delete(texts, text)
	}
	// A name that is empty makes it a field to some, so that one may be missing.
	if len(texts) > 1 {
		t.Errorf("not stored: %v", texts)
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(filepath.Dir(dir)), "escape.txt")); err == nil {
		t.Error("a name led out of the directory")
	}
	if r := s.exchange(t, upload(t, "new.html", "x", "Host: y")); r.StatusCode != 400 {
		t.Errorf("two Hosts: %s", r.Status)
	}
	if r := s.exchange(t, strings.Replace(upload(t, "new.html", "x"), "/form.html", "/missing.html", 1)); r.StatusCode == 200 {
		t.Errorf("upload to a missing page: %s", r.Status)
	}
	if _, ok := stored(t, dir)["new.html"]; ok {
		t.Error("a refused upload was stored")
	}
}

// TestUploadsConcurrently sends one name from many clients at once.
func TestUploadsConcurrently(t *testing.T) {
	t.Parallel()
	root, dir := uploadDirs(t)
	s := start(t, "--root", root, "--uploads", dir)
	const clients = 16
	text := func(i int) string { return strings.Repeat(string(rune('a'+i)), 100_000) }
	var wg sync.WaitGroup
	for i := range clients {
		wire := upload(t, "same.bin", text(i))
		wg.Go(func() {
			conn, err := s.connect()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			c := newClient(conn)
			c.send(wire)
			if r, err := c.read("POST"); err != nil || !statuses("200|201", r.StatusCode) {
				t.Errorf("client %d: %v %v", i, r, err)
			}
		})
	}
	wg.Wait()
	var got []string
	for _, text := range stored(t, dir) {
		got = append(got, text)
	}
	slices.Sort(got)
	if len(got) != clients {
		t.Fatalf("%d files, want %d", len(got), clients)
	}
	for i := range got {
		if got[i] != text(i) {
			t.Errorf("file %d: %d bytes of %.3q", i, len(got[i]), got[i])
		}
	}
}

// TestUploadLimits: a request or a directory that grows too large gets 413
// and leaves nothing behind; so does a client that breaks off.
func TestUploadLimits(t *testing.T) {
	t.Parallel()
	root, dir := uploadDirs(t)
	s := start(t, "--root", root, "--uploads", dir, "--upload-max", "64KiB", "--upload-quota", "100KiB")
	large := strings.Repeat("x", 200<<10)
	if r := s.exchange(t, upload(t, "large", large)); r.StatusCode != 413 {
		t.Errorf("over --upload-max: %s, want 413", r.Status)
	}
	body, kind := multipartBody(t, nil, file{"file", "large", "", large})
	chunked := request("POST", "/form.html", "Content-Type: "+kind, "Transfer-Encoding: chunked") +
		strconv.FormatInt(int64(len(body)), 16) + "\r\n" + body + "\r\n0\r\n\r\n"
	if r := s.exchange(t, chunked); r.StatusCode != 413 {
		t.Errorf("over --upload-max in chunks: %s, want 413", r.Status)
	}
	two, kind := multipartBody(t, nil, file{"file", "one", "", "good"}, file{"file", "two", "", large})
	if r := s.exchange(t, post("/form.html", kind, two)); r.StatusCode != 413 {
		t.Errorf("a good file and one over the limit: %s, want 413", r.Status)
	}
	eventually(t, "the refused files to go", func() bool { return len(stored(t, dir)) == 0 })

	c := s.dial(t)
	wire := upload(t, "broken", strings.Repeat("y", 60<<10))
	if _, err := io.WriteString(c, wire[:len(wire)/2]); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the upload to begin", func() bool { return len(stored(t, dir)) > 0 })
	for name := range stored(t, dir) {
		if name == "broken" {
			t.Error("a file that is not whole has its name already")
		}
		// What is on its way is not part of any site.
		if !strings.HasPrefix(name, ".") {
			t.Errorf("temporary file %q is not hidden", name)
		}
	}
	_ = c.Conn.(*net.TCPConn).SetLinger(0)
	c.Close()
	eventually(t, "the broken upload to go", func() bool { return len(stored(t, dir)) == 0 })

	if r := s.exchange(t, upload(t, "a", strings.Repeat("a", 50<<10))); !statuses("200|201", r.StatusCode) {
		t.Errorf("within the quota: %s", r.Status)
	}
	if r := s.exchange(t, upload(t, "b", strings.Repeat("b", 60<<10))); r.StatusCode != 413 {
		t.Errorf("over the quota: %s, want 413", r.Status)
	}
	if got := stored(t, dir); len(got) != 1 || len(got["a"]) != 50<<10 {
		t.Errorf("after the quota is spent there are %d files", len(got))
	}
	s.alive(t)
}

// TestUploadToken: everyone reads, those with the token store.
func TestUploadToken(t *testing.T) {
	t.Parallel()
	root, dir := uploadDirs(t)
	token := filepath.Join(t.TempDir(), "token")
	writeFile(t, token, "s3cret-token\n")
	basic := func(user, password string) string {
		return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
	}
	check := func(t *testing.T, s *server) {
		t.Helper()
		s.alive(t)
		for i, test := range []struct {
			fields []string
			want   string
		}{
			{nil, "401"},
			{[]string{"Authorization: Bearer wrong"}, "401"},
			{[]string{"Authorization: Bearer s3cret-toke"}, "401"},
			{[]string{"Authorization: Bearer s3cret-token2"}, "401"},
			{[]string{"Authorization: Bearer"}, "400|401"},
			{[]string{"Authorization: s3cret-token"}, "400|401"},
			{[]string{basic("me", "wrong")}, "401"},
			{[]string{basic("s3cret-token", "")}, "401"},
			{[]string{"Authorization: Basic !!!"}, "400|401"},
			{[]string{"Authorization: Bearer s3cret-token"}, "200|201"},
			{[]string{"authorization: bearer s3cret-token"}, "200|201"},
			{[]string{basic("me", "s3cret-token")}, "200|201"},
			{[]string{basic("", "s3cret-token")}, "200|201"},
		} {
			before := len(stored(t, dir))
			r := s.exchange(t, upload(t, "file", "text", test.fields...))
			if !statuses(test.want, r.StatusCode) {
				t.Errorf("%d. %v: %s, want %s", i, test.fields, r.Status, test.want)
			}
			if grown := len(stored(t, dir)) - before; (grown == 1) != (r.StatusCode < 300) {
				t.Errorf("%d. %v: %s and %d new files", i, test.fields, r.Status, grown)
			}
		}
		if log := s.stdout.String() + s.stderr.String(); strings.Contains(log, "s3cret") {
			t.Error("the token is in the log")
		}
	}
	t.Run("file", func(t *testing.T) {
		check(t, start(t, "--root", root, "--uploads", dir, "--upload-token-file", token, "--access-log", "-"))
	})
	t.Run("environment", func(t *testing.T) {
		check(t, launch{args: []string{"--root", root, "--uploads", dir}, env: append(os.Environ(), "WEBSERVER_UPLOAD_TOKEN=s3cret-token")}.start(t))
	})
	t.Run("needed on a public address", func(t *testing.T) {
		p := launch{args: []string{"--addr", "0.0.0.0:0", "--root", root, "--uploads", dir}}.run(t)
		if code := p.exit(t); code != 1 && code != 2 {
			t.Errorf("exit code %d, want a refusal", code)
		}
		if !strings.Contains(p.stderr.String(), "token") {
			t.Errorf("stderr does not name the token: %s", p.stderr)
		}
	})
	t.Run("missing directory", func(t *testing.T) {
		p := launch{args: []string{"--addr", "127.0.0.1:0", "--root", root, "--uploads", filepath.Join(dir, "nowhere")}}.run(t)
		if code := p.exit(t); code != 1 {
			t.Errorf("exit code %d, want 1", code)
		}
	})
}

// TestUploadSurvivesShutdown: an upload on its way when SIGTERM comes is
// either whole or not there.
func TestUploadSurvivesShutdown(t *testing.T) {
	t.Parallel()
	root, dir := uploadDirs(t)
	s := start(t, "--root", root, "--uploads", dir)
	c := s.dial(t)
	wire := upload(t, "late.txt", strings.Repeat("z", 100_000))
	if _, err := io.WriteString(c, wire[:len(wire)/2]); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the upload to begin", func() bool { return len(stored(t, dir)) > 0 })
	s.signal(t, syscall.SIGTERM)
	s.awaitClosed(t)
	c.send(wire[len(wire)/2:])
	r, err := c.read("POST")
	if code := s.exit(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if err != nil || !statuses("200|201", r.StatusCode) {
		t.Errorf("the upload in flight: %v, %v", r, err)
	}
	if got := stored(t, dir); len(got) != 1 || len(got["late.txt"]) != 100_000 {
		t.Errorf("%d files, late.txt of %d bytes", len(got), len(got["late.txt"]))
	}
}

// awaitClosed waits until the server takes no new connections.
func (s *server) awaitClosed(t *testing.T) {
	t.Helper()
	eventually(t, "the listener to close", func() bool {
		conn, err := net.Dial(s.network, s.addr)
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
}

// TestDiskFull: what does not fit on the disk is refused with 507 and leaves nothing
// behind; then the server goes on, and takes what fits.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	root, dir := uploadDirs(t)
	s := launch{
		prefix: ownMounts(t, "mount -t tmpfs -o size=1m none '"+dir+"'"),
		args:   []string{"--root", root, "--uploads", dir, "--max-body", "10MiB"},
	}.start(t)
	mounted := fmt.Sprintf("/proc/%d/root%s", s.cmd.Process.Pid, dir)
	for range 3 {
		r := s.exchange(t, upload(t, "large.bin", string(noise(2<<20))))
		if r.StatusCode != 507 || !strings.Contains(string(r.body), "507 Insufficient Storage") {
			t.Errorf("a file larger than the disk: %s\n%s", r.Status, r.body)
		}
		if left := stored(t, mounted); len(left) != 0 {
			t.Errorf("%d files are left of it", len(left))
		}
		s.alive(t)
	}
	if r := s.exchange(t, upload(t, "small.txt", "small")); r.StatusCode != 200 {
		t.Errorf("a file that fits: %s", r.Status)
	}
	if got := stored(t, mounted)["small.txt"]; got != "small" {
		t.Errorf("stored: %q", got)
	}
	s.stderr.await(t, "the full disk in the log", func(text string) bool { return strings.Contains(text, "no space left on device") })
}
