package proxy

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"topdown/pkg/httpmsg"
	"topdown/proxyserver/internal/access"
	"topdown/proxyserver/internal/exchange"
	"topdown/proxyserver/internal/origin"
)

// TestOneSpelling: two spellings of one URL become one.
func TestOneSpelling(t *testing.T) {
	normalise := func(uri string) (string, error) {
		found, err := new(Server).locate(&httpmsg.Request{Method: "GET", Target: uri})
		if err == nil && found.mode != forward {
			err = io.EOF
		}
		return found.scheme + "://" + found.host + found.path, err
	}

	for in, want := range map[string]string{
		"http://Example.COM":                 "http://example.com/",
		"http://example.com:80/":             "http://example.com/",
		"http://example.com:080/":            "http://example.com/",
		"http://example.com:/":               "http://example.com/",
		"https://example.com:443/a":          "https://example.com/a",
		"https://example.com:80/a":           "https://example.com:80/a",
		"http://example.com/%7e%2f?q=%7e":    "http://example.com/%7E%2F?q=%7e",
		"http://example.com?x":               "http://example.com/?x",
		"http://[2001:DB8::1]:8080/":         "http://[2001:db8::1]:8080/",
		"ftp://user:secret@h.example:21/x":   "ftp://h.example/x",
		"http://example.com/a//b/../c;x?":    "http://example.com/a//b/../c;x?",
		"http://example.com/%zz%4":           "http://example.com/%zz%4",
		"http://example.com/?u=http://other": "http://example.com/?u=http://other",
	} {
		got, err := normalise(in)
		if err != nil || got != want {
			t.Errorf("%s: %q %v, want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"", "example.com", "/x", "file:///etc/passwd", "http://", "http://a b/", "http://a@b/"} {
		if got, err := normalise(in); err == nil {
			t.Errorf("%q is accepted: %q", in, got)
		}
	}
}

// changing is a resolver that gives another answer each time it is asked.
type changing struct {
	answers []string
	asked   atomic.Int64
}

func (c *changing) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	n := int(c.asked.Add(1)) - 1
	var addrs []netip.Addr
	for s := range strings.FieldsSeq(c.answers[min(n, len(c.answers)-1)]) {
		addrs = append(addrs, netip.MustParseAddr(s))
	}
	return addrs, nil
}

func TestPrivateTargets(t *testing.T) {
	for _, tt := range []struct{ name, target, answer string }{
		{"loopback", "http://127.0.0.1:80/", ""},
		{"loopback by name", "http://inside.example/", "127.0.0.1"},
		{"private", "http://10.0.0.1/", ""},
		{"metadata", "http://169.254.169.254/latest/meta-data/", ""},
		{"mapped", "http://[::ffff:127.0.0.1]/", ""},
		{"NAT64", "http://[64:ff9b::a9fe:a9fe]/", ""},
		{"unspecified", "http://0.0.0.0/", ""},
		{"one of several", "http://mixed.example/", "8.8.8.8 192.168.0.1"},
		{"port 25", "http://mail.example:25/", "8.8.8.8"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, proxy := startProxy(t, func(s *Server, o *origin.Options) {
				s.Rules.Private = false
				if tt.answer != "" {
					o.Dialer.Resolver = &changing{answers: []string{tt.answer}}
				}
			})
			for _, request := range []string{
				"GET " + tt.target + " HTTP/1.1\r\nHost: x\r\n\r\n",
				"GET /" + strings.TrimPrefix(tt.target, "http://") + " HTTP/1.1\r\nHost: localhost\r\n\r\n",
			} {
				resp, body := get(t, proxy, request)
				if resp.StatusCode != 403 || !strings.Contains(resp.Header.Get("Proxy-Status"), "error=destination_ip_prohibited") {
					t.Errorf("%q: %d %q", request, resp.StatusCode, body)
				}
			}
		})
	}
}

// The name is looked up once for a connection: an answer that changes to a
// private address between check and use changes nothing.
func TestRebinding(t *testing.T) {
	addr, _ := answering(t, hello)
	port := netip.MustParseAddrPort(addr).Port()
	resolver := &changing{answers: []string{"127.0.0.1", "127.0.0.2"}}
	first := netip.MustParseAddr("127.0.0.1")
	var checked []netip.Addr
	d := &origin.Dialer{Resolver: resolver, Check: func(_ string, a netip.AddrPort) error {
		checked = append(checked, a.Addr())
		if a.Addr() != first {
			return errors.New("private")
		}
		return nil
	}}
	conn, err := d.Dial(t.Context(), "rebind.example", itoa(port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got := conn.RemoteAddr().String(); got != addr || resolver.asked.Load() != 1 || len(checked) != 1 {
		t.Errorf("connected to %s after %d look-ups and checks of %v", got, resolver.asked.Load(), checked)
	}
	// Asked again, it is the private address now, and refused.
	if _, err = d.Dial(t.Context(), "rebind.example", itoa(port)); err == nil {
		t.Error("the second answer was connected to")
	}
	if failure, ok := errors.AsType[*exchange.Error](err); !ok || failure.Status != 403 {
		t.Errorf("error %v", err)
	}
}

func itoa(n uint16) string {
	return strings.TrimPrefix(netip.AddrPortFrom(netip.IPv4Unspecified(), n).String(), "0.0.0.0:")
}

func TestBlockList(t *testing.T) {
	hosts, err := access.ParseHosts(strings.NewReader("ads.example\n"))
	if err != nil {
		t.Fatal(err)
	}
	_, proxy := startProxy(t, func(s *Server, _ *origin.Options) { s.Rules.Hosts = hosts })
	for _, request := range []string{
		"GET http://ads.example/ HTTP/1.1\r\nHost: x\r\n\r\n", "GET http://x.ADS.example./ HTTP/1.1\r\nHost: x\r\n\r\n",
		"CONNECT ads.example:443 HTTP/1.1\r\nHost: x\r\n\r\n", "GET /ads.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
	} {
		if resp, _ := get(t, proxy, request); resp.StatusCode != 403 {
			t.Errorf("%q: %d", request, resp.StatusCode)
		}
	}
}

func FuzzLocate(f *testing.F) {
	for _, seed := range []string{
		"/www.example.com/page", "http://a.example:80/%2f", "/http:/x/", "*", "ftp://u:p@h/x", "/[::1]:80/", "/a:b@c", "//", "https://h?x",
	} {
		f.Add("GET", seed, "localhost")
	}
	server := &Server{Name: "fuzz"}
	f.Fuzz(func(t *testing.T, method, target, host string) {
		req := httpmsg.Request{Method: method, Target: target, Fields: httpmsg.Fields{{Name: "Host", Value: host}, {Name: "Referer", Value: "http://" + host + target}}}
		if target == "" || !httpmsg.IsToken(method) || method == "CONNECT" {
			return
		}
		w, err := server.locate(&req)
		if err != nil || w.mode == local || w.mode == itself {
			return
		}
		if w.host == "" || w.path == "" || w.path[0] != '/' && w.path != "*" || strings.ContainsAny(w.host, "/?@ ") || !httpmsg.IsHost(w.host) {
			t.Errorf("%q leads to %+v", target, w)
		}
	})
}
