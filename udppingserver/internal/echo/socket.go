package echo

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"syscall"
)

// maxMessage is the largest UDP message there can be.
const maxMessage = 65535

// bind opens count UDP sockets that share one address. The first is opened
// alone to begin with, because sockets that share a port would share it with
// another server's too, and half of the pings would go there unseen.
func bind(addr string, count int) (first *net.UDPConn, others []*net.UDPConn, err error) {
	alone, err := net.ListenPacket("udp", addr)
	if err != nil {
		return nil, nil, fmt.Errorf("listen for UDP: %w", err)
	}
	if count <= 1 || sharePort == nil {
		return alone.(*net.UDPConn), nil, nil
	}
	addr = sameAddress(addr, alone.LocalAddr().(*net.UDPAddr).AddrPort())
	alone.Close()
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var failed error
		if err := raw.Control(func(fd uintptr) { failed = sharePort(fd) }); err != nil {
			return err
		}
		return failed
	}}
	for range count {
		conn, err := config.ListenPacket(context.Background(), "udp", addr)
		if err != nil {
			for _, c := range others {
				_ = c.Close()
			}
			return nil, nil, fmt.Errorf("listen for UDP: %w", err)
		}
		others = append(others, conn.(*net.UDPConn))
	}
	return others[0], others[1:], nil
}

// sameAddress returns addr with the port that bound has, which differs if addr
// asks for port 0.
func sameAddress(addr string, bound netip.AddrPort) string {
	host, _, _ := net.SplitHostPort(addr)
	return net.JoinHostPort(host, strconv.Itoa(int(bound.Port())))
}

// packet is one UDP message and where it is from.
type packet struct {
	from    netip.AddrPort
	data    []byte
	unicast bool // it was sent to one host, not to all
	copies  int  // how often data is to be sent back: 0, 1, 2
	apart   bool // the reply is not to share a message with others

	local []byte // which of our addresses it was sent to, as the system puts it
}
