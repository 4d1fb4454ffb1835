package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
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
	{regexp.MustCompile(`Date: [^\\]*`), `Date: DATE`},
	{regexp.MustCompile(`proxyserver-[0-9a-f]+`), `proxyserver-ID`},
	{regexp.MustCompile(`stored \d+ s ago, age \d+(.*)fresh for \d+ s`), `stored # s ago, age #${1}fresh for # s`},
	{regexp.MustCompile(`Age: \d+|ttl=\d+`), `AGE`},
}

// TestTraceFile: a miss, a hit that never reaches the origin, and a target that is
// not allowed, without secrets.
func TestTraceFile(t *testing.T) {
	o := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=3600")
		w.Header().Set("Set-Cookie", "id=secret1")
		io.WriteString(w, "hello")
	}))
	defer o.Close()
	file := filepath.Join(t.TempDir(), "run.ndjson")
	p := start(t, nil, "--addr", "127.0.0.1:0", "--cache-dir", t.TempDir(), "--access-log", "off", "--trace-file", file)
	for _, target := range []string{o.URL + "/page", o.URL + "/page", "http://127.0.0.1:1/"} {
		conn, err := net.Dial("tcp", p.addr)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\nCookie: id=secret2\r\nConnection: close\r\n\r\n", target)
		if _, err := io.ReadAll(conn); err != nil {
			t.Fatal(err)
		}
		conn.Close()
	}
	p.stop()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	got := string(text)
	if strings.Contains(got, "secret") {
		t.Error("the trace holds a secret")
	}
	for _, c := range changing {
		got = c.pattern.ReplaceAllString(got, c.name)
	}
	// The end of a connection, and the content that goes into the store, are told
	// by others than the exchange: each conversation's lines are compared in one order.
	lines := strings.Split(strings.TrimSuffix(got, "\n"), "\n")
	slices.Sort(lines[1:])
	got = strings.Join(lines, "\n") + "\n"
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
