package echo

import (
	"hash/maphash"
	"time"

	"topdown/udppingserver/internal/impair"
	"topdown/udppingserver/internal/wire"
)

// Verdict says what the server did with a packet. Its text is what stands in
// the truth file.
type Verdict string

// The verdicts.
const (
	Answered  Verdict = "answered"
	Dropped   Verdict = "dropped"   // on purpose: the simulated network lost it
	Limited   Verdict = "limited"   // its network has had its share of answers
	Refused   Verdict = "refused"   // nobody to be answered sends from there
	Reflected Verdict = "reflected" // it is a reply, come back to us
	Overflow  Verdict = "overflow"  // too many replies were being held up
	Heartbeat Verdict = "heartbeat" // taken note of; heartbeats are not answered
)

// answer decides what becomes of a packet and prepares its reply in place. The
// shard is locked.
func (sh *shard) answer(p *packet, now time.Time) {
	sh.count.Received++
	verdict, number, fate := Refused, uint64(0), impair.Fate{}
	var req wire.Request
	if mayAnswer(p.from, sh.own) && p.unicast {
		if parsed, ok := wire.Parse(p.data); ok { // else it is any other message
			req = parsed
		}
		verdict, number, fate = sh.decide(p, req, now)
	}
	switch verdict {
	case Answered:
		sh.count.Answered++
	case Dropped:
		sh.count.Dropped++
	case Limited:
		sh.count.Limited++
	case Refused:
		sh.count.Refused++
	case Reflected:
		sh.count.Reflected++
	case Overflow:
		sh.count.Overflow++
	case Heartbeat:
		sh.count.Heartbeats++
	}
	if p.told != nil {
		p.told.verdict, p.told.fate = verdict, fate
	}
	if sh.server.Truth != nil {
		sh.server.Truth.packet(p, now, req, verdict, number, fate)
	}
}

func (sh *shard) decide(p *packet, req wire.Request, now time.Time) (Verdict, uint64, impair.Fate) {
	if req.Answered {
		return Reflected, 0, impair.Fate{}
	}
	c := sh.clients.get(p.from, now)
	sh.clients.receive(c, req)
	number := c.packets
	c.packets++
	c.received++
	if !sh.server.limit.allow(p.from.Addr(), now) {
		c.limited++
		return Limited, number, impair.Fate{}
	}
	fate := sh.fate(c, number)
	if fate.Drop {
		c.dropped++
		return Dropped, number, fate
	}
	if req.Verb == wire.Heartbeat {
		sh.server.beats.note(p.from, req.Seq, req.Sent, now)
		return Heartbeat, number, fate
	}

	changed := wire.Upper(p.data)
	if !changed && !req.Extended && !c.echoes.allow(now) {
		return Reflected, number, fate
	}
	if fate.Duplicate && !sh.server.limit.allow(p.from.Addr(), now) {
		fate.Duplicate = false // two replies are to be paid for like two
	}
	if counted(req) {
		c.run.answer(req)
		p.apart = true
		sh.socket.stamp() // from now on
		came, ago := p.received(now)
		wire.Fill(p.data, req, c.run.report(came, ago+fate.Delay))
	}
	if fate.Corrupt && len(p.data) > 0 {
		bit := fate.Bit % uint32(8*len(p.data))
		p.data[bit/8] ^= 1 << (bit % 8)
	}
	if fate.Delay > 0 {
		if !sh.late.hold(p, now.Add(fate.Delay), fate.Duplicate) {
			c.run.takeBack(req)
			return Overflow, number, fate
		}
	} else {
		p.copies = 1
		if fate.Duplicate {
			p.copies = 2
		}
	}
	c.answered++
	return Answered, number, fate
}

func (sh *shard) fate(c *client, number uint64) impair.Fate {
	if sh.server.Impair.None() {
		return impair.Fate{}
	}
	var stream uint64
	if sh.server.PerClient {
		stream = maphash.Comparable(sh.clients.seed, c.addr)
	}
	return sh.server.Impair.Fate(stream, number)
}
