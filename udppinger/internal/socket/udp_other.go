//go:build !linux

package socket

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// UDP is a UDP socket for messages to and from one target. It is connected,
// because that is how these systems tell of ICMP errors; which message one is
// about they do not tell, nor when messages came and went.
type UDP struct {
	conn   *net.UDPConn
	target netip.AddrPort
	buffer []byte
	closed atomic.Bool
	errs   chan error
}

// Dial opens a socket to target.
func Dial(target netip.AddrPort, o Options) (*UDP, error) {
	var local *net.UDPAddr
	if o.Source.IsValid() {
		local = net.UDPAddrFromAddrPort(o.Source)
	}
	conn, err := net.DialUDP("udp", local, net.UDPAddrFromAddrPort(target))
	if err != nil {
		return nil, dialError(target, err)
	}
	if err := settings(conn, target, o); err != nil {
		conn.Close()
		return nil, dialError(target, err)
	}
	return &UDP{conn: conn, target: target, buffer: make([]byte, bufferSize), errs: make(chan error, 1)}, nil
}

func settings(conn *net.UDPConn, target netip.AddrPort, o Options) error {
	var err error
	if o.TOS > 0 && target.Addr().Is4() {
		err = ipv4.NewConn(conn).SetTOS(o.TOS)
	} else if o.TOS > 0 {
		err = ipv6.NewConn(conn).SetTrafficClass(o.TOS)
	}
	if err != nil {
		return fmt.Errorf("set the type of service: %w", err)
	}
	if o.TTL > 0 && target.Addr().Is4() {
		err = ipv4.NewConn(conn).SetTTL(o.TTL)
	} else if o.TTL > 0 {
		err = ipv6.NewConn(conn).SetHopLimit(o.TTL)
	}
	if err != nil {
		return fmt.Errorf("set the time to live: %w", err)
	}
	return nil
}

// Send sends one message. An error means that this host did not send it.
func (u *UDP) Send(_ uint64, message []byte) (err error) {
	for range 4 {
		_, err = u.conn.Write(message)
		if !aboutEarlier(err) {
			break
		}
		select { // tell of it by Receive
		case u.errs <- err:
			_ = u.conn.SetReadDeadline(time.Now())
		default:
		}
	}
	return err
}

// aboutEarlier reports whether an error is an ICMP error about an earlier
// message.
func aboutEarlier(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, syscall.EHOSTUNREACH)
}

// Receive waits for a notice, no longer than until then (os.ErrDeadlineExceeded);
// the zero time is no limit. After Interrupt it returns net.ErrClosed.
func (u *UDP) Receive(until time.Time) (Notice, error) {
	for {
		// First the deadline: Interrupt and Send, which set another, say why
		// before they do.
		_ = u.conn.SetReadDeadline(deadline(until))
		if u.closed.Load() {
			return Notice{}, net.ErrClosed
		}
		select {
		case err := <-u.errs:
			return Notice{Kind: Refusal, Err: errnoOf(err), From: u.target, Read: Now()}, nil
		default:
		}
		n, err := u.conn.Read(u.buffer)
		now := Now()
		switch {
		case err == nil:
			return Notice{Kind: Message, Data: u.buffer[:n], From: u.target, Read: now}, nil
		case aboutEarlier(err):
			return Notice{Kind: Refusal, Err: errnoOf(err), From: u.target, Read: now}, nil
		case errors.Is(err, net.ErrClosed):
			return Notice{}, err
		case !errors.Is(err, os.ErrDeadlineExceeded) || !until.IsZero() && time.Until(until) <= 0:
			return Notice{}, err
		default: // woken by Send or Interrupt
		}
	}
}

// errnoOf returns the system's error alone. Windows calls a closed port a reset.
func errnoOf(err error) error {
	if errors.Is(err, syscall.ECONNRESET) {
		return syscall.ECONNREFUSED
	}
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno
	}
	return err
}

// Drops returns 0: these systems do not say how many messages they had no room
// for.
func (u *UDP) Drops() uint64 { return 0 }

// LocalPort returns the port that the socket sends from.
func (u *UDP) LocalPort() int { return u.conn.LocalAddr().(*net.UDPAddr).Port }

// Interrupt makes Receive return net.ErrClosed, now and ever after.
func (u *UDP) Interrupt() {
	u.closed.Store(true)
	_ = u.conn.SetReadDeadline(time.Now())
}

// Close gives the socket up.
func (u *UDP) Close() { u.conn.Close() }
