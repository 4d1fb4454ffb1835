package cache

import (
	"context"
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"topdown/pkg/httpmsg"
	"topdown/proxyserver/internal/exchange"
	"topdown/proxyserver/internal/store"
)

// flight is a fetch under way that others may join: one for each URI and
// variant. Until the head of the response is there nobody knows whether it will
// do for them; then its followers read the same fill, look in the store again,
// or go on their own.
type flight struct {
	key    string
	req    httpmsg.Fields // the leader's, until ready
	cancel context.CancelFunc
	ready  chan struct{} // closed when outcome is known

	// Guarded by flights.mu.
	waiting    int  // followers that wait for ready
	leaderGone bool // the leader's client has left
	doomed     bool // the URI was invalidated meanwhile: not to be stored
	done       bool // ready is closed

	// Set before ready is closed.
	outcome outcome
	fill    *fill
	err     error
}

// outcome is what the followers of a flight do.
type outcome int

const (
	lookAgain outcome = iota // in the store, which has something new
	readFill                 // read along, if the response is theirs to have
	goAlone                  // it cannot be shared
	failed                   // the origin failed, for all of them
)

// flights are those under way.
type flights struct {
	mu     sync.Mutex
	byKey  map[string][]*flight
	landed atomic.Uint64 // how many have ended
	alone  [1024]struct {
		hash  uint64
		until int64
	}
}

var aloneSeed = maphash.MakeSeed()

// aloneFor is for how long requests for a URI do not wait for one another,
// after its response could not be shared.
const aloneFor = 10 * time.Second

// isAlone reports whether there is no use in waiting for others' fetches of
// key.
func (s *flights) isAlone(key string, now time.Time) bool {
	hash := maphash.String(aloneSeed, key)
	s.mu.Lock()
	defer s.mu.Unlock()
	slot := &s.alone[hash%uint64(len(s.alone))]
	return slot.hash == hash && now.UnixNano() < slot.until
}

func (s *flights) setAlone(key string, now time.Time, alone bool) {
	hash := maphash.String(aloneSeed, key)
	s.mu.Lock()
	defer s.mu.Unlock()
	slot := &s.alone[hash%uint64(len(s.alone))]
	switch {
	case alone:
		slot.hash, slot.until = hash, now.Add(aloneFor).UnixNano()
	case slot.hash == hash:
		slot.until = 0
	}
}

// join finds a flight for a request with those fields, or makes one of which
// the caller is the leader. vary names the fields by which responses of that
// URI are known to differ; tried are flights that were joined in vain.
func (s *flights) join(key string, req httpmsg.Fields, vary []string, tried []*flight) (fl *flight, r role) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, fl := range s.byKey[key] {
		if fl.doomed || slices.Contains(tried, fl) {
			continue
		}
		r = late
		if fl.done {
			if fl.fill == nil || !varyMatches(fl.fill.head.Fields, fl.fill.head.Vary, req) {
				continue
			}
		} else {
			if !slices.EqualFunc(selecting(vary, fl.req), selecting(vary, req), func(a, b httpmsg.Field) bool { return a == b }) {
				continue
			}
			fl.waiting++
			r = waiter
		}
		return fl, r
	}
	return s.add(key, req), leader
}

// role is a request's in a flight.
type role int

const (
	leader role = iota // fetches
	waiter             // came before the head of the response
	late               // came after it
)

func (s *flights) add(key string, req httpmsg.Fields) *flight {
	fl := &flight{key: key, req: req, ready: make(chan struct{})}
	if s.byKey == nil {
		s.byKey = map[string][]*flight{}
	}
	s.byKey[key] = append(s.byKey[key], fl)
	return fl
}

// start makes a flight without a client, unless one is under way for key.
func (s *flights) start(key string, req httpmsg.Fields) *flight {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.byKey[key]) > 0 {
		return nil
	}
	return s.add(key, req)
}

// settle tells the followers of fl what to do.
func (s *flights) settle(fl *flight, o outcome, f *fill, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if fl.done {
		return
	}
	fl.done, fl.outcome, fl.fill, fl.err, fl.req = true, o, f, err, nil
	if f != nil {
		f.hold(fl.waiting)
	} else {
		s.drop(fl)
	}
	close(fl.ready)
}

// drop takes fl out; s.mu is locked.
func (s *flights) drop(fl *flight) {
	s.landed.Add(1)
	list := s.byKey[fl.key]
	if i := slices.Index(list, fl); i >= 0 {
		if list = slices.Delete(list, i, i+1); len(list) == 0 {
			delete(s.byKey, fl.key)
		} else {
			s.byKey[fl.key] = list
		}
	}
}

// remove takes fl out once nobody can join it any more.
func (s *flights) remove(fl *flight) {
	s.mu.Lock()
	s.drop(fl)
	s.mu.Unlock()
}

// doom sees to it that nothing under way for key is stored or joined.
func (s *flights) doom(key string) {
	s.mu.Lock()
	for _, fl := range s.byKey[key] {
		fl.doomed = true
	}
	s.mu.Unlock()
}

func (s *flights) isDoomed(fl *flight) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return fl.doomed
}

// left notes that the leader's client is gone, or a follower that waited: a
// fetch that nobody waits for is given up.
func (s *flights) left(fl *flight, wasLeader bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case wasLeader:
		fl.leaderGone = true
	case fl.done:
		if fl.fill != nil {
			go fl.fill.release() // not under this lock
		}
		return
	default:
		fl.waiting--
	}
	if fl.leaderGone && fl.waiting == 0 && !fl.done {
		fl.doomed = true // whoever comes now had better not join it
		fl.cancel()
	}
}

// follow takes part in somebody else's fetch. again is true if x must look
// again.
func (x *exchangeState) follow(fl *flight, r role) (resp *exchange.Response, again bool, err error) {
	if x.explained() {
		x.say("RFC 9111, 4", "the same is being fetched for another client: taking part in that")
	}
	if r == waiter {
		select {
		case <-fl.ready:
		case <-x.ctx.Done():
			x.c.flights.left(fl, false)
			return nil, false, context.Cause(x.ctx)
		}
		if fl.fill != nil {
			defer fl.fill.release()
		}
	}
	switch fl.outcome {
	case goAlone:
		resp, err = x.fetch(nil)
		return resp, false, err
	case failed:
		resp, err = x.failedToo(fl.err)
		return resp, false, err
	case readFill:
		if resp = x.readAlong(fl.fill); resp != nil {
			return resp, false, nil
		}
	}
	return nil, true, nil
}

// readAlong makes the response of a fill that another client began; nil if it
// is not one for x.
func (x *exchangeState) readAlong(f *fill) *exchange.Response {
	if !varyMatches(f.head.Fields, f.head.Vary, x.req.Fields) {
		return nil
	}
	x.now = x.c.Now()
	v := reuse(&x.rd, f.meta, x.now)
	if v.use == useValidate {
		return nil
	}
	x.verdict = v
	x.sel = selection{entry: &store.Entry{Head: f.head}, known: &known{meta: *f.meta}}
	x.plan = plan{kind: planWhole}
	if x.shape&hasCondition != 0 {
		if r := notModified(x.req.Fields, f.head.Status, f.meta); r.ok {
			x.plan = plan{kind: planNotModified, why: r}
		}
	}
	resp := x.head(exchange.Collapsed, "; fwd="+x.fwd+"; collapsed")
	if x.plan.kind == planNotModified {
		resp.Status, resp.Reason = 304, "Not Modified"
		return resp
	}
	body := f.join(x.ctx)
	if body == nil {
		return nil
	}
	resp.Body, resp.Framing, resp.Trailers = body, f.framing, f.trailers
	return resp
}
