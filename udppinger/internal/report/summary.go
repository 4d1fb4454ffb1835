// Package report shows a run in the ways that people and scripts read: the lab's
// lines, the output of ping and fping, JSON, NDJSON, CSV, a graph on the
// terminal and in a file. It takes events and writes to what it is given.
package report

import (
	"fmt"
	"time"

	"topdown/udppinger/internal/ping"
	"topdown/udppinger/internal/stats"
)

// Target is what a run pings.
type Target struct {
	Name    string // as the user wrote it, without a port
	Address string // numeric, without a port
	Port    uint16
	TCP     bool
	TTL     int // that requests are sent with; 0: the system's
	Bytes   int // size of the first message
	Count   uint64
	Timeout time.Duration
	// Interval is 0 if probes wait for replies.
	Interval time.Duration
	// Label sets a target's lines apart from those of others; empty if it is
	// alone.
	Label string
	// Connect is how long it took to connect over TCP.
	Connect time.Duration
	// V6 is set for an IPv6 address.
	V6 bool
}

// String returns the target as "NAME:PORT", with the address too if it differs.
func (t *Target) String() string {
	name := t.Name
	if name != t.Address {
		name += " (" + t.Address + ")"
	} else if t.V6 {
		name = "[" + name + "]"
	}
	return fmt.Sprintf("%s:%d", name, t.Port)
}

// Summary gathers the figures of one run from its events.
type Summary struct {
	Target Target
	Start  time.Time
	Counts ping.Counts // as of the last event
	RTT    *stats.RTT  // of probes on time
	Series *stats.Series
	// Window has the probes of the last so much time, Windowed is set if it is
	// to be told of.
	Window   *stats.Window
	Windowed bool
	// Latest is the latest time that an event was about, from Start on.
	Latest time.Duration
	// Elapsed is how long the run took.
	Elapsed time.Duration
	// There and Back are the one-way delays plus the difference of the two
	// clocks, which is not known: only their changes mean something.
	There, Back stats.Moments
	Residence   stats.Moments // in the server
	// Network is what is left of the RTTs without the Residence: the network's
	// share.
	Network *stats.RTT
	// Refusals are the ICMP errors that came, by host and kind, a few at most.
	Refusals []Refusal
	Strays   string // where the last stray came from
}

// DefaultWindow is the length of a window that nobody has asked for.
const DefaultWindow = time.Minute

// NewSummary returns the summary of a run that starts at start, with a window of
// the given length; 0 is DefaultWindow, of which no text tells.
func NewSummary(target Target, start time.Time, window time.Duration) *Summary {
	s := &Summary{Target: target, Start: start, RTT: stats.NewRTT(), Network: stats.NewRTT(), Series: stats.NewSeries(4096), Windowed: window > 0}
	if window <= 0 {
		window = DefaultWindow
	}
	s.Window = stats.NewWindow(window)
	return s
}

// Endless has a new summary take no more memory however long the run is.
func (s *Summary) Endless() {
	s.RTT.Approximate()
	s.Network.Approximate()
}

// Observe takes in an event.
func (s *Summary) Observe(e ping.Event) {
	p := &e.Probe
	s.Counts = e.Counts
	s.Latest = max(s.Latest, p.Begun, p.Read)
	switch e.Kind {
	case ping.TimedOut:
		s.Window.Loss(p.Begun, s.Target.Timeout)
		s.Latest = max(s.Latest, p.Begun+s.Target.Timeout)
	case ping.Decided:
		s.decided(p, e.Was)
		if p.Verdict == ping.Refused {
			s.refused(p)
		}
		if p.Verdict == ping.OnTime || p.Verdict == ping.Reordered {
			s.RTT.Add(p.RTT)
		}
		if p.Server != nil && p.Verdict.Received() {
			there, back := s.oneWay(p)
			s.There.Add(there)
			s.Back.Add(back)
			s.Residence.Add(p.Server.Residence)
			if share := p.RTT - p.Server.Residence; p.Server.Residence < maxResidence && share > 0 {
				s.Network.Add(share)
			}
		}
	case ping.Stray:
		s.Strays = e.From
	case ping.Final:
		s.Series.Add(p.Begun, p.RTT, p.Verdict != ping.OnTime && p.Verdict != ping.Reordered)
	}
}

// maxResidence is what a server writes for a residence that its field has no room
// for, and longer ones.
const maxResidence = time.Duration(1<<32 - 1)

// decided takes a verdict into the window.
func (s *Summary) decided(p *ping.Probe, was ping.Verdict) {
	switch p.Verdict {
	case ping.Refused, ping.Dropped:
		if was == ping.Pending {
			s.Window.Loss(p.Begun, 0)
		}
	default:
		switch was {
		case ping.Lost:
			s.Window.Revise(p.Begun, s.Target.Timeout)
		case ping.Refused, ping.Dropped:
			s.Window.Revise(p.Begun, 0)
		}
		s.Window.Reply(p.Begun, p.RTT, p.Verdict == ping.OnTime || p.Verdict == ping.Reordered)
	}
}

// oneWay returns the one-way delays of a probe as the two clocks have them.
func (s *Summary) oneWay(p *ping.Probe) (there, back time.Duration) {
	received := p.Server.Received
	there = received.Sub(s.Start.Add(p.Left))
	back = s.Start.Add(p.Came).Sub(received.Add(p.Server.Residence))
	return there, back
}

// Loss returns the share of probes that no reply came to, for whatever reason.
// All formats report this one.
func (s *Summary) Loss() stats.Loss { return stats.NewLoss(s.Counts.Unanswered(), s.Counts.Sent) }

// View shows a run. Its methods are called one at a time.
type View interface {
	// Begin is called once for each target, before its first event.
	Begin(s *Summary)
	// Event is called for each event, when the summary has taken it in.
	Event(s *Summary, e ping.Event)
	// End is called once for each target, with the final summary.
	End(s *Summary) error
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
