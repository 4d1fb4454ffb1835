//go:build linux && (amd64 || arm64)

package echo

import (
	"net/netip"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// controlSize has room for a stamp, an IPv6 address of ours, and segment's.
const (
	stampSize   = 32 // CMSG_SPACE of a struct timespec
	controlSize = stampSize + 40 + segmentSize
)

// stamped takes the kernel's stamp of receipt off the control messages of a
// packet, which may not be sent back; it comes first. 0 means that there is none.
func stamped(control []byte) (came int64, local []byte) {
	if len(control) < stampSize {
		return 0, control
	}
	header := (*unix.Cmsghdr)(unsafe.Pointer(&control[0]))
	if header.Level != unix.SOL_SOCKET || header.Type != unix.SCM_TIMESTAMPNS {
		return 0, control
	}
	at := (*unix.Timespec)(unsafe.Pointer(&control[unix.CmsgLen(0)]))
	return at.Nano(), control[stampSize:]
}

// sender reads the address that a packet came from.
func sender(name *unix.RawSockaddrInet6) netip.AddrPort {
	port := name.Port>>8 | name.Port<<8
	if name.Family == unix.AF_INET {
		v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(name))
		return netip.AddrPortFrom(netip.AddrFrom4(v4.Addr), port)
	}
	addr := netip.AddrFrom16(name.Addr).Unmap()
	if name.Scope_id != 0 && addr.Is6() {
		addr = addr.WithZone(strconv.Itoa(int(name.Scope_id)))
	}
	return netip.AddrPortFrom(addr, port)
}

// sentToOne reads the control message about the address that a packet was sent
// to, and reports whether that is one of ours alone. It also takes out the
// number of the interface, so that the reply may leave by another, unless the
// address has a meaning on that interface only.
func sentToOne(control []byte) bool {
	if len(control) < unix.SizeofCmsghdr {
		return true // bound to one address: nothing else gets here
	}
	header := (*unix.Cmsghdr)(unsafe.Pointer(&control[0]))
	body := control[unix.SizeofCmsghdr:]
	switch {
	case header.Level == unix.IPPROTO_IP && header.Type == unix.IP_PKTINFO && len(body) >= unix.SizeofInet4Pktinfo:
		info := (*unix.Inet4Pktinfo)(unsafe.Pointer(&body[0]))
		info.Ifindex = 0
		return info.Addr == info.Spec_dst
	case header.Level == unix.IPPROTO_IPV6 && header.Type == unix.IPV6_PKTINFO && len(body) >= unix.SizeofInet6Pktinfo:
		info := (*unix.Inet6Pktinfo)(unsafe.Pointer(&body[0]))
		addr := netip.AddrFrom16(info.Addr).Unmap()
		if !addr.IsLinkLocalUnicast() || addr.Is4() {
			info.Ifindex = 0
		}
		// The broadcast address of an IPv4 subnet shows only when the system
		// refuses to send a reply from it.
		return !addr.IsMulticast() && addr != broadcast
	}
	return true
}
