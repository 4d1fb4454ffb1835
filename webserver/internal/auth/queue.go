package auth

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// maxWaiting is how many checks of one claimant may wait. The next one takes the
// place of the oldest, which is told to come again later: a person who types in a
// password waits for a few checks at most, whatever a program behind the same
// address does.
const maxWaiting = 4

// maxClaimants bounds how many have something waiting.
const maxClaimants = 1024

// claimant is who claims to be a user: a client, by its network, and the name that
// it gives. One client's guesses at one name do not hold up another name or
// another client. All names that are nobody's count as one.
type claimant struct {
	client netip.Addr
	user   string
}

// queue hands out the right to compute a bcrypt, to claimants in turn.
type queue struct {
	mu      sync.Mutex
	free    int // bcrypts that may still start
	waiting map[claimant][]*ticket
	turn    []claimant // those who wait, the next one first
}

// ticket is one check that waits.
type ticket struct {
	who     claimant
	called  chan struct{} // closed when it is its turn, or there is none to come
	dropped bool          // valid once called is closed
}

func newQueue(slots int) *queue { return &queue{free: slots, waiting: map[claimant][]*ticket{}} }

// lookEvery is how often a check that waits asks whether anybody waits for it.
const lookEvery = 100 * time.Millisecond

// enter waits for the right to compute. It returns false if there is none to come:
// too many wait, ctx has ended, or gone says that the client has.
func (q *queue) enter(ctx context.Context, who claimant, gone func() bool) bool {
	q.mu.Lock()
	if q.free > 0 {
		q.free--
		q.mu.Unlock()
		return true
	}
	line := q.waiting[who]
	switch {
	case len(line) == maxWaiting:
		line[0].dropped = true
		close(line[0].called)
		line = line[1:]
	case len(line) == 0 && len(q.waiting) >= maxClaimants:
		q.mu.Unlock()
		return false
	case len(line) == 0:
		q.turn = append(q.turn, who)
	}
	t := &ticket{who: who, called: make(chan struct{})}
	q.waiting[who] = append(line, t)
	q.mu.Unlock()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		select {
		case <-t.called:
			return !t.dropped
		case <-look.C:
			if !gone() {
				continue
			}
		case <-ctx.Done():
		}
		if !q.cancel(t) { // it was called at this very moment
			if <-t.called; !t.dropped {
				q.leave()
			}
		}
		return false
	}
}

// cancel removes a ticket that waits; false if it has been called.
func (q *queue) cancel(t *ticket) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	line := q.waiting[t.who]
	i := slices.Index(line, t)
	switch {
	case i < 0:
		return false
	case len(line) > 1:
		q.waiting[t.who] = slices.Delete(line, i, i+1)
	default: // a turn that stayed would be one more for who comes back
		delete(q.waiting, t.who)
		q.turn = slices.DeleteFunc(q.turn, func(who claimant) bool { return who == t.who })
	}
	return true
}

// leave gives the right to compute to the next in turn.
func (q *queue) leave() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.turn) == 0 {
		q.free++
		return
	}
	who := q.turn[0]
	q.turn = q.turn[1:]
	line := q.waiting[who]
	if len(line) == 1 {
		delete(q.waiting, who)
	} else {
		q.waiting[who] = line[1:]
		q.turn = append(q.turn, who)
	}
	close(line[0].called)
}

const (
	// maxFailures is how many wrong passwords a claimant may give in failureTime.
	maxFailures = 10
	failureTime = time.Minute
	// maxFailing bounds how many claimants are counted.
	maxFailing = 4096
)

// failures counts wrong passwords.
type failures struct {
	mu     sync.Mutex
	counts map[claimant]failed
}

type failed struct {
	since time.Time
	n     int
}

// tooMany reports whether a claimant has to wait before the next guess.
func (f *failures) tooMany(who claimant, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	count := f.counts[who]
	return count.n >= maxFailures && now.Sub(count.since) < failureTime
}

// add counts a wrong password.
func (f *failures) add(who claimant, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	count, known := f.counts[who]
	if now.Sub(count.since) >= failureTime {
		count = failed{since: now}
	}
	if !known && len(f.counts) >= maxFailing {
		for old := range f.counts {
			delete(f.counts, old)
			break
		}
	}
	count.n++
	f.counts[who] = count
}
