// Package wire writes the lab's ping message and judges what comes back.
//
// The lab's message is one ASCII line, "Ping <sequence> <time>", with the time
// in seconds since 1970. Ours carries on with a nonce of 16 hexadecimal digits,
// which names the run, and, where there is room, with the extension that
// udppingserver fills in:
//
//	Ping 7 1763678999.123456 TD1 0123456789ABCDEF ................ (80 dots)
//	Ping 7 1763678999.123456 0123456789ABCDEF                      (short)
//
// A server that knows nothing of this upper-cases the line and sends it back,
// which changes none of it. udppingserver overwrites the 80 dots, in place, with
// upper-case hexadecimal digits of fixed width:
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
// A message whose verb is "Seen" asks for the same report without being counted
// as a part of the run; udppingserver takes it over TCP.
//
// The package does no I/O and reads no clock.
package wire

import (
	"bytes"
	"hash/crc32"
	"strconv"
	"time"
)

// Sizes of messages, in bytes.
const (
	// MinSize is the least size that has room for any sequence and the nonce.
	MinSize = 4 + 1 + 10 + 1 + 17 + 1 + nonceLen
	// FullSize is the least size that has room for the extension as well.
	FullSize = 4 + 1 + 10 + 1 + 17 + len(marker) + nonceLen + 1 + slotLen
	// MaxSize is the most that UDP over IPv4 can carry.
	MaxSize = 65507

	nonceLen = 16
	slotLen  = 80
	marker   = " TD1 "
	// Window is how many sequences below the highest one a Report tells of.
	Window = 48
)

// Format writes and judges the messages of one run.
type Format struct {
	Verb  string // "Ping" if empty
	Nonce uint64 // names the run
	// Size is the size of each message in bytes; 0 means as much as it takes.
	// From FullSize on a message carries the extension.
	Size int
}

// Append appends the message with the given sequence and time to b.
func (f *Format) Append(b []byte, seq uint64, sent time.Time) []byte {
	start := len(b)
	verb := f.Verb
	if verb == "" {
		verb = "Ping"
	}
	b = append(b, verb...)
	b = strconv.AppendUint(append(b, ' '), seq, 10)
	b = appendSeconds(append(b, ' '), sent)
	if f.Size == 0 || f.Size >= FullSize {
		b = appendHex(append(b, marker...), f.Nonce)
		b = append(b, ' ')
		for range slotLen {
			b = append(b, '.')
		}
	} else {
		b = appendHex(append(b, ' '), f.Nonce)
	}
	if len(b)-start < f.Size {
		b = append(b, ' ')
	}
	for len(b)-start < f.Size {
		b = append(b, "padding."[(len(b)-start)%8])
	}
	return b
}

// AppendHeartbeat appends the message of the lab's optional exercise to b.
func AppendHeartbeat(b []byte, seq uint64, sent time.Time) []byte {
	b = strconv.AppendUint(append(b, "Heartbeat "...), seq, 10)
	return appendSeconds(append(b, ' '), sent)
}

func appendSeconds(b []byte, t time.Time) []byte {
	micros := t.UnixMicro()
	b = strconv.AppendInt(b, micros/1e6, 10)
	b = append(b, '.')
	for unit := int64(1e5); unit > 0; unit /= 10 {
		b = append(b, '0'+byte(micros/unit%10))
	}
	return b
}

func appendHex(b []byte, v uint64) []byte {
	for shift := 60; shift >= 0; shift -= 4 {
		b = append(b, "0123456789ABCDEF"[v>>shift&15])
	}
	return b
}

// Identify reads which probe of this run a reply belongs to. It reports false
// for a message of another run and for one too damaged to tell.
func (f *Format) Identify(reply []byte) (seq uint64, ok bool) {
	_, rest, _ := bytes.Cut(reply, space)
	digits, rest, _ := bytes.Cut(rest, space)
	_, rest, ok = bytes.Cut(rest, space)
	if !ok || len(digits) == 0 || len(digits) > 18 {
		return 0, false
	}
	for _, c := range digits {
		if c-'0' > 9 {
			return 0, false
		}
		seq = seq*10 + uint64(c-'0')
	}
	rest, _ = bytes.CutPrefix(rest, []byte(marker[1:]))
	nonce, ok := hex(rest, nonceLen)
	return seq, ok && nonce == f.Nonce
}

var space = []byte{' '}

// Quality says how a reply compares with the request in capitals.
type Quality uint8

// The qualities.
const (
	Intact    Quality = iota
	Truncated         // the request's beginning, no more
	Corrupt           // anything else
	Unchanged         // the request just as it was sent: an echo, without upper-casing
)

// Report is what the server tells about the run.
type Report struct {
	Received  time.Time     // when the request came, by the server's clock
	Residence time.Duration // from receipt to reply
	Count     uint32        // requests of this run received, repeats not counted
	Answered  uint32        // requests of this run answered
	Top       uint32        // the highest sequence received, modulo 2^32
	SeenMask  uint64        // bit i: Top-1-i was received
	AnsMask   uint64        // bit i: Top-1-i was answered
}

// Judge compares a reply with the request that it answers. The report is nil if
// the reply has none, as from a server that knows no extension.
func Judge(request, reply []byte) (Quality, *Report) {
	n := len(reply)
	if n > len(request) {
		return Corrupt, nil
	}
	if sameInCapitals(request, reply) {
		if n < len(request) {
			return Truncated, nil
		}
		return Intact, nil
	}
	if bytes.Equal(request, reply) {
		return Unchanged, nil
	}
	at := slot(request)
	if at == 0 || n <= at {
		return Corrupt, nil
	}
	end := min(at+slotLen, n)
	if !sameInCapitals(request, reply[:at]) || !allHex(reply[at:end]) || !sameInCapitals(request[end:], reply[end:]) {
		return Corrupt, nil
	}
	if n < len(request) {
		return Truncated, nil
	}
	report, ok := parseReport(reply, at)
	if !ok {
		return Corrupt, nil
	}
	return Intact, report
}

// Text returns the part of a reply that the lab knows of: without our extension
// or nonce, and without what a terminal should not be sent.
func Text(reply []byte) string {
	words := bytes.SplitN(reply, space, 4)
	if len(words) == 4 {
		tail, _ := bytes.CutPrefix(words[3], []byte(marker[1:]))
		if _, ok := hex(tail, nonceLen); ok {
			reply = bytes.Join(words[:3], space)
		}
	}
	const most = 200
	reply = reply[:min(len(reply), most)]
	text := make([]byte, len(reply))
	for i, c := range reply {
		if c < ' ' || c > '~' {
			c = '?'
		}
		text[i] = c
	}
	return string(text)
}

// Distance returns in how many bytes the reply differs from the request in
// capitals, over as much as there is of the reply; the slot does not count.
func Distance(request, reply []byte) int {
	at := slot(request)
	d := max(0, len(reply)-len(request))
	for i, c := range reply[:min(len(reply), len(request))] {
		if at > 0 && i >= at && i < at+slotLen {
			continue
		}
		if c != upper(request[i]) {
			d++
		}
	}
	return d
}

// slot returns the offset of the free slot of a request, 0 if there is none.
func slot(request []byte) int {
	before, _, ok := bytes.Cut(request[:min(len(request), FullSize)], []byte(marker))
	at := len(before) + len(marker) + nonceLen + 1
	if !ok || len(request) < at+slotLen || request[at] != '.' {
		return 0
	}
	return at
}

func parseReport(reply []byte, at int) (*Report, bool) {
	ok := true
	next := func(digits int) uint64 {
		v, valid := hex(reply[at:], digits)
		ok = ok && valid
		at += digits
		return v
	}
	r := &Report{
		Received:  time.Unix(0, int64(next(16))),
		Residence: time.Duration(next(8)),
		Count:     uint32(next(8)),
		Answered:  uint32(next(8)),
		Top:       uint32(next(8)),
		SeenMask:  next(12),
		AnsMask:   next(12),
	}
	sum := crc32.ChecksumIEEE(reply[:at])
	return r, uint32(next(8)) == crc32.Update(sum, crc32.IEEETable, reply[at:]) && ok
}

// sameInCapitals reports whether the reply is the beginning of the request in
// capitals.
func sameInCapitals(request, reply []byte) bool {
	for i, c := range reply {
		if c != upper(request[i]) {
			return false
		}
	}
	return true
}

func upper(c byte) byte {
	if c-'a' < 26 {
		c -= 'a' - 'A'
	}
	return c
}

func allHex(b []byte) bool {
	for i := range b {
		if _, ok := hex(b[i:], 1); !ok {
			return false
		}
	}
	return true
}

// hex reads the first digits bytes of b as upper-case hexadecimal digits.
func hex(b []byte, digits int) (v uint64, ok bool) {
	if len(b) < digits {
		return 0, false
	}
	for _, c := range b[:digits] {
		switch {
		case c-'0' <= 9:
			c -= '0'
		case c-'A' < 6:
			c -= 'A' - 10
		default:
			return 0, false
		}
		v = v<<4 | uint64(c)
	}
	return v, true
}
