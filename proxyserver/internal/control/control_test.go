package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestAsk(t *testing.T) {
	long := filepath.Join(t.TempDir(), strings.Repeat("long/", 30))
	for name, dir := range map[string]string{"short": t.TempDir(), "long": long} {
		t.Run(name, func(t *testing.T) {
			if err := os.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := Ask(t.Context(), dir, io.Discard, "list"); !errors.Is(err, ErrNobody) {
				t.Errorf("with no proxy: %v", err)
			}
			for range 2 { // the second one finds the socket of the first
				ctx, cancel := context.WithCancel(t.Context())
				ln, err := Listen(dir)
				if err != nil {
					t.Fatal(err)
				}
				// It is the user's alone, wherever it lies.
				if info, err := os.Stat(filepath.Join(dir, socketName)); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
					t.Errorf("the socket is %v, %v", info.Mode(), err)
				}
				done := make(chan struct{})
				go func() {
					defer close(done)
					Serve(ctx, ln, func(_ context.Context, w io.Writer, words []string) error {
						switch words[0] {
						case "fail":
							fmt.Fprint(w, "what happened")
							return errors.New("two\nlines")
						case "nothing":
							return nil
						}
						fmt.Fprint(w, strings.Repeat(words[1], 100_000))
						return nil
					})
				}()
				var out strings.Builder
				if err := Ask(t.Context(), dir, &out, "show", "abc"); err != nil || out.String() != strings.Repeat("abc", 100_000) {
					t.Errorf("%d bytes, %v", out.Len(), err)
				}
				out.Reset()
				if err := Ask(t.Context(), dir, &out, "fail"); err == nil || err.Error() != "two lines" || out.String() != "what happened" {
					t.Errorf("an error: %q, %v", out.String(), err)
				}
				out.Reset()
				if err := Ask(t.Context(), dir, &out, "nothing"); err != nil || out.Len() != 0 {
					t.Errorf("nothing: %q, %v", out.String(), err)
				}
				cancel()
				<-done
			}
			if err := Ask(t.Context(), dir, io.Discard, "list"); !errors.Is(err, ErrNobody) {
				t.Errorf("after the end: %v", err)
			}
		})
	}
}

// A file of that name that is no socket is somebody else's, and stays.
func TestFileOfThatName(t *testing.T) {
	path := filepath.Join(t.TempDir(), socketName)
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if ln, err := Listen(filepath.Dir(path)); err == nil {
		ln.Close()
		t.Error("it listens")
	}
	if left, err := os.ReadFile(path); err != nil || string(left) != "mine" {
		t.Errorf("%q, %v", left, err)
	}
}
