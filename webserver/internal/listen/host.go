package listen

import (
	"net"
	"net/netip"
	"os"
	"strings"
)

// IsOwnHost reports whether the value of a Host field is a name that only this
// machine or its own network can have: an address, localhost, a name without a dot,
// the machine's own name as hostname(1) says it, or that with .local. A page
// elsewhere can have its own name point to this machine (DNS rebinding) and would
// then be allowed to read the answers, but it goes by none of these. It could go by
// the machine's name with a domain of its own behind it: such names can be guessed.
func IsOwnHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	if !strings.Contains(host, ".") || strings.HasSuffix(host, ".localhost") {
		return true
	}
	own, err := os.Hostname()
	own = strings.ToLower(own)
	first, _, _ := strings.Cut(own, ".")
	return err == nil && (host == own || host == first+".local")
}
