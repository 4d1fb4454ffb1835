package cache

import (
	"net/url"
	"strings"

	"topdown/pkg/httpmsg"
)

// keyOf returns the primary cache key, the URI: percent-encodings of the path
// in upper case, the query untouched (RFC 3986, section 6.2.2.1). Scheme and
// host have been normalised by whoever made the request.
func keyOf(scheme, host, path string) string {
	return scheme + "://" + host + normalPath(path)
}

func normalPath(path string) string {
	end := strings.IndexByte(path, '?')
	if end < 0 {
		end = len(path)
	}
	for i := 0; i+2 < end; i++ {
		if path[i] == '%' && (isLowerHex(path[i+1]) || isLowerHex(path[i+2])) {
			return upperEscapes(path[:end]) + path[end:]
		}
	}
	return path
}

func isLowerHex(c byte) bool { return 'a' <= c && c <= 'f' }

func upperEscapes(path string) string {
	b := []byte(path)
	for i := 0; i+2 < len(b); i++ {
		if b[i] == '%' && isHex(b[i+1]) && isHex(b[i+2]) {
			for j := i + 1; j <= i+2; j++ {
				if isLowerHex(b[j]) {
					b[j] -= 'a' - 'A'
				}
			}
			i += 2
		}
	}
	return string(b)
}

func isHex(c byte) bool { return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'f' }

// Key returns the key under which the response to a GET of an absolute URI is
// stored; ok is false if it is not an absolute URI with a host. It is how
// the commands that list and purge find what the proxy stored.
func Key(uri string) (key string, ok bool) {
	scheme, rest, ok := strings.Cut(uri, "://")
	if !ok || scheme == "" {
		return "", false
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	host, path := strings.ToLower(rest[:end]), rest[end:]
	path, _, _ = strings.Cut(path, "#")
	if host == "" || !httpmsg.IsHost(host) {
		return "", false
	}
	scheme = strings.ToLower(scheme)
	host = strings.TrimSuffix(host, ":")
	if port, isDefault := map[string]string{"http": ":80", "https": ":443", "ftp": ":21"}[scheme]; isDefault {
		host = strings.TrimSuffix(host, port)
	}
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	return keyOf(scheme, host, path), true
}

// related returns the keys that a successful unsafe request to key makes
// invalid besides its own: those of Location and Content-Location on the same
// origin (RFC 9111, section 4.4).
func related(key string, f httpmsg.Fields) []string {
	var keys []string
	for _, name := range []string{"Location", "Content-Location"} {
		for value := range f.Values(name) {
			for _, k := range locations(key, value) {
				if sameOrigin(k, key) && k != key {
					keys = append(keys, k)
				}
			}
		}
	}
	return keys
}

// locations returns the key of a URI reference, resolved against that of the
// request; nothing if it is none. What need not be resolved is left as it is:
// net/url would write some of it in another way.
func locations(key, ref string) []string {
	if strings.HasPrefix(ref, "/") && !strings.HasPrefix(ref, "//") {
		ref = origin(key) + ref
	}
	if scheme, _, ok := strings.Cut(ref, "://"); !ok || strings.ContainsAny(scheme, "/?#") || strings.Contains(ref, "/.") {
		base, err := url.Parse(key)
		if err != nil {
			return nil
		}
		resolved, err := base.Parse(ref)
		if err != nil {
			return nil
		}
		ref = resolved.String()
	}
	if k, ok := Key(ref); ok {
		return []string{k}
	}
	return nil
}

// sameOrigin compares scheme, host and port of two keys.
func sameOrigin(a, b string) bool { return origin(a) == origin(b) }

func origin(key string) string {
	scheme, rest, _ := strings.Cut(key, "://")
	host, _, _ := strings.Cut(rest, "/")
	return scheme + "://" + host
}

// safe reports whether a method is registered as safe (RFC 9110, section
// 9.2.1 and its registry). An unknown one is not.
func safe(method string) bool {
	switch method {
	case "GET", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "REPORT", "SEARCH", "QUERY":
		return true
	}
	return false
}
