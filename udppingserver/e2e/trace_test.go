//go:build unix

package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestTraceFile: --trace-file writes each packet, what was decided and each reply.
func TestTraceFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "run.ndjson")
	stdout, _, stop := program(t, "127.0.0.1:0", "--seed", "1", "--loss", "40%", "--duplicate", "50%", "--trace-file", file)
	addr := stdout.await(t, readyLine)
	client, err := net.Dial("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for i := 1; i <= 6; i++ {
		if _, err := fmt.Fprintf(client, "Ping %d 1763730000.00000%d", i, i); err != nil {
			t.Fatal(err)
		}
		// One after the other, so that the server reads each by itself: the next goes
		// when this one's fate is in the trace.
		end := regexp.MustCompile(fmt.Sprintf(`"id":"%d",("fate":"lost"|"step":"5 reply")`, i))
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
			if text, err := os.ReadFile(file); err == nil && end.Match(text) {
				break
			} else if time.Now().After(deadline) {
				t.Fatalf("ping %d: neither lost nor answered, %v:\n%s", i, err, text)
			}
		}
	}
	if code := stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	got := string(text)
	for _, c := range []struct{ pattern, with string }{
		{`"start":"[^"]*"`, `"start":"TIME"`},
		{`"time":\d+`, `"time":0`},
		{`127\.0\.0\.1:\d+`, "127.0.0.1:PORT"},
		{`(\.go):\d+"`, `$1:LINE"`},
	} {
		got = regexp.MustCompile(c.pattern).ReplaceAllString(got, c.with)
	}
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
