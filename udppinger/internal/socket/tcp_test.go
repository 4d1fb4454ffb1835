package socket

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"
)

// A line may come in parts, and the time for a receive be up in between.
func TestLineInParts(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	conn, err := DialTCP(t.Context(), server.Addr().(*net.TCPAddr).AddrPort(), netip.AddrPort{}, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	peer, err := server.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	say := func(text string) {
		t.Helper()
		if _, err := io.WriteString(peer, text); err != nil {
			t.Fatal(err)
		}
	}
	say("PING 1 ")
	for range 2 {
		if n, err := conn.Receive(time.Now().Add(20 * time.Millisecond)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("%q, %v before the end of the line", n.Data, err)
		}
	}
	say("2\nPING 2 2\nPING")
	for _, want := range []string{"PING 1 2", "PING 2 2"} {
		if n, err := conn.Receive(time.Time{}); err != nil || string(n.Data) != want {
			t.Fatalf("%q, %v, want %q", n.Data, err, want)
		}
	}
	peer.Close()
	if _, err := conn.Receive(time.Time{}); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%v for half a line", err)
	}
	conn.Interrupt()
	if _, err := conn.Receive(time.Time{}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("%v after Interrupt", err)
	}
}
