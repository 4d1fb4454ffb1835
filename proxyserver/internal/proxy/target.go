package proxy

import (
	"errors"
	"net/url"
	"strings"

	"topdown/pkg/httpmsg"
	"topdown/proxyserver/internal/rules"
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
		Host:   rules.NormalHost(u.Scheme, u.Host),
		Path:   strings.TrimRight(rules.NormalPath(u.EscapedPath()), "/"),
	}, nil
}

// mode is how a request has come in.
type mode int

const (
	forward mode = iota // absolute form
	pathStyle
	reverse
	tunnel // CONNECT
	local  // a file of --local-root, or nothing at all
	itself // OPTIONS *: the proxy is asked about itself
)

// target is what a request asks for.
type target struct {
	mode               mode
	scheme, host, path string // of the origin; for local, path is the file's name
	port               uint16 // of the origin, but in reverse mode
	server             string // where to connect to, if not to host
	login              string // "user:password" of an ftp URL, still encoded
	redirect           string // where a path-style client is sent to instead
}
