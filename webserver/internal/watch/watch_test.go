package watch

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestRefresh(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	write := func(text string, at time.Time) {
		t.Helper()
		if err := errors.Join(os.WriteFile(path, []byte(text), 0o600), os.Chtimes(path, at, at)); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now()
	write("one", now.Add(-time.Hour))
	var text string
	loads := 0
	load := func() error {
		loads++
		b, err := os.ReadFile(path)
		if err == nil && string(b) == "bad" {
			err = errors.New("it is bad")
		}
		if err == nil {
			text = string(b)
		}
		return err
	}
	f, err := New(now, "the old one stays", load, path)
	if err != nil || text != "one" {
		t.Fatalf("%q, %v", text, err)
	}
	steps := []struct {
		name   string
		change func()
		after  time.Duration
		text   string
		fault  string // in the error, "" for none
		loads  int
	}{
		{"unchanged", func() {}, Every, "one", "", 1},
		{"too early", func() { write("two", now.Add(-time.Minute)) }, Every / 2, "one", "", 1},
		{"changed", func() {}, Every, "two", "", 2},
		{"bad", func() { write("bad", now.Add(-time.Second)) }, Every, "two", "it is bad; the old one stays", 3},
		{"still bad", func() {}, Every, "two", "", 4}, // too young to be relied on
		{"good again", func() { write("three", now.Add(-time.Minute)) }, Every, "three", "", 5},
		{"gone", func() { os.Remove(path) }, Every, "three", "no such file", 6},
		{"still gone", func() {}, Every, "three", "", 6},
		{"of a time ahead", func() { write("four", now.Add(time.Hour)) }, Every, "four", "", 7},
		{"still of a time ahead", func() {}, Every, "four", "", 7},
	}
	for _, step := range steps {
		step.change()
		now = now.Add(step.after)
		err := f.Refresh(now)
		if text != step.text || loads != step.loads || (err == nil) != (step.fault == "") || err != nil && !strings.Contains(err.Error(), step.fault) {
			t.Errorf("%s: %q after %d loads, %v; want %q after %d, fault %q", step.name, text, loads, err, step.text, step.loads, step.fault)
		}
	}
}

// TestWhileItReads: a file that takes long to read, on a disk that hangs, holds up
// nobody but the one who reads it.
func TestWhileItReads(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	reading, done := make(chan bool), make(chan bool)
	first := true
	load := func() error {
		if !first {
			reading <- true
			<-done
		}
		first = false
		return nil
	}
	now := time.Now()
	f, err := New(now, "", load, path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- f.Refresh(now.Add(Every)) }()
	<-reading
	if err := f.Refresh(now.Add(3 * Every)); err != nil { // would wait for ever
		t.Error(err)
	}
	close(done)
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
