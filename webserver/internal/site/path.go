package site

import (
	"errors"
	"net/url"
	"strings"
	"unicode/utf8"
)

// ErrBadPath is what CleanPath returns for a path that is answered with 400.
var ErrBadPath = errors.New("bad path")

// CleanPath percent-decodes the path of a URL, once, and removes "." and ".."
// segments and doubled slashes (RFC 3986, sections 2.1 and 5.2.4). The result
// begins with "/" and ends with one if the path did. ErrBadPath is for bad
// escapes, control characters, what is no UTF-8, an encoded slash, a backslash
// in either form, and for ".." above the root.
func CleanPath(escaped string) (string, error) {
	if !strings.HasPrefix(escaped, "/") {
		return "", ErrBadPath
	}
	if isClean(escaped) {
		return escaped, nil
	}
	decoded, err := decode(escaped)
	if err != nil {
		return "", err
	}
	var kept []string
	segments := strings.Split(decoded, "/")[1:]
	for _, segment := range segments {
		switch segment {
		case "", ".":
		case "..":
			if len(kept) == 0 {
				return "", ErrBadPath
			}
			kept = kept[:len(kept)-1]
		default:
			kept = append(kept, segment)
		}
	}
	clean := "/" + strings.Join(kept, "/")
	// "/a/", "/a/." and "/a/b/.." name a directory.
	if last := segments[len(segments)-1]; len(kept) > 0 && (last == "" || last == "." || last == "..") {
		clean += "/"
	}
	return clean, nil
}

// isClean reports whether CleanPath would return s as it is: the usual case.
func isClean(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c <= ' ' || c >= 0x7f || c == '%' || c == '\\' {
			return false
		}
		if c == '/' && i+1 < len(s) && (s[i+1] == '/' || s[i+1] == '.') {
			return false
		}
	}
	return true
}

func decode(s string) (string, error) {
	decoded, err := url.PathUnescape(s)
	if err != nil || strings.Count(decoded, "/") > strings.Count(s, "/") || !utf8.ValidString(decoded) {
		return "", ErrBadPath
	}
	bad := func(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' }
	if strings.ContainsFunc(decoded, bad) {
		return "", ErrBadPath
	}
	return decoded, nil
}

// EscapePath is the inverse of CleanPath for use in a Location field: bytes
// that may not stand in a path are percent-encoded. A clean path has one
// leading slash, so the result is never taken for "//host".
func EscapePath(clean string) string { return (&url.URL{Path: clean}).EscapedPath() }

// hidden reports whether a clean path has a segment that begins with a dot.
// Only /.well-known may be seen (RFC 8615).
func hidden(p string) bool {
	p = strings.TrimPrefix(p, "/.well-known/")
	return p != "/.well-known" && (strings.HasPrefix(p, ".") || strings.Contains(p, "/."))
}
