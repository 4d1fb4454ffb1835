//go:build unix

package e2e_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

func mkfifo(path string) error { return syscall.Mkfifo(path, 0o666) }

// freshWithin is the time after which an edit has to be seen.
const freshWithin = time.Second

// TestFreshness edits a file that was just served in every way that editors,
// copies and deployments have. A request that begins a second after the edit
// gets the new content, under another entity tag, whatever its size and times.
func TestFreshness(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a line of the first version of this page\n", 5000) // 200 KB: not a hot copy of one write
	// open writes text with the flags given and without a truncation of its own.
	open := func(path, text string, flags int) error {
		f, err := os.OpenFile(path, os.O_WRONLY|flags, 0)
		if err != nil {
			return err
		}
		_, err = io.WriteString(f, text)
		return errors.Join(err, f.Close())
	}
	write := func(path, text string) error { return os.WriteFile(path, []byte(text), 0o644) }
	// sameTime keeps the modification time through an edit.
	sameTime := func(path string, edit func() error) error {
		info, err := os.Stat(path)
		return errors.Join(err, edit(), os.Chtimes(path, info.ModTime(), info.ModTime()))
	}
	past := time.Now().Add(-1000 * time.Hour)
	edits := []struct {
		name     string
		old, new string
		edit     func(path, text string) error
	}{
		{"overwrite with another size", "old", "new and longer", write},
		{"overwrite with the same size", "old", "new", write},
		{"write in place", "old text", "new text", func(path, text string) error { return open(path, text, 0) }},
		{"truncate and write", "old", "newer", func(path, text string) error {
			return errors.Join(os.Truncate(path, 0), open(path, text, 0))
		}},
		{"append", "old", "old and more", func(path, text string) error {
			return open(path, strings.TrimPrefix(text, "old"), os.O_APPEND)
		}},
		{"rename over", "old", "new", func(path, text string) error {
			return errors.Join(write(path+".tmp", text), os.Rename(path+".tmp", path))
		}},
		{"rename over with an older time", "old", "new", func(path, text string) error {
			return errors.Join(write(path+".tmp", text), os.Chtimes(path+".tmp", past, past), os.Rename(path+".tmp", path))
		}},
		{"same size and modification time", "old", "new", func(path, text string) error {
			return sameTime(path, func() error { return write(path, text) })
		}},
		{"rename over with the same size and time", "old", "new", func(path, text string) error {
			return sameTime(path, func() error { return errors.Join(write(path+".tmp", text), os.Rename(path+".tmp", path)) })
		}},
		{"removed and made again", "old", "new", func(path, text string) error {
			return errors.Join(os.Remove(path), write(path, text))
		}},
		{"symlink turned", "old", "new", func(path, text string) error {
			return errors.Join(write(path+".v2", text), os.Symlink(filepath.Base(path)+".v2", path+".link"), os.Rename(path+".link", path))
		}},
		{"large, same size", long, strings.ReplaceAll(long, "first", "other"), write},
		{"large, one letter, same time", long, strings.Replace(long, "first", "fivst", 1), func(path, text string) error {
			return sameTime(path, func() error { return write(path, text) })
		}},
		{"directory renamed", "old", "new", func(path, text string) error {
			dir := filepath.Dir(path)
			return errors.Join(os.Mkdir(dir+".new", 0o755), write(filepath.Join(dir+".new", filepath.Base(path)), text),
				os.Rename(dir, dir+".old"), os.Rename(dir+".new", dir))
		}},
	}
	root := writeTree(t, nil)
	s := start(t, "--root", root)
	for i, test := range edits {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			target := fmt.Sprintf("/d%d/page.html", i)
			path := filepath.Join(root, target)
			writeFile(t, path, test.old)
			var before *reply
			for range 3 { // a hot copy by now, where there are such
				before = s.get(t, target)
			}
			zipped := s.get(t, target, "Accept-Encoding: gzip")
			if string(before.body) != test.old {
				t.Fatalf("before the edit: %s %.100q", before.Status, before.body)
			}
			if err := test.edit(path, test.new); err != nil {
				t.Fatal(err)
			}
			edited := time.Now()
			for fresh := false; !fresh; {
				began := time.Now()
				r := s.get(t, target)
				switch fresh = string(r.body) == test.new; {
				case fresh && r.field("ETag") == before.field("ETag"):
					t.Errorf("new content under the old ETag %s", r.field("ETag"))
				case !fresh && string(r.body) != test.old:
					t.Fatalf("neither old nor new: %s %.100q", r.Status, r.body)
				case !fresh && r.field("ETag") != before.field("ETag"):
					t.Fatalf("old content under another ETag")
				case !fresh && began.Sub(edited) > freshWithin:
					t.Fatalf("still old %v after the edit", began.Sub(edited))
				}
			}
			// Whatever was remembered about it is gone.
			if r := s.get(t, target, "If-None-Match: "+before.field("ETag")); r.StatusCode != 200 || string(r.body) != test.new {
				t.Errorf("with the old ETag: %s", r.Status)
			}
			r := s.get(t, target, "Accept-Encoding: gzip")
			text := string(r.body)
			if r.field("Content-Encoding") == "gzip" {
				text = gunzip(t, r.body)
			}
			if text != test.new || r.field("ETag") == zipped.field("ETag") {
				t.Errorf("compressed: ETag %s, %.60q", r.field("ETag"), text)
			}
			if r := s.exchange(t, request("HEAD", target)); r.field("Content-Length") != fmt.Sprint(len(test.new)) {
				t.Errorf("HEAD: Content-Length %s, want %d", r.field("Content-Length"), len(test.new))
			}
		})
	}
	t.Run("removed", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(root, "gone.html")
		for _, step := range []struct {
			edit func() error
			want int
		}{
			{func() error { return write(path, "here") }, 200},
			{func() error { return os.Remove(path) }, 404},
			{func() error { return write(path, "here again") }, 200},
			{func() error { return os.Chmod(path, 0o600) }, 403},
			{func() error { return os.Chmod(path, 0o644) }, 200},
			{func() error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o755)) }, 301},
			{func() error { return errors.Join(os.Remove(path), os.Symlink("/etc/passwd", path)) }, 404},
		} {
			if err := step.edit(); err != nil {
				t.Fatal(err)
			}
			for edited := time.Now(); ; {
				began := time.Now()
				r := s.get(t, "/gone.html")
				if r.StatusCode == step.want {
					break
				}
				if began.Sub(edited) > freshWithin {
					t.Fatalf("still %s %v after the change, want %d", r.Status, began.Sub(edited), step.want)
				}
			}
		}
	})
}

// TestNeverHalfAndHalf: a writer alternates two whole versions while readers
// fetch, plain and compressed. By rename, a body is one of the two versions.
// In place there are moments in which the file itself is half and half, long
// ones when the writer is not let run; what is sent then must not pass for one
// of the versions. A tag never names two bodies.
func TestNeverHalfAndHalf(t *testing.T) {
	t.Parallel()
	for _, size := range []int{200, 30_000, 1_000_000} {
		versions := [2]string{}
		for i, letter := range []string{"a", "b"} {
			// Lines of pseudo-random length so that gzip has something to do.
			var b strings.Builder
			for n := 0; b.Len() < size; n++ {
				fmt.Fprintf(&b, "%s%d\n", strings.Repeat(letter, 40), n*n%7919)
			}
			versions[i] = b.String()[:size]
		}
		t.Run(fmt.Sprintf("rename %d", size), func(t *testing.T) {
			t.Parallel()
			hammer(t, versions, true, func(path string, i int) error {
				if err := os.WriteFile(path+".tmp", []byte(versions[i]), 0o644); err != nil {
					return err
				}
				return os.Rename(path+".tmp", path)
			})
		})
		t.Run(fmt.Sprintf("in place %d", size), func(t *testing.T) {
			t.Parallel()
			hammer(t, versions, false, func(path string, i int) error {
				f, err := os.OpenFile(path, os.O_WRONLY, 0)
				if err != nil {
					return err
				}
				defer f.Close()
				_, err = f.WriteAt([]byte(versions[i]), 0)
				return err
			})
		})
	}
}

// hammer lets write replace the file again and again while four readers check.
// With atomic the file is one version at all times.
func hammer(t *testing.T, versions [2]string, atomically bool, write func(path string, i int) error) {
	t.Helper()
	root := writeTree(t, map[string]string{"page.html": versions[0]})
	path := filepath.Join(root, "page.html")
	s := start(t, "--root", root)
	var (
		mu      sync.Mutex
		bodies  = map[string][sha256.Size]byte{} // by ETag
		reads   atomic.Int64
		mixed   atomic.Int64 // neither version, but under no version's ETag
		broken  atomic.Int64 // transfers broken off
		stop    = make(chan struct{})
		writers sync.WaitGroup
		readers sync.WaitGroup
	)
	// The tags of the two versions, learnt at rest.
	for i := range versions {
		if err := write(path, i); err != nil {
			t.Fatal(err)
		}
		for _, coding := range []string{"identity", "gzip"} {
			eventually(t, "the ETag of a version", func() bool {
				r := s.get(t, "/page.html", "Accept-Encoding: "+coding)
				text := string(r.body)
				if r.field("Content-Encoding") == "gzip" {
					text = gunzip(t, r.body)
				}
				if text != versions[i] || r.field("ETag") == "" {
					return false
				}
				bodies[r.field("ETag")] = sha256.Sum256(r.body)
				return true
			})
		}
	}
	readers.Go(func() { // ends the run: enough reads, or time is over
		wanted := often(400, 1500)
		if len(versions[0]) > 500_000 {
			wanted = often(80, 300)
		}
		within(patience, func() bool { return int(reads.Load()) >= wanted })
		close(stop)
	})
	stopped := func() bool {
		select {
		case <-stop:
			return true
		default:
			return false
		}
	}
	writers.Go(func() {
		tick := time.NewTicker(3 * time.Millisecond)
		defer tick.Stop()
		for i := 1; !stopped(); i++ {
			if err := write(path, i%2); err != nil {
				t.Error(err)
				return
			}
			<-tick.C
		}
	})
	for n := range 4 {
		fields := []string{}
		if n%2 == 1 {
			fields = append(fields, "Accept-Encoding: gzip")
		}
		readers.Go(func() {
			var c *client
			defer func() {
				if c != nil {
					c.Close()
				}
			}()
			last := ""
			for !stopped() {
				if c == nil {
					conn, err := s.connect()
					if err != nil {
						t.Error(err)
						return
					}
					c = newClient(conn)
				}
				_ = c.SetDeadline(time.Now().Add(patience))
				wire := request("GET", "/page.html", fields...)
				if last != "" && reads.Load()%3 == 0 {
					wire = request("GET", "/page.html", append(fields, "If-None-Match: "+last)...)
				}
				if _, err := io.WriteString(c, wire); err != nil {
					t.Error(err)
					return
				}
				r, err := c.read("GET")
				if !atomically && errors.Is(err, io.ErrUnexpectedEOF) && r != nil {
					broken.Add(1)
					c.Close()
					c = nil
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				reads.Add(1)
				if !atomically && r.StatusCode == 503 {
					broken.Add(1) // come back later
					continue
				}
				last = r.field("ETag")
				if r.StatusCode == 304 {
					continue
				}
				text := string(r.body)
				if r.field("Content-Encoding") == "gzip" {
					if text, err = unzip(r.body); err != nil {
						t.Error(err)
					}
				}
				if text != versions[0] && text != versions[1] {
					if atomically {
						t.Errorf("no version at all: %s, ETag %s", r.Status, last)
						return
					}
					mixed.Add(1)
				}
				if last == "" {
					continue // it says nothing about what is changing just now
				}
				mu.Lock()
				sum := sha256.Sum256(r.body)
				if before, ok := bodies[last]; ok && before != sum {
					t.Errorf("two bodies under ETag %s", last)
				}
				bodies[last] = sum
				mu.Unlock()
			}
		})
	}
	readers.Wait()
	writers.Wait()
	// At rest the last version is served.
	final, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for rested := time.Now(); ; {
		began := time.Now()
		r := s.get(t, "/page.html")
		if string(r.body) == string(final) {
			break
		}
		if began.Sub(rested) > freshWithin {
			t.Fatal("the last version is not served after a second")
		}
	}
	t.Logf("%d reads, %d mixed, %d broken off", reads.Load(), mixed.Load(), broken.Load())
	if mixed.Load()+broken.Load() > reads.Load()/2 {
		t.Error("more often than not no version comes")
	}
}

// TestSizeChangesWhileSending: the announced length stands. A file that
// shrinks ends the connection, one that grows is cut off at the length.
func TestSizeChangesWhileSending(t *testing.T) {
	t.Parallel()
	const size = 64 << 20 // more than the buffers of the sockets, which grow
	root := writeTree(t, nil)
	plainAndTLS(t, func(t *testing.T, s *server) {
		t.Helper()
		name := s.scheme() + ".bin"
		path := filepath.Join(root, name)
		begin := func() *client {
			t.Helper()
			if err := os.WriteFile(path, noise(size), 0o644); err != nil {
				t.Fatal(err)
			}
			// The hash of the whole is no part of this test.
			eventually(t, "the file to be served whole", func() bool {
				return s.exchange(t, request("HEAD", "/"+name)).field("Content-Length") == fmt.Sprint(size)
			})
			c := s.dial(t)
			c.send(request("GET", "/"+name))
			head, err := c.peekHead()
			if err != nil || !strings.Contains(head, fmt.Sprintf("Content-Length: %d\r\n", size)) {
				t.Fatalf("%q, %v", head, err)
			}
			_, _ = c.r.Discard(len(head))
			return c
		}
		t.Run("shrinks", func(t *testing.T) {
			c := begin()
			// At the edge of a page: the kernel clears the rest of a page that is
			// cut, and with it what sendfile has lent to the connection.
			if err := os.Truncate(path, 1<<20); err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(c.r)
			if len(b) >= size {
				t.Errorf("%d bytes and %v, want a connection that closes early", len(b), err)
			}
			if want := noise(size); string(b) != string(want[:len(b)]) {
				t.Error("bytes that were never in the file: padded")
			}
			s.alive(t)
		})
		t.Run("grows", func(t *testing.T) {
			c := begin()
			// Once some of it is here: a file that changes between its head and its
			// first byte is another, and that breaks the transfer off.
			const begun = 64 << 10
			h, want := sha256.New(), sha256.Sum256(noise(size))
			if _, err := io.CopyN(h, c.r, begun); err != nil {
				t.Fatal(err)
			}
			f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if _, err := f.Write(make([]byte, 1<<20)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.CopyN(h, c.r, size-begun); err != nil {
				t.Fatal(err)
			}
			if string(h.Sum(nil)) != string(want[:]) {
				t.Error("the body is not the file")
			}
			c.send(request("GET", "/alive.txt"))
			if r := c.mustRead(t, "GET"); string(r.body) != aliveText {
				t.Errorf("behind it: %s", r.Status)
			}
		})
	}, "--root", root)
}

// TestChangedInPlace writes over a file in two places while it is being downloaded,
// before and behind where the client has come to, as no deployment should and many
// do; or it cuts the file off, or renames another over it. Whoever gets the announced
// length has got one version, although the greater part was lent to the kernel and
// this client shares the pages even in its receive buffer.
func TestChangedInPlace(t *testing.T) {
	t.Parallel()
	sizes := []int64{1<<20 + 1, 3 << 20, 20 << 20}
	root := writeTree(t, nil)
	if os.Getenv("TOPDOWN_LARGE") != "" {
		sizes = append(sizes, 200<<20, 1<<30)
		root = inMemory(t) // where the holes of a file take no room
		writeFile(t, filepath.Join(root, "alive.txt"), aliveText)
	}
	const rounds = 20
	largest := int64(often(3<<20, 20<<20)) // of those that go through all rounds
	plainAndTLS(t, func(t *testing.T, s *server) {
		t.Helper()
		for _, size := range sizes {
			name := fmt.Sprintf("%s-%d.bin", s.scheme(), size)
			path := filepath.Join(root, name)
			ends := map[string]int{}
			for round := range int64(rounds) {
				if size > largest && !slices.Contains([]int64{0, 5, 13, 18, 19}, round) {
					continue
				}
				// The old version is all zeros.
				if err := errors.Join(os.RemoveAll(path), os.WriteFile(path, nil, 0o644), os.Truncate(path, size)); err != nil {
					t.Fatal(err)
				}
				if round%2 == 0 { // with and without a tag, for those that get it late
					eventually(t, "the entity tag", func() bool {
						return s.exchange(t, request("HEAD", "/"+name)).field("ETag") != ""
					})
				}
				c := s.dial(t)
				c.send(request("GET", "/"+name))
				head, err := c.peekHead()
				if err != nil {
					t.Fatal(err)
				}
				_, _ = c.r.Discard(len(head))
				var got patches
				read := size * round / rounds
				if _, err := io.CopyN(&got, c.r, read); err != nil {
					t.Fatalf("size %d, the first %d: %v", size, read, err)
				}
				before, behind := size*round/rounds/2, size*(round+rounds)/rounds/2
				switch round % 10 {
				case 8:
					err = os.Truncate(path, size*(20-round)/rounds)
				case 9:
					err = errors.Join(os.WriteFile(path+".new", bytes.Repeat(patch, int(min(size, 1<<20)/int64(len(patch)))), 0o644), os.Rename(path+".new", path))
				default:
					var f *os.File
					if f, err = os.OpenFile(path, os.O_WRONLY, 0); err == nil {
						_, first := f.WriteAt(patch, before)
						_, second := f.WriteAt(patch, behind)
						err = errors.Join(first, second, f.Close())
					}
				}
				if err != nil {
					t.Fatal(err)
				}
				n, err := io.CopyN(&got, c.r, size-read)
				switch {
				case err != nil:
					ends["broken off"]++
				case got.bytes == 0:
					ends["old"]++
				case round%10 < 8 && got.bytes == 2*len(patch):
					ends["new"]++
				default:
					t.Errorf("size %d, round %d: changed when %d had been read, and %d more came: a complete mixture, %d bytes of the new version", size, round, read, n, got.bytes)
				}
			}
			t.Logf("%s, %d bytes: %v", s.scheme(), size, ends)
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
	}, "--root", root)
}

// patch is what is written over zeros.
var patch = bytes.Repeat([]byte("changed "), 512)

// patches counts how much of what is written to it is no zero.
type patches struct{ bytes int }

func (p *patches) Write(b []byte) (int, error) {
	p.bytes += len(b) - bytes.Count(b, []byte{0})
	return len(b), nil
}

// TestReplacedWhileAsked renames new large files over the one that is asked for.
// Each answer is one version, and none is an error of the server's.
func TestReplacedWhileAsked(t *testing.T) {
	t.Parallel()
	const size = 2 << 20
	versions := []string{strings.Repeat("a", size), strings.Repeat("b", size)}
	root := writeTree(t, map[string]string{"f.bin": versions[0]})
	path := filepath.Join(root, "f.bin")
	s := start(t, "--root", root)
	for i := range often(20, 50) {
		want := versions[i%2]
		if err := errors.Join(os.WriteFile(path+".new", []byte(want), 0o644), os.Rename(path+".new", path)); err != nil {
			t.Fatal(err)
		}
		if r := s.get(t, "/f.bin"); r.StatusCode != 200 || string(r.body) != want {
			t.Fatalf("after replacement %d: %s, %d bytes that begin with %.5q", i, r.Status, len(r.body), r.body)
		}
	}
}

// TestFreshAtOnce: a request that is sent after a change has ended sees it, on a
// kept connection, on a new one and by curl; again and again, so that changes fall
// into the same tick of the file system's clock; on a disk, in memory, and where the
// server sees the files through a mount of its own and the writers do not.
// TOPDOWN_LOOPS is how often.
func TestFreshAtOnce(t *testing.T) {
	t.Parallel()
	loops, inMemoryLoops := often(25, 2000), often(25, 10_000)
	if n, err := strconv.Atoi(os.Getenv("TOPDOWN_LOOPS")); err == nil {
		loops, inMemoryLoops = n, n
	}
	t.Run("disk", func(t *testing.T) {
		t.Parallel()
		root := writeTree(t, nil)
		freshAtOnce(t, start(t, "--root", root), root, loops)
	})
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		root := inMemory(t)
		freshAtOnce(t, start(t, "--root", root), root, inMemoryLoops)
	})
	t.Run("bind mount", func(t *testing.T) {
		t.Parallel()
		root, seen := writeTree(t, nil), t.TempDir()
		s := launch{prefix: ownMounts(t, "mount --bind '"+root+"' '"+seen+"'"), args: []string{"--root", seen}}.start(t)
		freshAtOnce(t, s, root, loops)
	})
}

// inMemory returns a directory on a file system in memory.
func inMemory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "webserver-e2e-") //nolint:usetesting // not where temporary files usually are
	if err != nil {
		require(t, "no file system in memory: "+err.Error())
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// ownMounts returns what stands before the command line of a program that has mounts
// of its own, made by a script.
func ownMounts(t *testing.T, script string) []string {
	t.Helper()
	prefix := []string{realPeer(t, "unshare"), "--mount", "sh", "-c", script + ` && exec "$@"`, "sh"}
	if out, err := exec.Command(prefix[0], append(prefix[1:], "true")...).CombinedOutput(); err != nil {
		require(t, fmt.Sprintf("a process may not have mounts of its own here: %v\n%s", err, out))
	}
	return prefix
}

// freshAtOnce changes files below root and asks s for them after each change.
func freshAtOnce(t *testing.T, s *server, root string, loops int) {
	t.Helper()
	say := func(r *reply, err error) string {
		if err != nil {
			return err.Error()
		}
		return fmt.Sprintf("%d %s", r.StatusCode, r.body)
	}
	ask := func(c *client, target string) string {
		_ = c.SetDeadline(time.Now().Add(patience))
		if _, err := io.WriteString(c, request("GET", target)); err != nil {
			return err.Error()
		}
		return say(c.read("GET"))
	}
	conn, err := s.connect()
	if err != nil {
		t.Fatal(err)
	}
	kept := newClient(conn)
	defer kept.Close()
	clients := map[string]func(target string) string{
		"kept": func(target string) string { return ask(kept, target) },
		"new": func(target string) string {
			conn, err := s.connect()
			if err != nil {
				return err.Error()
			}
			defer conn.Close()
			return ask(newClient(conn), target)
		},
	}
	if curl := curlOnce(t, s, "/curl.txt", 4*loops); curl != nil {
		clients["curl"] = curl
	}
	var wg sync.WaitGroup
	for name, get := range clients {
		wg.Go(func() {
			path := filepath.Join(root, name+".txt")
			for i := range loops {
				one, two := fmt.Sprintf("%d one", i), fmt.Sprintf("%d two", i)
				for _, step := range []struct {
					change func() error
					want   string
				}{
					{func() error { return os.WriteFile(path, []byte(one), 0o644) }, "200 " + one},
					{func() error {
						return errors.Join(os.WriteFile(path+".tmp", []byte(two), 0o644), os.Rename(path+".tmp", path))
					}, "200 " + two},
					{func() error { return os.Chmod(path, 0o600) }, "403 "},
					{func() error { return os.Remove(path) }, "404 "},
				} {
					if err := step.change(); err != nil {
						t.Error(err)
						return
					}
					if got := get("/" + name + ".txt"); !strings.HasPrefix(got, step.want) {
						t.Errorf("%s, loop %d: %.40q, want %q", name, i, got, step.want)
						return
					}
				}
			}
		})
	}
	wg.Wait()
}

// curlOnce returns a function that has one curl ask for a target, and returns status
// and body; so many times at most. It is one process for all of them: before each it
// asks the test for leave, which comes when the function is called. The function is
// nil where there is no curl.
func curlOnce(t *testing.T, s *server, target string, times int) func(string) string {
	t.Helper()
	curl, err := exec.LookPath("curl")
	if err != nil {
		if os.Getenv("TOPDOWN_REQUIRE_REAL") == "1" {
			t.Error("TOPDOWN_REQUIRE_REAL=1, but there is no curl")
		}
		return nil
	}
	leave := make(chan bool)
	gate := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-leave:
			w.WriteHeader(http.StatusNoContent)
		case <-r.Context().Done():
		}
	}))
	said, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	pair := fmt.Sprintf("url = %q\noutput = %q\nurl = %q\noutput = \"-\"\n", gate.URL, os.DevNull, s.url(target))
	cmd := exec.Command(curl, "-sSN", "--max-time", "60", "-w", "%{stderr}\x1e%{http_code}\x1e", "-K", "-")
	cmd.Stdin = strings.NewReader(strings.Repeat(pair, times))
	cmd.Stdout, cmd.Stderr = out, out // in the order of time
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	out.Close()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		said.Close()
		gate.Close()
	})
	r := bufio.NewReader(said)
	// next returns status and body of what curl has fetched next.
	next := func() string {
		body, err := r.ReadString(0x1e)
		if err != nil {
			return fmt.Sprintf("curl has ended: %q, %v", body, err)
		}
		status, err := r.ReadString(0x1e)
		if err != nil {
			return fmt.Sprintf("curl has ended: %q, %v", status, err)
		}
		return strings.TrimSuffix(status, "\x1e") + " " + strings.TrimSuffix(body, "\x1e")
	}
	return func(string) string {
		select {
		case leave <- true:
		case <-time.After(patience):
			return "curl does not ask"
		}
		if granted := next(); granted != "204 " {
			return granted
		}
		return next()
	}
}
