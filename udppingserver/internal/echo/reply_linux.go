//go:build linux && (amd64 || arm64)

package echo

import (
	"bytes"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

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

// reply sends each packet of the batch back as often as its copies say, and
// returns how many the system would not send.
func (s *socket) reply(batch []packet) (failed int) {
	if len(batch) == 0 {
		return 0
	}
	received := len(batch)
	s.toSend = 0
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
	for sent := 0; sent < s.toSend && !s.stopped.Load(); {
		out := s.out[sent:s.toSend]
		n, errno := many(unix.RawSyscall6(unix.SYS_SENDMMSG, s.fd, uintptr(unsafe.Pointer(&out[0])), uintptr(len(out)), unix.MSG_DONTWAIT, 0, 0))
		if errno == unix.EAGAIN {
			// There is no room for it yet: wait, and let the scheduler know.
			n, errno = many(unix.Syscall6(unix.SYS_SENDMMSG, s.fd, uintptr(unsafe.Pointer(&out[0])), uintptr(len(out)), 0, 0, 0))
		}
		if sent += n; errno == 0 {
			continue
		}
		// The first of those left cannot be sent. A device that cannot cut
		// messages apart is one reason.
		if run := s.runs[sent]; len(run) > 1 {
			s.coalesce = false
			for i := range run {
				if s.send(&run[i]) != nil {
					failed++
				}
			}
		} else {
			failed++
		}
		sent++
	}
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
	return unix.Sendmsg(int(s.fd), p.data, p.local, to, 0)
}

// keep returns p in a form that outlives the batch, without its data.
func (p *packet) keep() packet {
	kept := *p
	kept.local = append([]byte(nil), p.local...)
	return kept
}
