// Package freeport finds ports for the servers of tests that must be told one
// before they start.
package freeport

import (
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
)

// Take returns a port of 127.0.0.1 that is free, for TCP and UDP, and is left to the
// test until it ends, also where its server stops and starts again. The system gives
// it to nobody, as it is below those for ":0" and for outgoing connections; and a
// test of another process that calls this gets another.
func Take(tb testing.TB) int {
	tb.Helper()
	for range 1000 {
		port := 20000 + rand.IntN(6000)
		// The sign for other processes that it is taken: the UDP port 6000 above.
		sign, err := net.ListenPacket("udp4", at(port+6000))
		if err != nil {
			continue
		}
		if free(port) {
			tb.Cleanup(func() { sign.Close() })
			return port
		}
		sign.Close()
	}
	tb.Fatal("no port of 20000 to 25999 is free")
	return 0
}

func at(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

func free(port int) bool {
	tcp, err := net.Listen("tcp4", at(port))
	if err != nil {
		return false
	}
	defer tcp.Close()
	udp, err := net.ListenPacket("udp4", at(port))
	if err != nil {
		return false
	}
	udp.Close()
	return true
}
