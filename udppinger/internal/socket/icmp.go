package socket

import (
	"fmt"
	"net/netip"
)

// ICMPError is an ICMP error message about something that was sent: who refused
// it, and why.
type ICMPError struct {
	// From is the host that sent the error: the target, or a router or a
	// firewall on the way to it.
	From       netip.Addr
	Type, Code uint8
	V6         bool  // ICMPv6 (RFC 4443), else ICMP (RFC 792, RFC 1812)
	Errno      error // what the system makes of it, such as ECONNREFUSED
}

// Error returns what happened, with the numbers for those who look them up.
func (e *ICMPError) Error() string {
	version := ""
	if e.V6 {
		version = "v6"
	}
	return fmt.Sprintf("from %s: %s (ICMP%s type %d code %d)", e.From, e.Words(), version, e.Type, e.Code)
}

// Unwrap returns the system's error.
func (e *ICMPError) Unwrap() error { return e.Errno }

// kind is an ICMP error's type and code, for the table of words.
type kind struct {
	v6         bool
	kind, code uint8
}

// The kinds that a caller tells apart.
var (
	portUnreachable4 = kind{false, 3, 3}
	portUnreachable6 = kind{true, 1, 4}
)

var icmpWords = map[kind]string{
	{false, 3, 0}:    "network unreachable",
	{false, 3, 1}:    "host unreachable",
	{false, 3, 2}:    "protocol unreachable",
	portUnreachable4: "port unreachable",
	{false, 3, 4}:    "packet too large, and not to be fragmented",
	{false, 3, 5}:    "source route failed",
	{false, 3, 6}:    "network unknown",
	{false, 3, 7}:    "host unknown",
	{false, 3, 9}:    "network administratively prohibited",
	{false, 3, 10}:   "host administratively prohibited",
	{false, 3, 11}:   "network unreachable for this type of service",
	{false, 3, 12}:   "host unreachable for this type of service",
	{false, 3, 13}:   "administratively prohibited",
	{false, 11, 0}:   "TTL exceeded",
	{false, 11, 1}:   "fragments did not all arrive",
	{true, 1, 0}:     "network unreachable",
	{true, 1, 1}:     "administratively prohibited",
	{true, 1, 2}:     "beyond the scope of the source address",
	{true, 1, 3}:     "host unreachable",
	portUnreachable6: "port unreachable",
	{true, 1, 5}:     "source address prohibited",
	{true, 1, 6}:     "route rejected",
	{true, 2, 0}:     "packet too large",
	{true, 3, 0}:     "hop limit exceeded",
	{true, 3, 1}:     "fragments did not all arrive",
}

func (e *ICMPError) kind() kind { return kind{e.V6, e.Type, e.Code} }

// Words returns what the error means, as in "host unreachable".
func (e *ICMPError) Words() string {
	if words := icmpWords[e.kind()]; words != "" {
		return words
	}
	return "an ICMP error"
}

// PortUnreachable reports whether the error says that nobody listens on the
// port. Only the target itself can know that; from anybody else it is a
// firewall's way to refuse.
func (e *ICMPError) PortUnreachable() bool {
	return e.kind() == portUnreachable4 || e.kind() == portUnreachable6
}

// TTLExceeded reports whether the packet had used up its time to live, or its
// hop limit, when it came to the host that sent the error.
func (e *ICMPError) TTLExceeded() bool {
	return e.Type == 11 && !e.V6 && e.Code == 0 || e.Type == 3 && e.V6 && e.Code == 0
}

// Prohibited reports whether a rule of somebody's, and no fault, is the reason.
func (e *ICMPError) Prohibited() bool {
	if e.V6 {
		return e.Type == 1 && (e.Code == 1 || e.Code == 5 || e.Code == 6)
	}
	return e.Type == 3 && (e.Code == 9 || e.Code == 10 || e.Code == 13)
}
