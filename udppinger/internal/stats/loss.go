package stats

import "math"

// z95 bounds a standard normal variable 95 % of the time, on both sides.
const z95 = 1.959964

// Loss is a share of lost probes and how far it can be trusted.
type Loss struct {
	Lost, Sent uint64
	Share      float64 // Lost / Sent; 0 if nothing was sent
	// Low and High are the bounds of the 95 % interval (Wilson 1927): a network
	// that loses less than Low or more than High would rarely show this share.
	// It takes losses to be independent; bursts make it wider.
	Low, High float64
}

// NewLoss works out the interval around a share of losses.
func NewLoss(lost, sent uint64) Loss {
	l := Loss{Lost: lost, Sent: sent, High: 1}
	if sent == 0 {
		return l
	}
	l.Share = float64(lost) / float64(sent)
	centre, half := wilson(l.Share, float64(sent))
	l.Low, l.High = max(centre-half, 0), min(centre+half, 1)
	if lost == 0 {
		l.Low = 0
	}
	if lost == sent {
		l.High = 1
	}
	return l
}

func wilson(p, n float64) (centre, half float64) {
	z2 := z95 * z95
	centre = (p + z2/(2*n)) / (1 + z2/n)
	half = z95 / (1 + z2/n) * math.Sqrt(p*(1-p)/n+z2/(4*n*n))
	return centre, half
}

// Narrow returns the next round half-width that the interval does not have yet,
// 0.05, 0.01 or 0.001, and how many probes it takes to get there if the share
// stays as it is.
func (l Loss) Narrow() (half float64, probes uint64) {
	if l.Sent == 0 {
		return 0, 0
	}
	now := (l.High - l.Low) / 2
	half = 0.001
	for _, h := range []float64{0.05, 0.01} {
		if now > h {
			half = h
			break
		}
	}
	low, high := l.Sent, uint64(1)<<40
	for low < high { // the half-width falls with n: search for the least n
		n := (low + high) / 2
		if _, w := wilson(l.Share, float64(n)); w <= half {
			high = n
		} else {
			low = n + 1
		}
	}
	return half, low
}
