package echo

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"topdown/udppingserver/internal/wire"
)

// seen reports whether the request asks about a run instead of being part of one.
func seen(req wire.Request) bool { return req.Verb == wire.Seen && req.Extended }

// run finds what is known of the run with the given nonce, for a client that
// asks over TCP. An unknown run has received nothing. It looks into the index of
// each socket's clients: to walk through the tables would hold up everybody's
// packets, for the locks are theirs.
func (s *Server) run(nonce uint64) run {
	for _, sh := range s.shards {
		sh.mu.Lock()
		c := sh.clients.runs[nonce]
		if c != nil {
			found := c.run
			sh.mu.Unlock()
			return found
		}
		sh.mu.Unlock()
	}
	return run{}
}

// Limits of questions about runs, for each host that asks.
const (
	seenRate  = 20 // a second
	seenBurst = 40
	seenHosts = 1024 // remembered
)

// pace spreads the questions of each host over time. Like all tables of this
// server it does not grow: full, it forgets hosts that are owed nothing.
type pace struct {
	mu    sync.Mutex
	hosts map[netip.Addr]time.Time // when all that was asked is paid for
}

// take returns how long a host has to wait before its next question is answered.
func (p *pace) take(host netip.Addr, now time.Time) (wait time.Duration) {
	const each = time.Second / seenRate
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.hosts == nil {
		p.hosts = make(map[netip.Addr]time.Time)
	}
	paid, ok := p.hosts[host]
	if !ok && len(p.hosts) >= seenHosts {
		for other, until := range p.hosts {
			if until.Before(now) {
				delete(p.hosts, other)
			}
		}
		if len(p.hosts) >= seenHosts {
			return time.Second // more hosts at a time than are remembered
		}
	}
	if paid.Before(now) {
		paid = now
	}
	paid = paid.Add(each)
	p.hosts[host] = paid
	return max(paid.Sub(now)-seenBurst*each, 0)
}

// wait waits until the host may ask again. It reports false if ctx is done.
func (p *pace) wait(ctx context.Context, host netip.Addr) bool {
	wait := p.take(host, time.Now())
	if wait == 0 {
		return true
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
