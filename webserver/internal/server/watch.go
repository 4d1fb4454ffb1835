package server

import (
	"context"
	"time"
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
