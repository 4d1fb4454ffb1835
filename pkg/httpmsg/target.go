package httpmsg

import (
	"net/netip"
	"strconv"
	"strings"
)

// Form is one of the four forms of a request target (RFC 9112, section 3.2).
type Form int

// The forms.
const (
	OriginForm    Form = iota // /path?query
	AbsoluteForm              // http://host:port/path?query
	AuthorityForm             // host:port, of CONNECT
	AsteriskForm              // *, of OPTIONS
)

// Target is a request target taken apart. Nothing in it is percent-decoded.
type Target struct {
	Form   Form
	Scheme string // in lower case; "" but in the absolute form
	Host   string // "host" or "host:port"; "" in the origin and asterisk forms
	Path   string // begins with "/" in the origin form; may be "" in the absolute one
	Query  string // what follows "?"
	// HasQuery tells "/a?" from "/a".
	HasQuery bool
}

// ParseTarget takes apart the target of a request with that method. It returns
// an *Error with status 400 for a target that is none of the four forms, or of
// a form that the method does not take.
func ParseTarget(method, target string) (Target, error) {
	switch {
	case method == "CONNECT":
		host, port, ok := cutPort(target)
		if !ok || host == "" || port == "" || !IsHost(target) {
			return Target{}, bad("9112, 3.2", "CONNECT needs a target of the form host:port")
		}
		return Target{Form: AuthorityForm, Host: target}, nil
	case target == "*":
		if method != "OPTIONS" {
			return Target{}, bad("9112, 3.2", "the target * is for OPTIONS only")
		}
		return Target{Form: AsteriskForm}, nil
	case strings.HasPrefix(target, "/"):
		t := Target{Form: OriginForm}
		t.Path, t.Query, t.HasQuery = strings.Cut(target, "?")
		return t, nil
	}
	scheme, rest, ok := strings.Cut(target, "://")
	if !ok || !isScheme(scheme) {
		return Target{}, bad("9112, 3.2", "the request target is neither a path nor a URL")
	}
	t := Target{Form: AbsoluteForm, Scheme: strings.ToLower(scheme)}
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	t.Host = rest[:end]
	// User names in URLs are how look-alike addresses deceive; only ftp, which
	// has no other place for a login, may carry one (RFC 9110, section 4.2.4).
	host := t.Host
	if t.Scheme == "ftp" {
		host = host[strings.LastIndexByte(host, '@')+1:]
	}
	if host == "" || !IsHost(host) {
		return Target{}, bad("9112, 3.2", "the request target has no valid host")
	}
	t.Path, t.Query, t.HasQuery = strings.Cut(rest[end:], "?")
	return t, nil
}

func isScheme(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i] | 0x20
		letter := 'a' <= c && c <= 'z'
		if !letter && (i == 0 || !isDigit(s[i]) && s[i] != '+' && s[i] != '-' && s[i] != '.') {
			return false
		}
	}
	return s != ""
}

// IsHost reports whether s is a valid Host field value: a name, an IPv4 address
// or a bracketed IPv6 address, perhaps with a port, or nothing at all
// (RFC 9110, section 7.2; RFC 3986, section 3.2.2).
func IsHost(s string) bool {
	if s == "" {
		return true
	}
	host, port, ok := cutPort(s)
	if !ok {
		return false
	}
	if port != "" {
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return false
		}
	}
	if strings.HasPrefix(host, "[") {
		addr, err := netip.ParseAddr(host[1 : len(host)-1])
		return err == nil && addr.Is6() && addr.Zone() == ""
	}
	for i := 0; i < len(host); i++ {
		if class[host[i]]&hostByte == 0 {
			return false
		}
		if host[i] == '%' && (i+2 >= len(host) || !isHex(host[i+1]) || !isHex(host[i+2])) {
			return false
		}
	}
	return host != ""
}

// cutPort splits "host:port"; the host keeps its brackets, the port is "" where
// there is none. ok is false when brackets are unbalanced or the port is not
// digits.
func cutPort(s string) (host, port string, ok bool) {
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return "", "", false
		}
		host, s = s[:end+1], s[end+1:]
		if s == "" {
			return host, "", true
		}
		if s[0] != ':' {
			return "", "", false
		}
		port = s[1:]
	} else if host, port, ok = strings.Cut(s, ":"); !ok {
		return host, "", true
	}
	for i := 0; i < len(port); i++ {
		if !isDigit(port[i]) {
			return "", "", false
		}
	}
	return host, port, true
}

func isHex(c byte) bool {
	_, ok := unhex(c)
	return ok
}

func unhex(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}
