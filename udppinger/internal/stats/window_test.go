package stats

import (
	"testing"
	"time"
)

func TestWindowForgetsWhatIsOld(t *testing.T) {
	w := NewWindow(time.Minute)
	sum := func(now time.Duration) Point { return w.Sum(now) }
	for i := range 600 { // ten minutes, one probe a second; every tenth is lost
		at := time.Duration(i) * time.Second
		if i%10 == 9 {
			w.Loss(at)
		} else {
			w.Reply(at, time.Duration(i+1)*time.Millisecond, true)
		}
	}
	got := sum(599 * time.Second)
	if got.Probes != 60 || got.Lost != 6 || got.Timed() != 54 || got.Min != 541*time.Millisecond || got.Max != 599*time.Millisecond {
		t.Errorf("the last minute: %+v", got)
	}
	if got := sum(20 * time.Minute); got.Probes != 0 {
		t.Errorf("ten minutes later: %+v", got)
	}
	w.Revise(599 * time.Second)
	if got := sum(599 * time.Second); got.Lost != 5 || got.Probes != 59 {
		t.Errorf("after a loss was taken back: %+v", got)
	}
	w.Loss(time.Second) // far too old
	if got := sum(599 * time.Second); got.Lost != 5 {
		t.Errorf("after a loss of long ago: %+v", got)
	}
}

func TestWindowOfAFastRun(t *testing.T) {
	w := NewWindow(time.Second)
	for i := range 100_000 {
		w.Reply(time.Duration(i)*100*time.Microsecond, time.Microsecond, i%2 == 0)
	}
	if got := w.Sum(10 * time.Second); got.Probes < 9_950 || got.Probes > 10_000 || got.Timed() < 4_970 || len(w.Points(10*time.Second)) > 240 {
		t.Errorf("%d probes, %d timed, %d points", got.Probes, got.Timed(), len(w.Points(10*time.Second)))
	}
}
