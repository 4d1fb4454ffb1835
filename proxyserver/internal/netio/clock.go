package netio

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// tick is the precision of timeouts.
const tick = 200 * time.Millisecond

// Clock watches over the timeouts of any number of connections with one timer.
type Clock struct {
	now   atomic.Int64 // nanoseconds since start
	start time.Time

	mu    sync.Mutex
	conns map[*Conn]struct{}
}

// NewClock returns a clock that runs until ctx is done.
func NewClock(ctx context.Context) *Clock {
	c := &Clock{start: time.Now(), conns: make(map[*Conn]struct{})}
	go c.run(ctx)
	return c
}

// Now returns the time since the clock was made, as of its last tick.
func (c *Clock) Now() time.Duration { return time.Duration(c.now.Load()) }

// Time returns the time of day at which Now was since.
func (c *Clock) Time(since time.Duration) time.Time { return c.start.Add(since) }

// CloseAll closes every connection that the clock watches over.
func (c *Clock) CloseAll() {
	for _, conn := range c.snapshot() {
		conn.Shut()
	}
}

func (c *Clock) run(ctx context.Context) {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now := int64(time.Since(c.start))
		c.now.Store(now)
		c.mu.Lock()
		for conn := range c.conns {
			d := conn.deadline.Load()
			if d != 0 && d <= now && conn.deadline.CompareAndSwap(d, 0) {
				conn.SetDeadline(time.Unix(1, 0)) //nolint:errcheck // fails only on a closed connection
				conn.struck.Store(true)
			}
		}
		c.mu.Unlock()
	}
}

func (c *Clock) snapshot() []*Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	conns := make([]*Conn, 0, len(c.conns))
	for conn := range c.conns {
		conns = append(conns, conn)
	}
	return conns
}

func (c *Clock) add(conn *Conn) {
	c.mu.Lock()
	c.conns[conn] = struct{}{}
	c.mu.Unlock()
}

func (c *Clock) remove(conn *Conn) {
	c.mu.Lock()
	delete(c.conns, conn)
	c.mu.Unlock()
}
