//go:build linux && (amd64 || arm64)

package echo

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// batchSize is how many packets one system call fetches at most.
const batchSize = 32

// Before it sleeps a socket looks for packets some times, 3 µs or so in all, where
// that has paid lately: to fall asleep and be woken up costs more than to answer.
const (
	looks   = 16 // in a series
	vain    = 4  // series that found something make up for one that did not
	maxHope = 32 // series to come, at most
	retry   = 64 // without hope so many receives later it tries again
)

// socket is a UDP socket that receives and replies in batches, with recvmmsg(2)
// and sendmmsg(2), and without allocation. On a socket bound to all addresses it
// also learns to which one each packet was sent, so that the reply leaves from
// there, and not from whichever address the route back prefers.
type socket struct {
	fd   uintptr
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

	count  int  // packets that the last receive returned
	single uint // how often in a row that was one
	hope   int  // series of looks to come
	waits  uint // receives so far
	toSend int  // messages in out

	stamps   bool // the kernel stamps what comes
	coalesce bool // the system cuts messages into segments
	spin     bool // look for packets without ever sleeping
	stopped  atomic.Bool
}

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	header unix.Msghdr
	length uint32
	_      uint32
}

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
	return s, errors.Join(err, failed)
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
	// The thread waits in recvmmsg itself. The runtime's poller would wake a
	// thread of its own up for each packet, whether anybody waits there or not,
	// and poll(2) would be a second system call. So the socket blocks, and the
	// poller, which knows conn, does not get to know this one. stop wakes it.
	own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	s.fd = uintptr(own)
	return os.NewSyscallError("fcntl", unix.SetNonblock(own, false))
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

// stop ends a receive that waits, and all later ones.
func (s *socket) stop() {
	s.stopped.Store(true)
	// It says that the socket is not connected, and wakes those who wait on it.
	_ = unix.Shutdown(int(s.fd), unix.SHUT_RDWR)
}

// close gives the socket up. Nobody may be using it any more: see stop.
func (s *socket) close() { _ = unix.Close(int(s.fd)) }

// stamp has the kernel stamp what comes from now on. It has a packet long before
// this thread runs: what a client is told of the time spent here begins then. No
// stamps, no harm; where nobody asks they are but work.
func (s *socket) stamp() {
	if !s.stamps {
		s.stamps = true
		_ = unix.SetsockoptInt(int(s.fd), unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1)
	}
}

// offer has the system put its next packet i into our buffers.
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
	var errno syscall.Errno
	s.count, errno = s.wait()
	switch {
	case s.stopped.Load():
		return nil, net.ErrClosed
	case errno == unix.EINTR:
		return nil, nil
	case errno != 0:
		return nil, fmt.Errorf("recvmmsg: %w", errno)
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

// wait waits for packets, and returns how many there are.
func (s *socket) wait() (count int, errno syscall.Errno) {
	most := s.most()
	for s.spin && !s.stopped.Load() {
		if count, errno = s.look(most); errno != unix.EAGAIN {
			return count, errno
		}
		runtime.Gosched() // whatever else there is to do on this processor
	}
	if s.waits++; s.hope > 0 || s.count > 1 || s.waits%retry == 0 {
		for range looks {
			if count, errno = s.look(most); errno != unix.EAGAIN {
				s.hope = min(s.hope+1, maxHope)
				return count, errno
			}
		}
		s.hope = max(s.hope-vain, 0)
	}
	return many(unix.Syscall6(unix.SYS_RECVMMSG, s.fd, uintptr(unsafe.Pointer(&s.in[0])), most, unix.MSG_WAITFORONE, 0, 0))
}

// look is wait without waiting: where there are none, errno is EAGAIN.
func (s *socket) look(most uintptr) (count int, errno syscall.Errno) {
	// The scheduler need not know of a call that does not wait.
	return many(unix.RawSyscall6(unix.SYS_RECVMMSG, s.fd, uintptr(unsafe.Pointer(&s.in[0])), most, unix.MSG_DONTWAIT, 0, 0))
}

// many is what recvmmsg and sendmmsg return: how many packets, or why none.
func many(n, _ uintptr, errno syscall.Errno) (int, syscall.Errno) {
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}
