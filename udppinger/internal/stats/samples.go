package stats

import (
	"math"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// MaxExact is how many times an RTT remembers one by one, 8 bytes each. A run of
// more is kept as a histogram from then on.
const MaxExact = 1 << 19

// samples are all times of a run, or once there are too many a histogram of them
// that is true to three digits.
type samples struct {
	all       []time.Duration
	sorted    bool
	histogram *hdrhistogram.Histogram
}

// highest is the longest time that the histogram tells from longer ones.
const highest = time.Hour

func (s *samples) add(d time.Duration) {
	if s.histogram == nil && len(s.all) == MaxExact {
		s.histogram = hdrhistogram.New(1, int64(highest), 3)
		for _, old := range s.all {
			s.record(old)
		}
		s.all = nil
	}
	if s.histogram != nil {
		s.record(d)
		return
	}
	s.all = append(s.all, d)
	s.sorted = false
}

func (s *samples) record(d time.Duration) {
	_ = s.histogram.RecordValue(int64(min(max(d, 1), highest))) // in range by min and max
}

// percentile returns the least time that q percent of all do not exceed (the
// nearest rank). There must be one.
func (s *samples) percentile(q float64) time.Duration {
	if s.histogram != nil {
		return time.Duration(s.histogram.ValueAtPercentile(q))
	}
	if !s.sorted {
		slices.Sort(s.all)
		s.sorted = true
	}
	rank := int(math.Ceil(q / 100 * float64(len(s.all))))
	return s.all[min(max(rank, 1), len(s.all))-1]
}

// each calls f for all times, or for groups of nearly equal ones.
func (s *samples) each(f func(d time.Duration, n int64)) {
	if s.histogram == nil {
		for _, d := range s.all {
			f(d, 1)
		}
		return
	}
	for _, b := range s.histogram.Distribution() {
		if b.Count > 0 {
			f(time.Duration(b.From/2+b.To/2), b.Count)
		}
	}
}
