package server

import (
	"net/netip"
	"strings"
	"testing"

	"topdown/pkg/httpmsg"
	"topdown/pkg/logging"
)

func TestReadForwarded(t *testing.T) {
	s := &Server{TrustProxy: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")}}
	for _, tt := range []struct {
		name   string
		fields httpmsg.Fields
		client string // "" for none
		host   string
	}{
		{"nothing", nil, "", ""},
		{"one proxy", httpmsg.Fields{{Name: "X-Forwarded-For", Value: "192.0.2.1"}}, "192.0.2.1", ""},
		{"with a port", httpmsg.Fields{{Name: "X-Forwarded-For", Value: "192.0.2.1:1234"}}, "192.0.2.1", ""},
		{"IPv6", httpmsg.Fields{{Name: "X-Forwarded-For", Value: "2001:470::1"}}, "2001:470::1", ""},
		{"spoofed by the client", httpmsg.Fields{{Name: "X-Forwarded-For", Value: "198.51.100.1, 192.0.2.1"}}, "192.0.2.1", ""},
		{"spoofed on a line of its own", httpmsg.Fields{{Name: "X-Forwarded-For", Value: "198.51.100.1"}, {Name: "X-Forwarded-For", Value: "192.0.2.1"}}, "192.0.2.1", ""},
		{"two proxies", httpmsg.Fields{{Name: "X-Forwarded-For", Value: "192.0.2.1, 10.1.1.1"}}, "192.0.2.1", ""},
		{"a client that is a proxy", httpmsg.Fields{{Name: "X-Forwarded-For", Value: "10.2.2.2, 10.1.1.1"}}, "10.2.2.2", ""},
		{"nonsense", httpmsg.Fields{{Name: "X-Forwarded-For", Value: "unknown"}}, "", ""},
		{"nonsense before a proxy", httpmsg.Fields{{Name: "X-Forwarded-For", Value: "unknown, 10.1.1.1"}}, "10.1.1.1", ""},
		{"host", httpmsg.Fields{{Name: "X-Forwarded-Host", Value: "evil.example, a.example:8443"}}, "", "a.example:8443"},
		{"host that is none", httpmsg.Fields{{Name: "X-Forwarded-Host", Value: "a b"}}, "", ""},
		{"standard", httpmsg.Fields{{Name: "Forwarded", Value: `for=192.0.2.1;proto=https;host=a.example`}}, "192.0.2.1", "a.example"},
		{"standard, quoted", httpmsg.Fields{{Name: "Forwarded", Value: `For="[2001:470::1]:4711"; Host="a.example:80"`}}, "2001:470::1", "a.example:80"},
		{"standard, spoofed", httpmsg.Fields{{Name: "Forwarded", Value: `for=198.51.100.1;host=evil.example, for=192.0.2.1;host=a.example, for=10.1.1.1`}}, "192.0.2.1", "a.example"},
		{"both: the usual one counts", httpmsg.Fields{{Name: "Forwarded", Value: `for=198.51.100.1;host=evil.example`}, {Name: "X-Forwarded-For", Value: "192.0.2.1"}}, "192.0.2.1", ""},
		{"the usual host alone: the standard one counts", httpmsg.Fields{{Name: "X-Forwarded-Host", Value: "evil.example"}, {Name: "Forwarded", Value: `for=192.0.2.1;host=a.example`}}, "192.0.2.1", "a.example"},
		{"a quote that hides what follows", httpmsg.Fields{{Name: "X-Forwarded-For", Value: `", 192.0.2.1`}}, "192.0.2.1", ""},
		{"standard, a quote that hides what follows", httpmsg.Fields{{Name: "Forwarded", Value: `for=", for=192.0.2.1;host=a.example`}}, "192.0.2.1", "a.example"},
		{"standard, a quote on a line before", httpmsg.Fields{{Name: "Forwarded", Value: `for="`}, {Name: "Forwarded", Value: `for="[2001:470::1]"`}}, "2001:470::1", ""},
		{"standard, another client in the quoted host", httpmsg.Fields{{Name: "Forwarded", Value: `for=192.0.2.1;host="a.example;for=198.51.100.1"`}}, "192.0.2.1", "a.example;for=198.51.100.1"},
		{"standard, hidden by its proxy", httpmsg.Fields{{Name: "Forwarded", Value: `for=198.51.100.1, for=_hidden;host=a.example`}}, "", "a.example"},
	} {
		got := s.readForwarded(tt.fields)
		client := ""
		if got.client.IsValid() {
			client = got.client.String()
		}
		if client != tt.client || got.host != tt.host {
			t.Errorf("%s: client %q, host %q; want %q, %q", tt.name, client, got.host, tt.client, tt.host)
		}
	}
}

func FuzzReadForwarded(f *testing.F) {
	f.Add("192.0.2.1, 10.0.0.1", `for="[::1]:80";host=a`, "a")
	f.Add(", ,", ";;=,for", "\"")
	f.Fuzz(func(t *testing.T, xff, standard, host string) {
		s := &Server{TrustProxy: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
		for _, fields := range []httpmsg.Fields{
			{{Name: "X-Forwarded-For", Value: xff}, {Name: "X-Forwarded-Host", Value: host}}, {{Name: "Forwarded", Value: standard}},
		} {
			if got := s.readForwarded(fields); !httpmsg.IsHost(got.host) {
				t.Errorf("host %q", got.host)
			}
		}
	})
}

// TestTrustProxy: the log, the limit and the check of foreign pages go by the
// client behind a trusted proxy; from anybody else the fields mean nothing.
func TestTrustProxy(t *testing.T) {
	for _, trusted := range []bool{true, false} {
		var access lines
		log, err := logging.OpenAccess("-", logging.AccessOptions{Stdout: &access})
		if err != nil {
			t.Fatal(err)
		}
		addr := serveTree(t, sampleFiles, func(s *Server) {
			s.Access, s.MaxConnsPerAddr = log, 1
			s.OwnHost = func(host string) bool { return host == "a" }
			if trusted {
				s.TrustProxy = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
			}
		})
		status := map[bool]int{true: 200, false: 403}[trusted]
		resp, _ := ask(t, addr, "POST /f.txt HTTP/1.1\nHost: a\nX-Forwarded-For: 192.0.2.1\nX-Forwarded-Host: site.example\nOrigin: https://site.example\nContent-Length: 0\n\n")
		if resp.StatusCode != status {
			t.Errorf("trusted %v: a form of the site's own page: %s, want %d", trusted, resp.Status, status)
		}
		// A client that holds a request open has its share.
		conn, r := dial(t, addr)
		conn.Write([]byte("POST /f.txt HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.9\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"))
		if line, err := r.ReadString('\n'); err != nil || !strings.Contains(line, " 100 ") {
			t.Fatalf("%q, %v", line, err)
		}
		for client, want := range map[string]int{"192.0.2.9": map[bool]int{true: 429, false: 200}[trusted], "192.0.2.10": 200} {
			if resp, _ := ask(t, addr, "GET /f.txt HTTP/1.1\nHost: a\nX-Forwarded-For: "+client+"\n\n"); resp.StatusCode != want {
				t.Errorf("trusted %v: %s: %s, want %d", trusted, client, resp.Status, want)
			}
		}
		log.Close()
		first := map[bool]string{true: "192.0.2.1 - -", false: "127.0.0.1 - -"}[trusted]
		if !strings.HasPrefix(access.String(), first) {
			t.Errorf("trusted %v: the log begins with %.40q, want %q", trusted, access.String(), first)
		}
	}
}

// TestAFaultGivesBack: a fault of ours costs the client behind a proxy its
// connection, and not its share for good.
func TestAFaultGivesBack(t *testing.T) {
	addr := serveTree(t, sampleFiles, func(s *Server) {
		s.MaxConnsPerAddr, s.CountLoopback = 1, true
		s.TrustProxy = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		s.Challenge = func(path string) (string, bool) {
			if path == "/fault" {
				panic("a fault of ours")
			}
			return "", false
		}
	})
	const from = " HTTP/1.1\nHost: a\nX-Forwarded-For: 192.0.2.1\n\n"
	conn, r := dial(t, addr)
	conn.Write([]byte("GET /fault" + strings.ReplaceAll(from, "\n", "\r\n")))
	if text, err := r.ReadString('\n'); err == nil {
		t.Fatalf("the fault was answered with %q", text)
	}
	if resp, _ := ask(t, addr, "GET /f.txt"+from); resp.StatusCode != 200 {
		t.Errorf("after a fault: %s, want 200", resp.Status)
	}
}
