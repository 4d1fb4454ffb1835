package bulk

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	open := func(fingerprint string) (*Journal, error) { return OpenJournal(path, fingerprint, 6) }
	j, err := open("f")
	if err != nil {
		t.Fatal(err)
	}
	if _, err = open("f"); err == nil {
		t.Error("a second run may use the journal")
	}
	j.Gather = true
	for _, do := range []func() error{
		func() error { return j.Start(1, "id1") },
		func() error { return j.Finish(1, Sent, "") },
		func() error { return j.Start(2, "id2") },
		func() error { return j.Start(3, "id3") },
		func() error { return j.Finish(3, Refused, "550 no\nstart 6 forged") },
		func() error { return j.Start(4, "id4") },
		func() error { return j.Finish(4, Open, "451 later") },
		func() error { return j.Start(5, "id5") },
		func() error { return j.Finish(5, Sent, "") },
	} {
		if err = do(); err != nil {
			t.Fatal(err)
		}
	}
	// What a killed process leaves: the last "sent" was still waiting.
	left, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(left), "sent 5") || !strings.Contains(string(left), "sent 1\nstart 2 id2\n") {
		t.Errorf("%s", left)
	}
	if err = j.Close(); err != nil {
		t.Fatal(err)
	}
	states := func(text string) []State {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		j, err := open("f")
		if err != nil {
			t.Fatal(err)
		}
		defer j.Close()
		var list []State
		for row := 1; row <= j.Rows(); row++ {
			list = append(list, j.State(row))
		}
		return list
	}
	if diff := cmp.Diff([]State{Sent, Uncertain, Refused, Open, Uncertain, Open}, states(string(left))); diff != "" {
		t.Error(diff)
	}
	// A record cut in its middle says nothing, and the next one does not join it.
	if diff := cmp.Diff([]State{Sent, Uncertain, Refused, Open, Uncertain, Open}, states(string(left)+"sent 5")); diff != "" {
		t.Error(diff)
	}
	if j, err = open("f"); err != nil {
		t.Fatal(err)
	}
	if err = errors.Join(j.Start(6, "id6"), j.Close()); err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(path); !strings.HasSuffix(string(text), "start 5 id5\nstart 6 id6\n") {
		t.Errorf("%s", text)
	}
	if _, err = open("another"); !errors.Is(err, ErrOtherRun) {
		t.Error(err)
	}
	for _, text := range []string{"To: me\n", journalMagic + " f\nsent 7\n", journalMagic + " f\nsent x\n", journalMagic + " f\nfoo 1\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if j, err := open("f"); err == nil {
			j.Close()
			t.Errorf("%q was taken for a journal", text)
		}
	}
}

func TestList(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list.csv")
	if err := os.WriteFile(path, []byte("\ufeffName,To\n\"Doe, J.\",a@lab.test\nZoë <b>,\"Zoë <b@lab.test>\"\nbad,nobody\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := OpenList(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	plain, err := ParseTemplate("Dear {{ NAME }}, {{to}}{{name}}", false)
	if err != nil {
		t.Fatal(err)
	}
	html, err := ParseTemplate("{{name}}", true)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for {
		row, err := l.Next()
		if err != nil {
			if errors.Is(err, io.EOF) || !strings.Contains(err.Error(), "line 4") {
				t.Error(err)
			}
			break
		}
		got = append(got, row.To.Name+" "+row.To.Spec(), plain.Fill(row), html.Fill(row))
	}
	want := []string{
		" a@lab.test", "Dear Doe, J., a@lab.testDoe, J.", "Doe, J.",
		"Zoë b@lab.test", "Dear Zoë <b>, Zoë <b@lab.test>Zoë <b>", "Zoë &lt;b&gt;",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// Rows that wait for their next try cost no more than the others, however many
// there are.
func TestManyDeferred(t *testing.T) {
	const rows = 200_000
	path := filepath.Join(t.TempDir(), "list.csv")
	if err := os.WriteFile(path, []byte("to\n"+strings.Repeat("a@lab.test\n", rows)), 0o600); err != nil {
		t.Fatal(err)
	}
	list, err := OpenList(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer list.Close()
	j, err := OpenJournal(path+".journal", "f", rows)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	ctx, cancel := context.WithCancel(t.Context())
	tasks, results, done := make(chan *task), make(chan *task), make(chan error, 1)
	go func() { done <- (&Runner{Journal: j}).feed(ctx, list, tasks, results) }()
	tooLong := time.After(30 * time.Second)
	for range rows {
		select {
		case next := <-tasks:
			next.due = time.Now().Add(time.Hour)
			results <- next
		case <-tooLong:
			t.Fatal("it takes too long")
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
