package fetch

import (
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"topdown/pkg/httpmsg"
)

// target is where a request goes, and the request.
type target struct {
	addr    string // host:port to connect to
	host    string // for TLS
	tls     bool
	request httpmsg.Request
}

// HandoutURL returns the URL for the three arguments of the textbook's client:
// host, port and the path of a file.
func HandoutURL(host, port, file string) string {
	u := url.URL{Scheme: "http", Host: net.JoinHostPort(strings.Trim(host, "[]"), port), Path: "/" + strings.TrimPrefix(file, "/")}
	return u.String()
}

// newTarget makes the request from the options.
func newTarget(opts *Options) (*target, error) {
	text := opts.URL
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUsage, err)
	}
	t := &target{host: u.Hostname()}
	port := "80"
	switch u.Scheme {
	case "http":
	case "https":
		t.tls, port = true, "443"
	default:
		return nil, fmt.Errorf("%w: the scheme %q is not understood: use http or https", ErrUsage, u.Scheme)
	}
	if u.Port() != "" {
		port = u.Port()
	}
	n, portErr := strconv.ParseUint(port, 10, 16)
	switch {
	case u.User != nil:
		return nil, fmt.Errorf("%w: a user in a URL is seen by everybody: use -H 'Authorization: ...'", ErrUsage)
	case t.host == "" || !httpmsg.IsHost(u.Host):
		return nil, fmt.Errorf("%w: there is no valid host in the URL %q", ErrUsage, opts.URL)
	case portErr != nil || n == 0:
		return nil, fmt.Errorf("%w: %q is not a port: it is a number from 1 to 65535", ErrUsage, port)
	}
	t.addr = net.JoinHostPort(t.host, port)
	t.request = httpmsg.Request{Method: "GET", Target: u.RequestURI(), Minor: 1}
	agent := opts.UserAgent
	if agent == "" {
		agent = "topdown-webserver"
	}
	t.request.Fields = httpmsg.Fields{
		{Name: "Host", Value: u.Host},
		{Name: "User-Agent", Value: agent},
		{Name: "Accept", Value: "*/*"},
		{Name: "Connection", Value: "close"},
	}
	return t, addFields(&t.request.Fields, opts.Fields)
}

// addFields adds fields of the form "Name: value". The first of a name replaces
// one that is sent by default, and "Name:" takes that out.
func addFields(fields *httpmsg.Fields, lines []string) error {
	given := map[string]bool{}
	for _, line := range lines {
		name, value, ok := strings.Cut(line, ":")
		value = httpmsg.TrimOWS(value)
		switch {
		case !ok || !httpmsg.IsToken(name) || !httpmsg.IsValue(value):
			return fmt.Errorf("%w: the field %q is not of the form 'Name: value'", ErrUsage, line)
		case strings.EqualFold(name, "Content-Length"), strings.EqualFold(name, "Transfer-Encoding"):
			return fmt.Errorf("%w: the field %s announces a body, and this request has none", ErrUsage, name)
		}
		key := strings.ToLower(name)
		switch {
		case value == "":
			fields.Del(name)
		case given[key]:
			fields.Add(name, value)
		default:
			fields.Set(name, value)
		}
		given[key] = true
	}
	return nil
}
