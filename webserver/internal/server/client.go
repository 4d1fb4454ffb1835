package server

import "net/netip"

// network is what one client is taken to be: an IPv4 address, or the /64 that
// an IPv6 user usually has to himself.
func network(addr netip.Addr) netip.Addr {
	if addr.Is6() {
		if prefix, err := addr.Prefix(64); err == nil {
			return prefix.Addr()
		}
	}
	return addr
}

// trusts reports whether what a peer says of the client behind it is believed: it
// is in one of the networks of the server's own proxies, or comes by a Unix socket
// where there are any.
func trusts(proxies []netip.Prefix, addr netip.Addr) bool {
	if !addr.IsValid() {
		return len(proxies) > 0
	}
	for _, network := range proxies {
		if network.Contains(addr) {
			return true
		}
	}
	return false
}
