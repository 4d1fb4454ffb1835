package netio

import (
	"bytes"
	"context"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"
)

// pair returns the two ends of a TCP connection.
func pair(t *testing.T, clock *Clock) (ours *Conn, theirs *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	LimitUnsent(ln)
	peer, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	ours = NewConn(conn, clock)
	theirs, _ = peer.(*net.TCPConn)
	t.Cleanup(func() {
		ours.Shut()
		theirs.Close()
	})
	return ours, theirs
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("never: " + what)
		}
	}
}

func TestAlive(t *testing.T) {
	clock := NewClock(t.Context())
	quiet, _ := pair(t, clock)
	if !quiet.Alive() {
		t.Error("a quiet connection is not alive")
	}
	talking, peer := pair(t, clock)
	peer.Write([]byte("HTTP/1.1 200 OK\r\n"))
	waitFor(t, "unasked bytes are noticed", func() bool { return !talking.Alive() })
	ended, peer := pair(t, clock)
	peer.Close()
	waitFor(t, "an end is noticed", func() bool { return !ended.Alive() })
	quiet.Shut()
	if quiet.Alive() {
		t.Error("a closed connection is alive")
	}
}

func TestTimeout(t *testing.T) {
	conn, peer := pair(t, NewClock(t.Context()))
	begin := time.Now()
	conn.Timeout(300 * time.Millisecond)
	if err := conn.Wait(); !IsTimeout(err) {
		t.Fatalf("waiting for nothing: %v", err)
	}
	if d := time.Since(begin); d < 300*time.Millisecond {
		t.Errorf("the timeout struck after %v", d)
	}
	conn.Renew(time.Minute)
	peer.Write([]byte("x"))
	if err := conn.Wait(); err != nil || conn.Buffered() != 1 {
		t.Errorf("after a new timeout: %d bytes, %v", conn.Buffered(), err)
	}
}

// A timeout that strikes while nothing is read or written is over with the next.
func TestTimeoutThatNobodyMet(t *testing.T) {
	conn, peer := pair(t, NewClock(t.Context()))
	conn.Timeout(time.Millisecond)
	waitFor(t, "the timeout strikes", conn.struck.Load)
	conn.Timeout(time.Minute)
	if _, err := conn.Write([]byte("x")); err != nil {
		t.Errorf("write: %v", err)
	}
	peer.Write([]byte("y"))
	if err := conn.Wait(); err != nil {
		t.Errorf("read: %v", err)
	}
	conn.Interrupt()
	conn.Timeout(time.Minute)
	if _, err := conn.Write([]byte("x")); !IsTimeout(err) {
		t.Errorf("after an interruption: %v", err)
	}
}

// collect reads everything that arrives at conn.
func collect(conn net.Conn) <-chan []byte {
	got := make(chan []byte, 1)
	go func() {
		b, err := io.ReadAll(conn)
		if err != nil {
			b = append(b, err.Error()...)
		}
		got <- b
	}()
	return got
}

func TestRelay(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	clock := NewClock(ctx)
	client, browser := pair(t, clock)
	origin, server := pair(t, clock)
	content := bytes.Repeat([]byte("there and back again. "), 50_000)
	ahead := []byte("read ahead ")
	if _, err := browser.Write(ahead); err != nil {
		t.Fatal(err)
	}
	if err := client.Wait(); err != nil {
		t.Fatal(err)
	}
	go func() {
		browser.Write(content)
		browser.CloseWrite()
	}()
	got := collect(server)
	var moved atomic.Int64
	renewed := 0
	if err := Relay(origin, client, &moved, func() { renewed++ }); err != nil {
		t.Fatal(err)
	}
	want := append(ahead, content...)
	if !bytes.Equal(<-got, want) {
		t.Error("other bytes arrived")
	}
	if moved.Load() != int64(len(want)) || renewed == 0 {
		t.Errorf("%d bytes counted, timeout renewed %d times", moved.Load(), renewed)
	}
	// The other direction is still open.
	if _, err := server.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := origin.Wait(); err != nil || origin.Buffered() != 1 {
		t.Errorf("after half a close: %d bytes, %v", origin.Buffered(), err)
	}
}
