// Package impair decides what a bad network does to a packet: lose it, hold it
// up, send it twice, let others overtake it, damage it.
//
// A fate is a pure function of the seed, the client and the packet's number
// with that client. So the same seed gives the same fates to the same packets,
// whatever other clients do meanwhile, and any packet's fate can be worked out
// again later. The package reads no clock and no random source of its own.
package impair

import (
	"errors"
	"fmt"
	"time"
)

// ReorderHold is how much longer than its fellows a packet is held that others
// are to overtake.
const ReorderHold = 50 * time.Millisecond

// MaxBurst is the longest mean burst of losses that a Config may ask for, in
// packets.
const MaxBurst = 1000

// Config says how bad the network is. The zero value is a perfect one.
type Config struct {
	Seed uint64
	Loss float64 // share of packets lost, 0 to 1
	// Burst is the mean number of packets lost in a row (the Gilbert-Elliott
	// model); 0 means that every loss is independent of the one before.
	Burst     float64
	Delay     time.Duration // each reply is held this long,
	Jitter    time.Duration // give or take up to this much, evenly spread
	Duplicate float64       // share of replies sent twice
	Reorder   float64       // share of replies held ReorderHold longer
	Corrupt   float64       // share of replies with one bit turned over
}

// Fate is what happens to one packet.
type Fate struct {
	Drop      bool
	Delay     time.Duration // from receipt to reply
	Duplicate bool
	Reorder   bool // Delay includes ReorderHold
	Corrupt   bool
	Bit       uint32 // which bit to turn over, modulo the number of bits there are
}

// Validate reports what is wrong with the configuration, if anything.
func (c *Config) Validate() error {
	for _, share := range []struct {
		name  string
		value float64
	}{{"loss", c.Loss}, {"duplicate", c.Duplicate}, {"reorder", c.Reorder}, {"corrupt", c.Corrupt}} {
		if !(share.value >= 0 && share.value <= 1) {
			return fmt.Errorf("%s: %v is not a share from 0 to 1", share.name, share.value)
		}
	}
	if c.Delay < 0 || c.Jitter < 0 {
		return errors.New("delay and jitter cannot be negative")
	}
	if c.Delay+c.Jitter > time.Minute {
		return errors.New("delay and jitter together are more than a minute: nobody waits that long for a reply")
	}
	if c.Burst == 0 {
		return nil
	}
	if c.Loss == 1 {
		return errors.New("burst: with a loss of 100% there is but one burst, without end")
	}
	// A burst of 1/(1-loss) packets is what independent losses give; losses
	// that avoid each other are not what this model is for.
	if shortest := 1 / (1 - c.Loss); !(c.Burst >= shortest && c.Burst <= MaxBurst) {
		return fmt.Errorf("burst: a mean burst of %v packets is not possible here: choose from %.3g (independent losses, at this loss) to %d",
			c.Burst, shortest, MaxBurst)
	}
	return nil
}

// None reports whether nothing is done to any packet.
func (c *Config) None() bool {
	return c.Loss == 0 && c.Delay == 0 && c.Jitter == 0 && c.Duplicate == 0 && c.Reorder == 0 && c.Corrupt == 0
}

// Fate returns what happens to packet number n, counted from 0, of a client.
func (c *Config) Fate(client, n uint64) Fate {
	var f Fate
	if c.lost(client, n) {
		return Fate{Drop: true}
	}
	f.Delay = c.Delay
	if c.Jitter > 0 {
		f.Delay += time.Duration((2*c.uniform(client, n, drawJitter) - 1) * float64(c.Jitter))
		f.Delay = max(f.Delay, 0)
	}
	if c.chance(c.Reorder, client, n, drawReorder) {
		f.Reorder = true
		f.Delay += ReorderHold
	}
	f.Duplicate = c.chance(c.Duplicate, client, n, drawDuplicate)
	if c.chance(c.Corrupt, client, n, drawCorrupt) {
		f.Corrupt = true
		f.Bit = uint32(draw(c.Seed, client, n, drawBit) >> 32)
	}
	return f
}

// lost tells whether packet n is lost.
//
// With bursts, the network is good or bad, and loses what it carries while bad
// (Gilbert 1960, with losses of 0 and 1). It turns bad with probability p before
// each packet, and good again with probability r = 1/Burst. To know its state at
// packet n without walking there from packet 0, every packet has one number u,
// which moves the state so:
//
//	u < p:       bad, from either state
//	u >= 1-r:    good, from either state
//	otherwise:   as it was
//
// So the state at n is what the last u outside [p, 1-r) made it, on average
// 1/(p+r) packets back. Packets before number 0 have numbers too: the network
// was there before the client.
func (c *Config) lost(client, n uint64) bool {
	if c.Burst == 0 {
		return c.chance(c.Loss, client, n, drawLoss)
	}
	r := 1 / c.Burst
	p := r * c.Loss / (1 - c.Loss)
	for range 64 * MaxBurst { // longer without a decision: 1 in 10^27
		switch u := c.uniform(client, n, drawLoss); {
		case u < p:
			return true
		case u >= 1-r:
			return false
		}
		n-- // wraps below 0, which is as good a number as any
	}
	return false
}

// The purposes of random draws: each has a stream of its own, so that turning
// one impairment on changes nothing about another.
const (
	drawLoss = iota + 1
	drawJitter
	drawReorder
	drawDuplicate
	drawCorrupt
	drawBit
)

func (c *Config) chance(share float64, client, n uint64, purpose uint64) bool {
	return share > 0 && c.uniform(client, n, purpose) < share
}

// uniform returns a number evenly spread over [0, 1).
func (c *Config) uniform(client, n uint64, purpose uint64) float64 {
	return float64(draw(c.Seed, client, n, purpose)>>11) / (1 << 53)
}

// draw hashes its arguments into 64 bits that look random. Each round is the
// finalizer of SplitMix64 (Steele, Lea and Flood 2014), so that neighbouring
// packets, clients and seeds have nothing in common.
func draw(seed, client, n, purpose uint64) uint64 {
	h := mix(seed + 0x9E3779B97F4A7C15*purpose)
	h = mix(h ^ client)
	return mix(h + 0x9E3779B97F4A7C15*n)
}

func mix(z uint64) uint64 {
	z += 0x9E3779B97F4A7C15
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}
