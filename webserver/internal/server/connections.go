package server

import (
	"context"
	"net/netip"
	"sync"
	"time"
)

// connections are the open ones: counted, for the limits, and known, for the
// watch over their deadlines.
type connections struct {
	mu      sync.Mutex
	open    map[*conn]struct{}
	perAddr map[netip.Addr]int
	busy    int // admitted and not gone yet
}

func (cs *connections) init() {
	cs.open = make(map[*conn]struct{})
	cs.perAddr = make(map[netip.Addr]int)
}

// network is what one client is taken to be: an IPv4 address, or the /64 that
// an IPv6 user usually has to himself.
func network(addr netip.Addr) netip.Addr {
	if addr.Is6() {
		if prefix, err := addr.Prefix(64); err == nil {
			return prefix.Addr()
		}
	}
	return addr
}

// counted reports whether the limit per address holds for addr. This host's
// own clients may be a proxy with many others behind it.
func (s *Server) counted(addr netip.Addr) bool {
	return s.MaxConnsPerAddr > 0 && addr.IsValid() && (s.CountLoopback || !addr.IsLoopback())
}

// admit counts a new connection in, or returns the status to refuse it with.
func (cs *connections) admit(addr netip.Addr, s *Server) (status int) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.busy >= s.MaxConns {
		return 503
	}
	if s.counted(addr) && !s.trusts(addr) && !cs.take(network(addr), s.MaxConnsPerAddr) {
		return 429
	}
	cs.busy++
	return 0
}

// take counts one more of a client, unless it has its share. cs.mu is held.
func (cs *connections) take(client netip.Addr, most int) bool {
	if cs.perAddr[client] >= most {
		return false
	}
	cs.perAddr[client]++
	return true
}

// give counts one less. cs.mu is held.
func (cs *connections) give(client netip.Addr) {
	if cs.perAddr[client]--; cs.perAddr[client] <= 0 {
		delete(cs.perAddr, client)
	}
}

// admitClient counts a request that a proxy sends for a client, which has the
// share of one that comes by itself: what it has open are requests there.
func (cs *connections) admitClient(addr netip.Addr, s *Server) bool {
	if !s.counted(addr) {
		return true
	}
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return cs.take(network(addr), s.MaxConnsPerAddr)
}

// releaseClient ends such a request.
func (cs *connections) releaseClient(addr netip.Addr, s *Server) {
	if s.counted(addr) {
		cs.mu.Lock()
		defer cs.mu.Unlock()
		cs.give(network(addr))
	}
}

func (cs *connections) add(c *conn) {
	cs.mu.Lock()
	cs.open[c] = struct{}{}
	cs.mu.Unlock()
}

func (cs *connections) remove(c *conn) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	delete(cs.open, c)
	cs.busy--
	if c.s.counted(c.addr) && !c.proxy {
		cs.give(network(c.addr))
	}
}

// phase is what a connection is waiting for.
type phase int32

const (
	idle       phase = iota // the first byte of a request
	head                    // the rest of a head
	body                    // a request's body
	responding              // this side: the client cannot be late
	writing                 // the client to read
	delivering              // the client to have read all that was lent to the kernel
	linger                  // the client to notice that the connection ends
)

// tick is how precise deadlines are. A timer for each request would cost more
// than the request.
const tick = 100 * time.Millisecond

// watch enforces the deadlines of all connections until ctx has ended and they
// are gone.
func (s *Server) watch(ctx context.Context) {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	var stop time.Time // when the server began to stop
	var late []*conn
	for {
		now := <-ticker.C
		s.date.coarse.Store(now.UnixNano())
		if stop.IsZero() && ctx.Err() != nil {
			stop = now
			s.draining.Store(true)
		}
		s.conns.mu.Lock()
		left := len(s.conns.open)
		for c := range s.conns.open {
			if c.isLate(now, stop) {
				late = append(late, c)
			}
		}
		s.conns.mu.Unlock()
		for _, c := range late {
			c.expire()
		}
		clear(late)
		late = late[:0]
		if !stop.IsZero() && left == 0 {
			return
		}
	}
}

// isLate reports whether the client has used up its time. stop is when the
// server began to stop, zero if it has not.
func (c *conn) isLate(now, stop time.Time) bool {
	since := time.Unix(0, c.since.Load())
	waited := now.Sub(since)
	p := phase(c.phase.Load())
	if !stop.IsZero() {
		if p == idle && now.Sub(stop) >= drainTime || now.Sub(stop) >= StopTime {
			return true
		}
	}
	s := c.s
	switch p {
	case idle:
		return waited >= s.IdleTimeout
	case head:
		return waited >= s.HeadTimeout
	case body:
		return c.sample.tooSlow(s, p, since, now, c.received.Load)
	case responding:
		return false
	case writing:
		return waited >= time.Second && c.sample.tooSlow(s, p, since, now, c.taken)
	case delivering:
		return c.sample.tooSlow(s, p, since, now, c.delivered.Load)
	default: // linger
		return waited >= lingerTime
	}
}

// sample is how far a transfer had come at one moment.
type sample struct {
	phase    phase
	since    time.Time // when the transfer began
	at       time.Time
	progress int64 // bytes
}

// tooSlow compares the progress of a transfer with the last sample, once in
// each Grace, and reports whether it is below the minimum rate.
func (last *sample) tooSlow(s *Server, p phase, since, now time.Time, progress func() int64) bool {
	next := sample{p, since, now, 0}
	if last.phase != p || !last.since.Equal(since) {
		next.progress = progress()
		*last = next
		return false
	}
	window := now.Sub(last.at)
	if window < s.Grace {
		return false
	}
	next.progress = progress()
	slow := float64(next.progress-last.progress) < float64(s.MinRate)*window.Seconds()
	*last = next
	return slow
}

// expire wakes the connection's goroutine from what it waits for. A request
// that arrives at this very moment is still answered: only a client that does
// not read loses its answer.
func (c *conn) expire() {
	c.expired.Store(true)
	long := time.Unix(1, 0)
	switch phase(c.phase.Load()) {
	case responding, writing, delivering, linger:
		_ = c.socket.SetDeadline(long) // a closed connection needs no waking
	default:
		_ = c.socket.SetReadDeadline(long)
	}
}
