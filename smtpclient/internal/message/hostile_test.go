package message

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

// What a stranger writes must not cost more than in proportion to its length:
// each of these took minutes, or gigabytes, where the work grows with its square.
func TestHostileInput(t *testing.T) {
	const size = 256 << 10 // a header may have that many bytes
	for _, tt := range []struct {
		name string
		do   func()
	}{
		{"folded field", func() { _, _ = ReadHeader(strings.NewReader("A: b\n" + strings.Repeat(" c\n", size/3))) }},
		{"folded field to be sent", func() { _, _ = ReadRaw(strings.NewReader("A: b\n" + strings.Repeat(" c\n", size/5) + "\n")) }},
		{"many pictures", func() {
			var page strings.Builder
			for i := range 4 * size / 12 {
				fmt.Fprintf(&page, "\"cid:%06d\"", i)
			}
			(&Mail{HTML: page.String()}).Check()
		}},
		{"long file name", func() { SafeName(&Part{Filename: strings.Repeat("a", size) + ".pdf"}) }},
		{"links in links", func() {
			page := strings.Repeat("<a href=http:>", 20_000) + strings.Repeat("Ab ", 80_000) + strings.Repeat("</a>", 20_000)
			_, _ = PlainText(strings.NewReader(page))
		}},
		{"many reports", func() { _, _ = ReadDeliveries(strings.NewReader(strings.Repeat("a:b\n\n", size/5))) }},
		{"open brackets", func() { parseParameters(strings.Repeat("(", 4*size)) }},
		{"words without end", func() { DecodeWords(strings.Repeat("=?a?q?x", size)) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			done := make(chan struct{})
			go func() { defer close(done); tt.do() }()
			select {
			case <-done:
			case <-time.After(20 * time.Second):
				t.Fatal("it takes too long")
			}
			runtime.ReadMemStats(&after)
			if used := after.TotalAlloc - before.TotalAlloc; used > 512<<20 {
				t.Errorf("it needs %d MB of memory, one after the other", used>>20)
			}
		})
	}
}

// A calendar's times are shown as they are if they are none.
func TestEventOddTimes(t *testing.T) {
	for _, end := range []string{"2026-11-21 14", "2026-11-21 ", "2026-11-21 14:00", "x", ""} {
		e, err := ReadEvent(strings.NewReader("BEGIN:VEVENT\nDTSTART:20261121T140000Z\nDTEND:" + end + "\nEND:VEVENT\n"))
		if err != nil || !strings.HasPrefix(e.When, "2026-11-21 14:00 UTC") || !strings.HasSuffix(e.When, end) {
			t.Errorf("DTEND:%s: %v, %v", end, e, err)
		}
	}
}

// No header line is longer than RFC 5322 section 2.1.1 allows, whatever it is
// made of.
func TestHeaderLineLength(t *testing.T) {
	for name, value := range map[string]string{
		"white space": "a" + strings.Repeat(" ", 2000) + "b", "tabs": "a" + strings.Repeat("\t", 2000) + "b",
		"a word": strings.Repeat("a", 2000), "just too long": "a " + strings.Repeat("b", 990),
	} {
		var b bytes.Buffer
		writeUnstructured(&b, "Subject", value)
		for line := range bytes.Lines(b.Bytes()) {
			if len(line) > longestLine+2 {
				t.Errorf("%s: a line of %d bytes", name, len(line)-2)
			}
		}
		if h, err := ReadHeader(&b); err != nil || h.Text("Subject") != value {
			t.Errorf("%s: it is read as %.50q…, %v", name, h.Text("Subject"), err)
		}
	}
	if (Field{strings.Repeat("N", 999), ""}).Check() == nil {
		t.Error("a field name of 999 bytes passes")
	}
}
