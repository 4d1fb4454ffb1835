package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// startApplication is a web application that makes its own links as applications
// do: from Forwarded, from the X-Forwarded fields, or from Host alone.
func startApplication(t *testing.T) *httptest.Server {
	t.Helper()
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		h := r.Header
		switch r.URL.Path {
		case "/x":
			fmt.Fprintf(w, "%s://%s/link for %s port %s", h.Get("X-Forwarded-Proto"), h.Get("X-Forwarded-Host"), h.Get("X-Forwarded-For"), h.Get("X-Forwarded-Port"))
		case "/forwarded":
			io.WriteString(w, h.Get("Forwarded"))
		case "/host":
			io.WriteString(w, r.Host)
		}
	}))
	t.Cleanup(app.Close)
	return app
}

// serverFiles writes a certificate and its key into files of their own and returns a
// client that trusts its authority.
func (a *authority) serverFiles(t *testing.T, names ...string) (cert, key string, client *http.Client) {
	t.Helper()
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	a.writePair(t, cert, key, names...)
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true}
	t.Cleanup(transport.CloseIdleConnections)
	return cert, key, &http.Client{Transport: transport, Timeout: patience}
}

func (a *authority) writePair(t *testing.T, cert, key string, names ...string) {
	t.Helper()
	both, err := os.ReadFile(a.pair(t, a.sign(t, time.Now().AddDate(0, 6, 0), true, names...)))
	if err != nil {
		t.Fatal(err)
	}
	certPart, keyPart, _ := strings.Cut(string(both), "-----BEGIN PRIVATE")
	for name, content := range map[string]string{cert: certPart, key: "-----BEGIN PRIVATE" + keyPart} {
		if err := os.WriteFile(name+".new", []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(name+".new", name); err != nil {
			t.Fatal(err)
		}
	}
}

func getText(t *testing.T, client *http.Client, url string, fields ...string) string {
	t.Helper()
	req, err := http.NewRequest("GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(fields); i += 2 {
		req.Header.Set(fields[i], fields[i+1])
	}
	if host := req.Header.Get("Host"); host != "" {
		req.Host = host
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// The links of an application behind the proxy are right, over http and https,
// with and without a front server, and nobody spoofs them.
func TestLinks(t *testing.T) {
	t.Parallel()
	app := startApplication(t)
	appHost := strings.TrimPrefix(app.URL, "http://")
	ca := newAuthority(t)
	cert, key, client := ca.serverFiles(t, "shop.example")
	spoofed := []string{"X-Forwarded-Host", "evil.example", "X-Forwarded-Proto", "gopher", "X-Forwarded-For", "9.9.9.9", "X-Forwarded-Port", "9", "Forwarded", "for=9.9.9.9;host=evil.example", "Host", "shop.example"}
	front := []string{"X-Forwarded-Host", "shop.example", "X-Forwarded-Proto", "https", "X-Forwarded-For", "192.0.2.9", "Host", "backend.internal"}
	for _, tt := range []struct {
		name, scheme string
		args         []string
		fields       []string
		want         map[string]string
	}{
		{"http", "http", nil, spoofed, map[string]string{
			"/x": "http://shop.example/link for 127.0.0.1 port 80", "/forwarded": `for=127.0.0.1;host="shop.example";proto=http`, "/host": appHost,
		}},
		{"https", "https", []string{"--tls-cert", cert, "--tls-key", key}, spoofed, map[string]string{
			"/x": "https://shop.example/link for 127.0.0.1 port 443", "/forwarded": `for=127.0.0.1;host="shop.example";proto=https`, "/host": appHost,
		}},
		{"the client's Host", "http", []string{"--preserve-host"}, spoofed, map[string]string{"/host": "shop.example"}},
		{"a front server", "http", []string{"--trust-proxy", "127.0.0.1"}, front, map[string]string{
			"/x":         "https://shop.example/link for 192.0.2.9, 127.0.0.1 port 443",
			"/forwarded": `for=192.0.2.9;host="shop.example";proto=https, for=127.0.0.1`,
		}},
		{"a front server, over https", "https", []string{"--tls-cert", cert, "--tls-key", key, "--trust-proxy", "127.0.0.1"}, front, map[string]string{
			"/x":         "https://shop.example/link for 192.0.2.9, 127.0.0.1 port 443",
			"/forwarded": `for=192.0.2.9;host="shop.example";proto=https, for=127.0.0.1`,
		}},
		{"a front server that is not trusted", "http", []string{"--trust-proxy", "192.0.2.1"}, front, map[string]string{
			"/x": "http://backend.internal/link for 127.0.0.1 port 80",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := start(t, nil, append([]string{"--addr", "127.0.0.1:0", "--cache-dir", t.TempDir(), "--upstream", app.URL}, tt.args...)...)
			for path, want := range tt.want {
				if got := getText(t, client, tt.scheme+"://"+p.addr+path, tt.fields...); got != want {
					t.Errorf("%s: %q, want %q", path, got, want)
				}
			}
		})
	}
}

// An application makes its links of what the proxy tells it: who asks under one
// name is not given what was stored for those who ask under another, neither from
// the store nor as what the origin says is still right.
func TestNamesShareNothing(t *testing.T) {
	t.Parallel()
	for name, age := range map[string]string{"fresh": "60", "validated": "0"} {
		app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Cache-Control", "max-age="+age)
			w.Header().Set("Etag", `"of the application's version"`)
			if h := r.Header; h.Get("If-None-Match") != "" {
				w.WriteHeader(http.StatusNotModified)
			} else {
				fmt.Fprint(w, h.Get("X-Forwarded-Proto"), "://", h.Get("X-Forwarded-Host"), ":", h.Get("X-Forwarded-Port"), " at ", r.Host)
			}
		}))
		t.Cleanup(app.Close)
		appHost := strings.TrimPrefix(app.URL, "http://")
		client := &http.Client{Timeout: patience}
		for _, args := range [][]string{nil, {"--preserve-host"}, {"--trust-proxy", "127.0.0.1"}} {
			t.Run(name+" "+strings.Join(args, " "), func(t *testing.T) {
				p := start(t, nil, append([]string{"--addr", "127.0.0.1:0", "--cache-dir", t.TempDir(), "--upstream", app.URL}, args...)...)
				for range 2 {
					for _, by := range []string{"http://a.example:80", "http://b.example:80", "https://a.example:443"} {
						proto, rest, _ := strings.Cut(by, "://")
						host, port, _ := strings.Cut(rest, ":")
						at := appHost
						if len(args) == 1 {
							at = host
						}
						if len(args) < 2 && proto == "https" {
							continue // nobody is believed
						}
						if got, want := getText(t, client, "http://"+p.addr+"/", "Host", host, "X-Forwarded-Proto", proto), proto+"://"+host+":"+port+" at "+at; got != want {
							t.Errorf("%q, want %q", got, want)
						}
					}
				}
			})
		}
	}
}

// A forward proxy takes its passwords over TLS, and a new certificate without a
// restart.
func TestForwardOverTLS(t *testing.T) {
	t.Parallel()
	origin := startCounting(t)
	ca := newAuthority(t)
	cert, key, client := ca.serverFiles(t, "first.example")
	_, port, _ := strings.Cut(origin.addr, ":")
	p := start(t, nil, "--addr", "127.0.0.1:0", "--cache-dir", t.TempDir(), "--tls-cert", cert, "--tls-key", key, "--auth-file", usersFile(t), "--connect-port", port)
	transport, _ := client.Transport.(*http.Transport)
	transport.Proxy = http.ProxyURL(&url.URL{Scheme: "https", Host: p.addr, User: url.UserPassword("ann", "secret")})
	if got := getText(t, client, "http://"+origin.addr+"/page"); got != "counted\n" {
		t.Errorf("with the password: %q", got)
	}
	transport.Proxy = http.ProxyURL(&url.URL{Scheme: "https", Host: p.addr})
	if got := getText(t, client, "http://"+origin.addr+"/page"); !strings.Contains(got, "407 Proxy Authentication Required") {
		t.Errorf("without: %q", got)
	}
	t.Run("curl", func(t *testing.T) {
		need(t, "curl")
		args := []string{"-sS", "--max-time", "30", "--proxy-cacert", ca.file(t), "-x", "https://ann:secret@" + p.addr}
		if out := curl(t, append(args, "http://"+origin.addr+"/page")...); out != "counted\n" {
			t.Errorf("curl: %q", out)
		}
		if out := curl(t, append(args, "-p", "http://"+origin.addr+"/page")...); out != "counted\n" {
			t.Errorf("curl through a tunnel: %q", out)
		}
	})
	t.Run("plain HTTP on that port", func(t *testing.T) {
		conn := dialProxy(t, p.addr)
		fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		if answer, _ := io.ReadAll(conn); !strings.HasPrefix(string(answer), "HTTP/1.0 400 ") {
			t.Errorf("%q", answer)
		}
	})
	t.Run("a new certificate", func(t *testing.T) {
		ca.writePair(t, cert, key, "second.example")
		roots := x509.NewCertPool()
		roots.AddCert(ca.cert)
		waitFor(t, "the new certificate", func() bool {
			conn, err := tls.Dial("tcp", p.addr, &tls.Config{RootCAs: roots, ServerName: "second.example"})
			if err == nil {
				conn.Close()
			}
			return err == nil
		})
	})
}

// CONNECT from this machine reaches this machine's ports.
func TestConnectHere(t *testing.T) {
	t.Parallel()
	origin := startCounting(t)
	p := start(t, nil, "--addr", "127.0.0.1:0", "--no-cache")
	if out := curl(t, "-sS", "-p", "--max-time", "30", "-x", p.addr, "http://"+origin.addr+"/page"); out != "counted\n" {
		t.Errorf("%q", out)
	}
}
