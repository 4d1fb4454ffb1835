package proxy

import (
	"errors"
	"net/netip"
	"net/url"
	"path"
	"strconv"
	"strings"

	"topdown/pkg/httpmsg"
)

// Upstream is the one origin of reverse mode.
type Upstream struct {
	Scheme string // "http" or "https"
	Host   string // lower case, default port dropped
	Path   string // goes in front of every request's path; "" or without a "/" at its end
}

// ParseUpstream reads the URL of the one origin.
func ParseUpstream(s string) (*Upstream, error) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" ||
		u.User != nil || u.RawQuery != "" || u.Fragment != "" || !httpmsg.IsHost(u.Host) {
		return nil, errors.New("use http://host[:port][/path] or https://…")
	}
	return &Upstream{
		Scheme: u.Scheme,
		Host:   normalHost(u.Scheme, u.Host),
		Path:   strings.TrimRight(normalPath(u.EscapedPath()), "/"),
	}, nil
}

// way is how a request has come in.
type way int

const (
	forward way = iota // absolute form
	pathStyle
	reverse
	local  // a file of --local-root, or nothing at all
	itself // OPTIONS *: the proxy is asked about itself
)

// where is what a request asks for.
type where struct {
	way                way
	scheme, host, path string // of the origin; for local, path is the file's name
	login              string // "user:password" of an ftp URL, still encoded
	redirect           string // where a path-style client is sent to instead
}

// locate finds the origin that a request is meant for. The key of the cache is
// made of the result, so two spellings of one URI become one here.
func (s *Server) locate(req *httpmsg.Request) (where, error) {
	target, err := httpmsg.ParseTarget(req.Method, req.Target)
	if err != nil {
		return where{}, err
	}
	if s.Upstream != nil {
		return s.locateReverse(req, target)
	}
	switch target.Form {
	case httpmsg.AbsoluteForm:
		return absolute(req.Target, target)
	case httpmsg.AsteriskForm:
		return where{way: itself}, nil
	default:
		return s.locatePath(req, target)
	}
}

func (s *Server) locateReverse(req *httpmsg.Request, target httpmsg.Target) (where, error) {
	w := where{way: reverse, scheme: s.Upstream.Scheme, host: s.Upstream.Host}
	switch target.Form {
	case httpmsg.AsteriskForm:
		w.path = "*"
	case httpmsg.AbsoluteForm:
		_, rest, _ := strings.Cut(req.Target, "://")
		w.path = s.Upstream.Path + pathOf(rest)
	default:
		w.path = normalPath(req.Target)
		if s.Upstream.Path != "" {
			w.path = s.Upstream.Path + w.path
		}
	}
	if s.Upstream.Path != "" && hasDotSegment(w.path) {
		return where{}, badTarget("a dot segment could lead out of what is served here")
	}
	return w, nil
}

// hasDotSegment reports whether a path has "." or ".." for a segment, encoded or
// not.
func hasDotSegment(path string) bool {
	path, _, _ = strings.Cut(path, "?")
	for segment := range strings.FieldsFuncSeq(path, func(r rune) bool { return r == '/' || r == '\\' }) {
		plain := strings.ReplaceAll(strings.ReplaceAll(segment, "%2E", "."), "%2e", ".")
		if plain == "." || plain == ".." {
			return true
		}
	}
	return false
}

func badTarget(reason string) error {
	return &httpmsg.Error{Status: 400, Reason: reason}
}

// absolute is the request of a client that knows of its proxy (RFC 9112,
// section 3.2.2): the URI beats the Host field.
func absolute(raw string, target httpmsg.Target) (where, error) {
	w := where{way: forward, scheme: target.Scheme, host: target.Host}
	switch target.Scheme {
	case "http", "https":
	case "ftp":
		if at := strings.LastIndexByte(w.host, '@'); at >= 0 {
			w.login, w.host = w.host[:at], w.host[at+1:]
		}
	default:
		return where{}, badTarget("only http, https and ftp URLs are understood")
	}
	w.host = normalHost(target.Scheme, w.host)
	if w.host == "" || w.host[0] == ':' {
		return where{}, badTarget("the request target has no valid host")
	}
	if target.Path == "" && !target.HasQuery {
		w.path = "/"
		return w, nil
	}
	_, rest, _ := strings.Cut(raw, "://")
	w.path = pathOf(rest)
	return w, nil
}

// pathOf returns the path and query of what follows "://" in a URI.
func pathOf(rest string) string {
	i := strings.IndexAny(rest, "/?")
	switch {
	case i < 0:
		return "/"
	case rest[i] == '?':
		return "/" + normalPath(rest[i:])
	}
	return normalPath(rest[i:])
}

// locatePath is the path style of the lab: /host[:port]/path, or a whole URL
// after the first slash.
func (s *Server) locatePath(req *httpmsg.Request, target httpmsg.Target) (where, error) {
	raw := req.Target[1:]
	scheme := "http"
	for _, prefix := range []string{"http", "https", "ftp"} {
		// Some clients make one slash of two.
		if rest, ok := cutFold(raw, prefix+":/"); ok {
			scheme, raw = prefix, strings.TrimPrefix(rest, "/")
			break
		}
	}
	end := strings.IndexAny(raw, "/?")
	if end < 0 {
		end = len(raw)
	}
	host := raw[:end]
	if scheme == "http" && len(raw) == len(req.Target)-1 && !s.namesHost(host, target) {
		return s.locateLocal(req, target), s.checkOwnHost(req)
	}
	w := where{way: pathStyle, scheme: scheme}
	if at := strings.LastIndexByte(host, '@'); at >= 0 && scheme == "ftp" {
		w.login, host = host[:at], host[at+1:]
	}
	if host == "" || !httpmsg.IsHost(host) {
		return where{}, badTarget("the path does not begin with a valid host name")
	}
	if w.host = normalHost(scheme, host); w.host == "" || w.host[0] == ':' {
		return where{}, badTarget("the path does not begin with a valid host name")
	}
	w.path = pathOf(raw[end:])
	return w, s.checkOwnHost(req)
}

// checkOwnHost refuses path-style requests that reach a proxy on a loopback
// address under a foreign name: that is a web page that has had its name
// pointed here, to read through the visitor's proxy what only the visitor can
// reach.
func (s *Server) checkOwnHost(req *httpmsg.Request) error {
	name, _, _ := splitPort(req.Fields.Get("Host"))
	s.mu.Lock()
	own := s.own
	s.mu.Unlock()
	if name == "" || !own.Addr().IsLoopback() || strings.EqualFold(name, "localhost") {
		return nil
	}
	if _, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		return nil
	}
	return &httpmsg.Error{Status: 421, Reason: "this proxy serves its own machine only, under the name localhost or an address"}
}

// fileTypes are endings of file names that are no top-level domains: a lone
// first segment that ends so is a file, whatever else it might look like.
var fileTypes = map[string]bool{
	".html": true, ".htm": true, ".txt": true, ".css": true, ".js": true, ".json": true, ".xml": true,
	".png": true, ".jpg": true, ".jpeg": true, ".gif": true, ".svg": true, ".ico": true, ".webp": true,
	".pdf": true, ".php": true, ".asp": true, ".jsp": true, ".cgi": true, ".woff": true, ".woff2": true,
	".mp3": true, ".mp4": true,
}

// namesHost decides whether a first segment is a host: it has a dot, a colon or
// is localhost, and is not a file.
func (s *Server) namesHost(segment string, target httpmsg.Target) bool {
	name, port, ok := splitPort(segment)
	if !ok || segment == "" || !httpmsg.IsHost(segment) {
		// What cannot be a file name either is answered as a bad host.
		return strings.ContainsAny(segment, ":@[")
	}
	if port != "" || strings.EqualFold(name, "localhost") || name[0] == '[' {
		return true
	}
	if s.LocalRoot != nil && len(target.Path) == len(segment)+1 {
		if info, err := s.LocalRoot.Stat(segment); err == nil && info.Mode().IsRegular() {
			return false
		}
	}
	return strings.Contains(strings.Trim(name, "."), ".") && !fileTypes[strings.ToLower(path.Ext(name))]
}

// locateLocal is a path-style request whose first segment is no host: a link
// from a page that was fetched in path style, which meant the root of that
// page's site, or a file.
func (s *Server) locateLocal(req *httpmsg.Request, target httpmsg.Target) where {
	w := where{way: local, path: strings.TrimPrefix(target.Path, "/")}
	if req.Method != "GET" && req.Method != "HEAD" || s.LocalRoot != nil && s.hasLocal(w.path) {
		return w
	}
	referer, ok := strings.CutPrefix(req.Fields.Get("Referer"), "http://"+req.Fields.Get("Host")+"/")
	if !ok || req.Fields.Get("Host") == "" {
		return w
	}
	// Without a Referer of its own, so that this ends here.
	from := httpmsg.Request{Method: "GET", Target: "/" + referer, Fields: httpmsg.Fields{{Name: "Host", Value: req.Fields.Get("Host")}}}
	origin, err := s.locatePath(&from, httpmsg.Target{Path: "/"})
	if err == nil && origin.way == pathStyle {
		w.redirect = pathPrefix(origin) + req.Target
	}
	return w
}

// pathPrefix is how the root of an origin is written in path style.
func pathPrefix(w where) string {
	if w.scheme == "http" {
		return "/" + w.host
	}
	return "/" + w.scheme + "://" + w.host
}

// Normalise returns a URL as the cache spells it: its key.
func Normalise(rawURL string) (string, error) {
	target, err := httpmsg.ParseTarget("GET", rawURL)
	if err != nil || target.Form != httpmsg.AbsoluteForm {
		return "", errors.New("not a URL like http://host/path")
	}
	w, err := absolute(rawURL, target)
	if err != nil {
		return "", err
	}
	return w.scheme + "://" + w.host + w.path, nil
}

func cutFold(s, prefix string) (string, bool) {
	if len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix) {
		return s[len(prefix):], true
	}
	return s, false
}

// splitPort splits "host:port"; the host keeps its brackets.
func splitPort(s string) (host, port string, ok bool) {
	end := strings.LastIndexByte(s, ']')
	i := strings.IndexByte(s[end+1:], ':')
	if i < 0 {
		return s, "", true
	}
	i += end + 1
	if _, err := strconv.ParseUint(s[i+1:], 10, 16); err != nil && s[i+1:] != "" {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

// normalHost returns a host in lower case without a port that goes without
// saying (RFC 3986, sections 6.2.2.1 and 6.2.3).
func normalHost(scheme, host string) string {
	host = strings.ToLower(host)
	name, port, ok := splitPort(host)
	if !ok {
		return host
	}
	if port != "" && port[0] == '0' {
		if port = strings.TrimLeft(port, "0"); port == "" {
			port = "0" // which no server has
		}
	}
	if port == "" || port == "80" && scheme == "http" || port == "443" && scheme == "https" || port == "21" && scheme == "ftp" {
		return name
	}
	return name + ":" + port
}

// normalPath returns a path and query with the percent-encodings of the path in
// upper case (RFC 3986, section 6.2.2.1). The query is the origin's to read and
// stays untouched.
func normalPath(s string) string {
	end := strings.IndexByte(s, '?')
	if end < 0 {
		end = len(s)
	}
	for i := 0; i+2 < end; i++ {
		if s[i] == '%' && anyHex(s[i+1]) && anyHex(s[i+2]) && (lowerHex(s[i+1]) || lowerHex(s[i+2])) {
			return upperEscapes(s[:end]) + s[end:]
		}
	}
	return s
}

func upperEscapes(s string) string {
	b := []byte(s)
	for i := 0; i+2 < len(b); i++ {
		if b[i] == '%' && anyHex(b[i+1]) && anyHex(b[i+2]) {
			b[i+1], b[i+2] = upper(b[i+1]), upper(b[i+2])
			i += 2
		}
	}
	return string(b)
}

func lowerHex(c byte) bool { return 'a' <= c && c <= 'f' }

func anyHex(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f' }

func upper(c byte) byte {
	if lowerHex(c) {
		return c - 0x20
	}
	return c
}
