package doctor

import (
	"context"
	"fmt"
	"math"
	"time"

	"topdown/udppinger/internal/ping"
	"topdown/udppinger/internal/wire"
)

// sweep are the sizes tried, in bytes. 1472 and 1452 fill a packet of 1500 bytes
// over IPv4 and IPv6.
var sweep = []int{64, 256, 512, 1024, 1200, 1400, 1452, 1472, 2000, 4096, 8192, 16384, 32768, 65000}

// sizes tries messages of many sizes.
func (d *Doctor) sizes(ctx context.Context) (Finding, error) {
	tries := d.tries()
	passed, failed, cut := 0, 0, 0
	var passing, failing []int
	for _, size := range sweep {
		ok, short, err := d.passes(ctx, size, tries)
		if err != nil || ctx.Err() != nil {
			return Open, err
		}
		if short > 0 && cut == 0 {
			cut = short
		}
		if ok {
			passing = append(passing, size)
			if failed == 0 {
				passed = size
			}
		} else {
			failing = append(failing, size)
			if failed == 0 {
				failed = size
			}
		}
	}
	if cut > 0 {
		d.Print("Sizes: this server echoes the first %d bytes of a message and no more", cut)
	}
	if len(failing) == 0 {
		d.Print("Sizes: messages from %d to %d bytes pass", sweep[0], sweep[len(sweep)-1])
		return Open, nil
	}
	for passed > 0 && failed-passed > 1 { // find the very size
		size := (passed + failed) / 2
		ok, _, err := d.passes(ctx, size, tries)
		if err != nil || ctx.Err() != nil {
			return Open, err
		}
		if ok {
			passed = size
		} else {
			failed = size
		}
	}
	d.Print("Sizes: tried up to %d times each, these pass: %v; these do not: %v (bytes)", tries, passing, failing)
	if passed > 0 {
		d.Print("Sizes: messages of %d bytes pass, of %d bytes no more", passed, failed)
	}
	return SomeSizes, nil
}

// tries returns how many probes of one size it takes to tell a size that does not
// pass from bad luck: all of them lost by chance 1 time in 100,000.
func (d *Doctor) tries() uint64 {
	loss := float64(d.counts.Lost) / float64(d.counts.Sent)
	loss = min(max(loss, 0.05)+0.1, 0.9) // ten probes do not know better
	return uint64(min(math.Ceil(math.Log(1e-5)/math.Log(loss)), 40))
}

// passes reports whether a message of the given size is answered, and, if its
// reply is cut short, to how many bytes.
func (d *Doctor) passes(ctx context.Context, size int, tries uint64) (ok bool, short int, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	d.Nonce++
	timeout := min(d.Timeout, max(300*time.Millisecond, 20*d.rtt.Max))
	_, err = d.run(ctx, wire.Format{Nonce: d.Nonce, Size: size}, tries, timeout, func(e ping.Event) {
		v := e.Probe.Verdict
		if e.Kind != ping.Decided || v == ping.Refused || v == ping.Dropped {
			return
		}
		ok = true
		if v == ping.Truncated {
			short = e.Probe.Bytes
		}
		cancel()
	})
	if err != nil {
		return false, 0, fmt.Errorf("try messages of %d bytes: %w", size, err)
	}
	return ok, short, nil
}
