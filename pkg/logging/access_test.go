package logging

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// sink is a writer that a test can hold up or make fail.
type sink struct {
	mu   sync.Mutex
	data bytes.Buffer
	hold chan struct{} // a write waits until it is closed, if there is one
	err  error
	take int // bytes taken before err
}

func (s *sink) Write(p []byte) (int, error) {
	if s.hold != nil {
		<-s.hold
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		n := min(s.take, len(p))
		s.data.Write(p[:n])
		return n, s.err
	}
	return s.data.Write(p)
}

func (s *sink) fail(err error, take int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err, s.take = err, take
}

func (s *sink) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.data.String()
}

func entry(target string) *AccessEntry {
	return &AccessEntry{
		Remote: "192.0.2.7", Time: time.Date(2026, 11, 20, 22, 41, 0, 0, time.UTC),
		Method: "GET", Target: target, Minor: 1, Status: 200, Bytes: 5,
	}
}

func open(t *testing.T, path string, opts AccessOptions) *AccessLog {
	t.Helper()
	l, err := OpenAccess(path, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func TestLinesWaitForTheTickOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := new(sink)
		l := open(t, "-", AccessOptions{Stdout: out})
		l.Append(entry("/a"))
		time.Sleep(flushAfter - time.Millisecond)
		synctest.Wait()
		if got := out.text(); got != "" {
			t.Errorf("written before the tick: %q", got)
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		want := "192.0.2.7 - - [20/Nov/2026:22:41:00 +0000] \"GET /a HTTP/1.1\" 200 5 \"-\" \"-\"\n"
		if got := out.text(); got != want {
			t.Errorf("after the tick: %q, want %q", got, want)
		}
	})
}

func TestAFullBufferDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := new(sink)
		l := open(t, "-", AccessOptions{Stdout: out})
		start, n := time.Now(), 0
		for out.text() == "" && n < 10000 {
			l.Append(entry("/a"))
			n++
			if n%100 == 0 {
				synctest.Wait()
			}
		}
		if waited := time.Since(start); waited != 0 || len(out.text()) < flushSize {
			t.Errorf("%d bytes written after %v", len(out.text()), waited)
		}
	})
}

func TestClosingWritesTheRest(t *testing.T) {
	out := new(sink)
	l := open(t, "-", AccessOptions{Stdout: out})
	for i := range 3 {
		l.Append(entry(fmt.Sprintf("/%d", i)))
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(out.text(), "\n"); got != 3 {
		t.Errorf("%d lines, want 3: %q", got, out.text())
	}
	l.Append(entry("/late"))
	if l.Lost() != 1 {
		t.Errorf("Lost() = %d after an entry past Close, want 1", l.Lost())
	}
	if err := l.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

func TestOff(t *testing.T) {
	l, err := OpenAccess("off", AccessOptions{})
	if l != nil || err != nil {
		t.Fatalf("OpenAccess(off) = %v, %v", l, err)
	}
	l.Append(entry("/"))
	if l.Reopen() != nil || l.Close() != nil || l.Lost() != 0 {
		t.Error("a log that is off did something")
	}
}

func TestAStuckSinkHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &sink{hold: make(chan struct{})}
		reports := make(chan error, 10)
		l := open(t, "-", AccessOptions{Stdout: out, Report: func(err error) { reports <- err }})
		e := entry("/" + strings.Repeat("a", maxTarget))
		const lines = 8000 // 12 MB: three times what may wait
		for range lines {
			l.Append(e)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		lost := l.Lost()
		if lost == 0 || lost == lines || len(l.buf) > maxPending+flushSize {
			t.Fatalf("%d of %d lines lost, %d bytes kept", lost, lines, len(l.buf))
		}
		err := <-reports
		if !errors.Is(err, errSlow) || !strings.Contains(err.Error(), fmt.Sprint(lost)) {
			t.Errorf("reported %v, want %d lines", err, lost)
		}
		close(out.hold)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if got := int64(strings.Count(out.text(), "\n")); got != lines-lost {
			t.Errorf("%d lines written and %d lost, of %d", got, lost, lines)
		}
	})
}

func TestCloseDoesNotWaitForAStuckSink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &sink{hold: make(chan struct{})}
		reports := make(chan error, 10)
		l, err := OpenAccess("-", AccessOptions{Stdout: out, Report: func(err error) { reports <- err }})
		if err != nil {
			t.Fatal(err)
		}
		l.Append(entry("/"))
		time.Sleep(flushAfter)
		synctest.Wait() // the first line is being written, the second waits
		l.Append(entry("/"))
		start := time.Now()
		if err := l.Close(); err == nil || time.Since(start) != closeWait {
			t.Errorf("Close = %v after %v", err, time.Since(start))
		}
		if l.Lost() != 2 {
			t.Errorf("%d lines counted as lost, want 2", l.Lost())
		}
		if err := <-reports; !strings.Contains(err.Error(), "2 lines lost") {
			t.Errorf("reported %v", err)
		}
		close(out.hold)
	})
}

// TestCloseDoesNotWaitForAStuckReport: with 2>&1 on a pipe that nobody reads, the
// report of what was lost would wait for ever as well.
func TestCloseDoesNotWaitForAStuckReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &sink{hold: make(chan struct{})}
		l, err := OpenAccess("-", AccessOptions{Stdout: out, Report: func(error) { <-out.hold }})
		if err != nil {
			t.Fatal(err)
		}
		l.Append(entry("/"))
		start := time.Now()
		if err := l.Close(); err == nil || time.Since(start) != closeWait+reportWait {
			t.Errorf("Close = %v after %v", err, time.Since(start))
		}
		close(out.hold)
	})
}

func TestAFailingSinkRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := new(sink)
		reports := make(chan error, 10)
		l := open(t, "-", AccessOptions{Stdout: out, Report: func(err error) { reports <- err }})
		reported := func(want string) {
			t.Helper()
			if len(reports) != 1 {
				t.Fatalf("%d reports, want 1", len(reports))
			}
			if err := <-reports; !strings.Contains(err.Error(), want) {
				t.Errorf("reported %q, want %q in it", err, want)
			}
		}
		flush := func(targets ...string) {
			for _, target := range targets {
				l.Append(entry(target))
			}
			time.Sleep(flushAfter)
			synctest.Wait()
		}
		out.fail(errors.New("no space left on device"), 100)
		flush("/1", "/2", "/3")
		if l.Lost() != 2 {
			t.Errorf("%d lines lost, want 2", l.Lost())
		}
		out.fail(nil, 0)
		flush("/4")
		lines := strings.Split(strings.TrimSuffix(out.text(), "\n"), "\n")
		if len(lines) != 3 || !strings.Contains(lines[0], "/1") || !strings.HasSuffix(lines[2], `"GET /4 HTTP/1.1" 200 5 "-" "-"`) {
			t.Errorf("lines after the disk had room again: %q", lines)
		}
		time.Sleep(firstReport)
		synctest.Wait()
		reported("2 lines lost: no space")
		out.fail(io.ErrClosedPipe, 0)
		flush("/5")
		time.Sleep(nextReport / 2)
		synctest.Wait()
		if len(reports) != 0 {
			t.Errorf("a second report within a minute: %v", <-reports)
		}
		time.Sleep(nextReport)
		synctest.Wait()
		reported("1 lines lost: io: read/write on closed pipe")
	})
}

func TestReopen(t *testing.T) {
	dir := t.TempDir()
	path, old := filepath.Join(dir, "access.log"), filepath.Join(dir, "access.log.1")
	l := open(t, path, AccessOptions{})
	l.Append(entry("/before"))
	if runtime.GOOS != "windows" { // which does not rename open files
		if err := os.Rename(path, old); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Reopen(); err != nil {
		t.Fatal(err)
	}
	for {
		l.mu.Lock()
		switched := l.next == nil
		l.mu.Unlock()
		if switched {
			break
		}
		runtime.Gosched()
	}
	l.Append(entry("/after"))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || !strings.Contains(string(got), "/after") {
		t.Errorf("new file: %q, %v", got, err)
	}
	if runtime.GOOS != "windows" {
		if got, err := os.ReadFile(old); err != nil || !strings.Contains(string(got), "/before") || strings.Contains(string(got), "/after") {
			t.Errorf("old file: %q, %v", got, err)
		}
	}
}

func TestReopenFailureKeepsTheOldFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logs")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "access.log")
	l := open(t, path, AccessOptions{})
	if runtime.GOOS == "windows" {
		t.Skip("Windows does not rename the folder of an open file")
	}
	moved := dir + ".moved"
	if err := os.Rename(dir, moved); err != nil {
		t.Fatal(err)
	}
	if err := l.Reopen(); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("Reopen = %v, want an error that names %s", err, path)
	}
	l.Append(entry("/kept"))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(moved, "access.log")); err != nil || !strings.Contains(string(got), "/kept") {
		t.Errorf("old file: %q, %v", got, err)
	}
}

func TestOpenError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "missing", "access.log")
	if _, err := OpenAccess(path, AccessOptions{}); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("Open = %v, want one that names the file", err)
	}
	if _, err := OpenAccess("-", AccessOptions{}); err == nil {
		t.Error("Open(-) without a standard output succeeded")
	}
}

func TestAppendFromManyGoroutines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	l := open(t, path, AccessOptions{})
	const writers, each = 8, 500
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			for j := range each {
				l.Append(entry(fmt.Sprintf("/%d/%d", i, j)))
			}
		})
	}
	wg.Wait()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for line := range strings.Lines(string(data)) {
		seen[line] = true
	}
	if len(seen) != writers*each || l.Lost() != 0 {
		t.Errorf("%d different lines and %d lost, want %d and 0", len(seen), l.Lost(), writers*each)
	}
}

func TestAppendDoesNotAllocate(t *testing.T) {
	for name, format := range map[string]AccessFormat{"combined": Combined, "json": JSONLines} {
		t.Run(name, func(t *testing.T) {
			l := open(t, "-", AccessOptions{Stdout: io.Discard, Format: format})
			e := entry("/index.html")
			if n := testing.AllocsPerRun(100, func() { l.Append(e) }); n != 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
}

func BenchmarkAppend(b *testing.B) {
	for name, format := range map[string]AccessFormat{"combined": Combined, "json": JSONLines} {
		b.Run(name, func(b *testing.B) {
			l, err := OpenAccess("-", AccessOptions{Stdout: io.Discard, Format: format})
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			e := entry("/static/app.3f2a91c0.js?v=12")
			e.Referer, e.UserAgent = "https://example.org/start", "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/140.0"
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				l.Append(e)
				if i%64 == 0 {
					runtime.Gosched() // a server waits for its clients now and then
				}
			}
			if n := l.Lost(); n > 0 {
				b.Errorf("%d lines lost", n)
			}
		})
	}
}
