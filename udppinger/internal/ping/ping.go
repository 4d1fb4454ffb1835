// Package ping sends probes to a UDP echo server on a schedule and gives each
// one its verdict.
//
// Replies are matched to probes by sequence and by a nonce of the run, never by
// the order in which they come; a reply after its timeout is late, and neither
// lost nor on time (RFC 2681 and RFC 7680 leave the timeout to us).
package ping

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"topdown/udppinger/internal/socket"
	"topdown/udppinger/internal/wire"
)

// Conn is what a Pinger sends and receives with: socket.UDP or socket.TCP.
type Conn interface {
	// Send sends a message; tags follow one another without gaps.
	Send(tag uint64, message []byte) error
	// Receive waits for what the socket has to tell next, no longer than until
	// then (os.ErrDeadlineExceeded); the zero time is no limit.
	Receive(until time.Time) (socket.Notice, error)
	// Drops returns how many messages the socket has had no room for.
	Drops() uint64
	// Interrupt makes Receive return net.ErrClosed.
	Interrupt()
}

// Schedule says when probes are sent. With neither Interval nor Flood the next
// probe follows the reply to the one before, or its timeout: the lab's way.
type Schedule struct {
	Count    uint64        // of probes; 0: no end
	Timeout  time.Duration // how long a reply may take
	Interval time.Duration // from probe to probe, whether replies come or not
	Flood    bool          // the next probe follows the reply, or 10 ms without one
	Duration time.Duration // no probe is sent after this time; 0: no end
}

// floodPace is how long a flood waits for a reply.
const floodPace = 10 * time.Millisecond

// stopped is how far behind its schedule a pinger may be. One that somebody had
// stopped for an hour (Ctrl-Z) must not send an hour's pings at once.
const stopped = time.Second

// grace is how long after a timeout a probe is given up, so that a reply which
// came just in time is not missed for its reader's being slow.
const grace = 2 * time.Millisecond

// Pinger pings one target. Its fields are set before Run.
type Pinger struct {
	Conn     Conn
	Target   netip.AddrPort // replies from elsewhere are strays; zero: take them from anywhere
	Format   wire.Format
	Schedule Schedule
	// Emit is told what happens, one event at a time, while the pinger is
	// locked: it must not call the pinger back. Nil: nobody is told.
	Emit func(Event)

	start   time.Time
	mu      sync.Mutex
	tracker *Tracker
}

// Run sends the probes and waits for their replies. Times are counted from start,
// which is now. It returns nil when all probes have their verdicts or ctx is done,
// otherwise why it had to end.
func (p *Pinger) Run(ctx context.Context, start time.Time) error {
	if p.Emit == nil {
		p.Emit = func(Event) {}
	}
	p.mu.Lock()
	p.start = start
	p.tracker = NewTracker(p.Format, p.Schedule.Timeout, p.Schedule.Count, p.Emit)
	p.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		<-ctx.Done()
		p.Conn.Interrupt()
	})
	err := p.run()
	cancel()
	wg.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tracker.Finish()
	return err
}

// Counts returns the counts so far.
func (p *Pinger) Counts() Counts {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tracker == nil {
		return Counts{}
	}
	return p.tracker.Counts
}

// run sends probes on schedule and takes in what comes in between, until all are
// sent and have their verdicts. One thread does both: if another waited for the
// kernel's stamps, it would be woken up while a probe is on its way out, and the
// time that this takes would be part of the RTT.
func (p *Pinger) run() error {
	s := p.Schedule
	var due, next time.Duration // when the next probe is to be sent; when there is something to do
	for sent := uint64(0); ; {
		if err := p.receive(p.start.Add(next)); errors.Is(err, net.ErrClosed) {
			return nil
		} else if err != nil {
			return err
		}
		now := time.Since(p.start)
		p.mu.Lock()
		p.tracker.Expire(now-grace, p.Conn.Drops())
		outstanding, answered := p.tracker.Outstanding(), p.tracker.LatestDecided()
		expiry, waiting := p.tracker.NextExpiry()
		room := p.tracker.Room()
		p.mu.Unlock()

		more := (s.Count == 0 || sent < s.Count) && (s.Duration == 0 || now < s.Duration && due < s.Duration)
		if !more && outstanding == 0 {
			return nil
		}
		next = now + time.Hour
		if waiting {
			next = expiry + grace
		}
		if !more || !room {
			continue
		}
		if s.Interval == 0 && answered {
			due = now
		}
		switch {
		case now >= due && (answered || s.Interval > 0 || s.Flood):
			p.probe(due)
			sent++
			switch {
			case s.Interval > 0 && now-due > stopped:
				due = now + s.Interval
			case s.Interval > 0:
				due += s.Interval
			case s.Flood:
				due = now + floodPace
			}
			next = 0
		case s.Interval > 0 || s.Flood:
			next = min(next, due)
		}
	}
}

// probe sends the next probe.
func (p *Pinger) probe(due time.Duration) {
	p.mu.Lock()
	now := socket.Now()
	seq, message := p.tracker.Begin(due, now.Sub(p.start), now)
	p.mu.Unlock()
	// The message is safe without the lock: only Begin, here, changes it.
	if err := p.Conn.Send(seq, message); err != nil {
		p.mu.Lock()
		p.tracker.Failed(seq, err)
		p.mu.Unlock()
	}
}

// atOnce is how many notices are taken in before the schedule is looked at again.
const atOnce = 256

// receive waits, until then at most, for what the socket has to tell, and takes in
// all of it.
func (p *Pinger) receive(until time.Time) error {
	for range atOnce {
		n, err := p.Conn.Receive(until)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			return errors.New("the server closed the connection")
		case err != nil:
			return err
		}
		p.take(n)
		until = p.start // what else is there, without waiting
	}
	return nil
}

// take takes in one notice.
func (p *Pinger) take(n socket.Notice) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case n.Kind == socket.Sent:
		p.tracker.Left(n.Tag, n.Stamp)
	case n.Kind == socket.Refusal:
		if !p.tracker.RefuseMessage(n.Data, n.Err) {
			p.tracker.Refuse(0, n.Err)
		}
	case p.Target.IsValid() && !same(n.From, p.Target):
		p.tracker.Stray(n.From.String(), n.Data, "not from the address that is being pinged")
	default:
		p.tracker.Arrive(Arrival{
			Data: n.Data, From: n.From.Addr().String(), TTL: n.TTL,
			Read: n.Read.Sub(p.start), Wall: n.Read, Stamp: n.Stamp,
		})
	}
}

// same compares addresses without regard to zones, which not every system tells.
func same(a, b netip.AddrPort) bool {
	return a.Port() == b.Port() && a.Addr().WithZone("") == b.Addr().WithZone("")
}
