package stats

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if math.Abs(got-want) > tolerance {
		t.Errorf("%s: %v, want %v ± %v", what, got, want, tolerance)
	}
}

func TestRTT(t *testing.T) {
	r := NewRTT()
	for _, ms := range []int{10, 20, 40, 10} {
		r.Add(time.Duration(ms) * time.Millisecond)
	}
	ms := float64(time.Millisecond)
	if r.N != 4 || r.Min != 10*time.Millisecond || r.Max != 40*time.Millisecond || r.Mean() != 20*time.Millisecond || r.Total() != 80*time.Millisecond {
		t.Errorf("n %d, min %v, mean %v, max %v, total %v", r.N, r.Min, r.Mean(), r.Max, r.Total())
	}
	// The squared deviations are 100, 0, 400 and 100.
	near(t, "deviation", float64(r.Deviation()), math.Sqrt(150)*ms, 1)
	// RFC 3550: J += (|D| - J) / 16, with D = 10, 20, 30.
	j := 10.0 / 16
	j += (20 - j) / 16
	j += (30 - j) / 16
	near(t, "jitter", float64(r.Jitter), j*ms, 1)
	near(t, "variation", float64(r.Variation), 20*ms, 1)
	near(t, "recent", float64(r.Recent), (((10+10.0/8)+(40-11.25)/8)+(10-14.84375)/8)*ms, 10)
}

func TestNothingYet(t *testing.T) {
	r := NewRTT()
	if r.Percentile(50) != 0 || r.Deviation() != 0 || r.Mean() != 0 || r.Bars(10) != nil {
		t.Error("figures out of nothing")
	}
}

// The percentiles are those of the sorted times, to the sample, and with more times
// than are remembered to three digits.
func TestPercentiles(t *testing.T) {
	for _, n := range []int{1, 2, 10, 10_000, MaxExact, MaxExact + 1} {
		random := rand.New(rand.NewPCG(1, 2))
		r := NewRTT()
		var all []time.Duration
		for range n {
			d := time.Duration(math.Exp(random.NormFloat64()*2+11)) * time.Nanosecond
			all = append(all, d)
			r.Add(d)
		}
		slices.Sort(all)
		if want := map[bool]float64{true: 0.001}[n > MaxExact]; r.PercentileError() != want {
			t.Errorf("%d times: the error is stated as %v, want %v", n, r.PercentileError(), want)
		}
		for _, q := range []float64{1, 50, 90, 99, 100} {
			want := all[int(math.Ceil(q/100*float64(len(all))))-1]
			near(t, fmt.Sprintf("percentile %v of %d", q, n), float64(r.Percentile(q)), float64(want), r.PercentileError()*float64(want))
		}
		total := int64(0)
		for _, bar := range r.Bars(40) {
			total += bar.N
		}
		if total != r.N {
			t.Errorf("the bars hold %d of %d times", total, r.N)
		}
	}
}

// Every time is in one group, which is true to 0.05 %, and the groups are in order.
func TestHistogramGroups(t *testing.T) {
	last := time.Duration(-1)
	for d := time.Duration(0); d < 100*time.Hour; d += 1 + d/3000 {
		got := middle(group(d))
		if got < last {
			t.Fatalf("%v is in the group of %v, after %v", d, got, last)
		}
		last = got
		if diff := math.Abs(float64(got - d)); diff > 0.0005*float64(d) {
			t.Fatalf("%v is in the group of %v", d, got)
		}
	}
}

func TestLossInterval(t *testing.T) {
	for _, tt := range []struct {
		lost, sent uint64
		low, high  float64
	}{
		{3, 10, 0.108, 0.603}, // 3 of 10 may be anything from 11 to 60 %
		{4, 11, 0.152, 0.646},
		{0, 10, 0, 0.278},
		{10, 10, 0.722, 1},
		{300, 1000, 0.2724, 0.3292},
		{0, 0, 0, 1},
	} {
		l := NewLoss(tt.lost, tt.sent)
		near(t, "low", l.Low, tt.low, 0.0006)
		near(t, "high", l.High, tt.high, 0.0006)
	}
}

// The interval holds the truth about 95 times in 100; whole numbers of losses make
// it 93 to 97, depending on the truth.
func TestLossIntervalHoldsTheTruth(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	const truth, rounds = 0.3, 10_000
	held := 0
	for range rounds {
		lost := uint64(0)
		for range 100 {
			if random.Float64() < truth {
				lost++
			}
		}
		if l := NewLoss(lost, 100); l.Low <= truth && truth <= l.High {
			held++
		}
	}
	near(t, "share of intervals with the truth", float64(held)/rounds, 0.95, 0.02)
}

func TestNarrowTellsHowManyProbesItTakes(t *testing.T) {
	for _, tt := range []struct {
		lost, sent uint64
		half       float64
	}{{3, 10, 0.05}, {0, 10, 0.05}, {300, 1000, 0.01}, {0, 1000, 0.001}} {
		l := NewLoss(tt.lost, tt.sent)
		half, n := l.Narrow()
		if half != tt.half {
			t.Errorf("%d of %d: narrows to %v, want %v", tt.lost, tt.sent, half, tt.half)
		}
		_, now := wilson(l.Share, float64(n))
		_, before := wilson(l.Share, float64(n-1))
		if now > half || before <= half {
			t.Errorf("%d of %d: %d probes give ±%v, one fewer ±%v", tt.lost, tt.sent, n, now, before)
		}
	}
}

func TestSeriesIsBoundedAndLosesNothing(t *testing.T) {
	s := NewSeries(8)
	for i := range 1000 {
		s.Add(time.Duration(i), time.Duration(i+1), i%10 == 0)
	}
	if len(s.Points) > 8 {
		t.Fatalf("%d points", len(s.Points))
	}
	probes, lost, last := 0, 0, time.Duration(-1)
	for _, p := range s.Fewer(3) {
		probes += p.Probes
		lost += p.Lost
		if p.At <= last || p.Min > p.Mean || p.Mean > p.Max {
			t.Errorf("point %+v after %v", p, last)
		}
		last = p.At
	}
	if probes != 1000 || lost != 100 {
		t.Errorf("%d probes, %d lost", probes, lost)
	}
}

func TestSeriesMergesLosses(t *testing.T) {
	s := NewSeries(2)
	s.Add(0, 0, true)
	s.Add(1, 5, false)
	s.Add(2, 7, false)
	got := s.Points
	for i := range got {
		got[i].sum, got[i].n = 0, 0
	}
	want := []Point{{At: 0, Probes: 2, Lost: 1, Min: 5, Mean: 5, Max: 5}, {At: 2, Probes: 1, Min: 7, Mean: 7, Max: 7}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(Point{})); diff != "" {
		t.Errorf("points (-want +got):\n%s", diff)
	}
}
