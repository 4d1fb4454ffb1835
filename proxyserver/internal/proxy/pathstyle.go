package proxy

import (
	"net/netip"
	"net/url"
	"path"
	"strings"

	"topdown/pkg/httpmsg"
	"topdown/proxyserver/internal/rules"
)

// locatePath is the path style of the lab: /host[:port]/path, or a whole URL
// after the first slash.
func (s *Server) locatePath(req *httpmsg.Request, parsed httpmsg.Target) (target, error) {
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
	if scheme == "http" && len(raw) == len(req.Target)-1 && !s.namesHost(host, parsed) {
		return s.locateLocal(req, parsed), s.checkOwnHost(req)
	}
	t := target{mode: pathStyle, scheme: scheme}
	if at := strings.LastIndexByte(host, '@'); at >= 0 && scheme == "ftp" {
		t.login, host = host[:at], host[at+1:]
	}
	if host == "" || !httpmsg.IsHost(host) {
		return target{}, badTarget("the path does not begin with a valid host name")
	}
	t.host = rules.NormalHost(scheme, host)
	var err error
	if t.port, err = portOf(scheme, t.host); err != nil {
		return target{}, err
	}
	t.path = pathOf(raw[end:])
	return t, s.checkOwnHost(req)
}

// checkOwnHost refuses path-style requests that reach a proxy on a loopback
// address under a foreign name: that is a web page that has had its name
// pointed here, to read through the visitor's proxy what only the visitor can
// reach.
func (s *Server) checkOwnHost(req *httpmsg.Request) error {
	name, _, _ := rules.SplitPort(req.Fields.Get("Host"))
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
func (s *Server) namesHost(segment string, parsed httpmsg.Target) bool {
	name, port, ok := rules.SplitPort(segment)
	if !ok || segment == "" || !httpmsg.IsHost(segment) {
		// What cannot be a file name either is answered as a bad host.
		return strings.ContainsAny(segment, ":@[")
	}
	if port != "" || strings.EqualFold(name, "localhost") || name[0] == '[' {
		return true
	}
	if s.LocalRoot != nil && len(parsed.Path) == len(segment)+1 {
		if info, err := s.LocalRoot.Stat(segment); err == nil && info.Mode().IsRegular() {
			return false
		}
	}
	return strings.Contains(strings.Trim(name, "."), ".") && !fileTypes[strings.ToLower(path.Ext(name))]
}

// locateLocal is a path-style request whose first segment is no host: a link
// from a page that was fetched in path style, which meant the root of that
// page's site, or a file.
func (s *Server) locateLocal(req *httpmsg.Request, parsed httpmsg.Target) target {
	t := target{mode: local, path: strings.TrimPrefix(parsed.Path, "/")}
	if req.Method != "GET" && req.Method != "HEAD" || s.LocalRoot != nil && s.hasLocal(t.path) {
		return t
	}
	referer, ok := strings.CutPrefix(req.Fields.Get("Referer"), "http://"+req.Fields.Get("Host")+"/")
	if !ok || req.Fields.Get("Host") == "" {
		return t
	}
	// Without a Referer of its own, so that this ends here.
	from := httpmsg.Request{Method: "GET", Target: "/" + referer, Fields: httpmsg.Fields{{Name: "Host", Value: req.Fields.Get("Host")}}}
	origin, err := s.locatePath(&from, httpmsg.Target{Path: "/"})
	if err == nil && origin.mode == pathStyle {
		t.redirect = pathPrefix(origin) + req.Target
	}
	return t
}

// hasLocal reports whether the local root has a regular file of that name.
func (s *Server) hasLocal(name string) bool {
	if !validLocal(name) {
		return false
	}
	info, err := s.LocalRoot.Stat(name)
	return err == nil && info.Mode().IsRegular()
}

// validLocal refuses names that could mean anything but a file below the root:
// encoded bytes, dot segments and hidden files.
func validLocal(name string) bool {
	if name == "" || strings.ContainsAny(name, "%\\\x00:") {
		return false
	}
	for segment := range strings.SplitSeq(name, "/") {
		if segment == "" || segment[0] == '.' {
			return false
		}
	}
	return true
}

// pathPrefix is how the root of an origin is written in path style.
func pathPrefix(t target) string {
	if t.scheme == "http" {
		return "/" + t.host
	}
	return "/" + t.scheme + "://" + t.host
}

// pathField returns the value of a response's field as a path-style client gets
// it, and whether it gets it at all.
func (t target) pathField(field httpmsg.Field) (value string, kept bool) {
	switch strings.ToLower(field.Name) {
	case "set-cookie", "set-cookie2", "clear-site-data", "service-worker-allowed", "alt-svc":
		return "", false // they would speak for the proxy's own host
	case "location":
		return t.pathLocation(field.Value), true
	case "www-authenticate":
		return t.pathChallenge(field.Value), true
	}
	return field.Value, true
}

// pathLocation turns the target of a redirect into path style, so that the
// client stays with the proxy.
func (t target) pathLocation(location string) string {
	home := pathPrefix(t)
	u, err := url.Parse(location)
	if err != nil || strings.Contains(location, "\\") {
		return home + "/" // browsers read more into it than there is
	}
	scheme := u.Scheme
	switch {
	case scheme == "" && u.Host == "" && strings.HasPrefix(location, "/"):
		return home + location
	case scheme == "" && u.Host == "":
		return location
	case scheme == "":
		scheme, location = t.scheme, t.scheme+":"+location
	case scheme != "http" && scheme != "https" && scheme != "ftp":
		return location
	}
	if !httpmsg.IsHost(u.Host) || u.Host == "" {
		return home + "/"
	}
	if scheme == "http" {
		return "/" + location[len("http://"):]
	}
	return "/" + location
}

// pathChallenge gives a Basic challenge a realm that no other site has: browsers
// send a password again to whoever asks with the same realm on the same host,
// and in path style all sites are on one.
func (t target) pathChallenge(challenge string) string {
	for member := range (httpmsg.Fields{{Name: "A", Value: challenge}}).List("A") {
		if scheme, _, _ := strings.Cut(member, " "); strings.EqualFold(scheme, "Basic") {
			return `Basic realm="` + t.scheme + "://" + t.host + `"`
		}
	}
	return challenge
}
