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
			w.Loss(at, 0)
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
	w.Revise(599*time.Second, 0)
	if got := sum(599 * time.Second); got.Lost != 5 || got.Probes != 59 {
		t.Errorf("after a loss was taken back: %+v", got)
	}
	w.Loss(time.Second, 0) // far too old
	if got := sum(599 * time.Second); got.Lost != 5 {
		t.Errorf("after a loss of long ago: %+v", got)
	}
}

// A loss is known a timeout after its probe was sent, and counts as much as a reply
// whatever the two lengths are.
func TestWindowAndTimeout(t *testing.T) {
	const interval = 10 * time.Millisecond
	for _, tt := range []struct{ window, timeout time.Duration }{
		{time.Second, time.Second},
		{time.Second, 5 * time.Second},
		{2 * time.Second, time.Second},
		{time.Minute, time.Second},
	} {
		w := NewWindow(tt.window)
		late := int(tt.timeout / interval)
		now := time.Duration(0)
		for i := range 20_000 { // every second probe is lost
			now = time.Duration(i) * interval
			if i%2 == 0 {
				w.Reply(now, time.Millisecond, true)
			}
			if lost := i - late; lost >= 0 && lost%2 == 1 {
				w.Loss(now-tt.timeout, tt.timeout)
			}
		}
		got, probes := w.Sum(now), int(tt.window/interval)
		if share := got.Share(); share < 0.49 || share > 0.51 || got.Probes < probes*98/100 || got.Probes > probes*101/100 {
			t.Errorf("the last %v with a timeout of %v: %d of %d lost, which is half of %d", tt.window, tt.timeout, got.Lost, got.Probes, probes)
		}
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
