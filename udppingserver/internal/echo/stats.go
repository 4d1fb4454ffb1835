package echo

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"sync/atomic"
	"text/tabwriter"
)

// Counters counts UDP packets by what the server did with them (see Verdict),
// and TCP connections and lines.
type Counters struct {
	Received, Answered, Dropped, Limited, Refused, Reflected, Overflow, Heartbeats uint64
	// Errors counts faults of receiving and sending.
	Errors uint64

	TCPAccepted, TCPRefused, TCPLines uint64
}

type tcpCounters struct{ accepted, refused, lines atomic.Uint64 }

// Counters returns the counts so far.
func (s *Server) Counters() Counters {
	sum := Counters{
		TCPAccepted: s.tcp.accepted.Load(),
		TCPRefused:  s.tcp.refused.Load(),
		TCPLines:    s.tcp.lines.Load(),
	}
	for _, sh := range s.shards {
		sh.mu.Lock()
		c := sh.count
		sh.mu.Unlock()
		sum.Received += c.Received
		sum.Answered += c.Answered
		sum.Dropped += c.Dropped
		sum.Limited += c.Limited
		sum.Refused += c.Refused
		sum.Reflected += c.Reflected
		sum.Overflow += c.Overflow
		sum.Heartbeats += c.Heartbeats
		sum.Errors += c.Errors
	}
	return sum
}

// ClientCounters counts the packets of one client.
type ClientCounters struct {
	Client                               netip.AddrPort
	Received, Answered, Dropped, Limited uint64
}

// Clients returns the counts of the clients that the server remembers, the
// busiest first.
func (s *Server) Clients() []ClientCounters {
	var all []ClientCounters
	for _, sh := range s.shards {
		sh.mu.Lock()
		for i := range sh.clients.table {
			if c := &sh.clients.table[i]; c.received > 0 {
				all = append(all, ClientCounters{c.addr, c.received, c.answered, c.dropped, c.limited})
			}
		}
		sh.mu.Unlock()
	}
	slices.SortFunc(all, func(a, b ClientCounters) int {
		return cmp.Or(cmp.Compare(b.Received, a.Received), a.Client.Compare(b.Client))
	})
	return all
}

// listed is how many clients WriteStatistics lists.
const listed = 50

// WriteStatistics writes a table of clients and the totals.
func (s *Server) WriteStatistics(w io.Writer) error {
	all := s.Clients()
	var text bytes.Buffer // for one write: lines about heartbeats go to the same place
	t := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "client\treceived\tanswered\tdropped on purpose\trate-limited\t")
	for _, c := range all[:min(len(all), listed)] {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t\n", c.Client, c.Received, c.Answered, c.Dropped, c.Limited)
	}
	sum := s.Counters()
	fmt.Fprintf(t, "all UDP\t%d\t%d\t%d\t%d\t\n", sum.Received, sum.Answered, sum.Dropped, sum.Limited)
	_ = t.Flush()
	if more := len(all) - listed; more > 0 {
		fmt.Fprintf(&text, "%d more clients are not listed\n", more)
	}
	for _, extra := range []struct {
		n    uint64
		text string
	}{
		{sum.Heartbeats, "heartbeats"},
		{sum.Refused, "packets refused: their source is no client"},
		{sum.Reflected, "packets not answered: they were replies themselves"},
		{sum.Overflow, "replies given up: too many were being held up"},
		{sum.Errors, "errors of receiving or sending"},
		{sum.TCPAccepted, "TCP connections"},
		{sum.TCPLines, "TCP lines answered"},
		{sum.TCPRefused, "TCP connections refused: too many at a time"},
	} {
		if extra.n > 0 {
			fmt.Fprintf(&text, "%d %s\n", extra.n, extra.text)
		}
	}
	_, err := w.Write(text.Bytes())
	return err
}
