//go:build unix

package e2e_test

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// startNginx puts nginx in front of a server, on an address of its own.
func startNginx(t *testing.T, upstream string) (addr string) {
	t.Helper()
	path := realPeer(t, "nginx", "/usr/sbin/nginx")
	dir := t.TempDir()
	addr = freeAddr(t)
	conf := filepath.Join(dir, "nginx.conf")
	writeFile(t, conf, fmt.Sprintf(`
daemon off;
master_process off;
pid %[1]s/pid;
error_log stderr;
events { worker_connections 256; }
http {
  access_log off;
  client_body_temp_path %[1]s/body;
  proxy_temp_path %[1]s/proxy;
  fastcgi_temp_path %[1]s/fastcgi;
  uwsgi_temp_path %[1]s/uwsgi;
  scgi_temp_path %[1]s/scgi;
  server {
    listen %[2]s;
    location / {
      proxy_pass http://%[3]s;
      proxy_http_version 1.1;
      proxy_buffering off;
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Host $http_host;
      proxy_set_header Forwarded "";
    }
  }
}`, dir, addr, upstream))
	cmd := exec.Command(path, "-c", conf, "-e", "stderr")
	out := newOutput()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-ended
	})
	eventually(t, "nginx to listen", func() bool {
		select {
		case <-ended:
			t.Fatalf("nginx has ended:\n%s", out)
		default:
		}
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return addr
}

// dialFrom connects from one of this host's many loopback addresses.
func dialFrom(t *testing.T, from, to string) *client {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: patience}
	conn, err := dialer.DialContext(context.Background(), "tcp", to)
	if err != nil {
		require(t, "this host has no other loopback addresses: "+err.Error())
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return newClient(conn)
}

// TestBehindNginx: with --trust-proxy the log, the limit of one client and the check
// of foreign pages go by the client that nginx names; what that client has put into
// the fields itself, or one that comes without nginx, means nothing. Without
// --trust-proxy all that nginx sends is nginx's own.
func TestBehindNginx(t *testing.T) {
	t.Parallel()
	realPeer(t, "nginx", "/usr/sbin/nginx")
	const spoofed = "198.51.100.7"
	root := writeTree(t, map[string]string{"page.html": "<form method=post>", "large.bin": string(noise(32 << 20))})
	for _, trusted := range []bool{true, false} {
		t.Run(fmt.Sprintf("trusted %v", trusted), func(t *testing.T) {
			t.Parallel()
			args := []string{"--root", root, "--access-log", "-", "--max-conns-per-addr", "2"}
			if trusted {
				args = append(args, "--trust-proxy", "127.0.0.1")
			}
			s := start(t, args...)
			nginx := startNginx(t, s.addr)
			ask := func(from, to, wire string) int {
				t.Helper()
				c := dialFrom(t, from, to)
				defer c.Close()
				c.send(wire)
				r, err := c.read(strings.Fields(wire)[0])
				if err != nil {
					t.Fatal(err)
				}
				return r.StatusCode
			}
			want := func(what string, got, trustedWant, otherWant int) {
				t.Helper()
				if !trusted {
					trustedWant = otherWant
				}
				if got != trustedWant {
					t.Errorf("%s: %d, want %d", what, got, trustedWant)
				}
			}
			claims := []string{"X-Forwarded-For: " + spoofed, "Forwarded: for=" + spoofed, "X-Forwarded-Host: evil.example", "X-Real-IP: " + spoofed}
			want("through nginx", ask("127.0.0.2", nginx, request("GET", "/alive.txt?by=nginx", claims...)), 200, 200)
			want("without nginx", ask("127.0.0.3", s.addr, request("GET", "/alive.txt?by=itself", claims...)), 200, 200)
			// A form of a page of this site, as nginx's clients know it, and of another.
			own := []string{"Host: site.example", "Origin: http://site.example", "Content-Type: text/plain", "Content-Length: 0"}
			form := "POST /page.html HTTP/1.1\r\n" + strings.Join(own, "\r\n") + "\r\n\r\n"
			// (That it listens on loopback only has this server refuse the name of a site
			// where it does not know that nginx was asked for it.)
			want("a form of the site's own page", ask("127.0.0.2", nginx, form), 200, 421)
			want("a form of another's page", ask("127.0.0.2", nginx, strings.Replace(form, "Origin: http://site", "Origin: http://other", 1)), 403, 421)
			want("the same, claiming to be nginx", ask("127.0.0.3", s.addr, strings.Replace(form, "\r\n\r\n", "\r\nX-Forwarded-Host: site.example\r\n\r\n", 1)), 421, 421)
			// One client that does not read has two requests in flight.
			for range 2 {
				c := dialFrom(t, "127.0.0.2", nginx)
				c.send(request("GET", "/large.bin"))
				if head, err := c.peekHead(); err != nil || !strings.Contains(head, " 200 ") {
					t.Fatalf("%q, %v", head, err)
				}
			}
			want("a third of the same client", ask("127.0.0.2", nginx, request("GET", "/alive.txt")), 429, 429)
			want("the same, claiming to be another", ask("127.0.0.2", nginx, request("GET", "/alive.txt", claims...)), 429, 429)
			want("one of another client", ask("127.0.0.4", nginx, request("GET", "/alive.txt")), 200, 429)
			want("one that comes by itself", ask("127.0.0.3", s.addr, request("GET", "/alive.txt")), 200, 200)

			for by, address := range map[string]string{"nginx": map[bool]string{true: "127.0.0.2", false: "127.0.0.1"}[trusted], "itself": "127.0.0.3"} {
				line := regexp.MustCompile(`(?m)^(\S+) .*"GET /alive\.txt\?by=` + by + ` `)
				text := s.stdout.await(t, "the request by "+by+" in the log", line.MatchString)
				if got := line.FindStringSubmatch(text)[1]; got != address {
					t.Errorf("by %s: the log says %s, want %s", by, got, address)
				}
			}
			if strings.Contains(s.stdout.String(), spoofed) {
				t.Errorf("what a client claims to be is in the log:\n%s", s.stdout)
			}
		})
	}
}
