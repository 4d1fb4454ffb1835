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
	"sync"
	"time"

	"topdown/udppinger/internal/socket"
	"topdown/udppinger/internal/wire"
)

// Conn is what a Pinger sends and receives with: socket.UDP or socket.TCP.
type Conn interface {
	// Send sends a message; tags follow one another without gaps.
	Send(tag uint64, message []byte) error
	// Receive waits for what the socket has to tell next.
	Receive() (socket.Notice, error)
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
	changed chan struct{} // a probe has a verdict
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
	p.changed = make(chan struct{}, 1)
	var failed error
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() {
		if failed = p.receive(); failed != nil {
			cancel()
		}
	})
	p.send(ctx)
	p.Conn.Interrupt()
	wg.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tracker.Finish()
	return failed
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

// send sends probes on schedule until there are no more to send, and waits for
// their verdicts.
func (p *Pinger) send(ctx context.Context) {
	s := p.Schedule
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var due time.Duration // when the next probe is to be sent
	for sent := uint64(0); ctx.Err() == nil; {
		now := time.Since(p.start)
		p.mu.Lock()
		p.tracker.Expire(now-grace, p.Conn.Drops())
		outstanding, answered := p.tracker.Outstanding(), p.tracker.LatestDecided()
		expiry, waiting := p.tracker.NextExpiry()
		room := p.tracker.Room()
		p.mu.Unlock()

		more := (s.Count == 0 || sent < s.Count) && (s.Duration == 0 || now < s.Duration && due < s.Duration)
		if !more && outstanding == 0 {
			return
		}
		next := time.Hour // when there is something to do
		if waiting {
			next = expiry + grace
		}
		precise := false
		if more && room {
			switch {
			case s.Interval > 0:
			case answered:
				due = now
			case s.Flood: // due is set already
			default:
				due = time.Hour
			}
			if now >= due {
				p.probe(due)
				sent++
				switch {
				case s.Interval > 0:
					due += s.Interval
				case s.Flood:
					due = now + floodPace
				}
				continue
			}
			if due < next {
				next, precise = due, s.Interval > 0
			}
		}
		p.wait(ctx, timer, next, precise)
	}
}

// wait waits until next, or until something has changed. A precise wait ends
// within some 0.1 ms of next, where timers would take up to 1 ms more: it sleeps
// through the last stretch with the system's own call.
func (p *Pinger) wait(ctx context.Context, timer *time.Timer, next time.Duration, precise bool) {
	const last = 1500 * time.Microsecond
	rest := next - time.Since(p.start)
	if precise && rest <= last {
		sleep(rest)
		return
	}
	if precise {
		rest -= last
	}
	timer.Reset(rest)
	select {
	case <-ctx.Done():
	case <-p.changed:
	case <-timer.C:
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

// receive takes in what the socket has to tell until it is interrupted.
func (p *Pinger) receive() error {
	for {
		n, err := p.Conn.Receive()
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			return errors.New("the server closed the connection")
		case err != nil:
			return err
		}
		p.mu.Lock()
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
		p.mu.Unlock()
		if n.Kind != socket.Sent {
			select {
			case p.changed <- struct{}{}:
			default:
			}
		}
	}
}

// same compares addresses without regard to zones, which not every system tells.
func same(a, b netip.AddrPort) bool {
	return a.Port() == b.Port() && a.Addr().WithZone("") == b.Addr().WithZone("")
}
