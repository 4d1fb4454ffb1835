//go:build unix

package e2e_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What differs from run to run in a trace file.
var changing = []struct {
	pattern *regexp.Regexp
	name    string
}{
	{regexp.MustCompile(`"start":"[^"]*"`), `"start":"TIME"`},
	{regexp.MustCompile(`"time":\d+`), `"time":0`},
	{regexp.MustCompile(`(\.go):\d+"`), `$1:LINE"`},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), `127.0.0.1:PORT`},
	{regexp.MustCompile(`ETag: [^\\]*\\"[^\\]*\\"`), `ETag: TAG`},
	{regexp.MustCompile(`(Content-Length: |"size":)\d{4}`), `${1}SIZE`}, // a page with the style in it
	{regexp.MustCompile(`(Date|Last-Modified): [^\\]*`), `$1: DATE`},
}

// TestTraceFile: --trace-file writes what came, what was decided and what was sent,
// and neither secrets nor what a form says.
func TestTraceFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "run.ndjson")
	s := start(t, "--root", writeTree(t, nil), "--trace-file", file)
	for _, wire := range []string{
		request("GET", "/alive.txt", "Authorization: Basic c2VjcmV0OnNlY3JldA==", "Cookie: session=0123secret", "Connection: close"),
		request("GET", "/alive.txt", "Range: bytes=0-1", "Connection: close"),
		request("GET", "/missing\x1b", "Connection: close"),
		post("/alive.txt", "application/x-www-form-urlencoded", "name=form-secret", "Connection: close", "Accept: application/json"),
		request("DELETE", "/alive.txt", "Connection: close"),
	} {
		s.exchange(t, wire)
	}
	s.signal(t, syscall.SIGTERM)
	if code := s.exit(t); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	got := string(text)
	for _, secret := range []string{"c2VjcmV0", "0123secret", "form-secret", "\x1b"} {
		if strings.Contains(got, secret) {
			t.Errorf("the trace holds %q", secret)
		}
	}
	for _, c := range changing {
		got = c.pattern.ReplaceAllString(got, c.name)
	}
	// Connections overlap: one ends while the next begins.
	lines := strings.SplitAfter(got, "\n")
	conversation := regexp.MustCompile(`"conversation":"(\d+)"`)
	slices.SortStableFunc(lines[1:len(lines)-1], func(a, b string) int {
		return strings.Compare(conversation.FindString(a), conversation.FindString(b))
	})
	got = strings.Join(lines, "")
	golden := filepath.Join("testdata", "trace.ndjson")
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Error(diff)
	}
}
