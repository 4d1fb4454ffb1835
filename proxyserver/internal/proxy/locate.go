package proxy

import (
	"errors"
	"strconv"
	"strings"

	"topdown/pkg/httpmsg"
	"topdown/proxyserver/internal/rules"
)

// locate finds the origin that a request is meant for. The key of the cache is
// made of the result, so two spellings of one URI become one here.
func (s *Server) locate(req *httpmsg.Request) (target, error) {
	parsed, err := httpmsg.ParseTarget(req.Method, req.Target)
	if err != nil {
		return target{}, err
	}
	if s.Upstream != nil {
		return s.locateReverse(req, parsed)
	}
	switch parsed.Form {
	case httpmsg.AuthorityForm:
		return locateTunnel(parsed)
	case httpmsg.AbsoluteForm:
		return absolute(req.Target, parsed)
	case httpmsg.AsteriskForm:
		return target{mode: itself}, nil
	default:
		return s.locatePath(req, parsed)
	}
}

func (s *Server) locateReverse(req *httpmsg.Request, parsed httpmsg.Target) (target, error) {
	t := target{mode: reverse, scheme: s.Upstream.Scheme, host: s.Upstream.Host, server: s.Upstream.Host}
	if name := req.Fields.Get("Host"); s.PreserveHost && name != "" {
		t.host = rules.NormalHost(t.scheme, name)
	}
	switch parsed.Form {
	case httpmsg.AuthorityForm:
		return target{}, policy(405, "http_request_denied", "reading the request", errors.New("a reverse proxy has no CONNECT"))
	case httpmsg.AsteriskForm:
		t.path = "*"
	case httpmsg.AbsoluteForm:
		_, rest, _ := strings.Cut(req.Target, "://")
		t.path = s.Upstream.Path + pathOf(rest)
	default:
		t.path = rules.NormalPath(req.Target)
		if s.Upstream.Path != "" {
			t.path = s.Upstream.Path + t.path
		}
	}
	if s.Upstream.Path != "" && hasDotSegment(t.path) {
		return target{}, badTarget("a dot segment could lead out of what is served here")
	}
	return t, nil
}

// hasDotSegment reports whether a path has "." or ".." for a segment, encoded or
// not.
func hasDotSegment(path string) bool {
	path, _, _ = strings.Cut(path, "?")
	for segment := range strings.FieldsFuncSeq(decodeDots.Replace(path), func(r rune) bool { return r == '/' || r == '\\' }) {
		// Some take "..;x" for ".." with a parameter.
		if segment, _, _ = strings.Cut(segment, ";"); segment == "." || segment == ".." {
			return true
		}
	}
	return false
}

// decodeDots decodes what an origin may decode before it looks for dot segments.
// A path has its percent-encodings in upper case here.
var decodeDots = strings.NewReplacer("%2E", ".", "%2F", "/", "%5C", `\`)

// locateTunnel is the host:port of CONNECT (RFC 9110, section 9.3.6).
func locateTunnel(parsed httpmsg.Target) (target, error) {
	_, port, _ := rules.SplitPort(parsed.Host)
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || number == 0 {
		return target{}, badTarget("CONNECT needs a target of the form host:port")
	}
	return target{mode: tunnel, host: rules.NormalHost("", parsed.Host), port: uint16(number)}, nil
}

// absolute is the request of a client that knows of its proxy (RFC 9112,
// section 3.2.2): the URI beats the Host field.
func absolute(raw string, parsed httpmsg.Target) (t target, err error) {
	t = target{mode: forward, scheme: parsed.Scheme, host: parsed.Host}
	switch parsed.Scheme {
	case "http", "https":
	case "ftp":
		if at := strings.LastIndexByte(t.host, '@'); at >= 0 {
			t.login, t.host = t.host[:at], t.host[at+1:]
		}
	default:
		return target{}, badTarget("only http, https and ftp URLs are understood")
	}
	t.host = rules.NormalHost(parsed.Scheme, t.host)
	if t.port, err = portOf(t.scheme, t.host); err != nil {
		return target{}, err
	}
	if parsed.Path == "" && !parsed.HasQuery {
		t.path = "/"
		return t, nil
	}
	_, rest, _ := strings.Cut(raw, "://")
	t.path = pathOf(rest)
	return t, nil
}
