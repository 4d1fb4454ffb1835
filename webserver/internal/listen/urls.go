package listen

import (
	"net"
	"net/netip"
	"strconv"
)

// URLs returns the URLs under which a server that listens on addr can be
// opened: localhost first, then the addresses of this machine, IPv4 before
// IPv6. Link-local addresses are left out, since a URL cannot hold their zone.
// For a Unix socket it returns its address in the form that Listen takes.
func URLs(addr net.Addr, scheme string) []string {
	return urls(addr, scheme, machineAddrs)
}

func urls(addr net.Addr, scheme string, machine func() []netip.Addr) []string {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return []string{addr.Network() + ":" + addr.String()}
	}
	at := func(host string) string {
		port := strconv.Itoa(tcp.Port)
		if scheme == "http" && tcp.Port == 80 || scheme == "https" && tcp.Port == 443 {
			return scheme + "://" + host + "/"
		}
		return scheme + "://" + host + ":" + port + "/"
	}
	ip, ok := netip.AddrFromSlice(tcp.IP)
	ip = ip.Unmap()
	switch {
	case ok && !ip.IsUnspecified() && !ip.IsLoopback():
		return []string{at(urlHost(ip))}
	case ok && ip.IsLoopback():
		if ip == netip.MustParseAddr("127.0.0.1") || ip == netip.IPv6Loopback() {
			return []string{at("localhost")}
		}
		return []string{at(urlHost(ip))}
	}
	list := []string{at("localhost")}
	only4 := ip.Is4()
	for _, four := range []bool{true, false} {
		for _, other := range machine() {
			other = other.Unmap()
			if other.Is4() == four && (four || !only4) && other.IsGlobalUnicast() {
				list = append(list, at(urlHost(other)))
			}
		}
	}
	return list
}

func urlHost(ip netip.Addr) string {
	if ip.Is4() {
		return ip.String()
	}
	return "[" + ip.WithZone("").String() + "]"
}

// machineAddrs returns the addresses of the interfaces that are up.
func machineAddrs() []netip.Addr {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil // then only localhost is printed
	}
	var list []netip.Addr
	for _, i := range interfaces {
		if i.Flags&net.FlagUp == 0 || i.Flags&net.FlagLoopback != 0 {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			continue
		}
		for _, addr := range addrs {
			if prefix, err := netip.ParsePrefix(addr.String()); err == nil {
				list = append(list, prefix.Addr())
			}
		}
	}
	return list
}
