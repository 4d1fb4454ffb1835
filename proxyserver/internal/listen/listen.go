// Package listen words for a user why a server cannot listen on an address: who
// has the port, and what to do instead.
package listen

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// Windows Sockets has numbers of its own for what Unix calls EADDRINUSE,
// EADDRNOTAVAIL and EACCES.
const (
	errInUse   = syscall.Errno(10048)
	errNotHere = syscall.Errno(10049)
	errDenied  = syscall.Errno(10013)
)

// Explain returns err, from listening on addr (host:port), in words for the
// user. typed is what stands before the port where the user types it: the program
// and a space, or with a flag, as in "server --metrics-addr 127.0.0.1:".
func Explain(err error, addr, typed string) error {
	host, port, splitErr := net.SplitHostPort(addr)
	if splitErr != nil {
		return fmt.Errorf("cannot listen on %s: host:port is expected", addr)
	}
	n, _ := strconv.Atoi(port)
	other := fmt.Sprintf("choose another, as in '%s%d'", typed, otherPort(n))
	switch failed, _ := errors.AsType[*net.OpError](err); {
	case errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, errInUse):
		network := "udp"
		if failed != nil {
			network = failed.Net
		}
		return fmt.Errorf("cannot listen on %s: the port is in use by %s; %s", addr, holder(network, n), other)
	case errors.Is(err, os.ErrPermission) || errors.Is(err, errDenied):
		return fmt.Errorf("cannot listen on %s: ports below 1024 are for root; %s, or run: sudo setcap cap_net_bind_service=+ep %s", addr, other, strings.Fields(typed)[0])
	case errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, errNotHere):
		return fmt.Errorf("cannot listen on %s: this machine has no such address", addr)
	case failed != nil:
		if dns, ok := errors.AsType[*net.DNSError](err); ok {
			return fmt.Errorf("cannot listen on %s: %s: %s", addr, host, dns.Err)
		}
		return fmt.Errorf("cannot listen on %s: %w", addr, failed.Err)
	}
	return fmt.Errorf("cannot listen on %s: %w", addr, err)
}

// otherPort returns a port to try instead of one that cannot be had.
func otherPort(port int) int {
	if port < 1024 || port == 65535 {
		return 8080
	}
	return port + 1
}

// nobody stands for a process that cannot be found.
const nobody = "another program"
