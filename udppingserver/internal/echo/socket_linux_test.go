//go:build linux && (amd64 || arm64)

package echo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What has come before the server begins is one batch. Replies that go out as
// one message reach the client as they would one by one.
func TestRepliesInSegments(t *testing.T) {
	messages := []string{"ping 0001", "ping 0002", "ping 0003", "longer than these", "", "", "ping 0004", "ping 0005"}
	messages = append(messages, strings.Repeat("x", maxSegment+1), strings.Repeat("y", maxSegment+1))
	for i := range 10 {
		messages = append(messages, fmt.Sprintf("%0*d%s", 4, i, strings.Repeat("z", maxSegment-4)))
	}
	for _, tt := range []struct {
		name, listen, to string
		noChecksums      bool // and so no segments
	}{
		{"one address", "127.0.0.1:0", "127.0.0.1", false},
		{"all addresses, IPv4", ":0", "127.0.0.1", false},
		{"all addresses, IPv6", ":0", "::1", false},
		{"the system refuses", "127.0.0.1:0", "127.0.0.1", true},
	} {
		play := func(t *testing.T) (sends int) {
			t.Helper()
			s := &Server{Sockets: 1}
			if err := s.Listen(tt.listen); err != nil {
				t.Fatal(err)
			}
			socket := s.shards[0].socket
			if !socket.coalesce {
				t.Skip("this kernel cuts no messages into segments")
			}
			if tt.noChecksums {
				if err := unix.SetsockoptInt(int(socket.fd), unix.SOL_SOCKET, unix.SO_NO_CHECK, 1); err != nil {
					t.Error(err)
				}
			}
			conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(tt.to), s.Addr().Port())))
			if err != nil {
				s.Close()
				t.Skipf("this machine has no %s: %v", tt.to, err)
			}
			defer conn.Close()
			for _, message := range messages {
				send(t, conn, message)
			}
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan error, 1)
			go func() { done <- s.Serve(ctx) }()
			for _, message := range messages {
				if got, ok := receive(t, conn, 10*time.Second); !ok || got != strings.ToUpper(message) {
					t.Errorf("reply %.20q (%d bytes) to %.20q (%d bytes)", got, len(got), message, len(message))
				}
			}
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
			if c := s.Counters(); c.Errors != 0 || c.Answered != uint64(len(messages)) {
				t.Errorf("counters %+v", c)
			}
			if socket.coalesce == tt.noChecksums {
				t.Errorf("replies go as one message: %v", socket.coalesce)
			}
			return socket.toSend
		}
		t.Run(tt.name, func(t *testing.T) {
			const want = 8 // messages handed to the system
			// A machine that delivers a packet so late that it is in a batch of
			// its own says nothing about the number: then play again.
			for try := 1; ; try++ {
				got := play(t)
				if got == want || t.Failed() {
					return
				}
				if try == 10 {
					t.Fatalf("%d messages sent in the last batch, want %d", got, want)
				}
			}
		})
	}
}

// A client that asks in which direction its packets are lost gets each reply as a
// packet of its own: a firewall drops a message that is yet to be cut apart as one.
func TestRepliesWithAReportGoOneByOne(t *testing.T) {
	s := &Server{Sockets: 1}
	if err := s.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	conn := dial(t, s.Addr())
	const requests = 8
	for seq := 1; seq <= requests; seq++ {
		send(t, conn, ext("Ping", seq, 5))
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	for range requests {
		if _, ok := receive(t, conn, 10*time.Second); !ok {
			t.Fatal("a reply is missing")
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if n := s.shards[0].socket.toSend; n != requests {
		t.Errorf("%d messages sent for %d replies", n, requests)
	}
}

// Go's poller would have a thread woken up for each packet, though nobody waits
// for it there.
func TestThePollerDoesNotKnowTheSockets(t *testing.T) {
	s := &Server{Sockets: 2, TCP: true}
	if err := s.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	known := polled(t)
	if len(known) == 0 {
		t.Fatal("the poller knows no socket at all, not even the TCP one")
	}
	for _, sh := range s.shards {
		var info unix.Stat_t
		if err := unix.Fstat(int(sh.socket.fd), &info); err != nil || known[info.Ino] {
			t.Errorf("the poller knows socket %d (%v)", info.Ino, err)
		}
	}
}

// Where packets come soon after replies the socket looks for them before it
// sleeps, and ceases to where it has looked in vain.
func TestLooksBeforeItSleepsWhereThatPays(t *testing.T) {
	s := &Server{Sockets: 1}
	if err := s.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	socket, conn := s.shards[0].socket, dial(t, s.Addr())
	next := func() {
		t.Helper()
		if batch, err := socket.receive(); err != nil || len(batch) != 1 {
			t.Fatalf("received %d, %v", len(batch), err)
		}
	}
	for range retry { // each is there before the socket looks or sleeps
		send(t, conn, "ping")
		next()
	}
	if socket.hope != 1 {
		t.Errorf("hope %d after a series that has found something", socket.hope)
	}
	send(t, conn, "ping")
	next()
	if socket.hope != 2 {
		t.Errorf("hope %d after two", socket.hope)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := socket.receive()
		ended <- err
	}()
	socket.stop()
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	if socket.hope != 0 {
		t.Errorf("hope %d after a vain series", socket.hope)
	}
}

// The kernel's stamps are work, which only a client that asks for them causes.
func TestStampsForThoseWhoAsk(t *testing.T) {
	s := &Server{Sockets: 1}
	conn := dial(t, start(t, s))
	stamps := func() int {
		t.Helper()
		on, err := unix.GetsockoptInt(int(s.shards[0].socket.fd), unix.SOL_SOCKET, unix.SO_TIMESTAMPNS)
		if err != nil {
			t.Fatal(err)
		}
		return on
	}
	for _, tt := range []struct {
		message string
		want    int
	}{{"ping 1 2", 0}, {ext("Ping", 1, 5), 1}, {"ping 2 3", 1}} {
		send(t, conn, tt.message)
		if _, ok := receive(t, conn, 10*time.Second); !ok {
			t.Fatalf("no reply to %q", tt.message)
		}
		if got := stamps(); got != tt.want {
			t.Errorf("stamps %d after %q, want %d", got, tt.message, tt.want)
		}
	}
}

// polled returns the inodes of what this process has given to epoll(7).
func polled(t *testing.T) map[uint64]bool {
	t.Helper()
	files, err := filepath.Glob("/proc/self/fdinfo/*")
	if err != nil {
		t.Fatal(err)
	}
	known := make(map[uint64]bool)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // closed meanwhile
		}
		for _, m := range regexp.MustCompile(`(?m)^tfd:.* ino:([0-9a-f]+)`).FindAllStringSubmatch(string(text), -1) {
			inode, err := strconv.ParseUint(m[1], 16, 64)
			if err != nil {
				t.Fatal(err)
			}
			known[inode] = true
		}
	}
	return known
}
