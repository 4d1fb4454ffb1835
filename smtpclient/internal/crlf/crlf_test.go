package crlf

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestWriter(t *testing.T) {
	for _, tt := range []struct{ name, in, plain, dots string }{
		{"empty", "", "", ""},
		{"canonical", "a\r\nb\r\n", "a\r\nb\r\n", "a\r\nb\r\n"},
		{"no last end", "a", "a\r\n", "a\r\n"},
		{"LF", "a\n\nb\n", "a\r\n\r\nb\r\n", "a\r\n\r\nb\r\n"},
		{"CR", "a\r\rb\r", "a\r\n\r\nb\r\n", "a\r\n\r\nb\r\n"},
		{"CR CRLF", "a\r\r\nb", "a\r\n\r\nb\r\n", "a\r\n\r\nb\r\n"},
		{"lone dot", ".\n", ".\r\n", "..\r\n"},
		{"dot after bare CR", "a\r.\rb", "a\r\n.\r\nb\r\n", "a\r\n..\r\nb\r\n"},
		{"dot after bare LF", "a\n.\r\nb", "a\r\n.\r\nb\r\n", "a\r\n..\r\nb\r\n"},
		{"two dots", "..\r\n", "..\r\n", "...\r\n"},
		{"dot inside", "a.b\n", "a.b\r\n", "a.b\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, size := range []int{1, 2, 3, 1000} { // the pieces in which it is written
				var plain, dots bytes.Buffer
				p, d := NewWriter(&plain), NewDotWriter(&dots)
				for rest := tt.in; rest != ""; {
					n := min(size, len(rest))
					for _, w := range []*Writer{p, d} {
						if _, err := w.Write([]byte(rest[:n])); err != nil {
							t.Fatal(err)
						}
					}
					rest = rest[n:]
				}
				if p.Close() != nil || d.Close() != nil {
					t.Fatal("Close failed")
				}
				if diff := cmp.Diff(tt.plain, plain.String()); diff != "" {
					t.Errorf("pieces of %d: %s", size, diff)
				}
				if diff := cmp.Diff(tt.dots, dots.String()); diff != "" {
					t.Errorf("pieces of %d, dots: %s", size, diff)
				}
			}
		})
	}
}

// A text that has only CRs costs no more than another.
func TestWriterCost(t *testing.T) {
	done := make(chan error)
	go func() {
		_, err := NewWriter(io.Discard).Write(bytes.Repeat(cr, 2<<20))
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("it takes too long")
	}
}

// FuzzWriter checks that nothing but CRLF ends a line, that no line is a lone
// dot, that a server which takes the dots off has the text again, and that the
// pieces do not matter.
func FuzzWriter(f *testing.F) {
	for _, seed := range []string{"a\n.\nb", "\r\n.\r\n", ".\r.\n.", "\r\r\n", "x\r"} {
		f.Add(seed, 3)
	}
	f.Fuzz(func(t *testing.T, in string, size int) {
		var whole, pieces bytes.Buffer
		w := NewDotWriter(&whole)
		_, _ = w.Write([]byte(in))
		_ = w.Close()
		p := NewDotWriter(&pieces)
		for rest := in; rest != ""; {
			n := min(max(size, 1), len(rest))
			_, _ = p.Write([]byte(rest[:n]))
			rest = rest[n:]
		}
		_ = p.Close()
		if whole.String() != pieces.String() {
			t.Fatalf("pieces matter: %q and %q", whole.String(), pieces.String())
		}
		var undone strings.Builder
		for line := range strings.SplitAfterSeq(whole.String(), "\r\n") {
			text := strings.TrimSuffix(line, "\r\n")
			if strings.ContainsAny(text, "\r\n") || text == "." || line != "" && text == line {
				t.Fatalf("not canonical: %q", line)
			}
			undone.WriteString(strings.TrimPrefix(line, "."))
		}
		want := strings.NewReplacer("\r\n", "\r\n", "\r", "\r\n", "\n", "\r\n").Replace(in)
		if want != "" && !strings.HasSuffix(want, "\r\n") {
			want += "\r\n"
		}
		if undone.String() != want {
			t.Fatalf("%q came out as %q, want %q", in, undone.String(), want)
		}
	})
}
