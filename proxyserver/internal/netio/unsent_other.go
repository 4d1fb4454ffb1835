//go:build !linux

package netio

import "net"

// LimitUnsent does nothing where the system has no such bound.
func LimitUnsent(net.Listener) {}
