package server

import (
	"net/netip"
	"strings"

	"topdown/pkg/httpmsg"
)

// trusts reports whether what a peer says of the client behind it is believed: it
// is in one of the networks of the server's own proxies, or comes by a Unix socket
// where there are any.
func (s *Server) trusts(addr netip.Addr) bool {
	if !addr.IsValid() {
		return len(s.TrustProxy) > 0
	}
	for _, network := range s.TrustProxy {
		if network.Contains(addr) {
			return true
		}
	}
	return false
}

// forwarded is what a trusted proxy says of the client behind it.
type forwarded struct {
	client netip.Addr // invalid if it does not say
	host   string     // "" if it does not say
}

// readForwarded reads X-Forwarded-For and its kin or, where there are none of
// these, Forwarded (RFC 7239). Each proxy adds to the end of the list, so that only
// what stands behind the last address that is not trusted itself is believed: a
// client can send such a field, too.
func (s *Server) readForwarded(f httpmsg.Fields) (x forwarded) {
	var chain []string
	for member := range f.List("X-Forwarded-For") {
		chain = append(chain, member)
	}
	if len(chain) > 0 || f.Has("X-Forwarded-Host") {
		x.client, _ = s.firstUntrusted(chain)
		for member := range f.List("X-Forwarded-Host") {
			x.host = member // the last one is the nearest proxy's
		}
	} else {
		var hosts []string
		for element := range f.List("Forwarded") {
			node, host := "", ""
			for pair := range strings.SplitSeq(element, ";") {
				name, value, _ := strings.Cut(httpmsg.TrimOWS(pair), "=")
				value = strings.Trim(value, `"`)
				switch strings.ToLower(name) {
				case "for":
					node = value
				case "host":
					host = value
				}
			}
			chain, hosts = append(chain, node), append(hosts, host)
		}
		var at int
		if x.client, at = s.firstUntrusted(chain); len(chain) > 0 {
			x.host = hosts[at]
		}
	}
	if !httpmsg.IsHost(x.host) {
		x.host = ""
	}
	return x
}

// firstUntrusted returns the last address of a chain that is no trusted proxy's,
// and where it stands. What is no address ends the search.
func (s *Server) firstUntrusted(chain []string) (client netip.Addr, at int) {
	for at = len(chain) - 1; at >= 0; at-- {
		addr, ok := parseNode(chain[at])
		if !ok {
			return client, min(at+1, len(chain)-1)
		}
		if client = addr; !s.trusts(addr) {
			return client, at
		}
	}
	return client, 0
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
