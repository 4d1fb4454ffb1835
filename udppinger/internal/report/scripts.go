package report

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"topdown/udppinger/internal/ping"
)

// Ping writes what iputils' ping writes, for scripts that read that.
type Ping struct {
	W     io.Writer
	Quiet bool
}

// Begin implements View.
func (v *Ping) Begin(s *Summary) {
	headers := 28 // of IPv4 and UDP
	if s.Target.V6 {
		headers = 48
	}
	fmt.Fprintf(v.W, "PING %s (%s) %d(%d) bytes of data.\n", s.Target.Name, s.Target.Address, s.Target.Bytes, s.Target.Bytes+headers)
}

// Event implements View.
func (v *Ping) Event(s *Summary, e ping.Event) {
	if v.Quiet {
		return
	}
	p := &e.Probe
	note := ""
	switch {
	case e.Kind == ping.Duplicate:
		note = " (DUP!)"
	case e.Kind != ping.Decided || p.Verdict == ping.Dropped:
		return
	case p.Verdict == ping.Refused:
		from, words := pingRefusal(&s.Target, p)
		fmt.Fprintf(v.W, "From %s icmp_seq=%d %s\n", from, p.Seq, words)
		return
	case p.Verdict == ping.Truncated:
		note = " (truncated)"
	case p.Verdict == ping.Corrupt:
		note = " (corrupted)"
	}
	from := e.From
	if s.Target.Name != s.Target.Address {
		from = s.Target.Name + " (" + e.From + ")"
	}
	ttl := ""
	if p.TTL > 0 {
		ttl = fmt.Sprintf(" ttl=%d", p.TTL)
	}
	fmt.Fprintf(v.W, "%d bytes from %s: icmp_seq=%d%s time=%s ms%s\n", p.Bytes, from, p.Seq, ttl, pingTime(p.RTT), note)
}

// pingTime writes a time as ping does, with fewer digits the longer it is.
func pingTime(d time.Duration) string {
	digits := 3
	switch t := ms(d); {
	case t >= 100:
		digits = 0
	case t >= 10:
		digits = 1
	case t >= 1:
		digits = 2
	}
	return strconv.FormatFloat(ms(d), 'f', digits, 64)
}

// End implements View.
func (v *Ping) End(s *Summary) error {
	c := &s.Counts
	var b strings.Builder
	fmt.Fprintf(&b, "\n--- %s ping statistics ---\n", s.Target.Name)
	fmt.Fprintf(&b, "%d packets transmitted, %d received", c.Sent, c.Received())
	if c.Duplicates > 0 {
		fmt.Fprintf(&b, ", +%d duplicates", c.Duplicates)
	}
	if bad := c.Corrupt + c.Truncated; bad > 0 {
		fmt.Fprintf(&b, ", +%d corrupted", bad)
	}
	if c.Refused > 0 {
		fmt.Fprintf(&b, ", +%d errors", c.Refused)
	}
	fmt.Fprintf(&b, ", %s%% packet loss, time %dms\n", strconv.FormatFloat(100*s.Loss().Share, 'g', 6, 64), s.Elapsed.Milliseconds())
	if r := s.RTT; r.N > 0 {
		fmt.Fprintf(&b, "rtt min/avg/max/mdev = %.3f/%.3f/%.3f/%.3f ms\n", ms(r.Min), ms(r.Mean()), ms(r.Max), ms(r.Deviation()))
	}
	_, err := io.WriteString(v.W, b.String())
	return err
}

// MaxFping is the most probes that Fping can list at the end.
const MaxFping = 1_000_000

// Fping writes what fping writes: each reply and the summary of "fping -c" to W,
// and the list of times of "fping -C -q" to Err, where SmokePing looks for it.
type Fping struct {
	W, Err io.Writer
	Quiet  bool

	times map[*Summary]*strings.Builder
}

// Begin implements View.
func (v *Fping) Begin(s *Summary) {
	if v.times == nil {
		v.times = make(map[*Summary]*strings.Builder)
	}
	v.times[s] = &strings.Builder{}
}

// Event implements View.
func (v *Fping) Event(s *Summary, e ping.Event) {
	p := &e.Probe
	inTime := p.Verdict == ping.OnTime || p.Verdict == ping.Reordered
	switch {
	case e.Kind == ping.Final && inTime:
		v.times[s].WriteString(" " + fpingTime(p.RTT))
	case e.Kind == ping.Final:
		v.times[s].WriteString(" -")
	case v.Quiet:
	case e.Kind == ping.Decided && inTime:
		fmt.Fprintf(v.W, "%s : [%d], %d bytes, %s ms (%s avg, %.0f%% loss)\n", s.Target.Name, p.Seq-1, p.Bytes,
			fpingTime(p.RTT), fpingTime(s.RTT.Mean()), 100*s.Loss().Share)
	case e.Kind == ping.TimedOut:
		fmt.Fprintf(v.W, "%s : [%d], timed out (%s avg, %.0f%% loss)\n", s.Target.Name, p.Seq-1, fpingTime(s.RTT.Mean()), 100*s.Loss().Share)
	}
}

// fpingTime writes a time as fping does: three significant digits.
func fpingTime(d time.Duration) string {
	digits := 0
	switch t := ms(d); {
	case t < 1:
		digits = 3
	case t < 10:
		digits = 2
	case t < 100:
		digits = 1
	}
	return strconv.FormatFloat(ms(d), 'f', digits, 64)
}

// End implements View.
func (v *Fping) End(s *Summary) error {
	c := &s.Counts
	fmt.Fprintf(v.W, "%s : xmt/rcv/%%loss = %d/%d/%.0f%%", s.Target.Name, c.Sent, c.Received(), 100*s.Loss().Share)
	if r := s.RTT; r.N > 0 {
		fmt.Fprintf(v.W, ", min/avg/max = %s/%s/%s", fpingTime(r.Min), fpingTime(r.Mean()), fpingTime(r.Max))
	}
	fmt.Fprintln(v.W)
	_, err := fmt.Fprintf(v.Err, "%s :%s\n", s.Target.Name, v.times[s])
	return err
}
