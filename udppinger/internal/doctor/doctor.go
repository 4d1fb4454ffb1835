// Package doctor finds out in which way a UDP port does not answer: closed,
// filtered, reached but with the replies lost, or passing some sizes only. It
// asks the TCP side of udppingserver, where there is one, what the server saw.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"math"
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
	Open        Finding = iota // it answers, whatever the size
	SomeSizes                  // it answers messages of some sizes only
	Closed                     // an ICMP error says that nobody listens
	Unreachable                // another ICMP error came, or this host cannot send
	Filtered                   // silence: requests are dropped on the way, or replies
	NotArriving                // silence, and the server has seen no request
	RepliesLost                // silence, though the server has answered
	Muted                      // silence, because the server chose not to answer
)

var sentences = [...]string{
	Open:        "OPEN: requests arrive and replies come back.",
	SomeSizes:   "OPEN FOR SOME SIZES ONLY: see below which pass.",
	Closed:      "CLOSED: the host is there, but no program listens on this UDP port.",
	Unreachable: "UNREACHABLE: there is no way to this host, or somebody on it forbids this.",
	Filtered:    "FILTERED OR DROPPED: not one reply, and no ICMP error either.",
	NotArriving: "FILTERED ON THE WAY THERE: the server runs, but the requests do not reach it.",
	RepliesLost: "REPLIES ARE LOST: the requests arrive and are answered, but no reply gets back.",
	Muted:       "ANSWERED BY SILENCE: the requests arrive, but the server drops them on purpose.",
}

func (f Finding) String() string { return sentences[f] }

// advice says what to do about a finding.
var advice = [...]string{
	SomeSizes:   "Something on the way drops large packets or fragments of them: keep messages below the size that passes.",
	Closed:      "Start the server on this port, or ask for another: udppinger doctor HOST:PORT.",
	Unreachable: "Check the address and this host's own routes and firewall.",
	Filtered:    "Open the UDP port (UDP, not only TCP) in the server's firewall and at its provider; then start udppingserver there and ask again.",
	NotArriving: "Open the UDP port (UDP, not only TCP) in the server's firewall and at its provider.",
	RepliesLost: "Look at firewalls in front of this host, and at rules for what leaves the server.",
	Muted:       "See the server's --loss and --rate.",
}

// Doctor examines one port.
type Doctor struct {
	Target  netip.AddrPort
	Options socket.Options
	Timeout time.Duration // for each reply
	Nonce   uint64        // names the first run; those after it count up
	// Say is told the evidence, line by line, as it comes.
	Say func(format string, args ...any)

	counts ping.Counts
	rtt    *stats.RTT
}

// requests is how many probes the first run sends.
const requests = 10

// Examine finds out. An error means that it could not be tried.
func (d *Doctor) Examine(ctx context.Context) (Finding, error) {
	finding, err := d.examine(ctx)
	if err == nil && ctx.Err() != nil {
		return finding, errors.New("interrupted before there was an answer")
	}
	if err != nil {
		return finding, err
	}
	d.Say("")
	d.Say("%s", finding)
	if int(finding) < len(advice) && advice[finding] != "" {
		d.Say("%s", advice[finding])
	}
	return finding, nil
}

func (d *Doctor) examine(ctx context.Context) (Finding, error) {
	refusal, err := d.first(ctx)
	if err != nil {
		return Unreachable, err
	}
	c := &d.counts
	heard := c.Sent - c.Lost - c.Refused - c.Dropped // replies of any quality
	switch {
	case heard > 0:
		return d.sizes(ctx)
	case c.Refused > 0 && errors.Is(refusal, syscall.ECONNREFUSED):
		d.Say("UDP: %d of %d requests came back as ICMP port unreachable", c.Refused, c.Sent)
		return Closed, nil
	case c.Refused+c.Dropped > 0:
		d.Say("UDP: %d of %d requests failed: %v", c.Refused+c.Dropped, c.Sent, refusal)
		return Unreachable, nil
	}
	d.Say("UDP: no reply and no ICMP error to %d requests within %v each", c.Sent, d.Timeout)
	return d.askOverTCP(ctx)
}

// first sends some probes of an ordinary size.
func (d *Doctor) first(ctx context.Context) (refusal error, err error) {
	d.rtt = stats.NewRTT()
	d.counts, err = d.run(ctx, wire.Format{Nonce: d.Nonce}, requests, d.Timeout, func(e ping.Event) {
		p := &e.Probe
		switch {
		case e.Kind == ping.Decided && p.Reason != nil:
			refusal = p.Reason
		case e.Kind == ping.Decided && p.Verdict.Received():
			d.rtt.Add(p.RTT)
		case e.Kind == ping.Stray:
			d.Say("UDP: a message came from %s, which is not the address asked", e.From)
		}
	})
	c := &d.counts
	if err != nil || c.Received() == 0 && c.Corrupt+c.Truncated == 0 {
		return refusal, err
	}
	d.Say("UDP: %d of %d requests answered, median RTT %.3f ms", c.Received(), c.Sent, float64(d.rtt.Percentile(50))/1e6)
	if c.Unchanged > 0 {
		d.Say("UDP: %d replies were not upper-cased: an echo server, not the lab's", c.Unchanged)
	} else if c.Corrupt > 0 {
		d.Say("UDP: %d replies were not the request in capitals", c.Corrupt)
	}
	switch {
	case c.Lost == 0:
	case c.Extended:
		d.Say("UDP: lost on the way there %d, at the server on purpose %d, on the way back %d, unknown %d",
			c.LostThere, c.LostAtServer, c.LostBack, c.LostUnknown)
	default:
		d.Say("UDP: %d lost; in which direction, a plain lab server does not tell", c.Lost)
	}
	return refusal, nil
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

// askOverTCP asks the TCP side of the server what it saw of the first run.
func (d *Doctor) askOverTCP(ctx context.Context) (Finding, error) {
	conn, err := socket.DialTCP(ctx, d.Target, netip.AddrPort{}, max(d.Timeout, time.Second))
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		d.Say("TCP: the connection was refused, so the host is up and can be reached; it has nobody to say what became of the UDP requests")
		return Filtered, nil
	case err != nil:
		d.Say("TCP: no connection to the same port either (%v)", err)
		return Filtered, nil
	}
	defer conn.Close()
	d.Say("TCP: connected to the same port in %.3f ms, so the host is up and can be reached", float64(conn.Connect)/1e6)
	format := wire.Format{Verb: "Seen", Nonce: d.Nonce}
	question := format.Append(nil, 1, time.Now())
	stop := time.AfterFunc(max(d.Timeout, time.Second), conn.Interrupt)
	defer stop.Stop()
	if err = conn.Send(1, question); err != nil {
		d.Say("TCP: %v", err)
		return Filtered, nil
	}
	answer, err := conn.Receive()
	if err != nil {
		d.Say("TCP: whoever listens there did not echo a line: it is no lab server")
		return Filtered, nil
	}
	quality, report := wire.Judge(question, answer.Data)
	if quality != wire.Intact || report == nil {
		d.Say("TCP: whoever listens there is not udppingserver, and cannot say what became of the UDP requests")
		return Filtered, nil
	}
	d.Say("TCP: the server says that it received %d of the UDP requests and answered %d", report.Count, report.Answered)
	switch {
	case report.Count == 0:
		return NotArriving, nil
	case report.Answered == 0:
		return Muted, nil
	}
	return RepliesLost, nil
}

// sweep are the sizes tried, in bytes. 1472 and 1452 fill a packet of 1500 bytes
// over IPv4 and IPv6.
var sweep = []int{64, 256, 512, 1024, 1200, 1400, 1452, 1472, 2000, 4096, 8192, 16384, 32768, 65000}

// sizes tries messages of many sizes.
func (d *Doctor) sizes(ctx context.Context) (Finding, error) {
	tries := d.tries()
	passed, failed, cut := 0, 0, 0
	var passing, failing []int
	for _, size := range sweep {
		ok, short, err := d.passes(ctx, size, tries)
		if err != nil || ctx.Err() != nil {
			return Open, err
		}
		if short > 0 && cut == 0 {
			cut = short
		}
		if ok {
			passing = append(passing, size)
			if failed == 0 {
				passed = size
			}
		} else {
			failing = append(failing, size)
			if failed == 0 {
				failed = size
			}
		}
	}
	if cut > 0 {
		d.Say("Sizes: this server echoes the first %d bytes of a message and no more", cut)
	}
	if len(failing) == 0 {
		d.Say("Sizes: messages from %d to %d bytes pass", sweep[0], sweep[len(sweep)-1])
		return Open, nil
	}
	for passed > 0 && failed-passed > 1 { // find the very size
		size := (passed + failed) / 2
		ok, _, err := d.passes(ctx, size, tries)
		if err != nil || ctx.Err() != nil {
			return Open, err
		}
		if ok {
			passed = size
		} else {
			failed = size
		}
	}
	d.Say("Sizes: tried up to %d times each, these pass: %v; these do not: %v (bytes)", tries, passing, failing)
	if passed > 0 {
		d.Say("Sizes: messages of %d bytes pass, of %d bytes no more", passed, failed)
	}
	return SomeSizes, nil
}

// tries returns how many probes of one size it takes to tell a size that does not
// pass from bad luck: all of them lost by chance 1 time in 100,000.
func (d *Doctor) tries() uint64 {
	loss := float64(d.counts.Lost) / float64(d.counts.Sent)
	loss = min(max(loss, 0.05)+0.1, 0.9) // ten probes do not know better
	return uint64(min(math.Ceil(math.Log(1e-5)/math.Log(loss)), 40))
}

// passes reports whether a message of the given size is answered, and, if its
// reply is cut short, to how many bytes.
func (d *Doctor) passes(ctx context.Context, size int, tries uint64) (ok bool, short int, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	d.Nonce++
	timeout := min(d.Timeout, max(300*time.Millisecond, 20*d.rtt.Max))
	_, err = d.run(ctx, wire.Format{Nonce: d.Nonce, Size: size}, tries, timeout, func(e ping.Event) {
		v := e.Probe.Verdict
		if e.Kind != ping.Decided || v == ping.Refused || v == ping.Dropped {
			return
		}
		ok = true
		if v == ping.Truncated {
			short = e.Probe.Bytes
		}
		cancel()
	})
	if err != nil {
		return false, 0, fmt.Errorf("try messages of %d bytes: %w", size, err)
	}
	return ok, short, nil
}
