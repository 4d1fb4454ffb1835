package echo

import (
	"bytes"
	"context"
	"sync"
	"time"

	"topdown/udppingserver/internal/impair"
)

// Limits of replies being held up, all sockets together.
const (
	maxLate      = 65536
	maxLateBytes = 64 << 20
)

// late holds replies up for as long as their fate says.
type late struct {
	socket *socket
	trace  *Trace
	wake   chan struct{}

	mu   sync.Mutex
	line impair.Line[packet]
	room int // bytes
}

// newLate returns the line of one socket of so many.
func newLate(socket *socket, sockets int, trace *Trace) *late {
	l := &late{socket: socket, trace: trace, wake: make(chan struct{}, 1), room: maxLateBytes / sockets}
	l.line.Limit = maxLate / sockets
	return l
}

// hold keeps a copy of p until due. It reports false if too many are held.
func (l *late) hold(p *packet, due time.Time, duplicate bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(p.data) > l.room {
		return false
	}
	held := p.keep()
	held.data = bytes.Clone(p.data)
	held.copies = 1
	if duplicate {
		held.copies = 2
	}
	if !l.line.Push(due, held) {
		return false
	}
	l.room -= len(held.data)
	if next, _ := l.line.Next(); next.Equal(due) {
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
	return true
}

// run sends what is due until ctx is done.
func (l *late) run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		wait := time.Hour
		l.mu.Lock()
		now := time.Now()
		for p, ok := l.line.Pop(now); ok; p, ok = l.line.Pop(now) {
			l.room += len(p.data)
			l.trace.replied(p)
			for range p.copies {
				_ = l.socket.send(&p) // what cannot be sent is lost, as in any network
			}
		}
		if due, ok := l.line.Next(); ok {
			wait = time.Until(due)
		}
		l.mu.Unlock()
		if ctx.Err() != nil {
			return
		}
		// Timers may be 1 ms late: the last stretch is slept through with the
		// system's own call, in pieces, since something may be due earlier by
		// the end of it.
		const last, piece = 1500 * time.Microsecond, 300 * time.Microsecond
		if wait <= last {
			sleep(min(wait, piece))
			continue
		}
		timer.Reset(wait - last)
		select {
		case <-ctx.Done():
			return
		case <-l.wake:
		case <-timer.C:
		}
	}
}
