package site

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// find finds p n times and returns what it is at last: its content, or "".
func find(t *testing.T, s *Site, p string, n int) string {
	t.Helper()
	found := Result{}
	for range n {
		found = s.Find(p, time.Now())
	}
	if found.Kind != File {
		return ""
	}
	rep := found.Resource.Plain()
	if found.Resource.reps[1] != nil {
		rep = found.Resource.reps[1]
	}
	return string(rep.Body)
}

// watched reports whether what is at p is known to be fresh without looking at it.
func watched(s *Site, p string) bool {
	entry := s.hot.get(p)
	if entry == nil || entry.resource.Load() == nil {
		return false
	}
	state := s.root().state()
	return state != 0 && state == entry.resource.Load().looks.state.Load()
}

// needWatched skips a test in a directory whose file system gives no notice.
func needWatched(t *testing.T, s *Site, p string) {
	t.Helper()
	if watched(s, p) {
		return
	}
	var system unix.Statfs_t
	if err := unix.Statfs(s.options.Root, &system); err != nil || givesNotice(system.Type) {
		t.Fatalf("%s is not watched (%v)", p, err)
	}
	t.Skip("the file system of the test's directory gives no notice")
}

// settleFiles waits until what was written before can be told from what comes.
func settleFiles() { time.Sleep(2 * settle) }

// TestNotices: once a file is watched and not looked at any more, each way to change
// what its path stands for is seen by the next request.
func TestNotices(t *testing.T) {
	write := func(path, text string) error { return os.WriteFile(path, []byte(text), 0o644) }
	inPlace := func(path, text string) error {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteString(text)
		return errors.Join(err, f.Close())
	}
	for name, test := range map[string]struct {
		change func(root string) error
		want   string
	}{
		"rewritten":       {func(root string) error { return write(root+"/a/b/f.html", "new") }, "new"},
		"in place":        {func(root string) error { return inPlace(root+"/a/b/f.html", "new") }, "new"},
		"truncated":       {func(root string) error { return os.Truncate(root+"/a/b/f.html", 1) }, "o"},
		"removed":         {func(root string) error { return os.Remove(root + "/a/b/f.html") }, ""},
		"unreadable":      {func(root string) error { return os.Chmod(root+"/a/b/f.html", 0o640) }, ""},
		"sidecar":         {func(root string) error { return write(root+"/a/b/f.html.br", "new") }, "new"},
		"by another link": {func(root string) error { return inPlace(root+"/other", "new") }, "new"},
		"renamed over":    {func(root string) error { return os.Rename(root+"/c/b/f.html", root+"/a/b/f.html") }, "new"},
		"by the same size and time": {func(root string) error {
			info, err := os.Stat(root + "/a/b/f.html")
			return errors.Join(err, inPlace(root+"/a/b/f.html", "new"), os.Chtimes(root+"/a/b/f.html", info.ModTime(), info.ModTime()))
		}, "new"},
		"folder replaced":         {func(root string) error { return exchange(root+"/a", root+"/c") }, "new"},
		"folder of the same file": {func(root string) error { return exchange(root+"/a", root+"/same") }, "old"},
		"folder replaced by a link": {func(root string) error {
			return errors.Join(os.Rename(root+"/a", root+"/d"), os.Symlink("c", root+"/a"))
		}, "new"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := writeTree(t, map[string]string{"a/b/f.html": "old", "c/b/f.html": "new", "same/b/": ""})
			for _, link := range []string{"/other", "/same/b/f.html"} {
				if err := os.Link(root+"/a/b/f.html", root+link); err != nil {
					t.Fatal(err)
				}
			}
			s := newSite(t, Options{Root: root})
			settleFiles()
			if got := find(t, s, "/a/b/f.html", 2*watchAfter); got != "old" {
				t.Fatalf("before the change it is %q", got)
			}
			needWatched(t, s, "/a/b/f.html")
			if err := test.change(root); err != nil {
				t.Fatal(err)
			}
			if got := find(t, s, "/a/b/f.html", 1); got != test.want {
				t.Errorf("after the change it is %q, want %q", got, test.want)
			}
			// What is there now is watched as well, with the folder it is in.
			if test.want == "" {
				if err := errors.Join(write(root+"/a/b/f.html", "again"), os.Chmod(root+"/a/b/f.html", 0o644)); err != nil {
					t.Fatal(err)
				}
			}
			settleFiles()
			find(t, s, "/a/b/f.html", 2*watchAfter)
			if err := write(root+"/a/b/f.html.br", "newest"); err != nil {
				t.Fatal(err)
			}
			if got := find(t, s, "/a/b/f.html", 1); got != "newest" {
				t.Errorf("after another change it is %q", got)
			}
		})
	}
}

// exchange puts two folders in each other's place, in one step.
func exchange(a, b string) error {
	return unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
}

// TestNoticeOfMappedMemory: what is written to memory that is mapped from a file
// gives no notice, and is seen all the same, if later.
func TestNoticeOfMappedMemory(t *testing.T) {
	root := writeTree(t, map[string]string{"f.html": "old"})
	s := newSite(t, Options{Root: root})
	settleFiles()
	find(t, s, "/f.html", 2*watchAfter)
	f, err := os.OpenFile(filepath.Join(root, "f.html"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	memory, err := syscall.Mmap(int(f.Fd()), 0, 3, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Munmap(memory) }()
	copy(memory, "new")
	start := time.Now()
	for find(t, s, "/f.html", 1) != "new" {
		if time.Since(start) > lookAgain+10*time.Second {
			t.Fatalf("not seen after %v", time.Since(start))
		}
		time.Sleep(time.Millisecond)
	}
}

// TestWatchesAreBounded: there are no more watches than the bound, and files stay
// fresh beyond it.
func TestWatchesAreBounded(t *testing.T) {
	root := writeTree(t, map[string]string{"f.html": "old", "g.html": "old"})
	s := newSite(t, Options{Root: root})
	settleFiles()
	find(t, s, "/f.html", 2*watchAfter)
	needWatched(t, s, "/f.html")
	n := s.root().(*dirTree).notices
	n.mu.Lock()
	for wd := int32(1_000_000); len(n.watches) < watchesMax; wd++ {
		n.watches[wd] = struct{}{}
	}
	n.mu.Unlock()
	find(t, s, "/g.html", 2*watchAfter)
	if !watched(s, "/g.html") || watched(s, "/f.html") || len(n.watches) > 2 {
		t.Errorf("%d watches, of f.html: %v, of g.html: %v", len(n.watches), watched(s, "/f.html"), watched(s, "/g.html"))
	}
	for _, name := range []string{"f.html", "g.html"} {
		if err := os.WriteFile(filepath.Join(root, name), []byte("new"), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := find(t, s, "/"+name, 1); got != "new" {
			t.Errorf("%s is %q", name, got)
		}
	}
}

// TestUnwatchable: a path with a link on it is looked at each time, and fresh.
func TestUnwatchable(t *testing.T) {
	root := writeTree(t, map[string]string{"v1/f.html": "old", "v2/f.html": "new"})
	if err := os.Symlink("v1", root+"/current"); err != nil {
		t.Fatal(err)
	}
	s := newSite(t, Options{Root: root})
	settleFiles()
	find(t, s, "/current/f.html", 2*watchAfter)
	if watched(s, "/current/f.html") {
		t.Error("it is watched, and where the link's own way leads is not known")
	}
	if err := errors.Join(os.Symlink("v2", root+"/next"), os.Rename(root+"/next", root+"/current")); err != nil {
		t.Fatal(err)
	}
	if got := find(t, s, "/current/f.html", 1); got != "new" {
		t.Errorf("after the link was turned it is %q", got)
	}
}

// TestFreshBesideWriters changes two files again and again beside requests that read
// the notices of each other's files: none is missed.
func TestFreshBesideWriters(t *testing.T) {
	root := writeTree(t, map[string]string{"busy.html": "0"})
	s := newSite(t, Options{Root: root})
	stop := make(chan struct{})
	t.Cleanup(func() { close(stop) })
	for range 2 {
		go func() {
			for {
				select {
				case <-stop:
					return
				default:
					s.Find("/busy.html", time.Now())
				}
			}
		}()
	}
	path := filepath.Join(root, "f.html")
	for i := range 100 {
		text := time.Now().String()
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := find(t, s, "/f.html", 1); got != text {
			t.Fatalf("change %d: %q, want %q", i, got, text)
		}
		if i%10 == 0 {
			settleFiles()
			find(t, s, "/f.html", 2*watchAfter)
		}
	}
}
