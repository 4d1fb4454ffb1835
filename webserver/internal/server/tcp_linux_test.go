package server

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// TestSilentIsNotAccepted: a connection is not accepted before there is something to
// read on it.
func TestSilentIsNotAccepted(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	tune(ln)
	tcp := ln.(*net.TCPListener)
	began := time.Now()
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	_ = tcp.SetDeadline(time.Now().Add(100 * time.Millisecond))
	nc, err := tcp.Accept()
	if time.Since(began) > acceptSilent*time.Second/2 {
		t.Skip("this machine is too busy to tell what was accepted too soon")
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("accepted %v with error %v before a word was said", nc, err)
	}
	if _, err := io.WriteString(client, "GET"); err != nil {
		t.Fatal(err)
	}
	_ = tcp.SetDeadline(time.Now().Add(time.Minute))
	if nc, err = tcp.Accept(); err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	var word [3]byte
	if _, err := io.ReadFull(nc, word[:]); err != nil || string(word[:]) != "GET" {
		t.Errorf("read %q, %v", word[:], err)
	}
}
