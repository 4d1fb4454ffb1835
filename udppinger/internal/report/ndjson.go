package report

import (
	"encoding/json"
	"io"
	"time"

	"topdown/udppinger/internal/ping"
)

// NDJSON writes one JSON object a line for each event, as it happens, and one
// for the summary.
type NDJSON struct {
	W io.Writer

	told map[*Summary]time.Duration // when a window was written last
	err  error
}

type record struct {
	Event   string `json:"event"`
	Target  string `json:"target"`
	Seq     uint64 `json:"seq,omitempty"`
	Verdict string `json:"verdict,omitempty"`
	Where   string `json:"where,omitempty"`
	From    string `json:"from,omitempty"`
	RTT     *int64 `json:"rtt_ns,omitempty"`
	Sent    int64  `json:"sent_ns,omitempty"`
	Held    *int64 `json:"server_ns,omitempty"`
	TTL     int    `json:"ttl,omitempty"`
	Bytes   int    `json:"bytes,omitempty"`
	Reason  string `json:"reason,omitempty"`
	ICMP    *icmp  `json:"icmp,omitempty"`

	Window *window     `json:"window,omitempty"`
	Stats  *statistics `json:"stats,omitempty"`
}

// window is what happened in the last so much time.
type window struct {
	Length  int64   `json:"length"`
	Probes  int     `json:"packets_sent"`
	Lost    int     `json:"lost_packets"`
	Percent float64 `json:"packet_loss_percent"`
	Mean    *int64  `json:"rtt_mean,omitempty"`
	Min     *int64  `json:"rtt_min,omitempty"`
	Max     *int64  `json:"rtt_max,omitempty"`
}

func newWindow(s *Summary) *window {
	sum := s.Window.Sum(s.Latest)
	w := &window{Length: int64(s.Window.Length), Probes: sum.Probes, Lost: sum.Lost, Percent: 100 * sum.Share()}
	if sum.Timed() > 0 {
		w.Mean, w.Min, w.Max = new(int64(sum.Mean)), new(int64(sum.Min)), new(int64(sum.Max))
	}
	return w
}

var eventNames = map[ping.EventKind]string{
	ping.Decided: "verdict", ping.TimedOut: "timeout", ping.Duplicate: "duplicate", ping.Stray: "stray", ping.Final: "final",
}

// Begin implements View.
func (v *NDJSON) Begin(s *Summary) {
	v.write(record{Event: "start", Target: address(&s.Target), Sent: s.Start.UnixNano()})
}

// Event implements View. Of what is final only losses are news: where they were.
func (v *NDJSON) Event(s *Summary, e ping.Event) {
	p := &e.Probe
	if e.Kind == ping.Final && p.Verdict != ping.Lost {
		return
	}
	r := record{Event: eventNames[e.Kind], Target: address(&s.Target), Seq: p.Seq, From: e.From, Reason: reason(p)}
	if e.Kind == ping.Stray {
		r.Reason = e.Note
	} else {
		r.Verdict = p.Verdict.String()
		r.ICMP = newICMP(p)
		r.Sent = s.Start.Add(p.Left).UnixNano()
	}
	if e.Kind == ping.Final {
		r.Where = p.Where.String()
	}
	if p.Came > 0 {
		r.RTT, r.TTL, r.Bytes = new(int64(p.RTT)), p.TTL, p.Bytes
	}
	if p.Server != nil {
		r.Held = new(int64(p.Server.Residence))
	}
	v.write(r)
	if s.Windowed && e.Kind != ping.Final && s.Latest-v.told[s] >= time.Second {
		if v.told == nil {
			v.told = make(map[*Summary]time.Duration)
		}
		v.told[s] = s.Latest
		v.write(record{Event: "window", Target: address(&s.Target), Window: newWindow(s)})
	}
}

// End implements View.
func (v *NDJSON) End(s *Summary) error {
	v.write(record{Event: "end", Target: address(&s.Target), Stats: new(figures(s))})
	return v.err
}

func (v *NDJSON) write(r record) {
	row, _ := json.Marshal(r) // cannot fail: numbers and strings
	if _, err := v.W.Write(append(row, '\n')); v.err == nil {
		v.err = err
	}
}
