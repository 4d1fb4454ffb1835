// Package access decides who may use the proxy and where it may connect:
// client addresses, users and their quotas, host names, target addresses and
// ports. It opens no connection and reads no message; its answers are errors
// whose text can be shown to a client.
package access

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Rules are the address and port rules. Their zero value allows every client,
// no private target, and CONNECT to port 443.
type Rules struct {
	// Clients are the networks whose hosts may use the proxy; none: all.
	Clients []netip.Prefix
	// Private allows targets that are not on the public Internet.
	Private bool
	// Allow are targets allowed whatever they are, Deny targets refused.
	Allow, Deny []netip.Prefix
	// ConnectPorts are the ports that CONNECT may reach besides 443.
	ConnectPorts []uint16
	// ThisMachine has CONNECT reach every port of this machine's loopback
	// addresses: for a proxy that serves nobody else.
	ThisMachine bool
	// WebPorts keeps URLs to 80, 443, TargetPorts and the ports from 1024 on, so
	// that nobody talks to a mail server, say, by way of the proxy.
	WebPorts    bool
	TargetPorts []uint16
	// Hosts are names that must not be asked for; nil: none.
	Hosts *HostList
}

// mailPort is never connected to: a proxy that does is a relay for spam.
const mailPort = 25

var errMail = errors.New("port 25 is never connected to: it is for mail between servers")

// Client returns an error if the client at addr may not use the proxy.
func (r *Rules) Client(addr netip.Addr) error {
	if len(r.Clients) == 0 || contains(r.Clients, addr.Unmap()) {
		return nil
	}
	return errors.New("this address is not among the clients of this proxy")
}

// Host returns an error if the block list has name.
func (r *Rules) Host(name string) error {
	if r.Hosts != nil && r.Hosts.Has(name) {
		return errors.New("this host is on the proxy's block list")
	}
	return nil
}

// Connect returns an error if CONNECT may not reach port of the host name.
func (r *Rules) Connect(name string, port uint16) error {
	switch {
	case port == mailPort:
		return errMail
	case port == 443, slices.Contains(r.ConnectPorts, port), r.ThisMachine && isThisMachine(name):
		return nil
	}
	return fmt.Errorf("CONNECT to port %d is not allowed (--connect-port %d would allow it)", port, port)
}

// isThisMachine reports whether a host is this machine whatever a resolver says.
func isThisMachine(name string) bool {
	if strings.EqualFold(strings.TrimSuffix(name, "."), "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(strings.Trim(name, "[]"))
	return err == nil && addr.Unmap().IsLoopback()
}

// Port returns an error if a URL of that scheme may not name port.
func (r *Rules) Port(scheme string, port uint16) error {
	switch {
	case port == mailPort:
		return errMail
	case !r.WebPorts, port >= 1024, port == 80, port == 443, port == 21 && scheme == "ftp", slices.Contains(r.TargetPorts, port):
		return nil
	}
	return fmt.Errorf("port %d does not speak HTTP as a rule (--target-port %d would allow it)", port, port)
}

// Target returns an error if addr must not be connected to. It does not tell the
// address: what a name stands for inside is nobody's business outside.
func (r *Rules) Target(addr netip.AddrPort) error {
	ip := addr.Addr().Unmap().WithZone("") // no network has a zone
	switch {
	case addr.Port() == mailPort:
		return errMail
	case !ip.IsValid():
		return nil // not known here
	case contains(r.Deny, ip), contains(r.Deny, embedded(ip)):
		return errors.New("it is one that the operator has forbidden")
	case contains(r.Allow, ip), r.Private:
		return nil
	case !Public(ip):
		return errors.New("it is not on the public Internet")
	}
	return nil
}

func contains(list []netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// reserved are the networks that do not lie on the public Internet (the IANA
// special-purpose registries, RFC 6890 and its successors).
var reserved = func() (list []netip.Prefix) {
	for _, s := range []string{
		"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
		"192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",
		"198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
		"::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "3fff::/20", "5f00::/16",
		"fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
	} {
		list = append(list, netip.MustParsePrefix(s))
	}
	return list
}()

var (
	nat64  = netip.MustParsePrefix("64:ff9b::/96")
	sixTo4 = netip.MustParsePrefix("2002::/16")
	global = netip.MustParsePrefix("2000::/3") // all that is given out so far
)

// embedded returns the IPv4 address within an IPv6 one (NAT64, 6to4), and any
// other as it is.
func embedded(addr netip.Addr) netip.Addr {
	if addr.Is6() {
		b := addr.As16()
		switch {
		case nat64.Contains(addr):
			return netip.AddrFrom4([4]byte(b[12:16]))
		case sixTo4.Contains(addr):
			return netip.AddrFrom4([4]byte(b[2:6]))
		}
	}
	return addr
}

// Public reports whether addr is an address of the public Internet. An IPv4
// address within an IPv6 one (mapped, NAT64, 6to4) is judged as itself.
func Public(addr netip.Addr) bool {
	addr = embedded(addr.Unmap().WithZone(""))
	if !addr.IsValid() || addr.Is6() && !global.Contains(addr) {
		return false
	}
	return !contains(reserved, addr)
}

// ParsePrefix reads "network/bits" or a single address.
func ParsePrefix(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is neither an address nor a network like 192.0.2.0/24", s)
	}
	if addr := prefix.Addr(); addr.Is4In6() {
		if prefix.Bits() < 96 {
			return netip.Prefix{}, fmt.Errorf("%q is a network of IPv4 addresses, and too wide for one", s)
		}
		prefix = netip.PrefixFrom(addr.Unmap(), prefix.Bits()-96)
	}
	return prefix.Masked(), nil
}
