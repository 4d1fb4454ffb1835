//go:build !linux || !(amd64 || arm64)

package echo

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
)

// socket is a UDP socket that receives one packet at a time.
type socket struct {
	conn   *net.UDPConn
	addr   netip.AddrPort // that it is bound to
	buffer [maxMessage]byte
	batch  [1]packet
}

// sharePort is nil where sockets of one process cannot share a port usefully.
var sharePort func(fd uintptr) error

func newSocket(conn *net.UDPConn, _ bool) (*socket, error) {
	return &socket{conn: conn, addr: conn.LocalAddr().(*net.UDPAddr).AddrPort()}, nil
}

// stop ends a receive that waits, and all later ones.
func (s *socket) stop() { _ = s.conn.Close() }

// close gives the socket up.
func (s *socket) close() { _ = s.conn.Close() }

// stamp does nothing: these systems do not say when a packet came.
func (s *socket) stamp() {}

// receive waits for a packet. It is valid until the next call.
func (s *socket) receive() ([]packet, error) {
	n, from, err := s.conn.ReadFromUDPAddrPort(s.buffer[:])
	if errors.Is(err, syscall.ECONNRESET) {
		return nil, nil // Windows tells of a reply that found its port closed
	}
	if err != nil {
		return nil, err
	}
	s.batch[0] = packet{
		from:    netip.AddrPortFrom(from.Addr().Unmap(), from.Port()),
		data:    s.buffer[:n],
		unicast: true, // the system does not say
	}
	return s.batch[:], nil
}

// reply sends each packet of the batch back as often as its copies say, and
// returns how many the system would not send.
func (s *socket) reply(batch []packet) (failed int) {
	for i := range batch {
		for range batch[i].copies {
			if _, err := s.conn.WriteToUDPAddrPort(batch[i].data, batch[i].from); err != nil {
				failed++
			}
		}
	}
	return failed
}

// send sends one packet.
func (s *socket) send(p *packet) error {
	_, err := s.conn.WriteToUDPAddrPort(p.data, p.from)
	return err
}

// keep returns p in a form that outlives the batch, without its data.
func (p *packet) keep() packet { return *p }
