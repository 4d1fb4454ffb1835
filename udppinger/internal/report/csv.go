package report

import (
	"encoding/csv"
	"io"
	"strconv"
	"time"

	"topdown/udppinger/internal/ping"
)

// CSV writes one row a probe, in order of sequence, once nothing about it will
// change any more.
type CSV struct {
	W io.Writer

	out *csv.Writer
}

// Begin implements View.
func (v *CSV) Begin(*Summary) {
	if v.out == nil {
		v.out = csv.NewWriter(v.W)
		v.write("target", "seq", "verdict", "where", "rtt_ns", "duplicates", "sent_unix_ns",
			"scheduling_ns", "sending_ns", "wakeup_ns", "server_received_unix_ns", "server_ns", "bytes", "ttl", "reason")
	}
}

// Event implements View.
func (v *CSV) Event(s *Summary, e ping.Event) {
	if e.Kind != ping.Final {
		return
	}
	p := &e.Probe
	where, rtt, wakeup, received, held, size, ttl := "", "", "", "", "", "", ""
	if p.Verdict == ping.Lost {
		where = p.Where.String()
	}
	if p.Came > 0 {
		rtt, wakeup, size = number(p.RTT), number(p.Read-p.Came), strconv.Itoa(p.Bytes)
	}
	if p.TTL > 0 {
		ttl = strconv.Itoa(p.TTL)
	}
	if p.Server != nil {
		received, held = strconv.FormatInt(p.Server.Received.UnixNano(), 10), number(p.Server.Residence)
	}
	v.write(address(&s.Target), strconv.FormatUint(p.Seq, 10), p.Verdict.String(), where, rtt, strconv.Itoa(p.Duplicates),
		strconv.FormatInt(s.Start.Add(p.Left).UnixNano(), 10),
		number(p.Begun-p.Due), number(p.Left-p.Begun), wakeup, received, held, size, ttl, reason(p))
}

func number(d time.Duration) string { return strconv.FormatInt(int64(d), 10) }

// write leaves errors to the writer, which keeps the first.
func (v *CSV) write(fields ...string) { _ = v.out.Write(fields) }

// End implements View.
func (v *CSV) End(*Summary) error {
	v.out.Flush()
	return v.out.Error()
}
