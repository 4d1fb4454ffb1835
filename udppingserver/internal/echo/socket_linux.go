//go:build linux && (amd64 || arm64)

package echo

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// batchSize is how many packets one system call fetches at most.
const batchSize = 32

// Segments: replies of one length that follow one another to one client go to
// the system as one message, which it cuts apart (UDP_SEGMENT of udp(7)). On a
// cable they are the same datagrams; the way through the system is walked once.
// But a firewall on this host, or on a virtual link, sees one packet, and drops
// all replies or none: so replies to a client that asks in which direction its
// packets are lost go one by one.
const (
	maxSegment  = 1200 // bytes: fits any link that carries IPv6
	segmentSize = 24   // of the control message, CMSG_SPACE(2)
)

// looks is how often a socket that has just had several packets at once looks
// for more before it sleeps: falling asleep and being woken up costs as much as
// several packets do.
const looks = 24

// socket is a UDP socket that receives and replies in batches, with recvmmsg(2)
// and sendmmsg(2), and without allocation. On a socket bound to all addresses it
// also learns to which one each packet was sent, so that the reply leaves from
// there, and not from whichever address the route back prefers.
type socket struct {
	file *os.File // the socket; it counts its users, so that close is safe
	raw  syscall.RawConn
	addr netip.AddrPort // that it is bound to
	v4   bool           // it takes IPv4 addresses as they are

	in      [batchSize]mmsghdr
	vectors [batchSize]unix.Iovec
	names   [batchSize]unix.RawSockaddrInet6 // large enough for IPv4 too
	control [batchSize][controlSize]byte
	buffers [batchSize][]byte
	packets [batchSize]packet
	out     [2 * batchSize]mmsghdr
	runs    [2 * batchSize][]packet // what is in out

	coalesce bool // the system cuts messages into segments

	// The system calls, as functions made once: made at each call they would
	// have to be allocated.
	receiveCall, sendCall func(fd uintptr) bool
	count                 int  // packets that the last call received or sent
	single                uint // how often in a row it received one
	errno                 syscall.Errno
	toSend, sent          int

	spin   bool // look for packets without ever sleeping
	closed atomic.Bool
}

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	header unix.Msghdr
	length uint32
	_      uint32
}

// controlSize has room for a stamp, an IPv6 address of ours, and segment's.
const (
	stampSize   = 32 // CMSG_SPACE of a struct timespec
	controlSize = stampSize + 40 + segmentSize
)

var sharePort = func(fd uintptr) error {
	return unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
}

// newSocket takes conn over.
func newSocket(conn *net.UDPConn, spin bool) (*socket, error) {
	defer func() { _ = conn.Close() }()
	s := &socket{addr: conn.LocalAddr().(*net.UDPAddr).AddrPort(), spin: spin}
	for i := range s.in {
		s.buffers[i] = make([]byte, maxMessage)
		s.vectors[i].Base = &s.buffers[i][0]
		s.vectors[i].SetLen(maxMessage)
		s.offer(i)
	}
	// A larger buffer bridges the moments in which this process is not
	// running; the system may give less.
	_ = conn.SetReadBuffer(4 << 20)
	var failed error
	raw, err := conn.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { failed = s.setUp(int(fd)) })
	}
	if err = errors.Join(err, failed); err != nil {
		return nil, err
	}
	s.raw, err = s.file.SyscallConn()
	if err != nil {
		return nil, err
	}
	s.receiveCall = func(fd uintptr) bool {
		for s.spin && !s.closed.Load() {
			if s.take(unix.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&s.in[0])), batchSize, unix.MSG_DONTWAIT, 0, 0)) {
				return true
			}
			runtime.Gosched() // whatever else there is to do on this processor
		}
		if s.count > 1 {
			for range looks {
				// This does not wait, so the scheduler need not know of it.
				if s.take(unix.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&s.in[0])), batchSize, unix.MSG_DONTWAIT, 0, 0)) {
					return true
				}
			}
		}
		s.take(unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&s.in[0])), s.most(), unix.MSG_WAITFORONE, 0, 0))
		return true
	}
	s.sendCall = func(fd uintptr) bool {
		if !s.take(unix.RawSyscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&s.out[s.sent])), uintptr(s.toSend-s.sent), unix.MSG_DONTWAIT, 0, 0)) {
			// There is no room for it yet: wait, and let the scheduler know.
			s.take(unix.Syscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&s.out[s.sent])), uintptr(s.toSend-s.sent), 0, 0, 0))
		}
		return true
	}
	return s, nil
}

// setUp makes fd this socket's.
func (s *socket) setUp(fd int) error {
	domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	s.v4 = domain == unix.AF_INET
	if err == nil && s.addr.Addr().IsUnspecified() {
		if s.v4 {
			err = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
		} else {
			err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
		}
	}
	if err != nil {
		return fmt.Errorf("ask for the address that packets are sent to: %w", err)
	}
	_, err = unix.GetsockoptInt(fd, unix.SOL_UDP, unix.UDP_SEGMENT)
	s.coalesce = err == nil
	// When the kernel had a packet, long before this thread runs: what the
	// client is told of the time spent here begins then. No stamps, no harm.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1)
	// The thread waits in recvmmsg itself. The runtime's poller would wake a
	// thread of its own up for each packet, whether anybody waits there or not,
	// and poll(2) would be a second system call. So the socket blocks, and the
	// poller, which knows conn, does not get to know this one. close wakes it.
	own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err == nil {
		err = unix.SetNonblock(own, false)
		s.file = os.NewFile(uintptr(own), "udp")
	}
	return os.NewSyscallError("fcntl", err)
}

// most returns how many packets to fetch at most. Where they come one by one, the
// look for a second one is vain, so that it is taken now and then only.
func (s *socket) most() uintptr {
	if s.count == 1 {
		s.single++
	} else {
		s.single = 0
	}
	if s.single%16 < 8 {
		return batchSize
	}
	return 1
}

// take keeps what a receive returned, and reports whether it got anything.
func (s *socket) take(n, _ uintptr, errno syscall.Errno) bool {
	s.count, s.errno = int(n), errno
	return errno != unix.EAGAIN
}

// close ends a receive that waits, and gives the socket up.
func (s *socket) close() error {
	s.closed.Store(true)
	// It says that the socket is not connected, and wakes those who wait on it.
	_ = s.raw.Control(func(fd uintptr) { _ = unix.Shutdown(int(fd), unix.SHUT_RDWR) })
	return s.file.Close()
}

// offer has the system put the packet at place i into its buffers.
func (s *socket) offer(i int) {
	h := &s.in[i].header
	h.Name = (*byte)(unsafe.Pointer(&s.names[i]))
	h.Namelen = unix.SizeofSockaddrInet6
	h.Iov = &s.vectors[i]
	h.SetIovlen(1)
	h.Control = &s.control[i][0]
	h.SetControllen(controlSize)
}

// receive waits for packets and returns those that have come, none now and then.
// They are valid until the next call.
func (s *socket) receive() ([]packet, error) {
	for i := range s.count { // the others are as they were
		s.offer(i)
	}
	if err := s.raw.Read(s.receiveCall); err != nil || s.closed.Load() {
		s.count = 0
		return nil, net.ErrClosed
	}
	if s.errno == unix.EINTR || s.errno == unix.EAGAIN {
		s.count = 0
		return nil, nil
	}
	if s.errno != 0 {
		s.count = 0
		return nil, fmt.Errorf("recvmmsg: %w", s.errno)
	}
	for i := range s.count {
		m := &s.in[i]
		p := &s.packets[i]
		p.data = s.buffers[i][:m.length]
		p.from = sender(&s.names[i])
		p.came, p.local = stamped(s.control[i][:m.header.Controllen])
		p.unicast = sentToOne(p.local)
		p.copies, p.apart = 0, false
	}
	return s.packets[:s.count], nil
}

// reply sends each packet of the batch back as often as its copies say, and
// returns how many the system would not send.
func (s *socket) reply(batch []packet) (failed int) {
	if len(batch) == 0 {
		return 0
	}
	received := len(batch)
	s.toSend, s.sent = 0, 0
	for len(batch) > 0 {
		run := batch[:s.alike(batch)]
		first := received - len(batch)
		for i := range run {
			s.vectors[first+i].SetLen(len(run[i].data))
		}
		for range run[0].copies {
			out := &s.out[s.toSend]
			*out = s.in[first] // name, vector and control as they came
			out.header.Flags = 0
			out.header.Control = &s.control[first][controlSize-cap(run[0].local)]
			out.header.SetControllen(len(run[0].local))
			if len(run) > 1 {
				out.header.SetIovlen(len(run))
				out.header.SetControllen(s.segment(first, len(run[0].local), len(run[0].data)))
			}
			s.runs[s.toSend] = run
			s.toSend++
		}
		batch = batch[len(run):]
	}
	for s.sent < s.toSend {
		if err := s.raw.Write(s.sendCall); err != nil {
			break // closed
		}
		if s.errno == 0 {
			s.sent += s.count
			continue
		}
		// The first of those left cannot be sent. A device that cannot cut
		// messages apart is one reason.
		if run := s.runs[s.sent]; len(run) > 1 {
			s.coalesce = false
			for i := range run {
				if s.send(&run[i]) != nil {
					failed++
				}
			}
		} else {
			failed++
		}
		s.sent++
	}
	s.count = received
	for i := range received {
		s.vectors[i].SetLen(maxMessage)
	}
	return failed
}

// alike returns how many packets at the head of the batch may be replied to with
// one message: as many as go to the same client, once, and are of one length.
func (s *socket) alike(batch []packet) int {
	head := &batch[0]
	if !s.coalesce || head.apart || head.copies != 1 || len(head.data) == 0 || len(head.data) > maxSegment {
		return 1
	}
	for i := 1; i < len(batch); i++ {
		p := &batch[i]
		if p.copies != 1 || p.apart || len(p.data) != len(head.data) || p.from != head.from || !bytes.Equal(p.local, head.local) {
			return i
		}
	}
	return len(batch)
}

// segment adds to the control messages of packet i, which end at offset at, that
// the message is to be cut into pieces of size bytes. It returns their new end.
func (s *socket) segment(i, at, size int) (end int) {
	local := s.packets[i].local[:at+segmentSize]
	header := (*unix.Cmsghdr)(unsafe.Pointer(&local[at]))
	header.Level, header.Type = unix.SOL_UDP, unix.UDP_SEGMENT
	header.SetLen(unix.CmsgLen(2))
	*(*uint16)(unsafe.Pointer(&local[at+unix.CmsgLen(0)])) = uint16(size)
	return len(local)
}

// send sends one packet.
func (s *socket) send(p *packet) error {
	var to unix.Sockaddr
	if s.v4 {
		to = &unix.SockaddrInet4{Addr: p.from.Addr().As4(), Port: int(p.from.Port())}
	} else {
		zone, _ := strconv.ParseUint(p.from.Addr().Zone(), 10, 32) // as sender put it
		to = &unix.SockaddrInet6{Addr: p.from.Addr().As16(), Port: int(p.from.Port()), ZoneId: uint32(zone)}
	}
	var failed error
	err := s.raw.Write(func(fd uintptr) bool {
		failed = unix.Sendmsg(int(fd), p.data, p.local, to, 0)
		return true
	})
	return errors.Join(err, failed)
}

// keep returns p in a form that outlives the batch, without its data.
func (p *packet) keep() packet {
	kept := *p
	kept.local = append([]byte(nil), p.local...)
	return kept
}

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
