package message

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestHTML reads HTML as real mail has it; what comes out stands beside it.
func TestHTML(t *testing.T) {
	paths, err := filepath.Glob("testdata/html/*.html")
	if err != nil || len(paths) < 10 {
		t.Fatal(paths, err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			f, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			got, err := PlainText(f)
			if err != nil {
				t.Fatal(err)
			}
			golden := strings.TrimSuffix(path, ".html") + ".txt"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
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
		})
	}
}

// FuzzHTML checks that no HTML makes much more text than it is.
func FuzzHTML(f *testing.F) {
	f.Add("<ul><li>x<blockquote><a href='https://a.b'>y</a>")
	f.Fuzz(func(t *testing.T, s string) {
		got, err := PlainText(strings.NewReader(s))
		if err != nil {
			t.Fatal(err)
		}
		if len(got) > 100+60*len(s) {
			t.Fatalf("%d bytes from %d", len(got), len(s))
		}
	})
}
