package tracefile

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func decide(f *File, at time.Time) {
	say(f, at)
}

func say(f *File, at time.Time) {
	f.Write(at, Event{Conversation: "1", From: "server", What: Decision, Text: "no", RFC: 9110, Section: "15.5.5"})
}

func TestWrite(t *testing.T) {
	var out strings.Builder
	start := time.Date(2026, 11, 21, 13, 0, 0, 5, time.UTC)
	f := New(&out, "lab", "server", start, "say")
	decide(f, start.Add(1500))
	f.Write(start.Add(-1), Event{Conversation: "1", From: "server", To: "client", What: Line, Text: Escape("a\r\n")})
	lines := strings.Split(out.String(), "\n")
	lines[1] = lines[1][:strings.LastIndexByte(lines[1], ':')] // without the line number
	lines[2] = lines[2][:strings.LastIndexByte(lines[2], ':')]
	want := []string{
		`{"trace":"topdown","version":1,"lab":"lab","at":"server","start":"2026-11-21T13:00:00.000000005Z"}`,
		`{"time":1500,"conversation":"1","from":"server","what":"decision","text":"no","rfc":9110,"section":"15.5.5","func":"tracefile.decide","file":"tracefile_test.go`,
		`{"time":0,"conversation":"1","from":"server","to":"client","what":"line","text":"a\\r\\n","func":"tracefile.TestWrite","file":"tracefile_test.go`,
		"",
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Error(diff)
	}
}

type full struct{ room int }

func (w *full) Write(p []byte) (int, error) {
	if w.room--; w.room < 0 {
		return 0, errors.New("no space left")
	}
	return len(p), nil
}

func TestFull(t *testing.T) {
	w := &full{room: 1}
	f := New(w, "lab", "server", time.Now())
	for range 3 {
		f.Write(time.Now(), Event{Conversation: "1", From: "server", What: Timer})
	}
	if err := f.Err(); err == nil || err.Error() != "no space left" || w.room != -1 {
		t.Errorf("error %v, %d", err, w.room)
	}
	var none *File
	none.Write(time.Now(), Event{})
	if none.Err() != nil {
		t.Error("an error of no file")
	}
}

func TestEscape(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "plain": "plain", "a\r\nb\tc": `a\r\nb\tc`, `a\b`: `a\\b`, "\x00\x7f\xff": `\x00\x7f\xff`, "é": `\xc3\xa9`, `"<`: `"<`,
	} {
		if got := Escape(in); got != want {
			t.Errorf("Escape(%q) = %s, want %s", in, got, want)
		}
	}
}
