package proxy

import (
	"strconv"
	"strings"

	"topdown/proxyserver/internal/rules"
)

func cutFold(s, prefix string) (string, bool) {
	if len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix) {
		return s[len(prefix):], true
	}
	return s, false
}

// portOf returns the port of an origin.
func portOf(scheme, host string) (uint16, error) {
	name, port, ok := rules.SplitPort(host)
	if !ok || name == "" {
		return 0, badTarget("the request target has no valid host")
	}
	if port == "" {
		port = map[string]string{"http": "80", "https": "443", "ftp": "21"}[scheme]
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || number == 0 {
		return 0, badTarget("the request target has no valid port")
	}
	return uint16(number), nil
}

// pathOf returns the path and query of what follows "://" in a URI.
func pathOf(rest string) string {
	i := strings.IndexAny(rest, "/?")
	switch {
	case i < 0:
		return "/"
	case rest[i] == '?':
		return "/" + rules.NormalPath(rest[i:])
	}
	return rules.NormalPath(rest[i:])
}
