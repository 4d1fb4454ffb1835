package store

import "sync/atomic"

// removals counts how often the responses of a key were removed, so that a fetch
// that began before does not store what it brings. Keys share counters, so many
// that a removal seldom costs another key's response its place.
type removals [1 << 16]atomic.Uint32

func (r *removals) of(p primary) *atomic.Uint32 { return &r[int(p[0])|int(p[1])<<8] }

// all counts a removal of everything.
func (r *removals) all() {
	for i := range r {
		r[i].Add(1)
	}
}
