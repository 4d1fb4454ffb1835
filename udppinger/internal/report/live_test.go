package report

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"topdown/udppinger/internal/ping"
	"topdown/udppinger/internal/wire"

	"github.com/google/go-cmp/cmp"
)

// course plays a run of a view: 100 probes, one each 100 ms, of which those with
// sequences 40 to 49 are lost.
func course(view View) *Summary {
	s := NewSummary(Target{Name: "192.0.2.7", Address: "192.0.2.7", Port: 8080, Timeout: time.Second}, time.Unix(0, 0), 30*time.Second)
	view.Begin(s)
	for seq := uint64(1); seq <= 100; seq++ {
		p := ping.Probe{Seq: seq, Verdict: ping.OnTime, Begun: time.Duration(seq) * 100 * time.Millisecond, RTT: time.Duration(seq) * time.Millisecond}
		p.Read = p.Begun + p.RTT
		e := ping.Event{Kind: ping.Decided, Probe: p, Counts: ping.Counts{Sent: seq, OnTime: seq}}
		if seq >= 40 && seq < 50 {
			p.Verdict, p.RTT = ping.Lost, 0
			e.Kind, e.Probe = ping.TimedOut, p
		}
		s.Observe(e)
		view.Event(s, e)
	}
	return s
}

func TestLiveGraphFitsTheTerminalAndDrawsInPlace(t *testing.T) {
	for _, columns := range []int{40, 80, 200} {
		for _, color := range []bool{false, true} {
			t.Run(fmt.Sprint(columns, " columns, colour ", color), func(t *testing.T) {
				var out bytes.Buffer
				now := time.Unix(0, 0)
				view := &LiveGraph{W: &out, Color: color, Screen: func() (int, int) { return columns, 24 }, Now: func() time.Time {
					now = now.Add(100 * time.Millisecond)
					return now
				}}
				s := course(view)
				if err := view.End(s); err != nil {
					t.Fatal(err)
				}
				text := out.String()
				frames := regexp.MustCompile(`\x1b\[(\d+)A\r`).Split(text, -1)
				moves := regexp.MustCompile(`\x1b\[(\d+)A\r`).FindAllStringSubmatch(text, -1)
				if len(frames) < 40 || len(frames) > 52 { // one each 200 ms of ten seconds
					t.Errorf("%d frames", len(frames))
				}
				for i, frame := range frames {
					if i < len(moves) && fmt.Sprint(strings.Count(frame, "\n")) != moves[i][1] {
						t.Fatalf("frame %d has %d lines, and the cursor goes up %s", i, strings.Count(frame, "\n"), moves[i][1])
					}
					plain := regexp.MustCompile(`\x1b\[\d*[mKJ]`).ReplaceAllString(frame, "")
					for line := range strings.Lines(plain) {
						if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n >= columns {
							t.Fatalf("line of %d characters: %q", n, line)
						}
					}
				}
				last := frames[len(frames)-1]
				marks := regexp.MustCompile(`lost (?:\x1b\[31m)?( *)([x.][x. ]*)`).FindStringSubmatch(last)
				if marks == nil || len(marks[1]) < 3 {
					t.Errorf("the loss is not marked where it was:\n%s", last)
				}
				if strings.Contains(text, "\x1b[31m") != color {
					t.Errorf("colours: %v, want %v", !color, color)
				}
			})
		}
	}
}

// What stands below a graph at the end fits the terminal too, and no word is cut.
func TestSummaryAndGraphFitTheTerminal(t *testing.T) {
	var long bytes.Buffer
	s := course(&Lab{W: &long, Quiet: true})
	s.Elapsed = 10 * time.Second
	if err := (&Lab{W: &long, Quiet: true}).End(s); err != nil {
		t.Fatal(err)
	}
	for _, columns := range []int{40, 80} {
		var out bytes.Buffer
		if err := (&Lab{W: &out, Quiet: true, Width: columns}).End(s); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(strings.Fields(long.String()), strings.Fields(out.String())); diff != "" {
			t.Errorf("words (-want +got):\n%s", diff)
		}
		if err := (&Graph{W: &out, Width: columns}).End(s); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(out.String()) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > columns {
				t.Errorf("line of %d characters in %d: %q", n, columns, line)
			}
		}
	}
}

func TestLiveLineFitsTheTerminal(t *testing.T) {
	var out bytes.Buffer
	now := time.Unix(0, 0)
	view := &Live{W: &out, Screen: func() (int, int) { return 30, 24 }, Now: func() time.Time {
		now = now.Add(time.Second)
		return now
	}}
	course(view)
	for line := range strings.SplitSeq(out.String(), "\r") {
		if utf8.RuneCountInString(line) > 29 {
			t.Fatalf("line %q", line)
		}
	}
}

func TestStatusLineTellsOfTheWindow(t *testing.T) {
	view := &Watch{W: &bytes.Buffer{}, Now: time.Now}
	s := course(view)
	if line, want := StatusLine(s), "; last 30s: 10% of 100 lost, avg 51.167 ms, max 100.000 ms"; !strings.HasSuffix(line, want) {
		t.Errorf("%q, want it to end with %q", line, want)
	}
}

// A day of events in one line for each change.
func TestWatch(t *testing.T) {
	var out bytes.Buffer
	view := &Watch{W: &out, Fails: 3, MaxLoss: 0.25, MaxRTT: 55 * time.Millisecond, Now: time.Now}
	s := NewSummary(Target{Name: "lab.example", Address: "192.0.2.7", Port: 8080, Timeout: time.Second}, time.Unix(1763679000, 0).UTC(), 10*time.Second)
	view.Begin(s)
	seq := uint64(0)
	play := func(n int, rtt time.Duration) { // n probes, one a second; without an RTT they are lost
		for range n {
			seq++
			p := ping.Probe{Seq: seq, Verdict: ping.OnTime, Begun: time.Duration(seq) * time.Second, RTT: rtt}
			p.Read = p.Begun + rtt
			e := ping.Event{Kind: ping.Decided, Probe: p}
			if rtt == 0 {
				e.Kind, e.Probe.Verdict = ping.TimedOut, ping.Lost
			}
			s.Observe(e)
			view.Event(s, e)
		}
	}
	const fast, slow = 10 * time.Millisecond, 100 * time.Millisecond
	play(20, fast)
	play(2, 0) // two in a row are not down, and 2 of 10 not above the limit
	play(10, fast)
	play(5, 0)
	play(12, fast)
	play(8, slow)
	play(10, fast)
	var got []string
	for line := range strings.Lines(out.String()) {
		at, text, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " lab.example:8080 ")
		if _, err := time.Parse(time.RFC3339, at); err != nil || !ok {
			t.Errorf("line %q", line)
		}
		words := regexp.MustCompile(`[0-9.]+( ms|ms|s|%)`).ReplaceAllString(text, "#")
		got = append(got, words)
	}
	lines := []string{
		"up, RTT #",
		"down: 3 pings in a row without a reply (request timed out)",
		"up again after #, RTT #",
		"loss too high: # of the last #, the limit is #",
		"loss fine again: # of the last #, the limit is #",
		"RTT too high: avg # of the last #, the limit is #",
		"RTT fine again: avg # of the last #, the limit is #",
	}
	if diff := cmp.Diff(lines, got); diff != "" {
		t.Errorf("lines (-want +got):\n%s\n%s", diff, out.String())
	}
	if !view.Well(s) {
		t.Error("all is well at the end")
	}
}

// A host behind a router that gives it up after 3 s: each ping has timed out by
// then, and is told of twice. It is one ping without a reply, and one line.
func TestWatchCountsEachPingOnce(t *testing.T) {
	var out bytes.Buffer
	at := time.Date(2026, 11, 21, 13, 5, 12, 0, time.UTC)
	view := &Watch{W: &out, Fails: 5, Now: func() time.Time { return at }}
	// It began before the machine slept for eight hours.
	s := NewSummary(Target{Name: "192.0.2.7", Address: "192.0.2.7", Port: 8080, Timeout: time.Second}, at.Add(-8*time.Hour), time.Minute)
	view.Begin(s)
	tracker := ping.NewTracker(wire.Format{Nonce: 7}, time.Second, 0, func(e ping.Event) {
		s.Observe(e)
		view.Event(s, e)
	})
	second := func(n int) { // after n seconds
		now := time.Duration(n) * time.Second
		tracker.Expire(now, 0)
		tracker.Begin(now, now, s.Start.Add(now))
	}
	for n := range 4 {
		second(n)
	}
	for seq := range uint64(3) {
		tracker.Refuse(seq+1, errors.New("host unreachable"))
	}
	if out.Len() > 0 {
		t.Errorf("after 3 pings: %s", out.String())
	}
	second(4)
	second(5)
	if got, want := out.String(), "2026-11-21T13:05:12Z 192.0.2.7:8080 down: 5 pings in a row without a reply (request timed out)\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// An hour of watch at ten pings a second: after the first fifth of it memory does
// not grow.
func TestWatchInBoundedMemory(t *testing.T) {
	const probes, interval = 36_000, 100 * time.Millisecond
	var out bytes.Buffer
	view := &Watch{W: &out, Fails: 3, MaxLoss: 0.25, MaxRTT: 55 * time.Millisecond, Now: time.Now}
	start := time.Unix(1763679000, 0)
	summary := NewSummary(Target{Name: "127.0.0.1", Address: "127.0.0.1", Port: 8080, Timeout: time.Second}, start, time.Minute)
	summary.Endless()
	view.Begin(summary)
	tracker := ping.NewTracker(wire.Format{Nonce: 7}, time.Second, 0, func(e ping.Event) {
		summary.Observe(e)
		view.Event(summary, e)
	})
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	var before int64
	for i := range probes {
		now := time.Duration(i) * interval
		tracker.Expire(now, 0)
		seq, message := tracker.Begin(now, now, start.Add(now))
		if i%100 != 99 { // one in a hundred is lost
			rtt := time.Duration(20+seq*seq%17) * time.Millisecond / 7
			tracker.Arrive(ping.Arrival{Data: bytes.ToUpper(message), Read: now + rtt, Wall: start.Add(now + rtt)})
		}
		if i == probes/5 {
			before = heap()
		}
	}
	if grown := heap() - before; grown > 64<<10 {
		t.Errorf("memory grew by %d bytes", grown)
	}
	if c := tracker.Counts; c.OnTime != probes*99/100 || !strings.HasSuffix(out.String(), " up, RTT 3.000 ms\n") {
		t.Errorf("%+v, %q", c, out.String())
	}
	runtime.KeepAlive(summary)
}
