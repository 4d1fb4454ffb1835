package store

import "sync/atomic"

// removals counts how often the responses of a key were removed, so that a fetch
// that began before does not store what it brings. Keys share counters: one
// removal too many only costs a response its place.
type removals [1024]atomic.Uint64

func (r *removals) of(p primary) *atomic.Uint64 { return &r[(int(p[0])|int(p[1])<<8)%len(r)] }

// all counts a removal of everything.
func (r *removals) all() {
	for i := range r {
		r[i].Add(1)
	}
}
