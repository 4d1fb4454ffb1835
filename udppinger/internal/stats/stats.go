// Package stats works out figures from round-trip times and losses, in bounded
// memory: minimum, mean, maximum, deviation, percentiles, jitter, and how far a
// share of losses can be trusted. It reads no clock.
package stats

import (
	"math"
	"time"
)

// RTT gathers round-trip times. Make it with NewRTT.
type RTT struct {
	Moments
	// Jitter is the smoothed difference of neighbouring times (RFC 3550, 6.4.1).
	Jitter time.Duration
	// Variation is the mean difference of neighbouring times, without regard to
	// its sign (the IPDV of RFC 3393).
	Variation time.Duration
	// Recent is the mean with each time weighing an eighth less than the next,
	// ping's ewma.
	Recent time.Duration

	samples    samples
	last       time.Duration
	jitter     float64
	variations float64
}

// NewRTT returns an empty RTT.
func NewRTT() *RTT { return &RTT{} }

// Approximate has an empty RTT keep a histogram from the beginning, for runs
// without end: see PercentileError.
func (r *RTT) Approximate() { r.samples.histogram = &histogram{} }

// Add takes in one time.
func (r *RTT) Add(d time.Duration) {
	if r.N == 0 {
		r.Recent = d
	} else {
		r.Recent += (d - r.Recent) / 8
		diff := math.Abs(float64(d - r.last))
		r.jitter += (diff - r.jitter) / 16
		r.Jitter = time.Duration(r.jitter)
		r.variations += diff
		r.Variation = time.Duration(r.variations / float64(r.N))
	}
	r.last = d
	r.Moments.Add(d)
	r.samples.add(d)
}

// Percentile returns the time that q percent of all times do not exceed, 0 to
// 100; 0 if there are none.
func (r *RTT) Percentile(q float64) time.Duration {
	if r.N == 0 {
		return 0
	}
	return min(max(r.samples.percentile(q), r.Min), r.Max)
}

// PercentileError is by what share a Percentile may be wrong: 0 as long as all
// times are remembered, MaxExact of them, then 0.001.
func (r *RTT) PercentileError() float64 {
	if r.samples.histogram != nil {
		return 0.001
	}
	return 0
}

// Bar is one bar of a histogram: how many times lie in [From, To).
type Bar struct {
	From, To time.Duration
	N        int64
}

// Bars returns a histogram with the given number of bars, evenly spaced from the
// least time to the 99.5th percentile; what is beyond counts to the last bar.
func (r *RTT) Bars(count int) []Bar {
	if r.N == 0 || count < 1 {
		return nil
	}
	low, high := r.Min, max(r.Percentile(99.5), r.Min+time.Duration(count))
	width := float64(high-low) / float64(count)
	bars := make([]Bar, count)
	for i := range bars {
		bars[i].From = low + time.Duration(float64(i)*width)
		bars[i].To = low + time.Duration(float64(i+1)*width)
	}
	r.samples.each(func(d time.Duration, n int64) {
		at := int(float64(d-low) / width)
		bars[min(max(at, 0), count-1)].N += n
	})
	return bars
}

// Moments gathers the least, the mean, the greatest and the deviation of times.
type Moments struct {
	N        int64
	Min, Max time.Duration

	mean, squares float64 // Welford's running mean and sum of squared deviations
}

// Add takes in one time.
func (m *Moments) Add(d time.Duration) {
	if m.N == 0 || d < m.Min {
		m.Min = d
	}
	if m.N == 0 || d > m.Max {
		m.Max = d
	}
	m.N++
	delta := float64(d) - m.mean
	m.mean += delta / float64(m.N)
	m.squares += delta * (float64(d) - m.mean)
}

// Mean returns the mean.
func (m *Moments) Mean() time.Duration { return time.Duration(math.Round(m.mean)) }

// Deviation returns the standard deviation of all times, ping's mdev.
func (m *Moments) Deviation() time.Duration {
	return time.Duration(math.Round(math.Sqrt(m.Variance())))
}

// Variance returns the square of Deviation, in square nanoseconds.
func (m *Moments) Variance() float64 {
	if m.N == 0 {
		return 0
	}
	return m.squares / float64(m.N)
}

// Total returns the sum of all times.
func (m *Moments) Total() time.Duration { return time.Duration(math.Round(m.mean * float64(m.N))) }
