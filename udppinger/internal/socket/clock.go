package socket

import "time"

// Now returns the time with its wall and its monotonic clock read at almost the
// same moment.
//
// time.Now reads one after the other. If this thread loses its processor in
// between, the two are apart by as long as that takes, which is 50 µs and more
// on a busy machine, and a kernel stamp (wall clock) that is related to a time of
// this program (monotonic clock) is wrong by that much. The reading before bounds
// the gap, as the wall clock is read between the two: so it is repeated until the
// bound is small. A machine so busy that it never is gets the last try.
func Now() time.Time {
	before := time.Now()
	for range 8 {
		now := time.Now()
		if now.Sub(before) <= ClockGap {
			return now
		}
		before = now
	}
	return before
}

// ClockGap is how far apart the two clocks of a Now are read, at most.
const ClockGap = 2 * time.Microsecond
