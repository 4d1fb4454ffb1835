// Package wire reads the lab's UDP messages and fills in the server's half of
// the extension that udppinger may put into them.
//
// The lab's message is one ASCII line, "Ping <sequence> <time>", with the time
// in seconds since 1970. A message may carry on with the extension:
//
//	Ping 7 1763678999.123456 TD1 0123456789ABCDEF ................ (80 dots)
//
// that is " TD1 ", a nonce of 16 hexadecimal digits which names one run of one
// client, a space, and a slot of 80 dots. A server that knows nothing of this
// upper-cases the line and sends it back, which changes none of it. This server
// overwrites the slot in place, so that a reply is never longer than its
// request, with upper-case hexadecimal digits of fixed width:
//
//	16  time of receipt, nanoseconds since 1970
//	 8  residence: nanoseconds from receipt to reply, FFFFFFFF if more
//	 8  requests of this run received, repeats not counted
//	 8  requests of this run answered
//	 8  top: the highest sequence received, modulo 2^32
//	12  bit i (the lowest is 0): sequence top-1-i was received
//	12  bit i: sequence top-1-i was answered
//	 8  CRC-32 (IEEE) of the whole reply without these 8 digits
//
// A line whose verb is "Seen" asks for the same report about a run without
// being counted as a part of it; the server takes it over TCP only.
//
// The package does no I/O and allocates nothing.
package wire

import (
	"hash/crc32"
	"math"
	"time"
)

// Sizes of the parts of the extension, in bytes.
const (
	nonceLen = 16
	SlotLen  = 80
	marker   = " TD1 "
	// Window is how many sequences below the highest one a Report tells of.
	Window = 48
)

// Verb is the first word of a message.
type Verb uint8

// The verbs that the server tells apart.
const (
	Other Verb = iota
	Ping
	Heartbeat
	Seen
)

// Request is what a message says.
type Request struct {
	Verb Verb
	Seq  uint64
	// Sent is the client's own time of sending, since 1970.
	Sent time.Duration
	// Nonce names the client's run; it means something only with Extended or
	// Damaged.
	Nonce uint64
	// Extended is set when the message carries the extension with its slot
	// still free.
	Extended bool
	// Damaged is set when the message has a nonce, and a slot that is neither
	// free nor filled: it belongs to a run, and nothing can be filled in.
	Damaged bool
	// Answered is set when the slot is filled already: the message is a reply
	// of a server like this one, and must never be answered.
	Answered bool

	slot int // offset of the slot
}

// Report is what the server tells a client about its run.
type Report struct {
	Received  time.Time     // when this request came
	Residence time.Duration // from receipt to reply
	Count     uint32        // requests of this run received, repeats not counted
	Answered  uint32        // requests of this run answered
	Top       uint32        // the highest sequence received, modulo 2^32
	SeenMask  uint64        // bit i: sequence Top-1-i was received
	AnsMask   uint64        // bit i: sequence Top-1-i was answered
}

// Parse reads a message of the form "<verb> <sequence> <time>", with the
// extension if there is one. It reports false for any other text; a server
// echoes that too, but knows nothing about it.
func Parse(msg []byte) (Request, bool) {
	var req Request
	verb, rest, ok := word(msg)
	if !ok {
		return req, false
	}
	switch {
	case equalFold(verb, "PING"):
		req.Verb = Ping
	case equalFold(verb, "HEARTBEAT"):
		req.Verb = Heartbeat
	case equalFold(verb, "SEEN"):
		req.Verb = Seen
	}
	digits, rest, _ := word(rest)
	if req.Seq, ok = number(digits); !ok {
		return req, false
	}
	stamp, _, _ := word(rest)
	if req.Sent, ok = seconds(stamp); !ok {
		return req, false
	}
	req.extension(msg, len(msg)-len(rest)+len(stamp))
	return req, true
}

// extension looks for the extension at offset at of msg.
func (r *Request) extension(msg []byte, at int) {
	end := at + len(marker) + nonceLen + 1 + SlotLen
	if len(msg) < end || string(msg[at:at+len(marker)]) != marker {
		return
	}
	at += len(marker)
	nonce, ok := hex(msg[at : at+nonceLen])
	if !ok || msg[at+nonceLen] != ' ' {
		return
	}
	r.Nonce = nonce
	r.slot = at + nonceLen + 1
	free, filled := 0, 0
	for _, c := range msg[r.slot:end] {
		switch {
		case c == '.':
			free++
		case hexValue(c) < 16:
			filled++
		}
	}
	r.Extended = free == SlotLen
	r.Answered = filled == SlotLen
	r.Damaged = !r.Extended && !r.Answered && free > SlotLen/2
}

// Fill writes the report into the slot of msg, which must be the message that
// req was parsed from, upper-cased already. It does nothing without a free slot.
func Fill(msg []byte, req Request, rep Report) {
	if !req.Extended || len(msg) < req.slot+SlotLen {
		return
	}
	at := req.slot
	put := func(v uint64, digits int) {
		for i := digits - 1; i >= 0; i-- {
			msg[at+i] = "0123456789ABCDEF"[v&15]
			v >>= 4
		}
		at += digits
	}
	put(uint64(rep.Received.UnixNano()), 16)
	put(uint64(min(max(rep.Residence, 0), math.MaxUint32)), 8)
	put(uint64(rep.Count), 8)
	put(uint64(rep.Answered), 8)
	put(uint64(rep.Top), 8)
	put(rep.SeenMask, 12)
	put(rep.AnsMask, 12)
	sum := crc32.ChecksumIEEE(msg[:at])
	put(uint64(crc32.Update(sum, crc32.IEEETable, msg[at+8:])), 8)
}

// Upper turns the ASCII letters a-z of msg into capitals, in place, and leaves
// every other byte as it is. It reports whether there were any.
func Upper(msg []byte) (changed bool) {
	for i, c := range msg {
		if c-'a' < 26 {
			msg[i] = c - 'a' + 'A'
			changed = true
		}
	}
	return changed
}

// word splits msg at its first space. It reports false for an empty word.
func word(msg []byte) (first, rest []byte, ok bool) {
	for i, c := range msg {
		if c == ' ' {
			return msg[:i], msg[i+1:], i > 0
		}
		if c == '\r' || c == '\n' || c == 0 {
			return msg[:i], nil, i > 0
		}
	}
	return msg, nil, len(msg) > 0
}

func equalFold(word []byte, upper string) bool {
	if len(word) != len(upper) {
		return false
	}
	for i, c := range word {
		if c-'a' < 26 {
			c -= 'a' - 'A'
		}
		if c != upper[i] {
			return false
		}
	}
	return true
}

// number reads up to 18 decimal digits.
func number(b []byte) (uint64, bool) {
	if len(b) == 0 || len(b) > 18 {
		return 0, false
	}
	var n uint64
	for _, c := range b {
		if c-'0' > 9 {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return n, true
}

// seconds reads "1763678999.123456" with up to 10 digits before the point and
// any number of digits after it, of which nine count.
func seconds(b []byte) (time.Duration, bool) {
	whole, fraction := b, []byte(nil)
	for i, c := range b {
		if c == '.' {
			whole, fraction = b[:i], b[i+1:]
			break
		}
	}
	n, ok := number(whole)
	if !ok || n >= math.MaxInt64/uint64(time.Second) {
		return 0, false
	}
	d := time.Duration(n) * time.Second
	unit := time.Second
	for _, c := range fraction {
		if c-'0' > 9 {
			return 0, false
		}
		unit /= 10
		d += time.Duration(c-'0') * unit
	}
	return d, true
}

// hex reads up to 16 upper-case hexadecimal digits.
func hex(b []byte) (uint64, bool) {
	var n uint64
	for _, c := range b {
		v := hexValue(c)
		if v > 15 {
			return 0, false
		}
		n = n<<4 | uint64(v)
	}
	return n, true
}

func hexValue(c byte) byte {
	switch {
	case c-'0' <= 9:
		return c - '0'
	case c-'A' < 6:
		return c - 'A' + 10
	}
	return 255
}
