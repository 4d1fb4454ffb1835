package ping

import (
	"bytes"
	"testing"
	"time"

	"topdown/udppinger/internal/wire"
)

// A probe is begun at 1 s, leaves 10 µs later, its reply comes at 1 s 110 µs and
// is read at 1 s 150 µs: a round trip of 100 µs. The wall clock is set while it is
// under way, by a step, at different moments.
func TestAStepOfTheWallClockChangesNothing(t *testing.T) {
	const us = time.Microsecond
	for _, tt := range []struct {
		name             string
		step             time.Duration
		left, came, read bool // whether the step is before that
		want             time.Duration
	}{
		{"no step", 0, false, false, false, 100 * us},
		{"forward an hour, before it leaves", time.Hour, true, true, true, 150 * us},
		{"back an hour, under way", -time.Hour, false, true, true, 150 * us},
		{"forward 1 ms, under way", time.Millisecond, false, true, true, 150 * us},
		{"back 60 µs, under way", -60 * us, false, true, true, 150 * us},
		{"forward 30 µs, under way", 30 * us, false, true, true, 150 * us},
		{"forward an hour, before it is read", time.Hour, false, false, true, 150 * us},
		{"back 100 µs, under way", -100 * us, false, true, true, 150 * us},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got Probe
			tracker := NewTracker(wire.Format{Nonce: 42}, time.Second, 1, func(e Event) { got = e.Probe })
			start := time.Unix(1763679000, 0)
			clock := func(at time.Duration, stepped bool) time.Time {
				if stepped {
					at += tt.step
				}
				return start.Add(at)
			}
			seq, message := tracker.Begin(time.Second, time.Second, clock(time.Second, false))
			tracker.Left(seq, clock(time.Second+10*us, tt.left))
			tracker.Arrive(Arrival{
				Data: bytes.ToUpper(message), Read: time.Second + 150*us,
				Wall: clock(time.Second+150*us, tt.read), Stamp: clock(time.Second+110*us, tt.came),
			})
			if got.RTT != tt.want {
				t.Errorf("RTT %v, want %v", got.RTT, tt.want)
			}
			if got.Left < got.Begun || got.Came-got.Left != got.RTT || got.Read < got.Came {
				t.Errorf("begun %v, left %v, came %v, read %v are not in order", got.Begun, got.Left, got.Came, got.Read)
			}
		})
	}
}

// The two clocks of a program are read one after the other; what lies between
// must not show in the RTT, which is the difference of two stamps of one clock.
func TestRTTIsTheDifferenceOfTheStamps(t *testing.T) {
	for _, apart := range []time.Duration{0, 3 * time.Microsecond, -3 * time.Microsecond} {
		p := Probe{Begun: time.Second, wall: 1e9, leftStamp: 1e9 + 7_000}
		left, came := p.times(Arrival{
			Read: time.Second + 60*time.Microsecond, Wall: time.Unix(0, 1e9+60_000).Add(apart),
			Stamp: time.Unix(0, 1e9+7_000+5_123),
		})
		if came-left != 5_123 {
			t.Errorf("clocks %v apart: RTT %v, want 5.123µs", apart, came-left)
		}
	}
}
