//go:build unix

package e2e_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// archiveTree is a tree with all that must not get into an archive.
func archiveTree(t *testing.T) (root string, want map[string]string) {
	t.Helper()
	root = writeTree(t, map[string]string{
		"list/a file & more.txt": "x", "list/größe.txt": strings.Repeat("text ", 20_000), "list/p.png": string(noise(300_000)), "list/sub/deep/y": "",
		"list/.env": "secret", "list/.git/config": "secret", "list/private": "secret", "list/page/index.html": "page", "list/page/draft.html": "secret",
	})
	if err := errors.Join(os.Chmod(filepath.Join(root, "list/private"), 0o600),
		os.Symlink("/etc/passwd", filepath.Join(root, "list/out")), os.Symlink("../alive.txt", filepath.Join(root, "list/in")),
		os.Symlink("..", filepath.Join(root, "list/up")), mkfifo(filepath.Join(root, "list/fifo"))); err != nil {
		t.Fatal(err)
	}
	return root, map[string]string{
		"list/a file & more.txt": "x", "list/größe.txt": strings.Repeat("text ", 20_000), "list/p.png": string(noise(300_000)),
		"list/sub/deep/y": "", "list/page/index.html": "page",
	}
}

// filesBelow reads the files of a directory, by name.
func filesBelow(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		files[name] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestArchiveTools: curl gets a directory, and the usual tools unpack it.
func TestArchiveTools(t *testing.T) {
	t.Parallel()
	realPeer(t, "curl")
	root, want := archiveTree(t)
	plainAndTLS(t, func(t *testing.T, s *server) {
		t.Helper()
		for format, tool := range map[string][]string{"zip": {"python3", "-m", "zipfile", "-e"}, "tar.gz": {"tar", "-xzf"}} {
			realPeer(t, tool[0])
			dir := t.TempDir()
			file := filepath.Join(dir, "file")
			if out, err := exec.Command(realPeer(t, "curl"), "-sSfk", "-o", file, s.url("/list/?archive="+format)).CombinedOutput(); err != nil {
				t.Fatalf("curl: %v\n%s", err, out)
			}
			args := append(tool[1:], file)
			into := filepath.Join(dir, "into")
			if err := os.Mkdir(into, 0o755); err != nil {
				t.Fatal(err)
			}
			if tool[0] == "python3" {
				args = append(args, into)
			}
			cmd := exec.Command(tool[0], args...)
			cmd.Dir = into
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %v\n%s", tool, err, out)
			}
			if diff := cmp.Diff(want, filesBelow(t, into)); diff != "" {
				t.Errorf("%s: %s", format, diff)
			}
		}
	}, "--root", root, "--listing", "--archive")
}

// TestArchiveInBrowser: a reader clicks on the links of a listing, and has the
// directory as a file of its name.
func TestArchiveInBrowser(t *testing.T) {
	t.Parallel()
	root, want := archiveTree(t)
	b := openBrowser(t, 1000, 800)
	s := start(t, "--root", root, "--listing", "--archive")
	dir := t.TempDir()
	b.call("Browser.setDownloadBehavior", map[string]any{"behavior": "allow", "downloadPath": dir, "browserContextId": b.context})
	b.open(s.url("/list/"))
	for i, name := range []string{"list.zip", "list.tar.gz"} {
		b.eval(fmt.Sprintf(`[...document.querySelectorAll("a[download]")][%d].click()`, i), nil)
		var data []byte
		eventually(t, "the download of "+name, func() bool {
			var err error
			data, err = os.ReadFile(filepath.Join(dir, name))
			return err == nil && len(data) > 0
		})
		got := map[string]string{}
		if name == "list.zip" {
			r, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range r.File {
				content, err := f.Open()
				if err != nil {
					t.Fatal(err)
				}
				text, err := io.ReadAll(content)
				if got[f.Name] = string(text); err != nil {
					t.Error(err)
				}
			}
		} else {
			unzipped, err := gzip.NewReader(bytes.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			for r := tar.NewReader(unzipped); ; {
				head, err := r.Next()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				text, err := io.ReadAll(r)
				if got[head.Name] = string(text); err != nil {
					t.Error(err)
				}
			}
		}
		for name := range got {
			if strings.HasSuffix(name, "/") {
				delete(got, name)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// TestArchiveBrokenOff: a file that changes in place while an archive is made of it
// breaks the archive off, and a client that goes away costs nothing.
func TestArchiveBrokenOff(t *testing.T) {
	t.Parallel()
	const size = 64 << 20 // more than the buffers of the sockets, which grow
	root := writeTree(t, nil)
	plainAndTLS(t, func(t *testing.T, s *server) {
		t.Helper()
		path := filepath.Join(root, s.scheme(), "a.png")
		writeFile(t, path, string(noise(size)))
		url := "/" + s.scheme() + "/?archive="
		for _, format := range []string{"zip", "tar.gz"} {
			for _, version := range []string{"HTTP/1.1", "HTTP/1.0"} {
				c := s.dial(t)
				c.send(strings.Replace(request("GET", url+format), "HTTP/1.1", version, 1))
				if head, err := c.peekHead(); err != nil || !strings.Contains(head, " 200 ") {
					t.Fatalf("%q, %v", head, err)
				}
				if _, err := io.CopyN(io.Discard, c.r, 1<<20); err != nil {
					t.Fatal(err)
				}
				f, err := os.OpenFile(path, os.O_WRONLY, 0)
				if err != nil {
					t.Fatal(err)
				}
				_, before := f.WriteAt([]byte("changed"), 10)
				_, behind := f.WriteAt([]byte("changed"), size-10)
				if err := errors.Join(before, behind, f.Close()); err != nil {
					t.Fatal(err)
				}
				rest, err := io.ReadAll(c.r)
				if bytes.HasSuffix(rest, []byte("\r\n0\r\n\r\n")) || err == nil && version == "HTTP/1.0" && !s.tls {
					t.Errorf("%s, %s: the archive of a file that has changed ends well after %d bytes", format, version, len(rest))
				}
				if err := os.WriteFile(path, noise(size), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
		// More clients that leave than archives may be on their way.
		for range 10 {
			c := s.dial(t)
			c.send(request("GET", url+"zip"))
			if _, err := c.peekHead(); err != nil {
				t.Fatal(err)
			}
			c.Close()
		}
		eventually(t, "room for another archive", func() bool {
			return s.exchange(t, request("HEAD", url+"zip")).StatusCode == 200
		})
		s.alive(t)
	}, "--root", root, "--listing", "--archive")
}
