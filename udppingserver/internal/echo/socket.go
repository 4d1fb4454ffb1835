package echo

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"time"
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

// received returns when a packet came, and how long ago that is. now is when this
// program had it.
func (p *packet) received(now time.Time) (at time.Time, ago time.Duration) {
	ago = time.Since(now)
	if p.came == 0 {
		return now, ago
	}
	// Somebody may have set the wall clock in between: then now has to do.
	waited := time.Duration(now.UnixNano() - p.came)
	if waited < 0 || waited > time.Second {
		return now, ago
	}
	return time.Unix(0, p.came), ago + waited
}

// packet is one UDP message and where it is from.
type packet struct {
	from    netip.AddrPort
	data    []byte
	unicast bool // it was sent to one host, not to all
	copies  int  // how often data is to be sent back: 0, 1, 2
	apart   bool // the reply is not to share a message with others

	came int64 // when the kernel had it, ns since 1970 by the wall clock; 0 if not known
	told *told // what a trace is to say; nil without one

	local []byte // which of our addresses it was sent to, as the system puts it
}
