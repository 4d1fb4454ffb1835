package form

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// openUploads opens a store in a new directory.
func openUploads(t *testing.T, quota Quota) (u *Uploads, dir string) {
	t.Helper()
	dir = t.TempDir()
	u, err := OpenUploads(dir, quota)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { u.Close() })
	return u, dir
}

// filesBody makes a form of files: names and contents in turn.
func filesBody(namesAndContents ...string) string {
	var b strings.Builder
	for i := 0; i < len(namesAndContents); i += 2 {
		fmt.Fprintf(&b, "--XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"%s\"\r\n\r\n%s\r\n", namesAndContents[i], namesAndContents[i+1])
	}
	b.WriteString("--XX--\r\n")
	return b.String()
}

// contents reads a directory, dotfiles included.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		text, err := os.ReadFile(path)
		found[filepath.ToSlash(name)] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func wantContents(t *testing.T, dir string, want map[string]string) {
	t.Helper()
	if diff := cmp.Diff(want, contents(t, dir)); diff != "" {
		t.Errorf("upload directory (-want +got):\n%s", diff)
	}
}

func TestUploadsStore(t *testing.T) {
	u, dir := openUploads(t, Quota{})
	body := filesBody("a.txt", "one", "../../a.txt", "two", "", "", "", "nameless", "empty.txt", "", ".htaccess", "deny")
	result, err := Read(strings.NewReader(body), multi, Options{Store: u})
	if err != nil {
		t.Fatal(err)
	}
	var stored []string
	for _, f := range result.Files {
		stored = append(stored, f.StoredAs)
	}
	if diff := cmp.Diff([]string{"a.txt", "a-1.txt", "", "upload", "empty.txt", "htaccess"}, stored); diff != "" {
		t.Errorf("StoredAs (-want +got):\n%s", diff)
	}
	wantContents(t, dir, map[string]string{"a.txt": "one", "a-1.txt": "two", "upload": "nameless", "empty.txt": "", "htaccess": "deny"})
	if got, want := u.Used(), int64(len("one"+"two"+"nameless"+"deny")); got != want {
		t.Errorf("Used = %d, want %d", got, want)
	}
}

// Only the files of a multipart form are stored.
func TestUploadsStoreNothingElse(t *testing.T) {
	u, dir := openUploads(t, Quota{})
	for contentType, body := range map[string]string{
		"application/octet-stream": "data",
		urlencoded:                 "file=data&filename=x",
		multi:                      crlf("--XX\nContent-Disposition: form-data; name=file\n\ndata\n--XX--\n"),
		"":                         filesBody("a.txt", "one"),
	} {
		if _, err := Read(strings.NewReader(body), contentType, Options{Store: u}); err != nil {
			t.Errorf("%s: %v", contentType, err)
		}
	}
	wantContents(t, dir, map[string]string{})
}

func TestUploadsMode(t *testing.T) {
	if os.PathSeparator != '/' {
		t.Skip("this system has no permission bits")
	}
	u, dir := openUploads(t, Quota{})
	if _, err := Read(strings.NewReader(filesBody("a.sh", "#!/bin/sh")), multi, Options{Store: u}); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, "a.sh"))
	if err != nil {
		t.Fatal(err)
	}
	if extra := info.Mode().Perm() &^ 0o644; extra != 0 {
		t.Errorf("mode %v, want at most 0644", info.Mode().Perm())
	}
}

// A name that is taken stays as it is, whatever it is.
func TestUploadsNeverOverwrite(t *testing.T) {
	for _, links := range []bool{true, false} {
		t.Run(fmt.Sprintf("links=%v", links), func(t *testing.T) {
			u, dir := openUploads(t, Quota{})
			if !links { // as on FAT
				u.link = func(string, string) error { return errors.ErrUnsupported }
			}
			write := func(name, text string) {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			write("a.txt", "old")
			write("a-1.txt", "older")
			if err := os.Mkdir(filepath.Join(dir, "dir"), 0o700); err != nil {
				t.Fatal(err)
			}
			want := map[string]string{"a.txt": "old", "a-1.txt": "older", "a-2.txt": "new", "dir-1": "file"}
			body := filesBody("a.txt", "new", "dir", "file")
			if os.Symlink("nowhere", filepath.Join(dir, "link")) == nil {
				body = filesBody("a.txt", "new", "dir", "file", "link", "linked")
				want["link-1"] = "linked"
			}
			if _, err := Read(strings.NewReader(body), multi, Options{Store: u}); err != nil {
				t.Fatal(err)
			}
			os.Remove(filepath.Join(dir, "link"))
			wantContents(t, dir, want)
		})
	}
}

func TestUploadsManyOfOneName(t *testing.T) {
	u, dir := openUploads(t, Quota{})
	const n = 150 // more than are counted
	for i := range n {
		if _, err := Read(strings.NewReader(filesBody("a.txt", fmt.Sprint(i))), multi, Options{Store: u}); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[string]bool{}
	for name, text := range contents(t, dir) {
		if !strings.HasPrefix(name, "a") || !strings.HasSuffix(name, ".txt") {
			t.Errorf("unexpected name %q", name)
		}
		seen[text] = true
	}
	if len(seen) != n {
		t.Errorf("%d different files survive, want %d", len(seen), n)
	}
}

func TestUploadsConcurrent(t *testing.T) {
	for _, links := range []bool{true, false} {
		t.Run(fmt.Sprintf("links=%v", links), func(t *testing.T) {
			u, dir := openUploads(t, Quota{Total: 1 << 20})
			if !links {
				u.link = func(string, string) error { return errors.ErrUnsupported }
			}
			const n = 32
			var wg sync.WaitGroup
			results := make([]*Result, n)
			for i := range n {
				wg.Go(func() {
					body := filesBody("same.txt", strings.Repeat(fmt.Sprintf("%02d", i), 5000))
					result, err := Read(iotest.HalfReader(strings.NewReader(body)), multi, Options{Store: u})
					if err != nil {
						t.Error(err)
						return
					}
					results[i] = result
				})
			}
			wg.Wait()
			if t.Failed() {
				return
			}
			found := contents(t, dir)
			if len(found) != n {
				t.Errorf("%d files, want %d", len(found), n)
			}
			for i, r := range results {
				if text := found[r.Files[0].StoredAs]; sum(text) != r.Files[0].SHA256 || text[:2] != fmt.Sprintf("%02d", i) {
					t.Errorf("upload %d is not what %s holds", i, r.Files[0].StoredAs)
				}
			}
			if got, want := u.Used(), int64(n*10000); got != want {
				t.Errorf("Used = %d, want %d", got, want)
			}
		})
	}
}

// Whatever makes a request fail, nothing of it is left.
func TestUploadsNothingLeftBehind(t *testing.T) {
	whole := filesBody("a.txt", "one", "b.txt", strings.Repeat("x", 100<<10))
	gone := errors.New("connection reset")
	tests := []struct {
		name  string
		quota Quota
		body  io.Reader
		want  int // status, or 0 for another error
	}{
		{"client gone in the second file", Quota{}, io.MultiReader(strings.NewReader(whole[:len(whole)/2]), iotest.ErrReader(gone)), 0},
		{"client gone before the final boundary", Quota{}, io.MultiReader(strings.NewReader(whole[:len(whole)-8]), iotest.ErrReader(gone)), 0},
		{"client gone after the final boundary", Quota{}, io.MultiReader(strings.NewReader(whole), iotest.ErrReader(gone)), 0},
		{"cut in the second file", Quota{}, strings.NewReader(whole[:len(whole)/2]), 400},
		{"cut before the final boundary", Quota{}, strings.NewReader(whole[:len(whole)-8]), 400},
		{"malformed part after a file", Quota{}, strings.NewReader(strings.TrimSuffix(whole, "--\r\n") + "\r\nno colon\r\n\r\n"), 400},
		{"request over its quota", Quota{PerRequest: 50 << 10}, strings.NewReader(whole), 413},
		{"request a byte over its quota", Quota{PerRequest: 100<<10 + 2}, strings.NewReader(whole), 413},
		{"store full", Quota{Total: 50 << 10}, strings.NewReader(whole), 413},
		{"store full by a byte", Quota{Total: 100<<10 + 2 + int64(len("older"))}, strings.NewReader(whole), 413},
		{"field too large after a file", Quota{}, strings.NewReader(strings.TrimSuffix(whole, "--\r\n") + "\r\nContent-Disposition: form-data; name=\"" + strings.Repeat("n", 1<<20)), 413},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "a.txt"), []byte("older"), 0o600); err != nil {
				t.Fatal(err)
			}
			u, err := OpenUploads(dir, tt.quota)
			if err != nil {
				t.Fatal(err)
			}
			defer u.Close()
			_, err = Read(tt.body, multi, Options{Store: u})
			var refusal *Error
			switch {
			case tt.want == 0 && !errors.Is(err, gone):
				t.Errorf("error %v, want that of the body", err)
			case tt.want != 0 && (!errors.As(err, &refusal) || refusal.Status != tt.want):
				t.Errorf("error %v, want status %d", err, tt.want)
			}
			wantContents(t, dir, map[string]string{"a.txt": "older"})
			if got := u.Used(); got != int64(len("older")) {
				t.Errorf("Used = %d, want the older file's 5", got)
			}
		})
	}
}

// If the second file cannot get a name, the first loses its own again.
func TestUploadsCommitFails(t *testing.T) {
	u, dir := openUploads(t, Quota{})
	broken := errors.New("i/o error")
	u.link = func(oldname, newname string) error {
		if newname == "b.txt" {
			// The way without links must fail as well.
			if err := u.root.Remove(oldname); err != nil {
				t.Error(err)
			}
			return broken
		}
		return u.root.Link(oldname, newname)
	}
	_, err := Read(strings.NewReader(filesBody("a.txt", "one", "b.txt", "two")), multi, Options{Store: u})
	var refusal *Error
	if err == nil || errors.As(err, &refusal) {
		t.Errorf("error %v, want a failure to store", err)
	}
	wantContents(t, dir, map[string]string{})
	if got := u.Used(); got != 0 {
		t.Errorf("Used = %d, want 0", got)
	}
}

func TestUploadsQuotaExact(t *testing.T) {
	u, dir := openUploads(t, Quota{PerRequest: 6, Total: 8})
	send := func(namesAndContents ...string) error {
		_, err := Read(strings.NewReader(filesBody(namesAndContents...)), multi, Options{Store: u})
		return err
	}
	if err := send("a", "123", "b", "456"); err != nil {
		t.Fatalf("a request of exactly its quota: %v", err)
	}
	var refusal *Error
	if err := send("c", "123"); !errors.As(err, &refusal) || refusal.Status != 413 {
		t.Fatalf("over the total quota: %v", err)
	}
	if err := send("c", "12"); err != nil {
		t.Fatalf("up to exactly the total quota: %v", err)
	}
	wantContents(t, dir, map[string]string{"a": "123", "b": "456", "c": "12"})
}

// Empty files count: they take room in the directory, and names.
func TestUploadsCountFiles(t *testing.T) {
	u, _ := openUploads(t, Quota{Files: 3})
	send := func(name string) error {
		_, err := Read(strings.NewReader(filesBody(name, "")), multi, Options{Store: u})
		return err
	}
	for _, name := range []string{"a", "b", "c"} {
		if err := send(name); err != nil {
			t.Fatal(err)
		}
	}
	var refusal *Error
	if err := send("d"); !errors.As(err, &refusal) || refusal.Status != 413 || !strings.Contains(refusal.Reason, "3 files") {
		t.Errorf("a fourth file: %v", err)
	}
}

// TestEqualNames: a thousand files of one name get a thousand names, each at the
// first or second try.
func TestEqualNames(t *testing.T) {
	u, dir := openUploads(t, Quota{})
	tries := 0
	link := u.link
	u.link = func(from, to string) error {
		tries++
		return link(from, to)
	}
	const files = 1000
	for range files {
		if _, err := Read(strings.NewReader(filesBody("a.txt", "x")), multi, Options{Store: u}); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != files {
		t.Fatalf("%d files, %v", len(entries), err)
	}
	if _, err := os.Stat(filepath.Join(dir, "a-999.txt")); err != nil {
		t.Error(err)
	}
	if tries > files+10 {
		t.Errorf("%d tries for %d files", tries, files)
	}
}

// Room that someone makes in a full directory is found, though not at once.
func TestUploadsRecount(t *testing.T) {
	u, dir := openUploads(t, Quota{Total: 10})
	now := time.Unix(1e9, 0)
	u.now = func() time.Time { return now }
	send := func(name string) error {
		_, err := Read(strings.NewReader(filesBody(name, "12345")), multi, Options{Store: u})
		return err
	}
	for _, name := range []string{"a", "b"} {
		if err := send(name); err != nil {
			t.Fatal(err)
		}
	}
	if err := send("c"); err == nil {
		t.Fatal("a full directory took another file")
	}
	if err := os.Remove(filepath.Join(dir, "a")); err != nil {
		t.Fatal(err)
	}
	if err := send("c"); err == nil {
		t.Error("the directory was counted again at once: a full one would cost a walk per request")
	}
	now = now.Add(recountEvery)
	if err := send("c"); err != nil {
		t.Errorf("there is room again: %v", err)
	}
	if got := u.Used(); got != 10 {
		t.Errorf("Used = %d, want 10", got)
	}
}

func TestOpenUploads(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "sub", tempPrefix+"dir"+tempSuffix), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"old.txt":                        "12345",
		"sub/deep.txt":                   "123",
		tempPrefix + "ABC" + tempSuffix:  "left by a crash",
		".upload-notes.txt":              "1",
		"sub/" + tempPrefix + "keep.txt": "1",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	u, err := OpenUploads(dir, Quota{})
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	wantContents(t, dir, map[string]string{
		"old.txt": "12345", "sub/deep.txt": "123", ".upload-notes.txt": "1", "sub/" + tempPrefix + "keep.txt": "1",
	})
	if got := u.Used(); got != 10 {
		t.Errorf("Used = %d, want 10", got)
	}
}

func TestOpenUploadsFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, dir := range map[string]string{"missing": file + "-missing", "not a directory": file} {
		t.Run(name, func(t *testing.T) {
			u, err := OpenUploads(dir, Quota{})
			if err == nil {
				u.Close()
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), dir) {
				t.Errorf("the error does not name %s: %v", dir, err)
			}
		})
	}
}

// TestNamingHoldsNobodyUp: while one client's file gets its name, on a disk that
// hangs, others go on sending.
func TestNamingHoldsNobodyUp(t *testing.T) {
	u, _ := openUploads(t, Quota{Total: 1 << 20})
	naming, done := make(chan bool), make(chan bool)
	link := u.link
	u.link = func(from, to string) error {
		naming <- true
		<-done
		return link(from, to)
	}
	read := make(chan error)
	go func() {
		_, err := Read(strings.NewReader(filesBody("a.txt", "one")), multi, Options{Store: u})
		read <- err
	}()
	<-naming
	b := u.begin()
	f, err := b.create()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte("two")); err != nil {
		t.Error(err)
	}
	if err := b.end(); err != nil {
		t.Error(err)
	}
	close(done)
	if err := <-read; err != nil {
		t.Error(err)
	}
}
