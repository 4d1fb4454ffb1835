package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// authority is a certificate authority for one test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().AddDate(-1, 0, 0), NotAfter: time.Now().AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert, key}
}

// file writes the authority's own certificate, for --ca-file.
func (a *authority) file(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// sign makes a server's certificate for names and 127.0.0.1, if ip says so.
func (a *authority) sign(t *testing.T, until time.Time, ip bool, names ...string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "test server"},
		NotBefore: time.Now().AddDate(0, -6, 0), NotAfter: until, DNSNames: names,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if ip {
		template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// pair writes a certificate and its key into one file.
func (a *authority) pair(t *testing.T, cert tls.Certificate) string {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	content := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]})
	content = append(content, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...)
	path := filepath.Join(t.TempDir(), "pair.pem")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// startSecure is an HTTPS origin that counts the requests it gets.
func startSecure(t *testing.T, cert tls.Certificate) (port string, requests *atomic.Int64) {
	t.Helper()
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
	if err != nil {
		t.Fatal(err)
	}
	requests = new(atomic.Int64)
	server := &http.Server{
		ErrorLog: log.New(io.Discard, "", 0),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			requests.Add(1)
			w.Header().Set("Cache-Control", "max-age=600")
			io.WriteString(w, "secret page\n")
		}),
	}
	go server.Serve(ln)
	t.Cleanup(func() { server.Close() })
	_, port, err = net.SplitHostPort(ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port, requests
}

// Path style with https: the proxy checks the origin's certificate, and what it
// fetched is cached.
func TestSecureOrigin(t *testing.T) {
	ca, later := newAuthority(t), time.Now().AddDate(0, 6, 0)
	p := start(t, nil, "--addr", "127.0.0.1:0", "--cache-dir", t.TempDir(), "--ca-file", ca.file(t))
	client := &http.Client{Timeout: patience}
	defer client.CloseIdleConnections()
	fetch := func(t *testing.T, host string) (*http.Response, string) {
		t.Helper()
		resp, err := client.Get("http://" + p.addr + "/https://" + host + "/page")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp, string(body)
	}
	for _, tt := range []struct{ name, host string }{
		{"an address", "127.0.0.1"},
		{"a name", "localhost"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			port, requests := startSecure(t, ca.sign(t, later, true, "localhost"))
			for i, want := range []string{"fwd", "hit"} {
				resp, body := fetch(t, tt.host+":"+port)
				if resp.StatusCode != 200 || body != "secret page\n" || !strings.Contains(resp.Header.Get("Cache-Status"), want) {
					t.Errorf("request %d: %d %q, Cache-Status %q, want %s", i+1, resp.StatusCode, body, resp.Header.Get("Cache-Status"), want)
				}
			}
			if n := requests.Load(); n != 1 {
				t.Errorf("%d requests to the origin, want 1", n)
			}
		})
	}
	for _, tt := range []struct {
		name string
		cert tls.Certificate
		says string
	}{
		{"a certificate for another name", ca.sign(t, later, false, "other.example"), "127.0.0.1"},
		{"an expired certificate", ca.sign(t, time.Now().Add(-time.Hour), true), "expired"},
		{"an unknown authority", newAuthority(t).sign(t, later, true), "unknown authority"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			port, requests := startSecure(t, tt.cert)
			for range 2 { // the failure is not cached as a success, nor a session resumed
				resp, page := fetch(t, "127.0.0.1:"+port)
				if resp.StatusCode != 502 || !strings.Contains(resp.Header.Get("Proxy-Status"), "error=tls_certificate_error") {
					t.Errorf("answer %d, Proxy-Status %q", resp.StatusCode, resp.Header.Get("Proxy-Status"))
				}
				if !strings.Contains(page, "checking the certificate of 127.0.0.1") || !strings.Contains(page, tt.says) {
					t.Errorf("the page does not say what is wrong with the certificate:\n%s", page)
				}
			}
			if n := requests.Load(); n != 0 {
				t.Errorf("%d requests went to an origin that is not who it should be", n)
			}
		})
	}
}
