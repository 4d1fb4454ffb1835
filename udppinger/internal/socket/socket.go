// Package socket is what the pinger sends and receives with: a UDP socket that
// knows, where the system tells, when the kernel let a message go and when it
// took a reply in, which message an ICMP error is about, and how many messages
// it had no room for. It knows nothing about pings.
package socket

import (
	"fmt"
	"net/netip"
	"time"
)

// Options are the settings of a socket. The zero value leaves all to the system.
type Options struct {
	Source netip.AddrPort // address to send from; its port may be 0
	TOS    int            // IPv4 type of service or IPv6 traffic class, 0 to 255
	Spin   bool           // Receive looks for messages without ever sleeping (Linux)
	TTL    int            // IPv4 time to live or IPv6 hop limit, 1 to 255; 0: the system's
}

// Kind says what a Notice is about.
type Kind uint8

// The kinds of notices.
const (
	Message Kind = iota // a message came
	Refusal             // an ICMP error came
	Sent                // the kernel says when it let a message go
)

// Notice is one thing that a socket has to tell.
type Notice struct {
	Kind Kind
	// Data is the message that came (valid until the next Receive), or of a
	// Refusal as much as came back of the message that it is about.
	Data []byte
	From netip.AddrPort
	// TTL is that of the packet that came; 0 if not known.
	TTL int
	// Tag names the message that a Sent is about.
	Tag uint64
	// Err is the error behind a Refusal: an *ICMPError where the system says
	// enough, else the system's own.
	Err error
	// Read is when Receive had it, by both clocks: see Now.
	Read time.Time
	// Stamp is when the kernel took the message in, or, of a Sent, let it go,
	// by the wall clock; zero if the kernel does not say.
	Stamp time.Time
}

// bufferSize holds any UDP message.
const bufferSize = 65536

func dialError(target netip.AddrPort, err error) error {
	return fmt.Errorf("open a UDP socket to %s: %w", target, err)
}

// deadline returns until as a connection of the net package is to get it: once
// its deadline has passed it does not even look for what has come.
func deadline(until time.Time) time.Time {
	soon := time.Now().Add(50 * time.Microsecond)
	if until.IsZero() || until.After(soon) {
		return until
	}
	return soon
}
