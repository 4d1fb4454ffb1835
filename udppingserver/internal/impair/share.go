package impair

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// LabLoss is the loss of the textbook's server, which drops a packet when a
// random whole number from 0 to 10 is below 4: 4 in 11, though the handout
// calls it 30 %.
const LabLoss = 4.0 / 11

// ParseShare reads a share of packets: "0.3", "30%", "4/11", or "lab" for
// LabLoss.
func ParseShare(s string) (float64, error) {
	if s == "lab" {
		return LabLoss, nil
	}
	value, err := 0.0, error(nil)
	if above, below, ok := strings.Cut(s, "/"); ok {
		var a, b float64
		a, err = strconv.ParseFloat(above, 64)
		if err == nil {
			b, err = strconv.ParseFloat(below, 64)
		}
		if err == nil && b <= 0 {
			err = errors.New("nothing below the line")
		}
		value = a / b
	} else if percent, ok := strings.CutSuffix(s, "%"); ok {
		value, err = strconv.ParseFloat(percent, 64)
		value /= 100
	} else {
		value, err = strconv.ParseFloat(s, 64)
	}
	if err != nil {
		return 0, fmt.Errorf("%q is not a share of packets: write 0.3, 30%%, 3/10 or lab (4/11)", s)
	}
	if value > 1 && !strings.ContainsAny(s, "%/") {
		return 0, fmt.Errorf("a share of %s is more than all packets: for %s percent write %s%%", s, s, s)
	}
	if !(value >= 0 && value <= 1) {
		return 0, fmt.Errorf("a share of %s is not from 0 to all packets", s)
	}
	return value, nil
}
