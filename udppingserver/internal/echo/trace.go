package echo

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"topdown/udppingserver/internal/impair"
	"topdown/udppingserver/internal/tracefile"
	"topdown/udppingserver/internal/wire"
)

// Trace writes each UDP packet, what was decided about it and each reply to a file.
// A nil *Trace does nothing.
type Trace struct {
	file *tracefile.File

	mu      sync.Mutex
	clients map[netip.AddrPort]string // conversations
	last    int
}

// NewTrace returns a trace that writes to file, or nil if that is nil.
func NewTrace(file *tracefile.File) *Trace {
	if file == nil {
		return nil
	}
	return &Trace{file: file, clients: make(map[netip.AddrPort]string)}
}

// TraceHelpers are the functions that only tell the trace what others do.
var TraceHelpers = []string{"received", "decided", "replied", "write", "conversation"}

// told is what the trace will say of a packet once its shard is unlocked.
type told struct {
	text    string // as it came
	id      string
	verdict Verdict
	fate    impair.Fate
}

// conversation returns the number of a client's conversation. The first packet of a
// client begins one; too many clients, and numbering begins anew.
func (t *Trace) conversation(at time.Time, from, own netip.AddrPort) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if number, known := t.clients[from]; known {
		return number
	}
	if len(t.clients) >= maxClients {
		clear(t.clients)
	}
	t.last++
	number := strconv.Itoa(t.last)
	t.clients[from] = number
	t.file.Write(at, tracefile.Event{
		Conversation: number, From: "client", To: "server", What: tracefile.State, Text: "open",
		Transport: "udp", Source: from.String(), Destination: own.String(),
	})
	return number
}

// keep takes note of packets as they came, before they are changed in place.
func (t *Trace) keep(batch []packet) {
	if t == nil {
		return
	}
	for i := range batch {
		p := &batch[i]
		p.told = &told{text: tracefile.Escape(p.data)}
		if req, ok := wire.Parse(p.data); ok {
			p.told.id = strconv.FormatUint(req.Seq, 10)
		}
	}
}

// received writes what came and what was decided.
func (t *Trace) received(batch []packet, at time.Time, own netip.AddrPort) {
	if t == nil {
		return
	}
	for i := range batch {
		p := &batch[i]
		number := t.conversation(at, p.from, own)
		t.file.Write(at, tracefile.Event{
			Conversation: number, From: "client", To: "server", What: tracefile.Datagram,
			Text: p.told.text, ID: p.told.id, Step: "2 receive",
		})
		t.decided(number, p.told)
	}
}

// decided writes what the server chose to do, unless that is plainly to answer.
func (t *Trace) decided(number string, p *told) {
	e := tracefile.Event{Conversation: number, From: "server", What: tracefile.Decision, ID: p.id, Step: "3 decide"}
	switch p.verdict {
	case Answered:
		if e.Text = describe(p.fate); e.Text == "" {
			return
		}
	case Dropped:
		e.Fate, e.Text = "lost", "dropped on purpose: the simulated network lost it"
	case Limited:
		e.Fate, e.Text = "refused", "no answer: its network has had its share"
	case Refused:
		e.Fate, e.Text = "refused", "no answer: nobody to be answered sends from there"
	case Reflected:
		e.Fate, e.Text = "refused", "no answer: it is a reply that came back"
	case Overflow:
		e.Fate, e.Text = "lost", "no answer: too many replies are being held up"
	case Heartbeat:
		e.Text = "a heartbeat: noted, and not answered"
	}
	t.file.Write(time.Now(), e)
}

// describe says what is done to a reply on purpose.
func describe(f impair.Fate) string {
	text := ""
	add := func(done bool, format string, args ...any) {
		if done {
			if text != "" {
				text += ", "
			}
			text += fmt.Sprintf(format, args...)
		}
	}
	add(f.Delay > 0, "held for %v", f.Delay)
	add(f.Reorder, "to be overtaken")
	add(f.Duplicate, "sent twice")
	add(f.Corrupt, "one bit turned over")
	if text != "" {
		text = "on purpose: the reply is " + text
	}
	return text
}

// replied writes the replies that are about to be sent.
func (t *Trace) replied(batch ...packet) {
	if t == nil {
		return
	}
	now := time.Now()
	for _, p := range batch {
		if p.copies == 0 || p.told == nil {
			continue
		}
		t.mu.Lock()
		number := t.clients[p.from]
		t.mu.Unlock()
		e := tracefile.Event{
			Conversation: number, From: "server", To: "client", What: tracefile.Datagram,
			Text: tracefile.Escape(p.data), ID: p.told.id, Step: "5 reply",
		}
		if p.told.fate.Corrupt {
			e.Fate = "corrupt"
		}
		for _, e := range slices.Repeat([]tracefile.Event{e}, p.copies) {
			t.file.Write(now, e)
		}
	}
}
