package echo

import (
	"hash/maphash"
	"net/netip"
	"time"

	"topdown/udppingserver/internal/wire"
)

// Limits of the table of clients.
const (
	maxClients = 16384           // of all sockets together
	ways       = 8               // places that one client may have
	forgetful  = 1 * time.Minute // a client silent for so long starts anew
)

// clients is a table of fixed size of those who sent something lately. A client
// may stand in one of 8 places; one that comes when they are taken has the place
// of the one who has been silent for longest. So a flood from many addresses
// makes the server forget, never grow.
type clients struct {
	seed  maphash.Seed
	table []client
	// runs finds the client of a run by its nonce: at most one run a client.
	runs map[uint64]*client
}

// client is what the server remembers of one address and port.
type client struct {
	addr    netip.AddrPort
	last    time.Time
	packets uint64 // packets of it so far: the number of its next one

	received, answered, dropped, limited uint64

	run run
	// other is the run that the client had, or seemed to have, before this one,
	// with the number of its next packet. A nonce that was damaged on the way
	// makes a run of one request, and the client must find its own again.
	other        run
	otherPackets uint64

	echoes echoes
}

func newClients(size int) *clients {
	return &clients{
		seed: maphash.MakeSeed(), table: make([]client, max(size/ways, 1)*ways),
		runs: make(map[uint64]*client),
	}
}

// get returns the entry of addr, making one if there is none.
func (t *clients) get(addr netip.AddrPort, now time.Time) *client {
	sets := uint64(len(t.table) / ways)
	at := maphash.Comparable(t.seed, addr) % sets * ways
	set := t.table[at : at+ways]
	oldest := &set[0]
	for i := range set {
		c := &set[i]
		if c.addr == addr {
			if now.Sub(c.last) > forgetful {
				t.reset(c, addr)
			}
			c.last = now
			return c
		}
		if c.last.Before(oldest.last) {
			oldest = c
		}
	}
	t.reset(oldest, addr)
	oldest.last = now
	return oldest
}

// reset gives a place to a client who is new, or has been silent for long.
func (t *clients) reset(c *client, addr netip.AddrPort) {
	t.unlist(c)
	*c = client{addr: addr}
}

// unlist takes the client's run out of the index.
func (t *clients) unlist(c *client) {
	if c.run.any && t.runs[c.run.nonce] == c {
		delete(t.runs, c.run.nonce)
	}
}

// receive takes note of a client's request, and keeps the index.
func (t *clients) receive(c *client, req wire.Request) {
	if !counted(req) || c.run.any && c.run.nonce == req.Nonce {
		c.receive(req)
		return
	}
	t.unlist(c)
	c.receive(req)
	t.runs[c.run.nonce] = c
}

// run is what the server tells a client with the extension about its run.
type run struct {
	nonce    uint64
	top      uint64 // highest sequence received
	seen     uint64 // bit i: top-1-i was received
	answered uint64 // bit i: top-1-i was answered; without seen: see strange
	topAns   bool   // top was answered
	count    uint32
	answers  uint32
	fresh    bool // the request at hand was not received before
	any      bool

	// strange counts messages of this client since top that were too damaged on
	// their way to tell which of its requests they were.
	strange uint64
}

// receive takes note of a request. A new nonce is a new run.
func (r *run) receive(req wire.Request) {
	if !r.any || r.nonce != req.Nonce {
		*r = run{nonce: req.Nonce, top: req.Seq, any: true, fresh: true, count: 1}
		return
	}
	switch {
	case req.Seq > r.top:
		by := req.Seq - r.top
		r.seen = r.seen<<by | 1<<(by-1)
		r.answered <<= by
		if r.topAns {
			r.answered |= 1 << (by - 1)
		}
		// Those in between have not been received, or else they are what was
		// damaged. The client is told so by bits that nothing else makes:
		// answered, but not received.
		if gap := by - 1; gap > 0 && r.strange > 0 {
			r.answered |= 1<<gap - 1
			r.strange -= min(r.strange, gap)
		}
		r.top, r.topAns, r.fresh = req.Seq, false, true
	case req.Seq == r.top:
		r.fresh = false
	default:
		bit := uint64(1) << (r.top - req.Seq - 1) // 0 if too old to know of
		r.fresh = bit != 0 && r.seen&bit == 0
		if r.fresh {
			r.answered &^= bit // it was not the damaged one
		}
		r.seen |= bit
	}
	if r.fresh {
		r.count++
	}
}

// answer takes note that the request at hand is about to be answered.
func (r *run) answer(req wire.Request) {
	if r.mark(req, true) {
		r.answers++
	}
}

// takeBack undoes answer.
func (r *run) takeBack(req wire.Request) {
	if counted(req) && r.mark(req, false) {
		r.answers--
	}
}

// mark notes whether a sequence was answered, and reports whether that is news.
func (r *run) mark(req wire.Request, answered bool) bool {
	if req.Seq == r.top {
		news := r.topAns != answered
		r.topAns = answered
		return news
	}
	bit := uint64(1) << (r.top - req.Seq - 1)
	news := bit != 0 && (r.answered&bit != 0) != answered
	if answered {
		r.answered |= bit
	} else {
		r.answered &^= bit
	}
	return news
}

func (r *run) report(received time.Time, residence time.Duration) wire.Report {
	const window = 1<<wire.Window - 1
	return wire.Report{
		Received:  received,
		Residence: residence,
		Count:     r.count,
		Answered:  r.answers,
		Top:       uint32(r.top),
		SeenMask:  r.seen & window,
		AnsMask:   r.answered & window,
	}
}

// counted reports whether a request is part of a run.
func counted(req wire.Request) bool { return req.Verb == wire.Ping && (req.Extended || req.Damaged) }

// receive takes note of a request: to which run of the client it belongs, or that
// it is too damaged to tell. A new run's packets are numbered from 0 again.
func (c *client) receive(req wire.Request) {
	switch {
	case !counted(req):
		if c.run.any {
			c.run.strange++
		}
		return
	case c.run.any && c.run.nonce != req.Nonce && c.other.any && c.other.nonce == req.Nonce:
		c.run, c.other = c.other, c.run
		c.packets, c.otherPackets = c.otherPackets+1, c.packets
		c.run.strange++ // what seemed to be another run's
	case c.run.any && c.run.nonce != req.Nonce:
		c.other, c.otherPackets = c.run, c.packets
		c.packets = 0
	case !c.run.any:
		c.packets = 0
	}
	c.run.receive(req)
}

// Limits of echoes.
const (
	echoBurst  = 64
	echoRefill = time.Second
)

// echoes limits the answers to messages that upper-casing does not change. What
// another echo server sends back is always such a message, so that two servers
// set on each other by one forged packet would keep each other busy for good. A
// client gets 64 such answers and one more a second; a loop is over when its
// packets have used those up. The lab's own messages have small letters in them.
type echoes struct {
	spent uint8
	since time.Time // when the last one was given back
}

// allow reports whether one more may be answered.
func (e *echoes) allow(now time.Time) bool {
	if back := now.Sub(e.since) / echoRefill; back > 0 {
		e.spent -= uint8(min(time.Duration(e.spent), back))
		e.since = now
	}
	if e.spent >= echoBurst {
		return false
	}
	e.spent++
	return true
}
