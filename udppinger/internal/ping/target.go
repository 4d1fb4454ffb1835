package ping

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// DefaultPort is the port of a target that names none: the lab's.
const DefaultPort = 8080

// SplitTarget splits "HOST", "HOST:PORT", "[V6]:PORT" or a bare IPv6 address
// into host and port. An empty host is this one.
func SplitTarget(s string) (host string, port uint16, err error) {
	port = DefaultPort
	if addr, failed := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")); failed == nil {
		return addr.String(), port, nil
	}
	host = s
	if strings.Contains(s, ":") {
		var text string
		if host, text, err = net.SplitHostPort(s); err != nil {
			return "", 0, fmt.Errorf("target %q: HOST[:PORT] is expected; an IPv6 address with a port is written [ADDRESS]:PORT", s)
		}
		n, failed := strconv.ParseUint(text, 10, 16)
		if failed != nil || n == 0 {
			return "", 0, fmt.Errorf("target %q: a port from 1 to 65535 is expected", s)
		}
		port = uint16(n)
	}
	if host == "" {
		host = "127.0.0.1"
	}
	for _, c := range host {
		if c == ' ' || c == '/' || c == utf8.RuneError || !unicode.IsPrint(c) {
			return "", 0, fmt.Errorf("target %q: a host name is expected", host)
		}
	}
	return host, port, nil
}

// Resolve finds the address of a target. Network is "ip4", "ip6", or "ip" for
// either, preferring IPv4, which every lab server speaks. The unspecified address
// means this host, as everywhere on Linux.
func Resolve(ctx context.Context, network, target string) (host string, addr netip.AddrPort, err error) {
	host, port, err := SplitTarget(target)
	if err != nil {
		return "", netip.AddrPort{}, err
	}
	if ip, failed := netip.ParseAddr(host); failed == nil && (network == "ip4" && !ip.Unmap().Is4() || network == "ip6" && !ip.Is6()) {
		return "", netip.AddrPort{}, fmt.Errorf("%s is no IPv%s address", host, network[2:])
	}
	found, err := net.DefaultResolver.LookupNetIP(ctx, network, host)
	if err != nil {
		if failed, ok := errors.AsType[*net.DNSError](err); ok {
			err = errors.New(failed.Err) // without the name, once more, and the resolver's address
		}
		return "", netip.AddrPort{}, fmt.Errorf("find the address of %s: %w", host, err)
	}
	ip := found[0].Unmap()
	for _, other := range found {
		if network == "ip" && !ip.Is4() && other.Unmap().Is4() {
			ip = other.Unmap()
		}
	}
	switch ip {
	case netip.IPv4Unspecified():
		ip = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	case netip.IPv6Unspecified():
		ip = netip.IPv6Loopback()
	}
	return host, netip.AddrPortFrom(ip, port), nil
}
