package proxy

import (
	"bufio"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What the origin of reverse mode learns about the client is what is true, or
// what a trusted proxy in front says.
func TestForwarded(t *testing.T) {
	const front = "X-Forwarded-For: 2001:db8::7, 192.0.2.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: shop.example\r\n"
	for _, tt := range []struct {
		name, fields    string
		trust, preserve bool
		want            map[string]string
	}{
		{"a client", front, false, false, map[string]string{
			"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": "client.example:8080", "X-Forwarded-Proto": "http", "X-Forwarded-Port": "8080",
			"Forwarded": `for=127.0.0.1;host="client.example:8080";proto=http`,
		}},
		{"a trusted proxy", front, true, false, map[string]string{
			"X-Forwarded-For": "2001:db8::7, 192.0.2.1, 127.0.0.1", "X-Forwarded-Host": "shop.example", "X-Forwarded-Proto": "https", "X-Forwarded-Port": "443",
			"Forwarded": `for="[2001:db8::7]";host="shop.example";proto=https, for=192.0.2.1, for=127.0.0.1`,
		}},
		{"a trusted proxy with Forwarded", "Forwarded: for=192.0.2.1;proto=https\r\nForwarded: for=192.0.2.2\r\n", true, false, map[string]string{
			"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": "client.example:8080", "X-Forwarded-Proto": "http", "X-Forwarded-Port": "8080",
			"Forwarded": "for=192.0.2.1;proto=https, for=192.0.2.2, for=127.0.0.1",
		}},
		{"nonsense of a trusted proxy", "X-Forwarded-Proto: gopher\r\nX-Forwarded-Host: a/b\r\nX-Forwarded-Port: x\r\nX-Forwarded-For: a;b=c\r\n", true, false, map[string]string{
			"X-Forwarded-For": "a;b=c, 127.0.0.1", "X-Forwarded-Host": "client.example:8080", "X-Forwarded-Proto": "http", "X-Forwarded-Port": "8080",
			"Forwarded": `for=unknown;host="client.example:8080";proto=http, for=127.0.0.1`,
		}},
		{"the client's Host", "X-Forwarded-Prefix: /evil\r\nX-Real-IP: 192.0.2.9\r\n", false, true, map[string]string{
			"Host": "client.example:8080", "X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": "client.example:8080", "X-Forwarded-Proto": "http",
			"X-Forwarded-Port": "8080", "Forwarded": `for=127.0.0.1;host="client.example:8080";proto=http`,
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			heads := make(chan string, 1)
			addr := startOrigin(t, func(conn net.Conn, r *bufio.Reader) {
				heads <- readHead(r)
				io.WriteString(conn, hello)
			})
			_, proxy := startProxy(t, func(s *Server, _ *originOptions) {
				s.Upstream = &Upstream{Scheme: "http", Host: addr}
				s.PreserveHost = tt.preserve
				if tt.trust {
					s.TrustProxy = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
				}
			})
			get(t, proxy, "GET / HTTP/1.1\r\nHost: client.example:8080\r\n"+tt.fields+"\r\n")
			if !tt.preserve {
				tt.want["Host"] = addr
			}
			got := map[string]string{}
			for line := range strings.Lines(<-heads) {
				name, value, ok := strings.Cut(strings.TrimSpace(line), ": ")
				if ok && name != "Via" {
					got[name] = value
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("fields at the origin (-want +got)\n%s", diff)
			}
		})
	}
}
