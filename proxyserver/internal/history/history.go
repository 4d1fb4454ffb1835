// Package history keeps the last exchanges for whoever wants to look at them:
// who asked for what, what came of it, both heads, and of some of them a trace.
//
// It costs exchanges next to nothing: a record is filled in place, whoever looks
// comes and asks (Since) instead of being told, and when there are more exchanges
// at a time than anybody could look at, only some are kept (Allow). Nothing waits
// for a reader, and what is kept is bounded: the last Size records with heads of
// at most maxHead bytes, and maxTraces traces. Text is copied: what it was cut
// from may be much larger.
package history

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"topdown/pkg/httpmsg"
	"topdown/proxyserver/internal/exchange"
)

// What is kept.
const (
	Size     = 1000     // exchanges that are kept
	MaxTrace = 16 << 10 // bytes of a trace; of a longer one nothing is kept
)

const (
	maxHead   = 4 << 10 // bytes of a head; of a longer one only the start line is kept
	maxLine   = 1 << 10 // bytes of a method, a URL, a user's name in such a case
	maxTraces = 500
)

// History is the list. Its zero value is an empty one; a nil *History keeps
// nothing. It may be used by many goroutines at a time.
type History struct {
	last    atomic.Int64 // ID given last
	changes atomic.Int64 // counts what is written
	room    atomic.Int32 // records that may still be made, see Allow
	traces  atomic.Int32 // traces, likewise
	slots   [Size]slot

	mu     sync.Mutex
	traced []int64 // IDs of the records that have a trace, the oldest first
}

type slot struct {
	mu     sync.Mutex
	change int64
	record Record
}

// Record is one exchange.
type Record struct {
	ID        int64
	UnderWay  bool // it has not ended
	Start     time.Time
	Took      time.Duration // until the client had its response
	Exact     bool          // Start and Took are more exact than a tick of the proxy's clock
	Client    netip.AddrPort
	User      string
	Method    string
	Target    string // as it was sent
	Minor     int    // HTTP/1.Minor
	Scheme    string // of the origin, as Host and Path; Host is "" where none was meant
	Host      string
	Path      string
	Status    int             // 0: none was sent
	Result    exchange.Result // "": no cache was asked
	Tier      string          // as exchange.Response has it
	Sent      int64           // bytes of content
	Failure   *exchange.Error // what the proxy answered by itself; nil: it did not
	Request   httpmsg.Fields  // as the client sent them; none where they are too long
	Response  httpmsg.Fields  // of the response, before the proxy's own; as Request
	Steps     []Step          // to the origin; only with a trace
	FirstByte time.Duration   // from Start until the origin answered; 0: it was not asked, or not traced
	Trace     []byte          // as in a trace file; nil: none was taken
}

// Step is a step on the way to an origin.
type Step struct {
	Name     string        // "name", "connect" or "TLS"
	From, To time.Duration // since Start
}

// Allow has so many exchanges recorded, of which the first so many are traced,
// until it is called again.
func (h *History) Allow(records, traces int32) {
	h.room.Store(records)
	h.traces.Store(traces)
}

// WantsTrace reports whether the exchange that begins is to be traced.
func (h *History) WantsTrace() bool { return h != nil && take(&h.traces) }

// Wants reports whether the exchange that ends is to be recorded.
func (h *History) Wants() bool { return h != nil && take(&h.room) }

func take(left *atomic.Int32) bool { return left.Load() > 0 && left.Add(-1) >= 0 }

// Begin returns the ID of an exchange.
func (h *History) Begin() int64 { return h.last.Add(1) }

// Put has fill write the record of an exchange, in the place of what was written
// of it before. The record is empty but for room in its slices.
func (h *History) Put(id int64, fill func(*Record)) {
	// Never two slots locked at a time: two exchanges could wait for each other's.
	if h.put(id, fill) {
		h.boundTraces(id)
	}
}

// put is Put, and reports whether the record has a trace.
func (h *History) put(id int64, fill func(*Record)) (traced bool) {
	s := &h.slots[id%Size]
	s.mu.Lock()
	defer s.mu.Unlock()
	if id < s.record.ID {
		return false // it took so long that a later one has its place
	}
	s.record = Record{ID: id, Request: s.record.Request[:0], Response: s.record.Response[:0]}
	fill(&s.record)
	s.record.bound()
	s.record.own()
	s.change = h.changes.Add(1)
	return s.record.Trace != nil
}

// bound forgets heads that are too long, and what refers to them.
func (r *Record) bound() {
	if len(r.Trace) > MaxTrace {
		r.Trace = nil
	}
	if length(r.Request)+len(r.Target) <= maxHead && length(r.Response) <= maxHead {
		return
	}
	clear(r.Request)
	clear(r.Response)
	r.Request, r.Response = nil, nil
	for _, s := range r.texts() {
		*s = (*s)[:min(len(*s), maxLine)]
	}
}

// own copies the record's text.
func (r *Record) own() {
	for _, s := range r.texts() {
		*s = strings.Clone(*s)
	}
	for _, fields := range [...]httpmsg.Fields{r.Request, r.Response} {
		for i := range fields {
			fields[i].Name, fields[i].Value = strings.Clone(fields[i].Name), strings.Clone(fields[i].Value)
		}
	}
}

// texts are the record's text but for the heads.
func (r *Record) texts() [6]*string {
	return [...]*string{&r.Method, &r.Target, &r.Scheme, &r.Host, &r.Path, &r.User}
}

func length(fields httpmsg.Fields) (n int) {
	for i := range fields {
		n += len(fields[i].Name) + len(fields[i].Value) + len(": \r\n")
	}
	return n
}

// boundTraces forgets the oldest traces.
func (h *History) boundTraces(id int64) {
	h.mu.Lock()
	h.traced = append(h.traced, id)
	old := int64(0)
	if len(h.traced) > maxTraces {
		old = h.traced[0]
		h.traced = slices.Delete(h.traced, 0, 1)
	}
	h.mu.Unlock()
	if s := &h.slots[old%Size]; old != 0 {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.record.ID == old {
			s.record.Trace = nil
		}
	}
}

// Last returns the ID given last.
func (h *History) Last() int64 { return h.last.Load() }

// Changes returns a number that grows with every record written.
func (h *History) Changes() int64 { return h.changes.Load() }

// Since returns copies of the records written after a number of Changes, by ID,
// at most the latest n, without their heads and traces.
func (h *History) Since(change int64, n int) (records []Record) {
	for i := range h.slots {
		s := &h.slots[i]
		s.mu.Lock()
		if s.record.ID > 0 && s.change > change {
			r := s.record
			r.Request, r.Response, r.Trace = nil, nil, nil
			records = append(records, r)
		}
		s.mu.Unlock()
	}
	slices.SortFunc(records, func(a, b Record) int { return cmp.Compare(a.ID, b.ID) })
	return records[max(0, len(records)-n):]
}

// Find returns a copy of a record; ok is false if it is kept no more.
func (h *History) Find(id int64) (r Record, ok bool) {
	if id <= 0 {
		return r, false
	}
	s := &h.slots[id%Size]
	s.mu.Lock()
	defer s.mu.Unlock()
	r = s.record
	r.Request, r.Response = slices.Clone(r.Request), slices.Clone(r.Response)
	return r, r.ID == id
}
