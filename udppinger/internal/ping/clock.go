package ping

import "time"

// maxDrift is how far the wall clock may have moved against the monotonic one
// between two readings that were each taken within 2 µs (see socket.Now) without
// a step in between. Both clocks run at the same rate, which only a step breaks:
// adjtimex slews them together.
const maxDrift = 5 * time.Microsecond

// left returns when the probe left, by the kernel if that told something likely.
func (p *Probe) left() (at time.Duration, stamped bool) {
	after := time.Duration(p.leftStamp - p.wall)
	if p.leftStamp == 0 || after < -maxDrift || after > 10*time.Second {
		return p.Begun, false
	}
	return p.Begun + max(after, 0), true
}

// times works out when the probe left and when its reply came, both counted from
// the start of the run.
//
// The kernel stamps both packets at the moment they pass, but by the wall clock,
// which somebody may set while the probe is under way. This program's own clock,
// the monotonic one, nobody sets, but it is read late: when this thread runs. So
// the RTT is the difference of the two stamps, both of one clock, and not of two
// distances between clocks, each with an error of its own; the monotonic clock is
// their witness. The stamps are believed if
//
//   - the wall clock has moved as far as the monotonic one since the probe was
//     begun, and
//   - they are in order: begun, left, came, read.
//
// Otherwise somebody has set the wall clock, or a device stamps late, and the
// program's own times stand, with the wake-up in them. A step costs the probes
// under way their precision and nothing else.
func (p *Probe) times(a Arrival) (left, came time.Duration) {
	elapsed := a.Read - p.Begun
	drift := time.Duration(a.Wall.UnixNano()-p.wall) - elapsed
	if drift > maxDrift || drift < -maxDrift {
		return p.Begun, a.Read
	}
	left, stamped := p.left()
	if a.Stamp.IsZero() {
		return min(left, a.Read), a.Read
	}
	rtt := time.Duration(a.Stamp.UnixNano() - p.leftStamp)
	if stamped && rtt > 0 && left+rtt <= a.Read+maxDrift {
		return left, left + rtt // to the nanosecond what the two stamps say
	}
	wakeUp := a.Wall.Sub(a.Stamp)
	if wakeUp < 0 || wakeUp >= elapsed {
		return p.Begun, a.Read
	}
	return p.Begun, a.Read - wakeUp // no stamp of leaving
}
