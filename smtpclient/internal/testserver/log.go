package testserver

import (
	"slices"
	"strings"
	"sync"
	"time"
)

// Bounds of a Log.
const (
	maxExchanges = 200
	maxKept      = 64 << 20 // bytes of mail
	maxLines     = 300      // of one exchange
	maxShown     = 1000     // bytes of a line
)

// slowness is how long each reply takes with the fault Slow.
const slowness = 5 * time.Second

// A Fault is what the server does wrong on purpose.
type Fault string

// The faults.
const (
	NoFault Fault = ""
	Defer   Fault = "450"  // every recipient is refused for now
	Refuse  Fault = "550"  // every recipient is refused for good
	Drop    Fault = "drop" // the connection ends after the final dot, the mail is kept
	Slow    Fault = "slow" // every reply takes 5 seconds
)

// Faults are all there are.
var Faults = []Fault{NoFault, Defer, Refuse, Drop, Slow}

// An Exchange is an SMTP session as far as it is about one mail, which may have been
// refused, or a session that got as far as none.
type Exchange struct {
	ID    int // from 1
	At    time.Time
	From  string
	To    []string
	Data  []byte // nil: no mail
	Lines []Line
	Open  bool // the session goes on
}

// A Line is one line of the dialogue; passwords are hidden.
type Line struct {
	Client bool // says it
	Text   string
	After  time.Duration // since the session began
}

// A Log keeps the latest exchanges for somebody to look at, and the fault that is
// switched on. A nil *Log is none.
type Log struct {
	mu       sync.Mutex
	fault    Fault
	list     []*Exchange // the newest last
	last     int         // ID
	size     int         // of the mails in list
	watchers map[chan struct{}]bool
}

// Fault is what is switched on.
func (l *Log) Fault() Fault {
	if l == nil {
		return NoFault
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fault
}

// Switch switches a fault on, instead of another.
func (l *Log) Switch(fault Fault) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fault = fault
	l.changed()
}

// List returns what is kept, the newest first.
func (l *Log) List() []Exchange {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := make([]Exchange, 0, len(l.list))
	for _, e := range slices.Backward(l.list) {
		list = append(list, *e)
	}
	return list
}

// Find returns an exchange by its ID.
func (l *Log) Find(id int) (Exchange, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.list {
		if e.ID == id {
			return *e, true
		}
	}
	return Exchange{}, false
}

// Watch returns a channel that gets a value after changes, until stop is called. A
// reader who is slow misses none: it gets one value for many changes.
func (l *Log) Watch() (changes <-chan struct{}, stop func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := make(chan struct{}, 1)
	if l.watchers == nil {
		l.watchers = make(map[chan struct{}]bool)
	}
	l.watchers[c] = true
	return c, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.watchers, c)
	}
}

// changed tells the watchers; l.mu is held.
func (l *Log) changed() {
	for c := range l.watchers {
		select {
		case c <- struct{}{}:
		default: // it has yet to look at the change before
		}
	}
}

// trim forgets the oldest exchanges; l.mu is held.
func (l *Log) trim() {
	for len(l.list) > maxExchanges || l.size > maxKept && len(l.list) > 1 {
		l.size -= len(l.list[0].Data)
		l.list = slices.Delete(l.list, 0, 1)
	}
}

// A recorder notes one session in the log. A nil *recorder notes nothing.
type recorder struct {
	log   *Log
	start time.Time
	now   *Exchange
	begun bool // now has its MAIL
}

// record begins to note a session.
func (l *Log) record() *recorder {
	if l == nil {
		return nil
	}
	return &recorder{log: l, start: time.Now(), now: &Exchange{Open: true}}
}

// line notes a line. The next mail of a session is an exchange of its own.
func (r *recorder) line(client bool, text string) {
	if r == nil {
		return
	}
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	verb, rest, _ := strings.Cut(text, " ")
	if client && strings.EqualFold(verb, "AUTH") {
		if mechanism, _, secret := strings.Cut(rest, " "); secret {
			text = verb + " " + mechanism + " ****"
		}
	}
	if client && strings.EqualFold(verb, "MAIL") {
		if r.begun {
			r.now.Open = false
			r.now = &Exchange{Open: true}
		}
		r.begun = true
	}
	switch n := len(r.now.Lines); {
	case n < maxLines:
		r.now.Lines = append(r.now.Lines, Line{client, text[:min(len(text), maxShown)], time.Since(r.start)})
	case n == maxLines:
		r.now.Lines = append(r.now.Lines, Line{client, "… and more", time.Since(r.start)})
	}
	if r.now.ID == 0 {
		r.log.last++
		r.now.ID, r.now.At = r.log.last, time.Now()
		r.log.list = append(r.log.list, r.now)
		r.log.trim()
	}
	r.log.changed()
}

// mail notes the mail that has come.
func (r *recorder) mail(from string, to []string, data []byte) {
	if r == nil {
		return
	}
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	r.now.From, r.now.To, r.now.Data = from, to, data
	if slices.Contains(r.log.list, r.now) {
		r.log.size += len(data)
		r.log.trim()
	}
	r.log.changed()
}

// end notes the end of the session.
func (r *recorder) end() {
	if r == nil {
		return
	}
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	r.now.Open = false
	r.log.changed()
}
