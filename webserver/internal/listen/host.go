package listen

import (
	"net"
	"net/netip"
	"os"
	"strings"
)

// IsOwnHost reports whether the value of a Host field is a name that only this
// machine or its own network can have: an address, localhost, the machine's own
// name, or a name without a dot. A page elsewhere can have its own name point to
// this machine (DNS rebinding) and would then be allowed to read the answers, but
// it goes by none of these.
func IsOwnHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	first, _, dotted := strings.Cut(host, ".")
	if !dotted || strings.HasSuffix(host, ".localhost") {
		return true
	}
	own, err := os.Hostname()
	own, _, _ = strings.Cut(strings.ToLower(own), ".")
	return err == nil && first == own
}
