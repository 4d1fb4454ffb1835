package cache

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"time"

	"topdown/pkg/httpmsg"
	"topdown/proxyserver/internal/exchange"
	"topdown/proxyserver/internal/rules"
	"topdown/proxyserver/internal/store"
)

// finishTime is how long a transfer may take that its clients have left.
const finishTime = 5 * time.Minute

var errAbandoned = errors.New("the transfer was given up: no client wants it any more")

// fetch is one request to the origin and what comes of it: a goroutine that
// sends it, reads the answer and writes it to the store. Clients are readers,
// all alike; the leader is the one it was begun for, whose request is sent.
//
// It is made, and listed where others may join it; started; settled when the
// head of the response, or a failure, tells everybody what to do (out); over
// when its goroutine ends; and released, with the store's writer, when that and
// the last reader have gone, in whichever order. Whoever waits does so on
// changed and on a context of its own, so nobody can be left behind: a reader
// by a goroutine that ends (over comes after out and err are set, also after a
// panic), nor the goroutine by readers that leave (deserted gives it up, or
// bounds it).
type fetch struct {
	c      *Cache
	ctx    context.Context //nolint:containedctx // of the goroutine: done when nobody wants it any more
	cancel context.CancelFunc
	key    string
	rules  rules.Request // the leader's, with fields that outlive it

	// Guarded by Cache.fetches.mu.
	listed      bool // others may join it
	invalidated bool // others may not join it any more

	// The leader is told what happens on the way, until it has its answer or
	// is gone.
	telling sync.Mutex
	silent  bool

	// What its goroutine and its readers share is guarded by mu, but for what
	// is said to be set once.
	mu      sync.Mutex
	changed chan struct{} // closed at the next change; nil if nobody waits
	readers []*reader
	out     *outcome // nil until the head is there; set once

	// Set once, before out.
	w        store.Writer
	framing  httpmsg.Framing
	want     int64 // bytes of content that there must be, -1 if unknown
	trailers func() httpmsg.Fields

	size    int64  // bytes of content that readers may have
	kept    int64  // of these, how many w has
	storing bool   // w takes more
	tail    []byte // bytes from tailAt to size, once w takes no more
	tailAt  int64
	err     error // io.EOF when the content is whole, or why there is no more
	ended   bool  // the goroutine does nothing more

	background bool        // it was begun for nobody: to have no reader is no reason to end
	unattended bool        // it goes on without readers, up to limit and until timer
	limit      int64       // bytes
	timer      *time.Timer // ends it
}

// outcome is what is known of a fetch once the head of its response is there.
type outcome struct {
	kind outcomeKind
	err  error // of failed

	// What follows is for the leader, but for stored: the response whose
	// content is on its way to the store.
	stored *rules.Stored
	resp   *exchange.Response // as it came; its body is the leader's to read, if stored is nil
	status string             // what to add to Cache-Status
	found  *found             // what the store has after a 304
	now    time.Time          // when the response came
}

// outcomeKind is what those do who wait for another's fetch.
type outcomeKind int

const (
	lookAgain outcomeKind = iota // in the store, which has something new
	readAlong                    // if the response is theirs to have
	goAlone                      // it cannot be shared
	failed                       // the origin failed, for all of them
)

// newFetch makes a fetch for q, which has yet to be started.
func (q *query) newFetch() *fetch {
	q.fetching = true
	f := &fetch{c: q.c, key: q.key, rules: q.rules}
	f.rules.Fields = slices.Clone(q.req.Fields)
	f.ctx, f.cancel = context.WithCancel(q.c.tasks.ctx)
	return f
}

// start lets the fetch take its course: task, in a goroutine.
func (f *fetch) start(task func()) {
	fail := func(why string) {
		f.fail(&exchange.Error{Status: 503, Type: "proxy_internal_error", Step: "asking the origin", Err: errors.New(why)})
	}
	if !f.c.tasks.run(task, func() { fail("a fault in the cache") }, f.over) {
		fail("the cache is closed")
		f.over()
	}
}

// request copies the leader's request for the fetch, which may outlive it.
func (f *fetch) request(req *exchange.Request) *exchange.Request {
	own := *req
	own.Fields = f.rules.Fields
	if req.Interim != nil {
		own.Interim = func(resp *httpmsg.Response) { f.tell(func() { req.Interim(resp) }) }
	}
	if req.Explain != nil {
		own.Explain = func(section, decision string) { f.tell(func() { req.Explain(section, decision) }) }
	}
	if req.Trace != nil {
		own.Trace = func(direction string, head []byte) { f.tell(func() { req.Trace(direction, head) }) }
	}
	if req.Connected != nil {
		own.Connected = func(local, remote net.Addr, kept bool) { f.tell(func() { req.Connected(local, remote, kept) }) }
	}
	if req.Received != nil {
		own.Received = func(n int64) { f.tell(func() { req.Received(n) }) }
	}
	if req.Timed != nil {
		own.Timed = func(step string, began time.Time) { f.tell(func() { req.Timed(step, began) }) }
	}
	return &own
}

// tell calls back into the leader's exchange, if that still goes on.
func (f *fetch) tell(back func()) {
	f.telling.Lock()
	defer f.telling.Unlock()
	if !f.silent {
		back()
	}
}

// hush ends that: once it has returned, the leader's request is its own again.
func (f *fetch) hush() {
	f.telling.Lock()
	f.silent = true
	f.telling.Unlock()
}

// wait waits for the next change; f.mu is locked before and after.
func (f *fetch) wait(ctx context.Context) error {
	if f.changed == nil {
		f.changed = make(chan struct{})
	}
	changed := f.changed
	f.mu.Unlock()
	defer f.mu.Lock()
	select {
	case <-changed:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// wake tells all who wait that something changed. f.mu is locked.
func (f *fetch) wake() {
	if f.changed != nil {
		close(f.changed)
		f.changed = nil
	}
}

// settle makes the outcome known, to all at once.
func (f *fetch) settle(out *outcome) {
	if out.kind != readAlong {
		f.c.fetches.remove(f)
	}
	f.mu.Lock()
	f.setOutcome(out)
	f.mu.Unlock()
}

// setOutcome makes it known, once. What it has for a leader that is gone is
// released. f.mu is locked.
func (f *fetch) setOutcome(out *outcome) {
	if f.out != nil {
		return
	}
	f.out = out
	f.background = false
	f.wake()
	if slices.ContainsFunc(f.readers, func(r *reader) bool { return r.leads }) {
		return
	}
	if out.resp != nil && out.stored == nil {
		out.resp.Body.Close()
	}
	if out.found != nil && out.found.opened != nil {
		out.found.opened.Close() //nolint:errcheck // only read from
	}
}

// fail makes a failure known: as the outcome, or else as the end of the
// content.
func (f *fetch) fail(err error) {
	out := &outcome{kind: failed, err: err, now: f.c.Now()}
	if f.ctx.Err() != nil {
		out.kind = lookAgain // our own doing, and not the origin's
	}
	f.mu.Lock()
	f.setOutcome(out)
	f.finish(err)
	f.mu.Unlock()
}

// finish notes that no more content comes, and why. f.mu is locked.
func (f *fetch) finish(err error) {
	if f.err == nil {
		f.err = err
	}
	f.wake()
}

// deserted decides what becomes of a fetch that has no reader any more: a short
// rest is fetched for the store, a long one is not. f.mu is locked.
func (f *fetch) deserted() {
	c := f.c
	switch {
	case f.err != nil || f.background:
		return
	case f.out == nil || !f.storing || int64(f.framing)-f.size > c.Finish || !c.tasks.finished.take():
		f.giveUp()
		return
	}
	f.unattended = true
	f.limit = f.size + c.Finish
	f.timer = time.AfterFunc(finishTime, f.cancel)
}

// attended ends that: there is a reader again, or nothing more to read. f.mu is
// locked.
func (f *fetch) attended() {
	if f.unattended {
		f.unattended = false
		f.timer.Stop()
		f.c.tasks.finished.free()
	}
}

// giveUp ends the fetch before its end. f.mu is locked.
func (f *fetch) giveUp() {
	f.finish(errAbandoned)
	f.cancel()
}

// over is called at the end of the goroutine.
func (f *fetch) over() {
	f.c.fetches.remove(f)
	f.mu.Lock()
	f.attended()
	f.ended = true
	release := len(f.readers) == 0
	f.mu.Unlock()
	if release {
		f.release()
	}
}

// release gives up what the last one needed: the goroutine or a reader.
func (f *fetch) release() {
	f.cancel()
	if f.w != nil {
		f.w.Close() //nolint:errcheck // given up
	}
}

// length returns the length of a response's content in bytes, -1 if unknown.
func length(resp *exchange.Response) int64 { return int64(max(resp.Framing, -1)) }
