package socket

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"topdown/udppinger/internal/freeport"

	"golang.org/x/sys/unix"
)

func peer(t *testing.T) (*net.UDPConn, netip.AddrPort) {
	t.Helper()
	// A port that refuses once it is closed: nobody else gets it.
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: freeport.Take(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn, conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

func open(t *testing.T, target netip.AddrPort) *UDP {
	t.Helper()
	u, err := Dial(target, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(u.Close)
	return u
}

func TestStampsOfBothWays(t *testing.T) {
	conn, addr := peer(t)
	u := open(t, addr)
	stamped := 0
	// The kernel takes a moment to begin with stamps of receipt.
	for tag := uint64(7); stamped < 3; tag++ {
		if tag > 1000 {
			t.Fatal("the kernel does not say when it took messages in")
		}
		begin := Now()
		if err := u.Send(tag, []byte("ping")); err != nil {
			t.Fatal(err)
		}
		n, err := u.Receive(time.Time{})
		if err != nil || n.Kind != Sent || n.Tag != tag || n.Stamp.Before(begin.Add(-ClockGap)) || n.Stamp.After(n.Read.Add(ClockGap)) {
			t.Fatalf("transmit stamp of %d: %+v, %v", tag, n, err)
		}
		if _, err := conn.WriteToUDPAddrPort([]byte("PONG"), netip.AddrPortFrom(addr.Addr(), uint16(u.LocalPort()))); err != nil {
			t.Fatal(err)
		}
		n, err = u.Receive(time.Time{})
		if err != nil || n.Kind != Message || string(n.Data) != "PONG" || n.From != addr || n.TTL != 64 {
			t.Fatalf("message: %+v, %v", n, err)
		}
		if n.Stamp.After(begin) && n.Stamp.Before(n.Read.Add(ClockGap)) {
			stamped++
		} else {
			time.Sleep(time.Millisecond)
		}
	}
}

func TestRefusalBringsTheMessageBack(t *testing.T) {
	conn, addr := peer(t)
	conn.Close()
	u := open(t, addr)
	if err := u.Send(1, []byte("is anybody there")); err != nil {
		t.Fatal(err)
	}
	for {
		n, err := u.Receive(time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		if n.Kind == Sent {
			continue
		}
		if n.Kind != Refusal || !errors.Is(n.Err, syscall.ECONNREFUSED) || string(n.Data) != "is anybody there" {
			t.Errorf("%+v", n)
		}
		if icmp, ok := errors.AsType[*ICMPError](n.Err); !ok || icmp.From != addr.Addr() || !icmp.PortUnreachable() {
			t.Errorf("the refusal is %v, want port unreachable from %s", n.Err, addr.Addr())
		}
		break
	}
	if err := u.Send(2, []byte("again")); err != nil {
		t.Errorf("the refusal keeps the next message from going: %v", err)
	}
}

func TestDropsAreCounted(t *testing.T) {
	conn, addr := peer(t)
	u := open(t, addr)
	if err := unix.SetsockoptInt(u.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 2048); err != nil {
		t.Fatal(err)
	}
	if err := u.Send(1, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	back := netip.AddrPortFrom(addr.Addr(), uint16(u.LocalPort()))
	for range 100 {
		if _, err := conn.WriteToUDPAddrPort(bytes.Repeat([]byte("x"), 1000), back); err != nil {
			t.Fatal(err)
		}
	}
	if n := u.Drops(); n < 90 || n > 100 {
		t.Errorf("%d drops of 100 messages of 1,000 bytes into a buffer of 4 KiB", n)
	}
}

func TestReceiveUntil(t *testing.T) {
	for _, tt := range []struct {
		name  string
		until time.Time
	}{
		{"soon", time.Now().Add(20 * time.Millisecond)},
		{"over already", time.Now().Add(-time.Hour)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, addr := peer(t)
			u := open(t, addr)
			if n, err := u.Receive(tt.until); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%+v, %v where there is nothing", n, err)
			}
			if time.Now().Before(tt.until) {
				t.Error("it did not wait")
			}
			if err := u.Send(1, []byte("ping")); err != nil {
				t.Fatal(err)
			}
			if n, err := u.Receive(time.Now().Add(-time.Hour)); err != nil || n.Kind != Sent {
				t.Errorf("%+v, %v where there is something", n, err)
			}
		})
	}
}

func TestInterruptEndsReceive(t *testing.T) {
	_, addr := peer(t)
	u := open(t, addr)
	done := make(chan error, 1)
	go func() {
		_, err := u.Receive(time.Time{})
		done <- err
	}()
	u.Interrupt()
	select {
	case err := <-done:
		if !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("Receive goes on")
	}
}

func TestTooLongAMessageIsAnErrorOfThisHost(t *testing.T) {
	_, addr := peer(t)
	u := open(t, addr)
	if err := u.Send(1, make([]byte, 65508)); !errors.Is(err, syscall.EMSGSIZE) {
		t.Errorf("error %v", err)
	}
	if err := u.Send(2, []byte("short")); err != nil {
		t.Fatal(err)
	}
	if n, err := u.Receive(time.Time{}); err != nil || n.Kind != Sent || n.Tag != 2 {
		t.Errorf("the stamp after a failure: %+v, %v", n, err)
	}
}
