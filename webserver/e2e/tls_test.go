//go:build unix

package e2e_test

import (
	"crypto/tls"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// TestCertificateReload: a renewed certificate is used without a restart, by
// new connections; one that is broken is not.
func TestCertificateReload(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key, serial := certificate(t, dir)
	s := start(t, "--root", writeTree(t, nil), "--tls-cert", cert, "--tls-key", key)
	serves := func() string {
		conn, err := s.connect()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	if got := serves(); got != serial.String() {
		t.Fatalf("serial %s, want %s", got, serial)
	}
	held := s.dial(t)
	_, _, second := certificate(t, dir)
	eventually(t, "the second certificate", func() bool { return serves() == second.String() })
	if err := os.WriteFile(cert, []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	later := time.Now().Add(time.Hour)
	if err := os.Chtimes(cert, later, later); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a word about the broken certificate", func() bool {
		s.alive(t) // it may look only when someone comes
		return strings.Contains(s.stderr.String(), "cert")
	})
	if got := serves(); got != second.String() {
		t.Errorf("with a broken file: serial %s, want %s", got, second)
	}
	_, _, third := certificate(t, dir)
	eventually(t, "the third certificate", func() bool { return serves() == third.String() })
	held.send(request("GET", "/alive.txt"))
	if r := held.mustRead(t, "GET"); r.StatusCode != 200 {
		t.Errorf("a connection of the first certificate: %s", r.Status)
	}
}

// TestRedirectHTTP: the second listener sends everyone to https.
func TestRedirectHTTP(t *testing.T) {
	t.Parallel()
	cert, key, _ := certificate(t, t.TempDir())
	plain := freeAddr(t)
	s := start(t, "--root", writeTree(t, nil), "--tls-cert", cert, "--tls-key", key, "--redirect-http", plain)
	_, port, _ := net.SplitHostPort(s.addr)
	redirect := &server{process: s.process, network: "tcp", addr: plain}
	for _, test := range []struct{ wire, status, location string }{
		{"GET /alive.txt?a=b HTTP/1.1\r\nHost: www.example\r\n\r\n", "301|308", "https://www.example:" + port + "/alive.txt?a=b"},
		{"GET / HTTP/1.1\r\nHost: www.example:8080\r\n\r\n", "301|308", "https://www.example:" + port + "/"},
		{"GET //evil.example/ HTTP/1.1\r\nHost: www.example\r\n\r\n", "301|308|400", ""},
		{"GET /x HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "301|308", "https://[::1]:" + port + "/x"},
		{"GET http://other.localhost/x HTTP/1.1\r\nHost: www.example\r\n\r\n", "301|308", "https://other.localhost:" + port + "/x"},
		{"HEAD /x HTTP/1.1\r\nHost: www.example\r\n\r\n", "301|308", "https://www.example:" + port + "/x"},
		{"GET /x HTTP/1.1\r\n\r\n", "400", ""},
		{"GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400", ""},
		{"GET /x HTTP/1.1\r\nHost: a/b\r\n\r\n", "400", ""},
		{"GET /x HTTP/1.0\r\n\r\n", "400|301|308", ""},
		{"nonsense\r\n\r\n", "400", ""},
	} {
		r := redirect.exchange(t, test.wire)
		if !statuses(test.status, r.StatusCode) || test.location != "" && r.field("Location") != test.location {
			t.Errorf("%q: %s, Location %q, want %s to %q", test.wire, r.Status, r.field("Location"), test.status, test.location)
		}
		if l := r.field("Location"); l != "" && !strings.HasPrefix(l, "https://") {
			t.Errorf("%q: Location %q", test.wire, l)
		}
	}
	s.alive(t)
	p := launch{args: []string{"--addr", "127.0.0.1:0", "--redirect-http", freeAddr(t)}}.run(t)
	if code := p.exit(t); code != 2 {
		t.Errorf("--redirect-http without a certificate: exit code %d, want 2", code)
	}
}
