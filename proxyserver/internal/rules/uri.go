package rules

import (
	"net/url"
	"strconv"
	"strings"

	"topdown/pkg/httpmsg"
)

// Key returns the primary cache key of a request, its URI. The host has been
// normalised by NormalHost.
func Key(scheme, host, path string) string { return scheme + "://" + host + NormalPath(path) }

// ParseKey returns the key under which the response to a GET of an absolute URI
// is stored; ok is false if it is not an absolute URI with a host. It is how
// the commands that list and purge find what the proxy stored.
func ParseKey(uri string) (key string, ok bool) {
	scheme, rest, ok := strings.Cut(uri, "://")
	if !ok || scheme == "" {
		return "", false
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	scheme = strings.ToLower(scheme)
	path, _, _ := strings.Cut(rest[end:], "#")
	host := rest[:end]
	if host == "" || !httpmsg.IsHost(host) {
		return "", false
	}
	if host = NormalHost(scheme, host); host == "" || host[0] == ':' {
		return "", false
	}
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	return Key(scheme, host, path), true
}

// SplitPort splits "host:port"; the host keeps its brackets. ok is false if
// what follows the colon is no port.
func SplitPort(hostport string) (host, port string, ok bool) {
	end := strings.LastIndexByte(hostport, ']') + 1
	host, port, _ = strings.Cut(hostport[end:], ":")
	host = hostport[:end] + host
	if _, err := strconv.ParseUint(port, 10, 16); err != nil && port != "" {
		return hostport, "", false
	}
	return host, port, true
}

// NormalHost returns a host in lower case, without a port that goes without
// saying (RFC 3986, sections 6.2.2.1 and 6.2.3). scheme is in lower case.
func NormalHost(scheme, host string) string {
	host = strings.ToLower(host)
	name, port, ok := SplitPort(host)
	if !ok {
		return host
	}
	if port != "" && port[0] == '0' {
		if port = strings.TrimLeft(port, "0"); port == "" {
			port = "0" // which no server has
		}
	}
	switch {
	case port == "", port == "80" && scheme == "http", port == "443" && scheme == "https", port == "21" && scheme == "ftp":
		return name
	}
	return name + ":" + port
}

// NormalPath returns a path and query with the percent-encodings of the path in
// upper case (RFC 3986, section 6.2.2.1). The query is the origin's to read and
// stays untouched.
func NormalPath(s string) string {
	end := strings.IndexByte(s, '?')
	if end < 0 {
		end = len(s)
	}
	var b []byte
	for i := 0; i+2 < end; i++ {
		if s[i] != '%' || !isHex(s[i+1]) || !isHex(s[i+2]) {
			continue
		}
		if isLowerHex(s[i+1]) || isLowerHex(s[i+2]) {
			if b == nil {
				b = []byte(s)
			}
			b[i+1], b[i+2] = upperHex(s[i+1]), upperHex(s[i+2])
		}
		i += 2
	}
	if b == nil {
		return s
	}
	return string(b)
}

func isHex(c byte) bool      { return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f' }
func isLowerHex(c byte) bool { return 'a' <= c && c <= 'f' }

func upperHex(c byte) byte {
	if isLowerHex(c) {
		return c - 0x20
	}
	return c
}

// Related returns the keys that a successful unsafe request to key makes
// invalid besides its own: those of Location and Content-Location on the same
// origin (RFC 9111, section 4.4).
func Related(key string, f httpmsg.Fields) []string {
	var keys []string
	for _, name := range []string{"Location", "Content-Location"} {
		for value := range f.Values(name) {
			if k, ok := resolve(key, value); ok && Origin(k) == Origin(key) && k != key {
				keys = append(keys, k)
			}
		}
	}
	return keys
}

// IsOwnLocation reports whether Content-Location says that a response is the
// representation that key names (RFC 9110, section 8.7).
func IsOwnLocation(key string, f httpmsg.Fields) bool {
	k, ok := resolve(key, f.Get("Content-Location"))
	return ok && k == key && f.Count("Content-Location") == 1
}

// resolve returns the key of a URI reference, resolved against that of the
// request. What need not be resolved is left as it is: net/url would write some
// of it in another way.
func resolve(key, ref string) (k string, ok bool) {
	if strings.HasPrefix(ref, "/") && !strings.HasPrefix(ref, "//") {
		ref = Origin(key) + ref
	}
	if scheme, _, ok := strings.Cut(ref, "://"); !ok || strings.ContainsAny(scheme, "/?#") || strings.Contains(ref, "/.") {
		base, err := url.Parse(key)
		if err != nil {
			return "", false
		}
		resolved, err := base.Parse(ref)
		if err != nil {
			return "", false
		}
		ref = resolved.String()
	}
	return ParseKey(ref)
}

// Origin returns scheme, host and port of a key.
func Origin(key string) string {
	scheme, rest, _ := strings.Cut(key, "://")
	host, _, _ := strings.Cut(rest, "/")
	return scheme + "://" + host
}
