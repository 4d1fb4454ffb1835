package stats

import "time"

// windowBuckets is into how many parts a Window divides its length; the oldest
// part leaves it as a whole.
const windowBuckets = 240

// Window gathers loss and RTT of the probes of the last so much time. Its memory
// does not depend on how many there are. Make it with NewWindow.
//
// A reply counts from when its probe was sent, a loss from when it was known, a
// timeout later. So each probe counts once for as long as the window is, even
// where that is less than the timeout.
type Window struct {
	Length time.Duration

	buckets [windowBuckets]bucket
}

// bucket has the probes that were sent in one part of the run.
type bucket struct {
	number int64 // of the part, counted from the start; 0 is 1
	Point
	known int // losses that were found out in this part
}

// NewWindow returns an empty window of the given length.
func NewWindow(length time.Duration) *Window {
	return &Window{Length: max(length, windowBuckets)}
}

func (w *Window) each() time.Duration { return w.Length / windowBuckets }

// at returns the bucket of probes sent at a time; nil if its part has left the
// window. Times are counted from the start of the run.
func (w *Window) at(sent time.Duration) *bucket {
	number := int64(sent/w.each()) + 1
	b := &w.buckets[number%windowBuckets]
	if number < b.number {
		return nil
	}
	if number > b.number {
		*b = bucket{number: number, Point: Point{At: sent}}
	}
	return b
}

// Reply takes in a probe that was replied to. timed is false for a reply whose
// RTT does not count.
func (w *Window) Reply(sent, rtt time.Duration, timed bool) {
	if b := w.at(sent); b != nil {
		p := Point{At: b.At, Probes: 1}
		if timed {
			p.Min, p.Mean, p.Max, p.sum, p.n = rtt, rtt, rtt, rtt, 1
		}
		b.Point = merge(b.Point, p)
	}
}

// Loss takes in a probe that was lost, as was known so long after it was sent.
func (w *Window) Loss(sent, after time.Duration) { w.lose(sent, after, 1) }

// Revise takes a loss back: a reply has come after all.
func (w *Window) Revise(sent, after time.Duration) { w.lose(sent, after, -1) }

func (w *Window) lose(sent, after time.Duration, n int) {
	if b := w.at(sent); b != nil {
		lost := max(b.Lost+n, 0)
		b.Probes += lost - b.Lost
		b.Lost = lost
	}
	if b := w.at(sent + after); b != nil {
		b.known = max(b.known+n, 0)
	}
}

// Points returns the parts of the window at the time now in which probes were
// sent, the oldest first.
func (w *Window) Points(now time.Duration) (points []Point) {
	w.eachBucket(now, func(b *bucket) {
		if b.Probes > 0 {
			points = append(points, b.Point)
		}
	})
	return points
}

// Sum sums the window up at the time now.
func (w *Window) Sum(now time.Duration) (sum Point) {
	known := 0
	w.eachBucket(now, func(b *bucket) {
		sum = merge(sum, b.Point)
		known += b.known
	})
	sum.Probes += known - sum.Lost
	sum.Lost = known
	return sum
}

func (w *Window) eachBucket(now time.Duration, f func(*bucket)) {
	last := int64(now/w.each()) + 1
	for number := max(last-windowBuckets+1, 1); number <= last; number++ {
		if b := &w.buckets[number%windowBuckets]; b.number == number {
			f(b)
		}
	}
}

// Timed returns how many probes the RTTs of a point are of.
func (p *Point) Timed() int { return p.n }

// Share returns the share of the probes that were lost.
func (p *Point) Share() float64 {
	if p.Probes == 0 {
		return 0
	}
	return float64(p.Lost) / float64(p.Probes)
}

// Fewer returns points in at most count points, neighbours merged.
func Fewer(points []Point, count int) []Point {
	each := (len(points) + count - 1) / max(count, 1)
	if each <= 1 {
		return points
	}
	var fewer []Point
	for i, p := range points {
		if i%each == 0 {
			fewer = append(fewer, p)
		} else {
			fewer[len(fewer)-1] = merge(fewer[len(fewer)-1], p)
		}
	}
	return fewer
}
