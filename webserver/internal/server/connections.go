package server

import (
	"net/netip"
	"sync"
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
	if s.counted(addr) && !trusts(s.TrustProxy, addr) && !cs.take(network(addr), s.MaxConnsPerAddr) {
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
