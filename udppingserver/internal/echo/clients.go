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
// may stand in one of 8 places; whoever comes when they are taken has the place
// of the one who has been silent for longest. So a flood from many addresses
// makes the server forget, never grow.
type clients struct {
	seed  maphash.Seed
	table []client
}

// client is what the server remembers of one address and port.
type client struct {
	addr    netip.AddrPort
	last    time.Time
	packets uint64 // packets of it so far: the number of its next one

	received, answered, dropped, limited uint64

	run    run
	echoes echoes
}

func newClients(size int) *clients {
	return &clients{seed: maphash.MakeSeed(), table: make([]client, max(size/ways, 1)*ways)}
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
				*c = client{addr: addr}
			}
			c.last = now
			return c
		}
		if c.last.Before(oldest.last) {
			oldest = c
		}
	}
	*oldest = client{addr: addr, last: now}
	return oldest
}

// run is what the server tells a client with the extension about its run.
type run struct {
	nonce    uint64
	top      uint64 // highest sequence received
	seen     uint64 // bit i: top-1-i was received
	answered uint64 // bit i: top-1-i was answered
	topAns   bool   // top was answered
	count    uint32
	answers  uint32
	fresh    bool // the request at hand was not received before
	any      bool
}

// receive takes note of a request. A new nonce is a new run, and the client's
// packets are numbered from 0 again.
func (r *run) receive(req wire.Request, c *client) {
	if !r.any || r.nonce != req.Nonce {
		*r = run{nonce: req.Nonce, top: req.Seq, any: true, fresh: true, count: 1}
		c.packets = 0
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
		r.top, r.topAns, r.fresh = req.Seq, false, true
	case req.Seq == r.top:
		r.fresh = false
	default:
		bit := uint64(1) << (r.top - req.Seq - 1) // 0 if too old to know of
		r.fresh = bit != 0 && r.seen&bit == 0
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
	if req.Extended && req.Verb == wire.Ping && r.mark(req, false) {
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
