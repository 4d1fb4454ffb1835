package wiretest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"topdown/udppinger/internal/wire"

	"github.com/google/go-cmp/cmp"
)

func TestReplyIsTheServersReply(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "testdata", "extension.txt"))
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "#") {
			lines = append(lines, strings.TrimSuffix(line, "\n"))
		}
	}
	for i := 0; i+1 < len(lines); i += 2 {
		_, report := wire.Judge([]byte(lines[i]), []byte(lines[i+1]))
		if report == nil {
			continue
		}
		if diff := cmp.Diff(lines[i+1], string(Reply([]byte(lines[i]), *report))); diff != "" {
			t.Errorf("reply %d (-want +got):\n%s", i/2+1, diff)
		}
	}
}
