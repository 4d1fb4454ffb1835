package impair

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const packets = 100_000

// z999 bounds a standard normal variable 99.9 % of the time, on both sides.
const z999 = 3.2905

// within999 fails the test unless k of n is within the 99.9 % interval around
// the share p, its variance being that of independent draws times inflation.
func within999(t *testing.T, what string, k, n int, p, inflation float64) {
	t.Helper()
	sigma := math.Sqrt(p * (1 - p) * inflation / float64(n))
	if got := float64(k) / float64(n); math.Abs(got-p) > z999*sigma {
		t.Errorf("%s: %.5f of %d packets, want %.5f ± %.5f", what, got, n, p, z999*sigma)
	}
}

// runs counts the runs of equal fates: RRLLLR has three.
func runs(lost []bool) (count, losses int) {
	for i, l := range lost {
		if i == 0 || l != lost[i-1] {
			count++
		}
		if l {
			losses++
		}
	}
	return count, losses
}

// independent fails the test unless the number of runs is what independent
// losses give (Wald and Wolfowitz 1940). Periodic loss has far too many runs or
// too regular ones; bursts have too few.
func runsStatistic(lost []bool) float64 {
	count, losses := runs(lost)
	n, n1 := float64(len(lost)), float64(losses)
	n2 := n - n1
	mean := 2*n1*n2/n + 1
	sigma := math.Sqrt((mean - 1) * (mean - 2) / (n - 1))
	return (float64(count) - mean) / sigma
}

func losses(c Config, client uint64) []bool {
	lost := make([]bool, packets)
	for n := range lost {
		lost[n] = c.Fate(client, uint64(n)).Drop
	}
	return lost
}

func TestLossIsTheShareAskedForAndNotPeriodic(t *testing.T) {
	for _, loss := range []float64{0.01, 0.3, LabLoss, 0.9} {
		for seed := range uint64(3) {
			lost := losses(Config{Seed: seed, Loss: loss}, 7)
			_, count := runs(lost)
			within999(t, "loss", count, packets, loss, 1)
			if z := runsStatistic(lost); math.Abs(z) > z999 {
				t.Errorf("loss %v, seed %d: runs test gives z = %.1f, want within ±%.1f", loss, seed, z, z999)
			}
			for lag := 1; lag <= 11; lag++ { // a period of 11 would show here
				both := 0
				for n := lag; n < packets; n++ {
					if lost[n] && lost[n-lag] {
						both++
					}
				}
				within999(t, "both lost at a distance", both, packets-lag, loss*loss, 2/loss)
			}
		}
	}
}

func TestTheRunsTestFindsPeriodicLoss(t *testing.T) {
	lost := make([]bool, packets)
	for n := range lost {
		lost[n] = n%11 < 4
	}
	if z := runsStatistic(lost); math.Abs(z) < z999 {
		t.Errorf("4 lost of every 11 in a row passes for random: z = %.1f", z)
	}
}

func TestBurstsHaveTheirLengthAndTheLossItsShare(t *testing.T) {
	for _, tt := range []struct{ loss, burst float64 }{{0.3, 5}, {0.05, 20}, {LabLoss, 2}, {0.5, 50}} {
		lost := losses(Config{Seed: 42, Loss: tt.loss, Burst: tt.burst}, 1)
		count, n := runs(lost)
		// The variance of the share grows by (1+a)/(1-a), where a is the
		// correlation of neighbours in this two-state chain.
		r := 1 / tt.burst
		a := 1 - r - r*tt.loss/(1-tt.loss)
		within999(t, "loss in bursts", n, packets, tt.loss, (1+a)/(1-a))
		bursts := float64(count) / 2
		sigma := tt.burst * math.Sqrt((1-r)/bursts)
		if mean := float64(n) / bursts; math.Abs(mean-tt.burst) > z999*sigma+0.01*tt.burst {
			t.Errorf("loss %v, burst %v: mean burst is %.2f ± %.2f", tt.loss, tt.burst, mean, z999*sigma)
		}
	}
}

func TestShortestBurstIsIndependentLoss(t *testing.T) {
	c := Config{Seed: 3, Loss: 0.25, Burst: 1 / 0.75}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	if z := runsStatistic(losses(c, 1)); math.Abs(z) > z999 {
		t.Errorf("runs test gives z = %.1f", z)
	}
}

func TestOtherFates(t *testing.T) {
	c := Config{Seed: 1, Duplicate: 0.1, Reorder: 0.2, Corrupt: 0.3, Delay: 100 * time.Millisecond, Jitter: 20 * time.Millisecond}
	var duplicates, reorders, corrupts, low int
	var bits [8]int
	for n := range uint64(packets) {
		f := c.Fate(9, n)
		if f.Drop {
			t.Fatal("a packet is dropped without any loss")
		}
		if f.Duplicate {
			duplicates++
		}
		if f.Corrupt {
			corrupts++
			bits[f.Bit%8]++
		}
		if f.Reorder {
			reorders++
			f.Delay -= ReorderHold
		}
		if f.Delay < 80*time.Millisecond || f.Delay > 120*time.Millisecond {
			t.Fatalf("delay %v is outside 100 ms ± 20 ms", f.Delay)
		}
		if f.Delay < 90*time.Millisecond {
			low++
		}
	}
	within999(t, "duplicated", duplicates, packets, 0.1, 1)
	within999(t, "reordered", reorders, packets, 0.2, 1)
	within999(t, "corrupted", corrupts, packets, 0.3, 1)
	within999(t, "in the lowest quarter of the jitter", low, packets, 0.25, 1)
	for bit, k := range bits {
		within999(t, "bit "+string(rune('0'+bit)), k, corrupts, 1.0/8, 1)
	}
}

func TestSameSeedSameNetwork(t *testing.T) {
	c := Config{Seed: 2026, Loss: 0.3, Burst: 4, Jitter: time.Second, Delay: time.Second, Duplicate: 0.1, Reorder: 0.1, Corrupt: 0.1}
	var want, interleaved []Fate
	for n := range uint64(1000) {
		want = append(want, c.Fate(1, n))
	}
	for n := range uint64(1000) { // other clients come and go in between
		c.Fate(2, n)
		interleaved = append(interleaved, c.Fate(1, n))
		c.Fate(n, 5)
	}
	if diff := cmp.Diff(want, interleaved); diff != "" {
		t.Errorf("fates change with other clients (-alone +in company):\n%s", diff)
	}
	for n := uint64(1000); n > 0; n-- { // and in any order
		if got := c.Fate(1, n-1); got != want[n-1] {
			t.Fatalf("fate of packet %d asked for backwards: %+v, want %+v", n-1, got, want[n-1])
		}
	}
}

// The seed is a promise to those who wrote down what they saw: these fates must
// not change from one version to the next.
func TestSeedKeepsItsMeaning(t *testing.T) {
	c := Config{Seed: 1, Loss: LabLoss}
	got := ""
	for n := range uint64(40) {
		if c.Fate(0, n).Drop {
			got += "x"
		} else {
			got += "."
		}
	}
	const want = "x.x.x....x..xx..x.x.xxx...x...x..x..xx.."
	if got != want {
		t.Errorf("seed 1 gives %s, want %s", got, want)
	}
}

func TestSeedsAndClientsDiffer(t *testing.T) {
	for _, pair := range [][2]Config{{{Seed: 1, Loss: 0.5}, {Seed: 2, Loss: 0.5}}, {{Seed: 0, Loss: 0.5}, {Seed: 1 << 63, Loss: 0.5}}} {
		same := 0
		for n := range uint64(packets) {
			if pair[0].Fate(1, n).Drop == pair[1].Fate(1, n).Drop {
				same++
			}
		}
		within999(t, "same fate under two seeds", same, packets, 0.5, 1)
	}
	c, same := Config{Seed: 1, Loss: 0.5}, 0
	for n := range uint64(packets) {
		if c.Fate(1, n).Drop == c.Fate(2, n).Drop {
			same++
		}
	}
	within999(t, "same fate for two clients", same, packets, 0.5, 1)
}

func TestValidate(t *testing.T) {
	for _, tt := range []struct {
		name string
		c    Config
		ok   bool
	}{
		{"perfect", Config{}, true},
		{"all lost", Config{Loss: 1}, true},
		{"more than all", Config{Loss: 1.01}, false},
		{"not a number", Config{Loss: math.NaN()}, false},
		{"negative", Config{Corrupt: -0.1}, false},
		{"burst", Config{Loss: 0.3, Burst: 5}, true},
		{"burst too short", Config{Loss: 0.3, Burst: 1.2}, false},
		{"burst too long", Config{Loss: 0.3, Burst: 1001}, false},
		{"burst without end", Config{Loss: 1, Burst: 5}, false},
		{"negative delay", Config{Delay: -1}, false},
		{"too long a delay", Config{Delay: time.Hour}, false},
	} {
		if err := tt.c.Validate(); (err == nil) != tt.ok {
			t.Errorf("%s: Validate() = %v", tt.name, err)
		}
	}
}

func TestParseShare(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want float64
		ok   bool
	}{
		{"0", 0, true},
		{"0.3", 0.3, true},
		{"30%", 0.3, true},
		{"100%", 1, true},
		{"4/11", LabLoss, true},
		{"lab", LabLoss, true},
		{"1", 1, true},
		{"30", 0, false},
		{"101%", 0, false},
		{"-1%", 0, false},
		{"3/0", 0, false},
		{"12/11", 0, false},
		{"NaN", 0, false},
		{"", 0, false},
		{"%", 0, false},
		{"much", 0, false},
	} {
		got, err := ParseShare(tt.in)
		if (err == nil) != tt.ok || math.Abs(got-tt.want) > 1e-12 {
			t.Errorf("ParseShare(%q) = %v, %v; want %v, ok %v", tt.in, got, err, tt.want, tt.ok)
		}
	}
}

func FuzzParseShare(f *testing.F) {
	for _, s := range []string{"lab", "30%", "4/11", "0.3", "1e-3", "-0", "NaN%", "1/1e400", "0x1p-2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if v, err := ParseShare(s); err == nil && !(v >= 0 && v <= 1) {
			t.Errorf("ParseShare(%q) = %v", s, v)
		}
	})
}

func TestLineKeepsOrderAndLimit(t *testing.T) {
	start := time.Unix(0, 0)
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	l := Line[string]{Limit: 4}
	for _, in := range []struct {
		ms int
		v  string
	}{{30, "late"}, {10, "first"}, {10, "second"}, {20, "third"}} {
		if !l.Push(at(in.ms), in.v) {
			t.Fatalf("%s is refused", in.v)
		}
	}
	if l.Push(at(1), "fifth") {
		t.Error("the line takes more than its limit")
	}
	if _, ok := l.Pop(at(9)); ok {
		t.Error("something comes out before it is due")
	}
	var got []string
	for v, ok := l.Pop(at(20)); ok; v, ok = l.Pop(at(20)) {
		got = append(got, v)
	}
	if diff := cmp.Diff([]string{"first", "second", "third"}, got); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	if due, ok := l.Next(); !ok || !due.Equal(at(30)) || len(l.waiting) != 1 {
		t.Errorf("next is due at %v, %v, with %d waiting", due, ok, len(l.waiting))
	}
}
