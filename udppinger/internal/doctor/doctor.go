// Package doctor finds out in which way a UDP port does not answer: closed,
// filtered, reached but with the replies lost, or passing some sizes only. It
// asks the TCP side of udppingserver, where there is one, what the server saw.
// What it says in the end is never more than its evidence, which it prints.
package doctor

import (
	"context"
	"errors"
	"net/netip"
	"syscall"
	"time"

	"topdown/udppinger/internal/ping"
	"topdown/udppinger/internal/socket"
	"topdown/udppinger/internal/stats"
	"topdown/udppinger/internal/wire"
)

// Finding is what is the matter with a port.
type Finding uint8

// The findings.
const (
	Open         Finding = iota // it answers, whatever the size
	Lossy                       // it answers, but much is lost on the way
	SomeSizes                   // it answers messages of some sizes only
	Closed                      // the host itself says that nobody listens
	TCPOnly                     // the same, but somebody listens over TCP
	Rejected                    // an ICMP error says that somebody forbids it
	Unreachable                 // another ICMP error came, or this host cannot send
	OtherAddress                // replies come from an address that was not asked
	Filtered                    // silence: requests are dropped on the way, or replies
	Silent                      // silence of this port, where others refuse at once
	Hanging                     // silence, and over TCP too, though connections are taken
	NotArriving                 // silence, and the server has seen no request
	RepliesLost                 // silence, though the server has answered
	Muted                       // silence, because the server chose not to answer
)

var sentences = [...]string{
	Open:         "OPEN: requests arrive and replies come back.",
	Lossy:        "OPEN, WITH LOSSES: requests arrive and replies come back, but many are lost on the way.",
	SomeSizes:    "OPEN FOR SOME SIZES ONLY: see below which pass.",
	Closed:       "CLOSED: the host is there, but no program listens on this UDP port.",
	TCPOnly:      "CLOSED: TCP is open here, UDP is closed. A program listens on this port over TCP alone.",
	Rejected:     "REFUSED: a firewall answers in the server's place, and says no.",
	Unreachable:  "UNREACHABLE: there is no way to this host, or somebody on it forbids this.",
	OtherAddress: "ANSWERED FROM ANOTHER ADDRESS: the server replies, but not from the address that was asked.",
	Filtered:     "FILTERED OR DROPPED: not one reply, and no ICMP error either.",
	Silent:       "FILTERED OR DROPPED, OR NOT ANSWERED: other UDP ports of this host refuse at once, this one is silent.",
	Hanging:      "NOT ANSWERED: connections over TCP are taken, but no answer comes, neither over TCP nor over UDP.",
	NotArriving:  "FILTERED ON THE WAY THERE: the server runs, but the requests do not reach it.",
	RepliesLost:  "REPLIES ARE LOST: the requests arrive and are answered, but no reply gets back.",
	Muted:        "ANSWERED BY SILENCE: the requests arrive, but the server drops them on purpose.",
}

func (f Finding) String() string { return sentences[f] }

// IsOpen reports whether the port answers messages of all sizes.
func (f Finding) IsOpen() bool { return f == Open || f == Lossy }

// advice says what to do about a finding.
var advice = [...]string{
	Lossy:        "See with 'udppinger -c 100 -i 0.1 HOST:PORT' how much is lost, and in which direction.",
	SomeSizes:    "Something on the way drops large packets or fragments of them: keep messages below the size that passes.",
	Closed:       "Start the server on this port, or ask for another: udppinger doctor HOST:PORT.",
	TCPOnly:      "Start the ping server on another port, or ask for the port that it has.",
	Rejected:     "Open the UDP port (UDP, not only TCP) in that firewall.",
	Unreachable:  "Check the address and this host's own routes and firewall.",
	OtherAddress: "Have the server listen on one address, as in 'udppingserver ADDRESS:PORT', or ping the address that it replies from.",
	Filtered:     "Open the UDP port (UDP, not only TCP) in the server's firewall and at its provider; then start udppingserver there and ask again.",
	Silent:       "Either a program has this port and does not answer (it hangs, or it is no echo server), or a firewall drops what is for it.",
	Hanging:      "The server has stopped working: look at it, or start it anew. If it is no udppingserver, TCP says nothing about UDP.",
	NotArriving:  "Open the UDP port (UDP, not only TCP) in the server's firewall and at its provider.",
	RepliesLost:  "Look at firewalls in front of this host, and at rules for what leaves the server.",
	Muted:        "See the server's --loss and --rate.",
}

// Doctor examines one port.
type Doctor struct {
	Target  netip.AddrPort
	Options socket.Options
	Timeout time.Duration // for each reply
	// Patience is how long a router may take to find out that a host is absent,
	// and to say so; 0: DefaultPatience.
	Patience time.Duration
	Nonce    uint64 // names the first run; those after it count up
	// Print is given the evidence, line by line, as it comes.
	Print func(format string, args ...any)

	counts ping.Counts
	rtt    *stats.RTT
	// refusal is the last probe that was refused or not sent.
	refusal ping.Probe
	// elsewhere is where replies came from that was not asked.
	elsewhere string
}

// DefaultPatience is a second more than Linux takes to give a neighbour up.
const DefaultPatience = 4 * time.Second

// requests is how many probes the first run sends.
const requests = 10

// Examine finds out. An error means that it could not be tried.
func (d *Doctor) Examine(ctx context.Context) (Finding, error) {
	if d.Patience == 0 {
		d.Patience = DefaultPatience
	}
	finding, err := d.examine(ctx)
	if err == nil && ctx.Err() != nil {
		return finding, errors.New("interrupted before there was an answer")
	}
	if err != nil {
		return finding, err
	}
	d.Print("")
	d.Print("%s", finding)
	if int(finding) < len(advice) && advice[finding] != "" {
		d.Print("%s", advice[finding])
	}
	return finding, nil
}

func (d *Doctor) examine(ctx context.Context) (Finding, error) {
	if err := d.first(ctx); err != nil {
		return Unreachable, err
	}
	if d.heard() == 0 && d.elsewhere != "" {
		d.Print("UDP: the server answers from %s instead of %s", d.elsewhere, d.Target)
		return OtherAddress, nil
	}
	if d.heard() == 0 && d.counts.Refused+d.counts.Dropped == 0 {
		d.Print("UDP: no reply and no ICMP error to %d requests within %v each", d.counts.Sent, d.Timeout)
		if err := d.wait(ctx); err != nil {
			return Unreachable, err
		}
	}
	switch c := &d.counts; {
	case d.heard() > 0:
		finding, err := d.sizes(ctx)
		if err == nil && finding == Open && d.lossy() {
			finding = Lossy
		}
		return finding, err
	case c.Refused+c.Dropped > 0:
		return d.refused(ctx), nil
	}
	return d.silent(ctx)
}

// heard returns how many replies of any quality came.
func (d *Doctor) heard() uint64 { return d.counts.Sent - d.counts.Unanswered() }

// lossy reports whether so much was lost that "open" alone would be half of the
// truth. What the server says that it dropped on purpose is no fault of the way.
func (d *Doctor) lossy() bool {
	c := &d.counts
	if c.Extended {
		return c.LostThere+c.LostBack >= 3 || c.Unanswered()-c.LostAtServer >= 6
	}
	return c.Unanswered() >= 3
}

// first sends some probes of an ordinary size.
func (d *Doctor) first(ctx context.Context) (err error) {
	d.rtt = stats.NewRTT()
	d.counts, err = d.run(ctx, wire.Format{Nonce: d.Nonce}, requests, d.Timeout, d.observe)
	c := &d.counts
	if err != nil || d.heard() == 0 {
		return err
	}
	d.Print("UDP: %d of %d requests answered, median RTT %.3f ms", c.Received(), c.Sent, float64(d.rtt.Percentile(50))/1e6)
	if c.Unchanged > 0 {
		d.Print("UDP: %d replies were not upper-cased: an echo server, not the lab's", c.Unchanged)
	} else if c.Corrupt > 0 {
		d.Print("UDP: %d replies were not the request in capitals", c.Corrupt)
	}
	switch {
	case c.Lost == 0:
	case c.Extended:
		d.Print("UDP: lost on the way there %d, at the server on purpose %d, on the way back %d, unknown %d",
			c.LostThere, c.LostAtServer, c.LostBack, c.LostUnknown)
	default:
		d.Print("UDP: %d lost; in which direction, a plain lab server does not tell (the lab's own drops 4 in 11 on purpose)", c.Lost)
	}
	return nil
}

// observe takes note of what happens in a run.
func (d *Doctor) observe(e ping.Event) {
	p := &e.Probe
	switch {
	case e.Kind == ping.Decided && p.Reason != nil:
		d.refusal = *p
	case e.Kind == ping.Decided && p.Verdict.Received():
		d.rtt.Add(p.RTT)
	case e.Kind == ping.Stray && e.Ours:
		d.elsewhere = e.From
	case e.Kind == ping.Stray:
		d.Print("UDP: a message came from %s, which is not the address asked", e.From)
	}
}

// wait asks once more, and waits for longer: a router that finds nobody at the
// address says so only when it has given up looking.
func (d *Doctor) wait(ctx context.Context) (err error) {
	if d.Target.Addr().IsLoopback() || d.Patience <= d.Timeout {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	d.Nonce++
	before := d.counts
	d.counts, err = d.run(ctx, wire.Format{Nonce: d.Nonce}, 3, d.Patience, func(e ping.Event) {
		d.observe(e)
		if e.Kind == ping.Decided {
			cancel()
		}
	})
	d.Nonce--
	switch {
	case err != nil:
	case d.heard() > 0:
		d.Print("UDP: a reply came after %.3f s: the timeout of %v is too short", d.rtt.Max.Seconds(), d.Timeout)
		d.Timeout = d.Patience
	case d.counts.Refused+d.counts.Dropped == 0:
		d.counts = before // as silent as before
	}
	return err
}

// run pings with a schedule of its own and returns the counts.
func (d *Doctor) run(ctx context.Context, format wire.Format, count uint64, timeout time.Duration, emit func(ping.Event)) (ping.Counts, error) {
	conn, err := socket.Dial(d.Target, d.Options)
	if err != nil {
		return ping.Counts{}, err
	}
	defer conn.Close()
	p := ping.Pinger{
		Conn: conn, Target: d.Target, Format: format, Emit: emit,
		Schedule: ping.Schedule{Count: count, Timeout: timeout, Interval: 20 * time.Millisecond},
	}
	err = p.Run(ctx, time.Now())
	return p.Counts(), err
}

// refused tells who refused the requests, or what kept them from being sent.
func (d *Doctor) refused(ctx context.Context) Finding {
	c, icmp := &d.counts, d.refusal.ICMP
	own := icmp == nil || icmp.From == d.Target.Addr().WithZone("")
	switch {
	case own && errors.Is(d.refusal.Reason, syscall.ECONNREFUSED):
		d.Print("UDP: %d of %d requests came back as ICMP port unreachable", c.Refused, c.Sent)
		return d.closed(ctx)
	case icmp != nil && (icmp.Prohibited() || icmp.PortUnreachable()):
		d.Print("UDP: %d of %d requests were refused %v", c.Refused, c.Sent, icmp)
		return Rejected
	}
	d.Print("UDP: %d of %d requests failed: %v", c.Refused+c.Dropped, c.Sent, d.refusal.Reason)
	return Unreachable
}
