//go:build linux && (amd64 || arm64)

package echo

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// batchSize is how many packets one system call fetches at most.
const batchSize = 32

// socket is a UDP socket that receives and replies in batches, with recvmmsg(2)
// and sendmmsg(2), and without allocation. On a socket bound to all addresses it
// also learns to which one each packet was sent, so that the reply leaves from
// there, and not from whichever address the route back prefers.
type socket struct {
	conn *net.UDPConn
	raw  syscall.RawConn

	in      [batchSize]mmsghdr
	vectors [batchSize]unix.Iovec
	names   [batchSize]unix.RawSockaddrInet6 // large enough for IPv4 too
	control [batchSize][controlSize]byte
	buffers [batchSize][]byte
	packets [batchSize]packet
	out     [2 * batchSize]mmsghdr

	// The system calls, as functions made once: made at each call they would
	// have to be allocated.
	receiveCall, sendCall func(fd uintptr) bool
	count                 int // packets that the last call received or sent
	errno                 syscall.Errno
	toSend, sent          int
	waiting               [1]unix.PollFd
}

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	header unix.Msghdr
	length uint32
	_      uint32
}

const controlSize = 64

// wakeUp is how often a socket on which nothing comes looks whether it has been
// closed, in milliseconds. It waits in poll(2), on a thread of its own, and not
// in the runtime's poller: that would take some 20 µs longer to wake it up, and
// every client would see them in its RTT.
const wakeUp = 200

var sharePort = func(fd uintptr) error {
	return unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
}

func newSocket(conn *net.UDPConn) (*socket, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	s := &socket{conn: conn, raw: raw}
	for i := range s.in {
		s.buffers[i] = make([]byte, maxMessage)
		s.vectors[i].Base = &s.buffers[i][0]
		s.vectors[i].SetLen(maxMessage)
	}
	if conn.LocalAddr().(*net.UDPAddr).IP.IsUnspecified() {
		var failed error
		err := raw.Control(func(fd uintptr) {
			if domain, _ := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_DOMAIN); domain == unix.AF_INET {
				failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
			} else {
				failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
			}
		})
		if err = errors.Join(err, failed); err != nil {
			return nil, fmt.Errorf("ask for the address that packets are sent to: %w", err)
		}
	}
	// A larger buffer bridges the moments in which this process is not
	// running; the system may give less.
	_ = conn.SetReadBuffer(4 << 20)
	s.receiveCall = func(fd uintptr) bool {
		for range 2 {
			n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&s.in[0])), batchSize, unix.MSG_DONTWAIT, 0, 0)
			s.count, s.errno = int(n), errno
			if errno != unix.EAGAIN {
				return true
			}
			s.waiting[0] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
			_, _ = unix.Poll(s.waiting[:], wakeUp) // nothing, or an error: the same
		}
		s.count, s.errno = 0, 0
		return true
	}
	s.sendCall = func(fd uintptr) bool {
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&s.out[s.sent])), uintptr(s.toSend-s.sent), unix.MSG_DONTWAIT, 0, 0)
		s.count, s.errno = int(n), errno
		return errno != unix.EAGAIN
	}
	return s, nil
}

// receive waits for packets and returns those that have come, none now and then.
// They are valid until the next call.
func (s *socket) receive() ([]packet, error) {
	for i := range s.in {
		h := &s.in[i].header
		h.Name = (*byte)(unsafe.Pointer(&s.names[i]))
		h.Namelen = unix.SizeofSockaddrInet6
		h.Iov = &s.vectors[i]
		h.SetIovlen(1)
		h.Control = &s.control[i][0]
		h.SetControllen(controlSize)
	}
	if err := s.raw.Read(s.receiveCall); err != nil {
		return nil, err
	}
	if s.errno != 0 {
		return nil, fmt.Errorf("recvmmsg: %w", s.errno)
	}
	for i := range s.count {
		m := &s.in[i]
		p := &s.packets[i]
		p.data = s.buffers[i][:m.length]
		p.from = sender(&s.names[i])
		p.local = s.control[i][:m.header.Controllen]
		p.unicast = sentToOne(p.local)
		p.copies = 0
	}
	return s.packets[:s.count], nil
}

// reply sends each packet of the batch back as often as its copies say, and
// returns how many the system would not send.
func (s *socket) reply(batch []packet) (failed int) {
	s.toSend, s.sent = 0, 0
	for i := range batch {
		for range batch[i].copies {
			s.vectors[i].SetLen(len(batch[i].data))
			s.out[s.toSend] = s.in[i] // name, vector and control as they came
			s.out[s.toSend].header.Flags = 0
			s.toSend++
		}
	}
	for s.sent < s.toSend {
		if err := s.raw.Write(s.sendCall); err != nil {
			break // closed
		}
		if s.errno != 0 { // the first of those left cannot be sent
			s.sent++
			failed++
			continue
		}
		s.sent += s.count
	}
	for i := range batch {
		s.vectors[i].SetLen(maxMessage)
	}
	return failed
}

// send sends one packet that was kept.
func (s *socket) send(p *packet) {
	// What cannot be sent is lost, which is what networks do.
	_, _, _ = s.conn.WriteMsgUDPAddrPort(p.data, p.local, p.from)
}

// keep returns p in a form that outlives the batch, without its data.
func (p *packet) keep() packet {
	kept := *p
	kept.local = append([]byte(nil), p.local...)
	return kept
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
