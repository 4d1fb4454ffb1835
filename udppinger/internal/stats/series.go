package stats

import "time"

// Series is the course of a run in a bounded number of points: when it is full,
// neighbouring points become one. Make it with NewSeries.
type Series struct {
	Points []Point

	limit int
	each  int // probes a point
}

// Point sums up neighbouring probes.
type Point struct {
	At             time.Duration // when the first was sent
	Probes         int
	Lost           int           // without a reply in time
	Min, Mean, Max time.Duration // of the RTTs of the others

	sum time.Duration
	n   int
}

// NewSeries returns a series of at most limit points (at least 2).
func NewSeries(limit int) *Series { return &Series{limit: max(limit, 2), each: 1} }

// Add takes in a probe sent at the given time; lost ones have no RTT.
func (s *Series) Add(at, rtt time.Duration, lost bool) {
	p := Point{At: at, Probes: 1}
	if lost {
		p.Lost = 1
	} else {
		p.Min, p.Mean, p.Max, p.sum, p.n = rtt, rtt, rtt, rtt, 1
	}
	if last := len(s.Points) - 1; last >= 0 && s.Points[last].Probes < s.each {
		s.Points[last] = merge(s.Points[last], p)
		return
	}
	if len(s.Points) == s.limit {
		half := s.Points[:0]
		for i := 0; i < s.limit; i += 2 {
			two := s.Points[i]
			if i+1 < s.limit {
				two = merge(two, s.Points[i+1])
			}
			half = append(half, two)
		}
		s.Points = half
		s.each *= 2
	}
	s.Points = append(s.Points, p)
}

func merge(a, b Point) Point {
	switch {
	case a.n == 0:
		a.Min, a.Max = b.Min, b.Max
	case b.n > 0:
		a.Min, a.Max = min(a.Min, b.Min), max(a.Max, b.Max)
	}
	a.Probes += b.Probes
	a.Lost += b.Lost
	a.sum += b.sum
	a.n += b.n
	if a.n > 0 {
		a.Mean = a.sum / time.Duration(a.n)
	}
	return a
}

// Fewer returns the series in at most count points.
func (s *Series) Fewer(count int) []Point {
	return Fewer(s.Points, count)
}
