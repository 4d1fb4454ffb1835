package ping

import (
	"errors"
	"math/bits"
	"time"

	"topdown/udppinger/internal/socket"
	"topdown/udppinger/internal/wire"
)

// Tracker gives each probe of a run its verdict. It does no I/O and reads no
// clock: its user says what happened, and when, counted from the start of
// the run. It remembers a bounded number of probes, whatever the run's length.
type Tracker struct {
	Counts Counts

	format  wire.Format
	timeout time.Duration
	linger  time.Duration
	emit    func(Event)

	ring    []Probe // probe seq is at seq & mask
	mask    uint64
	most    uint64 // places that the ring may have
	next    uint64 // sequence of the next probe
	oldest  uint64 // first probe that has not timed out
	final   uint64 // first probe that is not final
	pending int    // probes without a verdict
	highest uint64 // highest sequence replied to

	drops   uint64 // of the socket, as last told
	unfound uint64 // of those, how many have no probe yet

	doubts bool // requests were damaged on the way there

	// The server's own counts of the run, from the reply with the highest top.
	top              uint64
	count, ans       uint64
	replied          uint64 // probes replied to, well or badly
	request, scratch []byte
}

// Limits of a Tracker.
const (
	// MaxOutstanding is the most probes that a Tracker remembers.
	MaxOutstanding = 1 << 16
	// lateFor is how many timeouts a reply may be late and still be known.
	lateFor = 10
)

// NewTracker returns a tracker of a run of count probes (0: no end in sight)
// that tells emit what happens.
func NewTracker(format wire.Format, timeout time.Duration, count uint64, emit func(Event)) *Tracker {
	most := uint64(MaxOutstanding)
	if count > 0 && count < most {
		most = 1 << bits.Len64(count)
	}
	size := min(most, 256) // it grows as far as it is needed
	t := &Tracker{
		format: format, timeout: timeout, linger: lateFor * max(timeout, time.Second),
		ring: make([]Probe, size), mask: size - 1, most: most, next: 1, oldest: 1, final: 1,
	}
	t.emit = func(e Event) {
		e.Counts = t.Counts
		emit(e)
	}
	return t
}

// Room reports whether there is room for another probe. There is none while
// the oldest one remembered still waits for its verdict.
func (t *Tracker) Room() bool {
	return t.next-t.oldest < t.most
}

// grow doubles the ring.
func (t *Tracker) grow() {
	old, mask := t.ring, t.mask
	t.ring = make([]Probe, 2*len(old))
	t.mask = uint64(len(t.ring)) - 1
	for seq := t.final; seq < t.next; seq++ {
		*t.at(seq) = old[seq&mask]
	}
}

// Begin takes note of the next probe and returns its message, which is valid
// until the next call. The probe is due at due and begun at begun; wall is the
// same moment on the wall clock, and the time that the message carries.
func (t *Tracker) Begin(due, begun time.Duration, wall time.Time) (seq uint64, message []byte) {
	seq = t.next
	if seq-t.final >= uint64(len(t.ring)) {
		if uint64(len(t.ring)) < t.most {
			t.grow()
		} else {
			t.finish(t.final)
		}
	}
	t.next++
	t.pending++
	t.Counts.Sent++
	*t.at(seq) = Probe{Seq: seq, Due: due, Begun: begun, Left: begun, sent: wall.UnixMicro(), wall: wall.UnixNano()}
	t.request = t.format.Append(t.request[:0], seq, wall)
	return seq, t.request
}

// Left takes note of the kernel's stamp of when it let the probe go.
func (t *Tracker) Left(seq uint64, stamp time.Time) {
	p := t.known(seq)
	if p == nil || p.Verdict != Pending || stamp.IsZero() {
		return
	}
	before := p.leftStamp
	p.leftStamp = stamp.UnixNano()
	if at, likely := p.left(); likely {
		p.Left = at
	} else {
		p.leftStamp = before
	}
}

// Failed takes note that the probe could not be sent.
func (t *Tracker) Failed(seq uint64, reason error) {
	t.endWithoutReply(seq, Dropped, reason)
}

// Refuse takes note of an ICMP error about the probe; sequence 0 means that the
// system did not say which probe it was about, and that the oldest is meant.
func (t *Tracker) Refuse(seq uint64, reason error) {
	for s := t.oldest; seq == 0 && s < t.next; s++ {
		if t.at(s).Verdict == Pending {
			seq = s
		}
	}
	t.endWithoutReply(seq, Refused, reason)
}

// RefuseMessage is Refuse for a system that gives back the message that was
// refused. It reports false if that is too little to tell.
func (t *Tracker) RefuseMessage(message []byte, reason error) bool {
	seq, ok := t.format.Identify(message)
	if ok {
		t.endWithoutReply(seq, Refused, reason)
	}
	return ok
}

func (t *Tracker) endWithoutReply(seq uint64, v Verdict, reason error) {
	p := t.known(seq)
	if p == nil || p.Verdict != Pending && p.Verdict != Lost {
		return
	}
	was := p.Verdict
	p.Reason = reason
	p.ICMP, _ = errors.AsType[*socket.ICMPError](reason)
	t.setVerdict(p, v)
	t.emit(Event{Kind: Decided, Probe: *p, Was: was})
}

// setVerdict gives the probe a verdict, or another one.
func (t *Tracker) setVerdict(p *Probe, v Verdict) {
	if p.Verdict == Pending {
		t.pending--
	} else {
		*t.Counts.of(p.Verdict)--
	}
	p.Verdict = v
	*t.Counts.of(v)++
}

// Arrive takes in a message from the target.
func (t *Tracker) Arrive(a Arrival) {
	seq, ok := t.format.Identify(a.Data)
	p := t.known(seq)
	if !ok || p == nil {
		p = t.nearest(a.Data)
	}
	if p == nil {
		t.Stray(a.From, a.Data, "no reply to any probe that is still awaited")
		return
	}
	quality, report := t.judge(p, a.Data)
	if quality == wire.Corrupt { // perhaps its sequence is what is damaged
		if q := t.nearest(a.Data); q != nil && q != p {
			// If it was so in the request already, then the server took one
			// probe for the other: what it tells of either proves nothing.
			p.mistaken, q.mistaken = true, true
			p = q
			quality, report = t.judge(p, a.Data)
		}
	}
	if report != nil {
		t.learn(p, report)
	}
	if p.Verdict.replied() {
		p.Duplicates++
		t.Counts.Duplicates++
		t.emit(Event{Kind: Duplicate, Probe: *p, From: a.From, Text: wire.Text(a.Data)})
		return
	}
	// A probe that was refused may be answered all the same: an ICMP error is easily
	// forged, and a router may send one in passing.
	was := p.Verdict
	p.Reason, p.ICMP = nil, nil
	verdict, damaged := verdictOf(quality)
	note := ""
	switch {
	case was == Refused && !damaged:
		note = "an ICMP error about it came before"
	case quality == wire.Unchanged:
		t.Counts.Unchanged++
		note = "the request came back as it was sent: this server does not upper-case"
	}
	p.Left, p.Came = p.times(a)
	p.Read = max(a.Read, p.Came)
	p.RTT, p.Bytes, p.TTL = p.Came-p.Left, len(a.Data), a.TTL
	switch {
	case damaged:
	case p.RTT > t.timeout:
		verdict = Late
	case p.Seq < t.highest:
		verdict = Reordered
	}
	t.highest = max(t.highest, p.Seq)
	t.setVerdict(p, verdict)
	t.replied++
	t.emit(Event{Kind: Decided, Probe: *p, From: a.From, Text: wire.Text(a.Data), Was: was, Note: note})
}

// judge compares a reply with the probe that it belongs to.
func (t *Tracker) judge(p *Probe, reply []byte) (wire.Quality, *wire.Report) {
	t.scratch = t.format.Append(t.scratch[:0], p.Seq, time.UnixMicro(p.sent))
	return wire.Judge(t.scratch, reply)
}

// Stray takes note of a message that is no reply.
func (t *Tracker) Stray(from string, data []byte, note string) {
	t.Counts.Strays++
	_, ours := t.format.Identify(data)
	t.emit(Event{Kind: Stray, From: from, Text: wire.Text(data), Note: note, Ours: ours})
}

// nearest finds the probe that a reply belongs to whose sequence or nonce is
// damaged or cut off: the one among the latest that it differs least from, if
// that is little, and less than from any other.
func (t *Tracker) nearest(reply []byte) *Probe {
	const latest = 1024
	if len(reply) < len("PING 1") {
		return nil
	}
	var best *Probe
	least, second := 1<<30, 1<<30
	for seq := t.next - 1; seq >= t.final && seq+latest >= t.next; seq-- {
		p := t.at(seq)
		t.scratch = t.format.Append(t.scratch[:0], seq, time.UnixMicro(p.sent))
		switch d := wire.Distance(t.scratch, reply); {
		case d < least:
			best, least, second = p, d, least
		case d < second:
			second = d
		}
	}
	if least == second || least > max(2, len(reply)/32) {
		return nil
	}
	return best
}

// learn takes in what the server says about the run in its reply to p.
func (t *Tracker) learn(p *Probe, r *wire.Report) {
	t.Counts.Extended = true
	if p.Server == nil {
		p.Server = &Server{Received: r.Received, Residence: r.Residence}
	}
	top := p.Seq + uint64(int64(int32(r.Top-uint32(p.Seq)))) // undo modulo 2^32
	if top >= t.next {
		return // it speaks of probes that were never sent
	}
	if top >= t.top && uint64(r.Count) >= t.count {
		t.top, t.count, t.ans = top, uint64(r.Count), uint64(r.Answered)
	}
	for i := range uint64(wire.Window) {
		if top <= i+1 {
			break
		}
		q := t.known(top - 1 - i)
		if q == nil {
			break
		}
		seen, answered := r.SeenMask>>i&1 == 1, r.AnsMask>>i&1 == 1
		q.covered = true
		q.seen = q.seen || seen
		q.answered = q.answered || seen && answered
		// Answered but never received: so a server says that it received
		// something damaged about then, which may have been this one.
		q.doubtful = q.doubtful || answered && !seen
		t.doubts = t.doubts || q.doubtful
	}
}

// NextExpiry returns the time at which the oldest probe without a reply times
// out, and false if there is none.
func (t *Tracker) NextExpiry() (time.Duration, bool) {
	for t.oldest < t.next && t.at(t.oldest).Verdict != Pending {
		t.oldest++
	}
	if t.oldest == t.next {
		return 0, false
	}
	return t.at(t.oldest).Begun + t.timeout, true
}

// errNoRoom is the reason of probes dropped locally on receipt.
var errNoRoom = errors.New("the socket's receive buffer was full")

// Expire gives their verdict to probes that have waited for too long at the time
// now. drops is how many messages the socket has had no room for so far; such a
// drop is charged to a probe that has no reply.
func (t *Tracker) Expire(now time.Duration, drops uint64) {
	if drops > t.drops {
		t.unfound += drops - t.drops
		t.drops = drops
	}
	for at, ok := t.NextExpiry(); ok && at <= now; at, ok = t.NextExpiry() {
		p := t.at(t.oldest)
		t.oldest++
		if t.unfound > 0 && (!p.covered || p.answered) {
			t.unfound--
			p.Reason = errNoRoom
			t.setVerdict(p, Dropped)
			t.emit(Event{Kind: Decided, Probe: *p})
			continue
		}
		t.setVerdict(p, Lost)
		t.emit(Event{Kind: TimedOut, Probe: *p})
	}
	for t.final < t.oldest && t.at(t.final).Begun+t.linger < now {
		t.finish(t.final)
	}
}

// Outstanding returns the number of probes without a verdict.
func (t *Tracker) Outstanding() int { return t.pending }

// LatestDecided reports whether the latest probe has its verdict; so it is before
// the first.
func (t *Tracker) LatestDecided() bool {
	return t.next == 1 || t.at(t.next-1).Verdict != Pending
}

// Finish ends the run: what has no verdict counts as not sent, and all is final.
func (t *Tracker) Finish() {
	for t.next > t.final {
		p := t.at(t.final)
		if p.Verdict == Pending { // interrupted while it was under way
			t.pending--
			t.Counts.Sent--
			t.final++
			continue
		}
		t.finish(t.final)
	}
	t.divide()
}

func (t *Tracker) finish(seq uint64) {
	p := t.at(seq)
	if p.Verdict == Lost {
		switch {
		case !p.covered, p.mistaken, p.doubtful && !p.seen:
			t.Counts.LostUnknown++
		case !p.seen:
			p.Where = There
			t.Counts.LostThere++
		case !p.answered:
			p.Where = AtServer
			t.Counts.LostAtServer++
		default:
			p.Where = Back
			t.Counts.LostBack++
		}
	}
	t.emit(Event{Kind: Final, Probe: *p})
	t.final++
}

// divide finds places for losses that no report covered, one by one, because
// more than a window of probes in a row were without reply: the server's counts
// say how many there were.
func (t *Tracker) divide() {
	c := &t.Counts
	// All figures are about probes up to t.top; the losses after it stay
	// unknown. Without reports, or with a server that has forgotten the run's
	// beginning, there is nothing to divide; nor where requests were damaged on
	// the way, for the server counts as received what it could read alone.
	if !c.Extended || t.count > t.top || c.LostUnknown == 0 || t.doubts || c.Corrupt+c.Truncated > 0 {
		return
	}
	give := func(to *uint64, total uint64) {
		if total > *to {
			n := min(total-*to, c.LostUnknown)
			*to += n
			c.LostUnknown -= n
		}
	}
	other := c.Dropped + c.Refused
	give(&c.LostThere, t.top-min(t.top, t.count+other))
	give(&c.LostAtServer, t.count-min(t.count, t.ans))
	give(&c.LostBack, t.ans-min(t.ans, t.replied+other))
}

// at returns the place of a sequence in the ring.
func (t *Tracker) at(seq uint64) *Probe { return &t.ring[seq&t.mask] }

// known returns the probe with the given sequence, nil if it was not sent or is
// final.
func (t *Tracker) known(seq uint64) *Probe {
	if seq < t.final || seq >= t.next {
		return nil
	}
	return t.at(seq)
}
