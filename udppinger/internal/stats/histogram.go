package stats

import (
	"math/bits"
	"time"
)

// histogram counts times in groups that are narrow for short times and wide for
// long ones: those under 2,048 ns each have a group of their own, and every
// doubling from there on has 1,024 groups of equal width. So the middle of a group
// is true to 0.05 % for any time in it.
type histogram struct {
	groups []int64 // it grows to the greatest time's
	n      int64
}

// groupBits is the number of binary digits of a time that its group keeps.
const groupBits = 11

func (h *histogram) add(d time.Duration) {
	at := group(d)
	for at >= len(h.groups) {
		h.groups = append(h.groups, make([]int64, 1<<(groupBits-1))...)
	}
	h.groups[at]++
	h.n++
}

// group returns the number of the group that has d.
func group(d time.Duration) int {
	v := uint64(max(d, 0))
	shift := max(bits.Len64(v)-groupBits, 0)
	return shift<<(groupBits-1) + int(v>>shift)
}

// middle returns the time in the middle of a group.
func middle(at int) time.Duration {
	shift := max(at>>(groupBits-1)-1, 0)
	least := uint64(at-shift<<(groupBits-1)) << shift
	return time.Duration(least + (1<<shift-1)/2)
}

// percentile returns the least time that q percent of all do not exceed, by the
// middle of its group.
func (h *histogram) percentile(q float64) (d time.Duration) {
	left := rank(q, h.n)
	for at, n := range h.groups {
		if left -= n; left <= 0 {
			return middle(at)
		}
	}
	return d
}

// each calls f for each group that has times.
func (h *histogram) each(f func(d time.Duration, n int64)) {
	for at, n := range h.groups {
		if n > 0 {
			f(middle(at), n)
		}
	}
}
