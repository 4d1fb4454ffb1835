package server

import (
	"iter"
	"net/netip"
	"slices"
	"strings"

	"topdown/pkg/httpmsg"
)

// forwarded is what a trusted proxy says of the client behind it.
type forwarded struct {
	client netip.Addr // invalid if it does not say
	host   string     // "" if it does not say
}

// hop is what one proxy says of who sent it the request.
type hop struct{ node, host string }

// readForwarded reads X-Forwarded-For and its kin or, where there is no such list,
// Forwarded (RFC 7239). Each proxy adds to the end of the list, so that only what
// stands behind the last address that is not trusted itself is believed: a client
// can send such a field, too.
func (s *Server) readForwarded(f httpmsg.Fields) (x forwarded) {
	for x.host = range lastFirst(f, "X-Forwarded-Host") {
		break // the nearest proxy's
	}
	var hops []hop
	for node := range lastFirst(f, "X-Forwarded-For") {
		hops = append(hops, hop{node, x.host})
	}
	if len(hops) == 0 && f.Has("Forwarded") {
		for element := range lastFirst(f, "Forwarded") {
			hops = append(hops, readElement(element))
		}
	}
	for i, hop := range hops {
		addr, ok := parseNode(hop.node)
		if ok || i == 0 {
			x.host = hop.host
		}
		if !ok {
			break
		}
		if x.client = addr; !trusts(s.TrustProxy, addr) {
			break
		}
	}
	if !httpmsg.IsHost(x.host) {
		x.host = ""
	}
	return x
}

// readElement reads what one proxy says in Forwarded: for=192.0.2.1;host=a.example.
func readElement(element string) (h hop) {
	for more := true; more; {
		var pair string
		element, pair, more = cutLast(element, ';')
		name, value, _ := strings.Cut(httpmsg.TrimOWS(pair), "=")
		value = strings.Trim(value, `"`)
		switch strings.ToLower(name) {
		case "for":
			h.node = value
		case "host":
			h.host = value
		}
	}
	return h
}

// lastFirst returns the members of a list, the one that was added last first.
func lastFirst(f httpmsg.Fields, name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		list := strings.Join(slices.Collect(f.Values(name)), ",")
		for more := true; more; {
			var member string
			list, member, more = cutLast(list, ',')
			if member = httpmsg.TrimOWS(member); member != "" && !yield(member) {
				return
			}
		}
	}
}

// cutLast cuts s at the last separator that is in no quoted string. It reads from
// the end: a quote that a client has opened and not closed must not hide what the
// proxies behind it have added.
func cutLast(s string, separator byte) (before, last string, found bool) {
	quoted := false
	for i := len(s) - 1; i >= 0; i-- {
		switch {
		case s[i] == '"':
			quoted = !quoted
		case s[i] == separator && !quoted:
			return s[:i], s[i+1:], true
		}
	}
	return "", s, false
}

// parseNode reads an address, perhaps with a port: 192.0.2.1:80, [2001:db8::1]:80.
func parseNode(text string) (netip.Addr, bool) {
	if addr, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
		return addr.Unmap().WithZone(""), true
	}
	if both, err := netip.ParseAddrPort(text); err == nil {
		return both.Addr().Unmap().WithZone(""), true
	}
	return netip.Addr{}, false
}
