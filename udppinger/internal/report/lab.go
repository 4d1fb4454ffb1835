package report

import (
	"fmt"
	"io"
	"strings"
	"time"

	"topdown/udppinger/internal/ping"
)

// Lab shows each probe as the lab wants it, and a summary.
type Lab struct {
	W       io.Writer
	Quiet   bool // the summary alone
	Explain bool // say for each probe where the time went
	Width   int  // of the terminal, for the summary; 0: no limit
}

// Begin implements View.
func (v *Lab) Begin(s *Summary) {
	if s.Target.TCP {
		fmt.Fprintf(v.W, "%sConnected to %s over TCP    connect time = %.6fs\n", s.Target.Label, &s.Target, s.Target.Connect.Seconds())
	}
}

// Event implements View.
func (v *Lab) Event(s *Summary, e ping.Event) {
	if v.Quiet || e.Kind == ping.Final {
		return
	}
	p := &e.Probe
	fmt.Fprint(v.W, s.Target.Label)
	switch e.Kind {
	case ping.TimedOut:
		fmt.Fprintf(v.W, "Sequence %d: Request timed out\n", p.Seq)
	case ping.Stray:
		fmt.Fprintf(v.W, "Message from %s ignored: %s    %s\n", e.From, e.Note, e.Text)
	case ping.Duplicate:
		fmt.Fprintf(v.W, "Sequence %d: Duplicate reply from %s\n", p.Seq, e.From)
	case ping.Decided:
		v.verdict(s, e)
	}
}

func (v *Lab) verdict(s *Summary, e ping.Event) {
	p := &e.Probe
	reply := func(kind, note string) {
		fmt.Fprintf(v.W, "Sequence %d: %s from %s    RTT = %.6fs    %s%s\n", p.Seq, kind, e.From, p.RTT.Seconds(), e.Text, note)
	}
	switch p.Verdict {
	case ping.OnTime:
		note := ""
		switch {
		case e.Was == ping.Lost:
			note = "    (came in time after all; this program was slow to read it)"
		case e.Note != "":
			note = "    (" + e.Note + ")"
		}
		reply("Reply", note)
	case ping.Reordered:
		reply("Reply", "    (out of order)")
	case ping.Late:
		reply("Late reply", fmt.Sprintf("    (after the timeout of %v)", s.Target.Timeout))
	case ping.Corrupt:
		note := e.Note
		if note == "" {
			note = "it is not the request in capitals"
		}
		reply("Corrupt reply", "    ("+note+")")
	case ping.Truncated:
		reply("Truncated reply", fmt.Sprintf("    (%d bytes came back)", p.Bytes))
	case ping.Refused:
		fmt.Fprintf(v.W, "Sequence %d: %s\n", p.Seq, refusal(&s.Target, p))
	case ping.Dropped:
		fmt.Fprintf(v.W, "Sequence %d: Dropped by this host: %v\n", p.Seq, p.Reason)
	}
	if v.Explain && p.Came > 0 {
		fmt.Fprintf(v.W, "%s    scheduling %s, sending %s, network and peer %s%s, wake-up %s\n", s.Target.Label,
			micros(p.Begun-p.Due), micros(p.Left-p.Begun), micros(p.RTT), residence(p), micros(p.Read-p.Came))
	}
}

func residence(p *ping.Probe) string {
	if p.Server == nil {
		return ""
	}
	return " (of it in the server " + micros(p.Server.Residence) + ")"
}

func micros(d time.Duration) string { return fmt.Sprintf("%.1f µs", float64(d)/1e3) }

// End implements View.
func (v *Lab) End(s *Summary) error {
	var b strings.Builder
	fmt.Fprintf(&b, "\n--- %s %s ping statistics ---\n", &s.Target, s.protocol())
	WriteSummary(&b, s)
	_, err := io.WriteString(v.W, Fold(b.String(), v.Width))
	return err
}

func (s *Summary) protocol() string {
	if s.Target.TCP {
		return "TCP"
	}
	return "UDP"
}

// WriteSummary writes the figures of a run, in words.
func WriteSummary(w io.Writer, s *Summary) {
	c := &s.Counts
	loss := s.Loss()
	fmt.Fprintf(w, "%d sent, %d received, %d lost", c.Sent, c.Received(), c.Unanswered())
	var of []string
	for _, part := range []struct {
		n    uint64
		text string
	}{{c.Refused, "refused"}, {c.Dropped, "dropped by this host"}} {
		if part.n > 0 {
			of = append(of, fmt.Sprintf("%d %s", part.n, part.text))
		}
	}
	if len(of) > 0 {
		fmt.Fprintf(w, " (%s)", strings.Join(of, ", "))
	}
	for _, other := range []struct {
		n    uint64
		text string
	}{{c.Corrupt, "corrupt"}, {c.Truncated, "truncated"}} {
		if other.n > 0 {
			fmt.Fprintf(w, ", %d %s", other.n, other.text)
		}
	}
	fmt.Fprintln(w)
	if c.Sent > 0 {
		fmt.Fprintf(w, "Loss %.1f%%, 95%% interval %.1f%% to %.1f%%", 100*loss.Share, 100*loss.Low, 100*loss.High)
		if c.Refused < c.Sent {
			half, probes := loss.Narrow()
			fmt.Fprintf(w, " (to know it to ±%g points: -c %d)", 100*half, probes)
		}
		fmt.Fprintln(w)
	}
	for _, beside := range []struct {
		n          uint64
		what, note string
	}{
		{c.Late, "Late", fmt.Sprintf("their replies came after the timeout of %v", s.Target.Timeout)},
		{c.Reordered, "Out of order", "their replies came after those to later pings"},
		{c.Duplicates, "Duplicates", "replies beyond the first"},
		{c.Unchanged, "Not upper-cased", "this is an echo server, not the lab's"},
		{c.Strays, "Ignored", "messages that are no replies to these pings, the last from " + s.Strays},
	} {
		if beside.n > 0 {
			fmt.Fprintf(w, "%s: %d (%s)\n", beside.what, beside.n, beside.note)
		}
	}
	for i := range s.Refusals {
		fmt.Fprintln(w, s.Refusals[i].advice(&s.Target, c.Sent))
	}
	writeTimes(w, s)
	writeDirections(w, s)
}

func writeTimes(w io.Writer, s *Summary) {
	r := s.RTT
	if r.N == 0 {
		return
	}
	fmt.Fprintf(w, "RTT min/avg/max/mdev = %.6f/%.6f/%.6f/%.6f s\n", r.Min.Seconds(), r.Mean().Seconds(), r.Max.Seconds(), r.Deviation().Seconds())
	within := ""
	if e := r.PercentileError(); e > 0 {
		within = fmt.Sprintf(" (±%g%%)", 100*e)
	}
	fmt.Fprintf(w, "RTT p50/p90/p99 = %.6f/%.6f/%.6f s%s, jitter %.6f s\n",
		r.Percentile(50).Seconds(), r.Percentile(90).Seconds(), r.Percentile(99).Seconds(), within, r.Jitter.Seconds())
}

// writeDirections says where probes were lost, and what else the server told.
func writeDirections(w io.Writer, s *Summary) {
	c := &s.Counts
	if s.Target.TCP {
		return
	}
	if !c.Extended {
		switch {
		case c.Lost == 0:
		case c.Received() == 0:
			fmt.Fprintf(w, "No reply at all: 'udppinger doctor %s' looks for the reason\n", address(&s.Target))
		default:
			fmt.Fprintln(w, "Loss direction unknown: plain lab server")
		}
		return
	}
	if c.Lost > 0 {
		fmt.Fprintf(w, "Lost on the way there %d, at the server on purpose %d, on the way back %d, unknown %d\n",
			c.LostThere, c.LostAtServer, c.LostBack, c.LostUnknown)
	}
	fmt.Fprintf(w, "One-way delay above its least: there avg %s max %s, back avg %s max %s\n",
		micros(s.There.Mean()-s.There.Min), micros(s.There.Max-s.There.Min),
		micros(s.Back.Mean()-s.Back.Min), micros(s.Back.Max-s.Back.Min))
	fmt.Fprintf(w, "Time in the server avg %s max %s\n", micros(s.Residence.Mean()), micros(s.Residence.Max))
	if n := s.Network; n.N > 0 {
		fmt.Fprintf(w, "The network's share of the RTT p50/p90/p99 = %.6f/%.6f/%.6f s\n",
			n.Percentile(50).Seconds(), n.Percentile(90).Seconds(), n.Percentile(99).Seconds())
	}
}

func address(t *Target) string {
	if t.V6 && t.Name == t.Address {
		return fmt.Sprintf("[%s]:%d", t.Name, t.Port)
	}
	return fmt.Sprintf("%s:%d", t.Name, t.Port)
}

// StatusLine sums a run up in one line, as ping does on SIGQUIT.
func StatusLine(s *Summary) string {
	line := fmt.Sprintf("%s%d/%d packets, %.0f%% loss", s.Target.Label, s.Counts.Received(), s.Counts.Sent, 100*s.Loss().Share)
	if r := s.RTT; r.N > 0 {
		line += fmt.Sprintf(", min/avg/ewma/max = %.3f/%.3f/%.3f/%.3f ms", ms(r.Min), ms(r.Mean()), ms(r.Recent), ms(r.Max))
	}
	if s.Windowed {
		line += "; " + recently(s)
	}
	return line
}

// recently sums the window up.
func recently(s *Summary) string {
	sum := s.Window.Sum(s.Latest)
	line := fmt.Sprintf("last %v: %.0f%% of %d lost", s.Window.Length, 100*sum.Share(), sum.Probes)
	if sum.Timed() > 0 {
		line += fmt.Sprintf(", avg %.3f ms, max %.3f ms", ms(sum.Mean), ms(sum.Max))
	}
	return line
}
