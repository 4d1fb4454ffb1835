package echo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"sync"
	"time"
)

// Limits of heartbeats.
const (
	maxHeartbeats = 1024 // clients remembered
	maxLines      = 100  // lines a second, all clients together
)

// heartbeats follows the clients that send "Heartbeat <sequence> <time>": how
// long each packet took by the two clocks, which ones are missing, which client
// has stopped and which is back. The clock is handed in.
type heartbeats struct {
	silence time.Duration

	mu      sync.Mutex
	out     io.Writer
	clients map[netip.AddrPort]*beat
	lines   int // written in the second that began at since
	since   time.Time
	skipped int
}

// beat is what is known of one client.
type beat struct {
	last    time.Time
	top     uint64        // highest sequence so far
	topSent time.Duration // when that was sent, by the client's clock
	seen    uint64        // bit i: top-1-i has come
	got     int
	missing uint64
	stopped bool
}

func newHeartbeats(out io.Writer, silence time.Duration) *heartbeats {
	return &heartbeats{silence: silence, out: out, clients: make(map[netip.AddrPort]*beat)}
}

// note takes in one heartbeat, sent at the time sent of the client's clock.
func (h *heartbeats) note(from netip.AddrPort, seq uint64, sent time.Duration, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	b := h.clients[from]
	silent := b != nil && b.stopped
	if silent {
		h.print(now, "%s is back after %.1f s", from, now.Sub(b.last).Seconds())
		b.stopped = false
	}
	switch {
	case b == nil:
		h.makeRoom()
		b = &beat{top: seq, topSent: sent, got: 1}
		h.clients[from] = b
	// A number that was there already, or would have been: late or twice on the
	// way, such a packet was sent no later than those before it. Sent later, or
	// after a silence, it is the first of a program that was started again on
	// the same port.
	case seq <= b.top && (silent || sent > b.topSent):
		h.print(now, "%s starts again, with %d after %d", from, seq, b.top)
		*b = beat{top: seq, topSent: sent, got: 1}
	case seq == b.top || seq < b.top && b.top-seq <= 64 && b.seen&(1<<(b.top-seq-1)) != 0:
		h.print(now, "Heartbeat %d from %s came twice", seq, from)
	case seq > b.top:
		if gap := seq - b.top - 1; gap == 1 {
			h.print(now, "Heartbeat %d from %s is missing", seq-1, from)
		} else if gap > 1 {
			h.print(now, "Heartbeats %d to %d from %s are missing", b.top+1, seq-1, from)
		}
		b.missing += seq - b.top - 1
		b.seen = b.seen<<(seq-b.top) | 1<<(seq-b.top-1)
		b.top, b.topSent = seq, sent
		b.got++
	case b.top-seq <= 64:
		h.print(now, "Heartbeat %d from %s comes late, after %d", seq, from, b.top)
		b.seen |= 1 << (b.top - seq - 1)
		b.missing -= min(b.missing, 1)
		b.got++
	default: // too old to know whether it is late or comes twice
		h.print(now, "Heartbeat %d from %s comes late, after %d", seq, from, b.top)
	}
	b.last = now
	h.print(now, "Heartbeat %d from %s: time difference %.6fs", seq, from, (time.Duration(now.UnixNano()) - sent).Seconds())
}

// sweep reports the clients that have been silent for too long.
func (h *heartbeats) sweep(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for from, b := range h.clients {
		if !b.stopped && now.Sub(b.last) >= h.silence {
			b.stopped = true
			h.print(now, "%s has stopped: no heartbeat for %v (the last was %d; %d received, %d missing)",
				from, h.silence, b.top, b.got, b.missing)
		}
	}
}

// watch sweeps until ctx is done.
func (h *heartbeats) watch(ctx context.Context) {
	ticker := time.NewTicker(min(max(h.silence/5, time.Millisecond), time.Second))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			h.sweep(now)
		}
	}
}

// makeRoom forgets a client if the table is full: of a few taken at random, the
// one silent for longest. To look at all would be slow under a flood.
func (h *heartbeats) makeRoom() {
	if len(h.clients) < maxHeartbeats {
		return
	}
	var oldest netip.AddrPort
	var last time.Time
	looked := 0
	for from, b := range h.clients { // in random order
		if last.IsZero() || b.last.Before(last) {
			oldest, last = from, b.last
		}
		if looked++; looked == 8 {
			break
		}
	}
	delete(h.clients, oldest)
}

// print writes a line, but no more than maxLines a second: what comes from the
// network must not fill a disk.
func (h *heartbeats) print(now time.Time, format string, args ...any) {
	if now.Sub(h.since) >= time.Second {
		if h.skipped > 0 {
			fmt.Fprintf(h.out, "(%d more lines about heartbeats left out)\n", h.skipped)
		}
		h.since, h.lines, h.skipped = now, 0, 0
	}
	if h.lines++; h.lines > maxLines {
		h.skipped++
		return
	}
	if _, err := fmt.Fprintf(h.out, format+"\n", args...); err != nil {
		h.skipped++
	}
}

// outbox is where lines wait for a reader. To write to it never waits, for that
// is done under the lock of a socket: a terminal that somebody has stopped must
// not stop the server.
type outbox chan []byte

var errFull = errors.New("the reader is slow")

// Write puts a line in, or returns errFull.
func (o outbox) Write(line []byte) (int, error) {
	select {
	case o <- bytes.Clone(line):
		return len(line), nil
	default:
		return 0, errFull
	}
}

// run hands lines on to out until ctx is done, and then those left.
func (o outbox) run(ctx context.Context, out io.Writer) {
	for {
		select {
		case line := <-o:
			_, _ = out.Write(line)
		case <-ctx.Done():
			for len(o) > 0 {
				_, _ = out.Write(<-o)
			}
			return
		}
	}
}
