package stats

import (
	"math"
	"slices"
	"time"
)

// MaxExact is how many times an RTT remembers one by one, 8 bytes each. A run of
// more is kept as a histogram from then on.
const MaxExact = 1 << 19

// samples are all times of a run, or once there are too many a histogram of them.
type samples struct {
	all       []time.Duration
	sorted    bool
	histogram *histogram
}

func (s *samples) add(d time.Duration) {
	if s.histogram == nil && len(s.all) == MaxExact {
		s.histogram = &histogram{}
		for _, old := range s.all {
			s.histogram.add(old)
		}
		s.all = nil
	}
	if s.histogram != nil {
		s.histogram.add(d)
		return
	}
	s.all = append(s.all, d)
	s.sorted = false
}

// percentile returns the least time that q percent of all do not exceed (the
// nearest rank). There must be one.
func (s *samples) percentile(q float64) time.Duration {
	if s.histogram != nil {
		return s.histogram.percentile(q)
	}
	if !s.sorted {
		slices.Sort(s.all)
		s.sorted = true
	}
	return s.all[rank(q, int64(len(s.all)))-1]
}

// rank returns which of n sorted times, counted from 1, the percentile q is.
func rank(q float64, n int64) int64 {
	return min(max(int64(math.Ceil(q/100*float64(n))), 1), n)
}

// each calls f for all times, or for groups of nearly equal ones.
func (s *samples) each(f func(d time.Duration, n int64)) {
	if s.histogram != nil {
		s.histogram.each(f)
		return
	}
	for _, d := range s.all {
		f(d, 1)
	}
}
