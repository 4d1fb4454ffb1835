package socket

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// UDP is a UDP socket for messages to and from one target.
//
// It is not connected: a connected one would hide replies from another port. It
// does without the runtime's poller too, which takes the kernel's stamps, queued
// as errors, for errors.
//
// How the stamps work (Documentation/networking/timestamping.rst of Linux): with
// SO_TIMESTAMPING each message that comes carries the wall-clock time at which
// the network stack had it, long before this program is woken up. For each that
// goes, the kernel queues an entry on the socket's error queue with the time at
// which the packet was handed to the device, and with its number
// (SOF_TIMESTAMPING_OPT_ID), which the kernel counts up from 0 with every send.
// OPT_TSONLY leaves the message itself out of that entry. The same queue brings
// ICMP errors (IP_RECVERR), with the message that each is about and the address
// of the host that sent it. So Receive empties the error queue before it looks
// for messages: the stamp of a request is always there before its reply.
type UDP struct {
	fd     int
	wake   int // an eventfd that ends a Receive
	target unix.Sockaddr
	buffer []byte
	oob    []byte
	spin   bool
	closed atomic.Bool

	// The kernel numbers the messages that it stamps from 0: message number 0
	// has the tag first. A send that fails may have used up a number or not,
	// depending on where it failed; then renumber makes the next one number 0.
	first    atomic.Uint64
	renumber bool
}

// stampFlags asks for the time at which the kernel took a message in, and at
// which it handed one to the device, that with the message's number only.
const stampFlags = unix.SOF_TIMESTAMPING_SOFTWARE | unix.SOF_TIMESTAMPING_RX_SOFTWARE |
	unix.SOF_TIMESTAMPING_TX_SOFTWARE | unix.SOF_TIMESTAMPING_OPT_TSONLY

// Dial opens a socket to target.
func Dial(target netip.AddrPort, o Options) (*UDP, error) {
	family := unix.AF_INET6
	if target.Addr().Is4() {
		family = unix.AF_INET
	}
	to, err := sockaddr(target)
	if err != nil {
		return nil, dialError(target, err)
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, dialError(target, os.NewSyscallError("socket", err))
	}
	u := &UDP{fd: fd, wake: -1, spin: o.Spin, target: to, buffer: make([]byte, bufferSize), oob: make([]byte, 1024)}
	if err := u.setUp(family, o); err != nil {
		u.release()
		return nil, dialError(target, err)
	}
	return u, nil
}

func (u *UDP) setUp(family int, o Options) (err error) {
	set := func(level, name, value int, what string) {
		if e := unix.SetsockoptInt(u.fd, level, name, value); e != nil && err == nil {
			err = fmt.Errorf("set %s: %w", what, e)
		}
	}
	if family == unix.AF_INET {
		set(unix.IPPROTO_IP, unix.IP_RECVERR, 1, "IP_RECVERR")
		set(unix.IPPROTO_IP, unix.IP_RECVTTL, 1, "IP_RECVTTL")
		if o.TOS > 0 {
			set(unix.IPPROTO_IP, unix.IP_TOS, o.TOS, "the type of service")
		}
		if o.TTL > 0 {
			set(unix.IPPROTO_IP, unix.IP_TTL, o.TTL, "the time to live")
		}
	} else {
		set(unix.IPPROTO_IPV6, unix.IPV6_RECVERR, 1, "IPV6_RECVERR")
		set(unix.IPPROTO_IPV6, unix.IPV6_RECVHOPLIMIT, 1, "IPV6_RECVHOPLIMIT")
		if o.TOS > 0 {
			set(unix.IPPROTO_IPV6, unix.IPV6_TCLASS, o.TOS, "the traffic class")
		}
		if o.TTL > 0 {
			set(unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, o.TTL, "the hop limit")
		}
	}
	if err != nil {
		return err
	}
	_ = unix.SetsockoptInt(u.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 1<<20) // the system may give less
	_ = u.number()                                                       // no stamps, no harm
	if o.Source.IsValid() {
		if err = u.bind(o.Source); err != nil {
			return err
		}
	}
	u.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC)
	return os.NewSyscallError("eventfd", err)
}

func (u *UDP) bind(source netip.AddrPort) error {
	from, err := sockaddr(source)
	if err == nil {
		err = unix.Bind(u.fd, from)
	}
	if err != nil {
		return fmt.Errorf("bind to the source %s: %w", source, err)
	}
	return nil
}

// number has the kernel number its stamps from 0 again.
func (u *UDP) number() error {
	if err := unix.SetsockoptInt(u.fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPING, stampFlags); err != nil {
		return err
	}
	return unix.SetsockoptInt(u.fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPING, stampFlags|unix.SOF_TIMESTAMPING_OPT_ID)
}

// Send sends one message. Tags must follow one another without gaps. An error
// means that this host did not send it.
func (u *UDP) Send(tag uint64, message []byte) error {
	if u.renumber {
		// Whether the kernel counted the message that failed is not known.
		_ = u.number()
		u.renumber = false
		u.first.Store(tag)
	} else if u.first.Load() == 0 {
		u.first.Store(tag)
	}
	var err error
	for range 4 {
		err = unix.Sendto(u.fd, message, unix.MSG_NOSIGNAL, u.target)
		// An ICMP error about an earlier message shows here once, and again
		// in full in the error queue; it does not keep this one from going.
		if err != unix.ECONNREFUSED && err != unix.EHOSTUNREACH && err != unix.EINTR && err != unix.EPROTO {
			break
		}
	}
	if err != nil {
		u.renumber = true
		return os.NewSyscallError("sendto", err)
	}
	return nil
}

// Receive waits for a notice, no longer than until then (os.ErrDeadlineExceeded);
// the zero time is no limit. After Interrupt it returns net.ErrClosed.
func (u *UDP) Receive(until time.Time) (Notice, error) {
	for {
		if u.closed.Load() {
			return Notice{}, net.ErrClosed
		}
		if n, ok := u.receiveError(); ok {
			if n.Kind == Message {
				continue // an error of this host: Send has returned it
			}
			return n, nil
		}
		n, err := u.receiveMessage()
		switch {
		case err == nil:
			return n, nil
		case errors.Is(err, unix.EAGAIN):
			if failed := u.wait(until); failed != nil {
				return Notice{}, failed
			}
		case errors.Is(err, unix.EINTR):
		default:
		}
	}
}

// wait blocks until there is something to receive, the socket is interrupted or
// the time is up; now and then it returns for nothing.
func (u *UDP) wait(until time.Time) error {
	var timeout *unix.Timespec
	if !until.IsZero() {
		left := time.Until(until)
		if left <= 0 {
			return os.ErrDeadlineExceeded
		}
		timeout = new(unix.NsecToTimespec(int64(left)))
	}
	if u.spin {
		runtime.Gosched() // whatever else there is to do on this processor
		return nil
	}
	fds := []unix.PollFd{{Fd: int32(u.fd), Events: unix.POLLIN}, {Fd: int32(u.wake), Events: unix.POLLIN}}
	if _, err := unix.Ppoll(fds, timeout, nil); err != nil && err != unix.EINTR {
		return os.NewSyscallError("ppoll", err)
	}
	return nil
}

func (u *UDP) receiveMessage() (Notice, error) {
	n, oobn, _, from, err := unix.Recvmsg(u.fd, u.buffer, u.oob, unix.MSG_DONTWAIT)
	if err != nil {
		return Notice{}, err
	}
	notice := Notice{Kind: Message, Data: u.buffer[:n], From: addrPort(from), Read: Now()}
	eachControl(u.oob[:oobn], func(level, kind int32, data []byte) {
		switch {
		case level == unix.SOL_SOCKET && kind == unix.SCM_TIMESTAMPING:
			notice.Stamp = stamp(data)
		case level == unix.IPPROTO_IP && kind == unix.IP_TTL, level == unix.IPPROTO_IPV6 && kind == unix.IPV6_HOPLIMIT:
			if len(data) >= 4 {
				notice.TTL = int(binary.NativeEndian.Uint32(data))
			}
		}
	})
	return notice, nil
}

// receiveError takes one entry out of the socket's error queue: a transmit stamp
// or an ICMP error, or, with the kind Message, something else.
func (u *UDP) receiveError() (notice Notice, ok bool) {
	n, oobn, _, _, err := unix.Recvmsg(u.fd, u.buffer, u.oob, unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
	if err != nil {
		return notice, false
	}
	notice = Notice{Kind: Refusal, Data: u.buffer[:n], Read: Now(), Err: errors.New("unknown error")}
	eachControl(u.oob[:oobn], func(level, kind int32, data []byte) {
		switch {
		case level == unix.SOL_SOCKET && kind == unix.SCM_TIMESTAMPING:
			notice.Stamp = stamp(data)
		case level == unix.IPPROTO_IP && kind == unix.IP_RECVERR, level == unix.IPPROTO_IPV6 && kind == unix.IPV6_RECVERR:
			const size = int(unsafe.Sizeof(unix.SockExtendedErr{}))
			if len(data) < size {
				return
			}
			e := (*unix.SockExtendedErr)(unsafe.Pointer(&data[0]))
			switch e.Origin {
			case unix.SO_EE_ORIGIN_TIMESTAMPING:
				notice.Kind, notice.Data = Sent, nil
				notice.Tag = u.first.Load() + uint64(e.Data)
				return
			case unix.SO_EE_ORIGIN_ICMP, unix.SO_EE_ORIGIN_ICMP6:
				notice.From = offender(data[size:])
				notice.Err = &ICMPError{
					From: notice.From.Addr(), Type: e.Type, Code: e.Code,
					V6: e.Origin == unix.SO_EE_ORIGIN_ICMP6, Errno: unix.Errno(e.Errno),
				}
			default:
				notice.Kind = Message
			}
		}
	})
	return notice, true
}

// Drops returns how many messages the socket has had no room for.
func (u *UDP) Drops() uint64 {
	const drops = 8 // SK_MEMINFO_DROPS, the last of nine uint32
	var info [9]uint32
	size := uint32(unsafe.Sizeof(info))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(u.fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 || size < uint32(unsafe.Sizeof(info)) {
		return 0
	}
	return uint64(info[drops])
}

// LocalPort returns the port that the socket sends from, once it has sent.
func (u *UDP) LocalPort() int {
	name, err := unix.Getsockname(u.fd)
	if err != nil {
		return 0
	}
	return int(addrPort(name).Port())
}

// Interrupt makes Receive return net.ErrClosed, now and ever after.
func (u *UDP) Interrupt() {
	u.closed.Store(true)
	_, _ = unix.Write(u.wake, binary.NativeEndian.AppendUint64(nil, 1))
}

// Close gives the socket up. Nobody may be using it any more: see Interrupt.
func (u *UDP) Close() { u.release() }

func (u *UDP) release() {
	_ = unix.Close(u.fd)
	if u.wake >= 0 {
		_ = unix.Close(u.wake)
	}
}

// eachControl calls f for each control message in oob.
func eachControl(oob []byte, f func(level, kind int32, data []byte)) {
	for len(oob) >= unix.SizeofCmsghdr {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&oob[0]))
		size := int(h.Len)
		if size < unix.SizeofCmsghdr || size > len(oob) {
			return
		}
		f(h.Level, h.Type, oob[unix.CmsgLen(0):size])
		oob = oob[min(unix.CmsgSpace(size-unix.CmsgLen(0)), len(oob)):]
	}
}

// stamp reads the first of the three times of SCM_TIMESTAMPING, the kernel's own.
// The other two are a device's; we do not ask for them. The zero time means that
// the kernel took none: it begins with stamps a moment after it was asked to.
func stamp(data []byte) time.Time {
	if len(data) < int(unsafe.Sizeof(unix.Timespec{})) {
		return time.Time{}
	}
	t := (*unix.Timespec)(unsafe.Pointer(&data[0]))
	sec, nsec := t.Unix()
	if sec == 0 {
		return time.Time{}
	}
	return time.Unix(sec, nsec)
}

// offender reads the address of the host that sent an ICMP error.
func offender(data []byte) netip.AddrPort {
	if len(data) < 2 {
		return netip.AddrPort{}
	}
	switch binary.NativeEndian.Uint16(data) {
	case unix.AF_INET:
		if len(data) >= unix.SizeofSockaddrInet4 {
			return netip.AddrPortFrom(netip.AddrFrom4([4]byte(data[4:8])), 0)
		}
	case unix.AF_INET6:
		if len(data) >= 24 {
			return netip.AddrPortFrom(netip.AddrFrom16([16]byte(data[8:24])), 0)
		}
	}
	return netip.AddrPort{}
}

func sockaddr(a netip.AddrPort) (unix.Sockaddr, error) {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}, nil
	}
	to := &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
	if zone := a.Addr().Zone(); zone != "" {
		index, err := strconv.Atoi(zone)
		if err != nil {
			device, err := net.InterfaceByName(zone)
			if err != nil {
				return nil, err
			}
			index = device.Index
		}
		to.ZoneId = uint32(index)
	}
	return to, nil
}

// addrPort returns an address without its zone.
func addrPort(from unix.Sockaddr) netip.AddrPort {
	switch a := from.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port))
	}
	return netip.AddrPort{}
}
