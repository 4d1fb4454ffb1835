package echo

import (
	"hash/maphash"
	"net/netip"
	"sync/atomic"
	"time"
)

// mayAnswer reports whether a client may send from there. A packet "from" a
// port on which another server answers whatever it gets (echo 7, daytime 13,
// quote of the day 17, character generator 19, DNS 53, NTP 123) or from our own
// port is forged to set two servers on each other (CVE-2024-2169); one "from" a
// broadcast or multicast address would have us answer to many.
func mayAnswer(from netip.AddrPort, own uint16) bool {
	switch from.Port() {
	case 0, 7, 13, 17, 19, 53, 123, own:
		return false
	}
	addr := from.Addr()
	return addr.IsValid() && !addr.IsUnspecified() && !addr.IsMulticast() && addr != broadcast
}

var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// limiter allows each network so many answers a second, by the generic cell
// rate algorithm: a bucket is just the time at which the network will have paid
// for its answers. Networks whose hashes meet share a bucket, so the table never
// grows.
type limiter struct {
	each  time.Duration // what one answer costs; 0: nothing
	burst time.Duration // how far ahead a network may be
	seed  maphash.Seed
	epoch time.Time
	paid  []atomic.Int64
}

const buckets = 1 << 16

// newLimiter returns a limiter of rate answers a second; less than 1 means that
// there is no limit.
func newLimiter(rate int) *limiter {
	l := &limiter{}
	if rate > 0 {
		l.each = time.Second / time.Duration(rate)
		l.burst = time.Second
		l.seed = maphash.MakeSeed()
		l.epoch = time.Now().Add(-time.Hour)
		l.paid = make([]atomic.Int64, buckets)
	}
	return l
}

// allow reports whether one more answer may go to addr, and counts it.
func (l *limiter) allow(addr netip.Addr, now time.Time) bool {
	if l.each == 0 || addr.IsLoopback() {
		return true
	}
	bits := 24
	if addr.Is6() {
		bits = 56
	}
	network, err := addr.Prefix(bits)
	if err != nil {
		return false
	}
	bucket := &l.paid[maphash.Comparable(l.seed, network)%buckets]
	at := int64(now.Sub(l.epoch))
	for {
		paid := bucket.Load()
		next := max(paid, at) + int64(l.each)
		if next-at > int64(l.burst) {
			return false
		}
		if bucket.CompareAndSwap(paid, next) {
			return true
		}
	}
}
