package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"topdown/udppinger/internal/ping"
	"topdown/udppinger/internal/stats"
)

// JSON writes one document for each target, in the manner of irtt: round_trips[]
// and stats, with times in whole nanoseconds. A single document is written as the
// run goes on. Several, which go on at the same time, are kept and written at the
// end as the elements of one array.
type JSON struct {
	W       io.Writer
	Targets int // how many there are

	documents map[*Summary]*document
	ended     int
}

// document is the JSON document of one target.
type document struct {
	w       io.Writer
	kept    *bytes.Buffer // what w writes to, if there are several
	written int
	last    time.Duration // the RTT before; 0 if that probe had none
	err     error
}

type span struct {
	Wall      int64 `json:"wall,omitempty"`
	Monotonic int64 `json:"monotonic,omitempty"`
}

type roundTrip struct {
	Seqno      uint64 `json:"seqno"`
	Lost       string `json:"lost"`
	Verdict    string `json:"verdict"`
	Duplicates int    `json:"duplicates,omitempty"`
	Reason     string `json:"reason,omitempty"`
	ICMP       *icmp  `json:"icmp,omitempty"`
	Timestamps struct {
		Client struct {
			Receive *span `json:"receive,omitempty"`
			Send    span  `json:"send"`
		} `json:"client"`
		Server *serverSpans `json:"server,omitempty"`
	} `json:"timestamps"`
	Delay struct {
		Receive *int64 `json:"receive,omitempty"`
		RTT     *int64 `json:"rtt,omitempty"`
		Send    *int64 `json:"send,omitempty"`
	} `json:"delay"`
	IPDV struct {
		RTT *int64 `json:"rtt,omitempty"`
	} `json:"ipdv"`
}

type serverSpans struct {
	Receive span `json:"receive"`
	Send    span `json:"send"`
}

// Begin implements View.
func (v *JSON) Begin(s *Summary) {
	if v.documents == nil {
		v.documents = make(map[*Summary]*document)
	}
	d := &document{w: v.W}
	if v.Targets > 1 {
		d.kept = &bytes.Buffer{}
		d.w = d.kept
	}
	v.documents[s] = d
	config, _ := json.Marshal(map[string]any{ // cannot fail: numbers and strings
		"remote_address": address(&s.Target),
		"protocol":       s.protocol(),
		"count":          s.Target.Count,
		"interval":       int64(s.Target.Interval),
		"timeout":        int64(s.Target.Timeout),
		"length":         s.Target.Bytes,
	})
	d.print("{\n\"version\": {\"udppinger\": 1, \"json_format\": 1},\n\"config\": %s,\n\"round_trips\": [", config)
}

// Event implements View.
func (v *JSON) Event(s *Summary, e ping.Event) {
	if e.Kind != ping.Final {
		return
	}
	p, d := &e.Probe, v.documents[s]
	rt := roundTrip{Seqno: p.Seq, Lost: lostName(p), Verdict: p.Verdict.String(), Duplicates: p.Duplicates, Reason: reason(p), ICMP: newICMP(p)}
	rt.Timestamps.Client.Send = span{s.Start.Add(p.Left).UnixNano(), int64(p.Left)}
	rtt := time.Duration(0)
	if p.Came > 0 {
		rtt = p.RTT
		rt.Timestamps.Client.Receive = &span{s.Start.Add(p.Came).UnixNano(), int64(p.Came)}
		rt.Delay.RTT = new(int64(p.RTT))
		if d.last > 0 {
			rt.IPDV.RTT = new(int64((p.RTT - d.last).Abs()))
		}
	}
	d.last = rtt
	if p.Server != nil {
		received := p.Server.Received.UnixNano()
		rt.Timestamps.Server = &serverSpans{span{Wall: received}, span{Wall: received + int64(p.Server.Residence)}}
		there, back := s.oneWay(p)
		rt.Delay.Send, rt.Delay.Receive = new(int64(there)), new(int64(back))
	}
	row, _ := json.Marshal(rt) // cannot fail: numbers and strings
	if d.written > 0 {
		d.print(",")
	}
	d.written++
	d.print("\n%s", row)
}

// lostName says whether a probe was lost, in irtt's words.
func lostName(p *ping.Probe) string {
	switch {
	case p.Verdict == ping.Refused || p.Verdict == ping.Dropped:
		return "true"
	case p.Verdict != ping.Lost:
		return "false"
	case p.Where == ping.There:
		return "true_up"
	case p.Where == ping.Back:
		return "true_down"
	}
	return "true"
}

// icmp is who refused a probe, and why.
type icmp struct {
	From    string `json:"from"`
	Type    uint8  `json:"type"`
	Code    uint8  `json:"code"`
	Meaning string `json:"meaning"`
}

func newICMP(p *ping.Probe) *icmp {
	if p.ICMP == nil {
		return nil
	}
	return &icmp{p.ICMP.From.String(), p.ICMP.Type, p.ICMP.Code, p.ICMP.Words()}
}

func reason(p *ping.Probe) string {
	if p.Reason == nil {
		return ""
	}
	return p.Reason.Error()
}

// End implements View.
func (v *JSON) End(s *Summary) error {
	d := v.documents[s]
	figures, err := json.MarshalIndent(figures(s), "", "  ")
	if err != nil {
		return err
	}
	d.print("\n],\n\"stats\": %s\n}", figures)
	if d.kept == nil {
		d.print("\n")
		return d.err
	}
	before, after := ",\n", ""
	if v.ended == 0 {
		before = "[\n"
	}
	if v.ended++; v.ended == len(v.documents) {
		after = "\n]\n"
	}
	_, err = fmt.Fprintf(v.W, "%s%s%s", before, d.kept, after)
	d.kept.Reset()
	return err
}

func (d *document) print(format string, args ...any) {
	if _, err := fmt.Fprintf(d.w, format, args...); d.err == nil {
		d.err = err
	}
}

type durations struct {
	Total  int64  `json:"total"`
	N      int64  `json:"n"`
	Min    int64  `json:"min"`
	Max    int64  `json:"max"`
	Mean   int64  `json:"mean"`
	Median *int64 `json:"median,omitempty"`
	P90    *int64 `json:"p90,omitempty"`
	P99    *int64 `json:"p99,omitempty"`
	// PercentileError is by what share median, p90 and p99 may be wrong.
	PercentileError float64 `json:"percentile_error,omitempty"`
	Stddev          int64   `json:"stddev"`
	Variance        float64 `json:"variance"`
}

func newDurations(m *stats.Moments) durations {
	return durations{
		Total: int64(m.Total()), N: m.N, Min: int64(m.Min), Max: int64(m.Max),
		Mean: int64(m.Mean()), Stddev: int64(m.Deviation()), Variance: m.Variance(),
	}
}

// percentiles adds those of r, if there are any.
func (d *durations) percentiles(r *stats.RTT) {
	if r.N == 0 {
		return
	}
	d.Median, d.P90, d.P99 = new(int64(r.Percentile(50))), new(int64(r.Percentile(90))), new(int64(r.Percentile(99)))
	d.PercentileError = r.PercentileError()
}

type statistics struct {
	StartTime        string     `json:"start_time"`
	RTT              durations  `json:"rtt"`
	Jitter           int64      `json:"jitter"`
	IPDV             int64      `json:"ipdv_round_trip_mean"`
	SendDelayChange  *durations `json:"send_delay_change,omitempty"`
	BackDelayChange  *durations `json:"receive_delay_change,omitempty"`
	ServerProcessing *durations `json:"server_processing_time,omitempty"`
	Network          *durations `json:"network_rtt,omitempty"`
	Connect          int64      `json:"tcp_connect,omitempty"`
	Duration         int64      `json:"duration"`
	Sent             uint64     `json:"packets_sent"`
	Received         uint64     `json:"packets_received"`
	OnTime           uint64     `json:"on_time_packets"`
	Reordered        uint64     `json:"reordered_packets"`
	Late             uint64     `json:"late_packets"`
	Lost             uint64     `json:"lost_packets"`
	Corrupt          uint64     `json:"corrupt_packets"`
	Truncated        uint64     `json:"truncated_packets"`
	Refused          uint64     `json:"refused_packets"`
	Dropped          uint64     `json:"locally_dropped_packets"`
	Duplicates       uint64     `json:"duplicates"`
	Strays           uint64     `json:"strays"`
	LossPercent      float64    `json:"packet_loss_percent"`
	LossLow          float64    `json:"packet_loss_percent_low"`
	LossHigh         float64    `json:"packet_loss_percent_high"`
	DirectionKnown   bool       `json:"loss_direction_known"`
	LostThere        uint64     `json:"lost_there"`
	LostAtServer     uint64     `json:"lost_at_server"`
	LostBack         uint64     `json:"lost_back"`
	LostUnknown      uint64     `json:"lost_unknown"`
}

func figures(s *Summary) statistics {
	c, loss := &s.Counts, s.Loss()
	f := statistics{
		StartTime: s.Start.UTC().Format(time.RFC3339Nano),
		RTT:       newDurations(&s.RTT.Moments),
		Jitter:    int64(s.RTT.Jitter), IPDV: int64(s.RTT.Variation),
		Connect: int64(s.Target.Connect), Duration: int64(s.Elapsed),
		Sent: c.Sent, Received: c.Received(), OnTime: c.OnTime, Reordered: c.Reordered, Late: c.Late, Lost: c.Unanswered(),
		Corrupt: c.Corrupt, Truncated: c.Truncated, Refused: c.Refused, Dropped: c.Dropped,
		Duplicates: c.Duplicates, Strays: c.Strays,
		LossPercent: 100 * loss.Share, LossLow: 100 * loss.Low, LossHigh: 100 * loss.High,
		DirectionKnown: c.Extended,
		LostThere:      c.LostThere, LostAtServer: c.LostAtServer, LostBack: c.LostBack, LostUnknown: c.LostUnknown,
	}
	f.RTT.percentiles(s.RTT)
	if c.Extended {
		f.SendDelayChange = change(&s.There)
		f.BackDelayChange = change(&s.Back)
		f.ServerProcessing = new(newDurations(&s.Residence))
		f.Network = new(newDurations(&s.Network.Moments))
		f.Network.percentiles(s.Network)
	}
	return f
}

// change returns the figures of times above the least of them.
func change(m *stats.Moments) *durations {
	d := newDurations(m)
	d.Total -= d.N * d.Min
	d.Max -= d.Min
	d.Mean -= d.Min
	d.Min = 0
	return &d
}
