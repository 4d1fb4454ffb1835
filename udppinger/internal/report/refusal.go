package report

import (
	"errors"
	"fmt"
	"syscall"

	"topdown/udppinger/internal/ping"
)

// Refusal is one kind of ICMP error from one host.
type Refusal struct {
	Probe ping.Probe // the first that it was about
	N     uint64
}

// maxRefusals is how many kinds of refusals a summary tells apart.
const maxRefusals = 8

func (s *Summary) refused(p *ping.Probe) {
	for i := range s.Refusals {
		first := &s.Refusals[i].Probe
		if (first.ICMP == nil) == (p.ICMP == nil) && reason(first) == reason(p) {
			s.Refusals[i].N++
			return
		}
	}
	if len(s.Refusals) < maxRefusals {
		s.Refusals = append(s.Refusals, Refusal{*p, 1})
	}
}

// portClosed reports whether the target itself has said that nobody listens on
// the port. A firewall may say the same words for somebody else's port. Systems
// that don't tell who sent an error are believed.
func portClosed(t *Target, p *ping.Probe) bool {
	if p.ICMP == nil {
		return errors.Is(p.Reason, syscall.ECONNREFUSED)
	}
	return p.ICMP.PortUnreachable() && fromTarget(t, p)
}

// fromTarget reports whether the host that was pinged sent the ICMP error.
func fromTarget(t *Target, p *ping.Probe) bool { return p.ICMP.From.String() == t.Address }

// refusal says what an ICMP error means, and who sent it.
func refusal(t *Target, p *ping.Probe) string {
	switch {
	case portClosed(t, p):
		return "Refused: the port is closed (ICMP port unreachable)"
	case p.ICMP == nil:
		return fmt.Sprintf("Refused: %v (ICMP)", p.Reason)
	}
	text := fmt.Sprintf("From %s: %s", p.ICMP.From, p.ICMP.Words())
	if p.ICMP.TTLExceeded() && t.TTL > 0 {
		text += fmt.Sprintf(" at hop %d", t.TTL)
	}
	if what := firewall(t, p); what != "" {
		text += ": " + what
	}
	return fmt.Sprintf("%s (ICMP type %d code %d)", text, p.ICMP.Type, p.ICMP.Code)
}

// firewall says that somebody has forbidden this, if somebody has.
func firewall(t *Target, p *ping.Probe) string {
	switch {
	case !p.ICMP.Prohibited() && !p.ICMP.PortUnreachable():
		return ""
	case fromTarget(t, p):
		return "a firewall on that host refuses"
	}
	return "a firewall on the way refuses"
}

// advice is the summary's sentence about a kind of refusal.
func (r *Refusal) advice(t *Target, sent uint64) string {
	switch {
	case portClosed(t, &r.Probe) && r.N < sent:
		return fmt.Sprintf("The port was closed for %d of the requests: did the server on port %d stop?", r.N, t.Port)
	case portClosed(t, &r.Probe):
		return fmt.Sprintf("The port is closed: is the server running on port %d?", t.Port)
	}
	return fmt.Sprintf("%s (%d of the requests)", refusal(t, &r.Probe), r.N)
}

// pingWords are what ping writes about an ICMP error, by version, type and code.
var pingWords = map[[3]uint8]string{
	{4, 3, 0}: "Destination Net Unreachable", {4, 3, 1}: "Destination Host Unreachable",
	{4, 3, 2}: "Destination Protocol Unreachable", {4, 3, 3}: "Destination Port Unreachable",
	{4, 3, 4}: "Frag needed and DF set", {4, 3, 6}: "Destination Net Unknown", {4, 3, 7}: "Destination Host Unknown",
	{4, 3, 9}: "Destination Net Prohibited", {4, 3, 10}: "Destination Host Prohibited", {4, 3, 13}: "Packet filtered",
	{4, 11, 0}: "Time to live exceeded", {4, 11, 1}: "Frag reassembly time exceeded",
	{6, 1, 0}: "Destination unreachable: No route", {6, 1, 1}: "Destination unreachable: Administratively prohibited",
	{6, 1, 2}: "Destination unreachable: Beyond scope of source address", {6, 1, 3}: "Destination unreachable: Address unreachable",
	{6, 1, 4}: "Destination unreachable: Port unreachable", {6, 2, 0}: "Packet too big", {6, 3, 0}: "Time exceeded: Hop limit",
}

// pingRefusal returns the host and the words of a refusal, as ping has them.
func pingRefusal(t *Target, p *ping.Probe) (from, words string) {
	if p.ICMP == nil {
		if errors.Is(p.Reason, syscall.ECONNREFUSED) {
			return t.Address, "Destination Port Unreachable"
		}
		return t.Address, "Destination Host Unreachable"
	}
	version := uint8(4)
	if p.ICMP.V6 {
		version = 6
	}
	words = pingWords[[3]uint8{version, p.ICMP.Type, p.ICMP.Code}]
	if words == "" {
		words = fmt.Sprintf("Destination unreachable (type %d code %d)", p.ICMP.Type, p.ICMP.Code)
	}
	return p.ICMP.From.String(), words
}
