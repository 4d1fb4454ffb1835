package testserver

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestLogBounds keeps the latest exchanges and no more.
func TestLogBounds(t *testing.T) {
	log := &Log{}
	r := log.record()
	for n := range 250 {
		r.line(true, "MAIL FROM:<a@lab.test>")
		r.mail("a@lab.test", []string{"b@lab.test"}, fmt.Appendf(nil, "number-%d", n+1))
		r.line(false, "250 ok")
	}
	list := log.List()
	if len(list) != maxExchanges || list[0].ID != 250 || !list[0].Open || list[1].Open || string(list[199].Data) != "number-51" || len(list[0].Lines) != 2 {
		t.Errorf("%d exchanges, the newest is %+v", len(list), list[0])
	}
	if _, ok := log.Find(50); ok {
		t.Error("the 50th is still there")
	}
	for range 1000 {
		r.line(true, strings.Repeat("x", 5000))
	}
	if e, _ := log.Find(250); len(e.Lines) != maxLines+1 || e.Lines[maxLines].Text != "… and more" || len(e.Lines[2].Text) != maxShown {
		t.Errorf("%d lines", len(e.Lines))
	}
	r.end()
	big := make([]byte, 20<<20)
	for range 5 { // the oldest of them have to go
		r = log.record()
		r.line(false, "220 hello")
		r.mail("", nil, big)
		r.end()
	}
	list = log.List()
	if len(list) != 3 || list[0].ID != 255 || list[0].Open {
		t.Errorf("%d exchanges are kept, the newest is %d", len(list), list[0].ID)
	}
	// One that is larger than all that is kept stays alone.
	r = log.record()
	r.line(false, "220 hello")
	r.mail("", nil, make([]byte, maxKept+1))
	if list = log.List(); len(list) != 1 || list[0].ID != 256 {
		t.Errorf("%d exchanges are kept", len(list))
	}
}

// TestLogLines hides passwords, and gives each mail of a session its own lines.
func TestLogLines(t *testing.T) {
	log := &Log{}
	changes, stop := log.Watch()
	r := log.record()
	for _, line := range []string{"EHLO x", "auth PLAIN AGEAc2VjcmV0", "AUTH LOGIN", "MAIL FROM:<a@lab.test>"} {
		r.line(true, line)
	}
	r.mail("a@lab.test", []string{"b@lab.test"}, []byte("1"))
	r.line(false, "250 kept")
	r.line(true, "MAIL FROM:<a@lab.test>")
	r.line(false, "550 no")
	r.line(true, "MAIL FROM:<c@lab.test>") // another mail, whatever became of the one before
	r.end()
	got := make(map[int][]string)
	for _, e := range log.List() {
		for _, line := range e.Lines {
			got[e.ID] = append(got[e.ID], line.Text)
		}
	}
	want := map[int][]string{
		1: {"EHLO x", "auth PLAIN ****", "AUTH LOGIN", "MAIL FROM:<a@lab.test>", "250 kept"},
		2: {"MAIL FROM:<a@lab.test>", "550 no"},
		3: {"MAIL FROM:<c@lab.test>"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if <-changes; len(changes) > 0 {
		t.Error("a slow watcher has more than one change to read")
	}
	log.Switch(Slow)
	if <-changes; log.Fault() != Slow {
		t.Error(log.Fault())
	}
	stop()
	log.Switch(NoFault)
	if len(changes) > 0 {
		t.Error("told after stop")
	}
	// A server without a log.
	var none *Log
	none.record().line(true, "x")
	none.record().mail("", nil, nil)
	none.record().end()
	if none.Fault() != NoFault {
		t.Error("a fault of nobody")
	}
}
