package report

import (
	"fmt"
	"io"
	"time"

	"topdown/udppinger/internal/ping"
)

// Watch writes a line when something changes: a target comes up or goes down, or
// the loss or the RTT of its window passes a limit. In between it is silent, so
// that what it writes can be piped to whatever tells people.
type Watch struct {
	W       io.Writer
	Fails   int           // probes in a row without a reply that mean down
	MaxLoss float64       // share of the window's probes; 0: no limit
	MaxRTT  time.Duration // mean of the window; 0: no limit
	// Now is the wall clock. The time since the start would not do: while a
	// machine sleeps, the monotonic clock stands still.
	Now func() time.Time

	states map[*Summary]*watchState
	err    error
}

// watchState is what is known of one target.
type watchState struct {
	known   bool // up or down has been written once
	down    bool
	since   time.Duration // when the first probe of those in a row was sent
	fails   int           // in a row, after the highest sequence replied to
	highest uint64
	lossy   bool
	slow    bool
}

// Numbers of the limits.
const (
	fewest = 5   // probes in the window before its figures mean something
	calm   = 0.8 // of a limit: below it is over, so that it does not flutter
)

// Begin implements View.
func (v *Watch) Begin(s *Summary) {
	if v.states == nil {
		v.states = make(map[*Summary]*watchState)
	}
	v.states[s] = &watchState{}
}

// Event implements View.
func (v *Watch) Event(s *Summary, e ping.Event) {
	st, p := v.states[s], &e.Probe
	switch {
	case e.Kind == ping.TimedOut:
		v.failed(s, st, p, "request timed out")
	case e.Kind != ping.Decided || e.Was == ping.Lost && p.Came == 0:
		return // or an ICMP error about a probe that counts as lost already
	case p.Verdict == ping.Refused:
		v.failed(s, st, p, refusal(&s.Target, p))
	case p.Verdict == ping.Dropped:
		v.failed(s, st, p, fmt.Sprintf("dropped by this host: %v", p.Reason))
	case p.Seq > st.highest:
		v.replied(s, st, p)
	}
	if !st.down {
		v.limits(s, st)
	}
}

func (v *Watch) failed(s *Summary, st *watchState, p *ping.Probe, reason string) {
	if p.Seq < st.highest {
		return // one that came after it was replied to
	}
	if st.fails++; st.fails == 1 {
		st.since = p.Begun
	}
	if st.fails == v.Fails && !st.down {
		st.known, st.down = true, true
		v.line(s, "down: %d pings in a row without a reply (%s)", st.fails, reason)
	}
}

func (v *Watch) replied(s *Summary, st *watchState, p *ping.Probe) {
	switch {
	case st.down && p.Begun < st.since:
		return // sent before all was lost
	case st.down:
		v.line(s, "up again after %s, RTT %.3f ms", duration(p.Begun-st.since), ms(p.RTT))
	case !st.known:
		v.line(s, "up, RTT %.3f ms", ms(p.RTT))
	}
	st.known, st.down, st.fails, st.highest = true, false, 0, p.Seq
}

// limits looks whether the window has passed a limit, or come back.
func (v *Watch) limits(s *Summary, st *watchState) {
	sum := s.Window.Sum(s.Latest)
	if sum.Probes < fewest {
		return
	}
	if share := sum.Share(); v.MaxLoss > 0 && crossed(&st.lossy, share, v.MaxLoss) {
		v.line(s, "loss %s: %.1f%% of the last %v, the limit is %.1f%%", above(st.lossy), 100*share, s.Window.Length, 100*v.MaxLoss)
	}
	if v.MaxRTT > 0 && sum.Timed() > 0 && crossed(&st.slow, float64(sum.Mean), float64(v.MaxRTT)) {
		v.line(s, "RTT %s: avg %.3f ms of the last %v, the limit is %v", above(st.slow), ms(sum.Mean), s.Window.Length, v.MaxRTT)
	}
}

// crossed keeps over, which is set while a value is above its limit, and reports
// whether that has changed.
func crossed(over *bool, value, limit float64) bool {
	was := *over
	*over = value > limit || was && value > calm*limit
	return *over != was
}

func above(over bool) string {
	if over {
		return "too high"
	}
	return "fine again"
}

func (v *Watch) line(s *Summary, format string, args ...any) {
	at := v.Now().Format(time.RFC3339)
	if _, err := fmt.Fprintf(v.W, "%s %s %s\n", at, address(&s.Target), fmt.Sprintf(format, args...)); v.err == nil {
		v.err = err
	}
}

// Well reports whether a target is up and within the limits.
func (v *Watch) Well(s *Summary) bool {
	st := v.states[s]
	return st.known && !st.down && !st.lossy && !st.slow
}

// End implements View.
func (v *Watch) End(*Summary) error { return v.err }
