package session

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"
)

// signed makes a certificate that vouches for itself.
func signed(t *testing.T, name string, until time.Time) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotBefore: until.Add(-48 * time.Hour), NotAfter: until,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// TestSecure makes handshakes with servers that are right and wrong.
func TestSecure(t *testing.T) {
	tomorrow := time.Now().Add(24 * time.Hour)
	good, goodPool := signed(t, "mail.test", tomorrow)
	other, otherPool := signed(t, "elsewhere.test", tomorrow)
	old, oldPool := signed(t, "mail.test", time.Now().Add(-time.Hour))
	plain := "220 I speak plain text\r\n"
	for _, tt := range []struct {
		name     string
		server   *tls.Config // nil: it says plain instead
		cfg      Config
		port     string // 465 is where TLS comes first
		injected bool
		err      string
		note     string
	}{
		{"right", &tls.Config{Certificates: []tls.Certificate{good}}, Config{Roots: goodPool, TLS: StartTLS}, "25", false, "", "certificate checked for mail.test"},
		{"implicit by its port", &tls.Config{Certificates: []tls.Certificate{good}}, Config{Roots: goodPool, TLS: Auto}, "465", false, "", "certificate checked for mail.test"},
		{"a stranger", &tls.Config{Certificates: []tls.Certificate{good}}, Config{Roots: otherPool}, "25", false, "give it with --ca FILE", ""},
		{"opportunistic", &tls.Config{Certificates: []tls.Certificate{other}}, Config{Opportunistic: true}, "25", false, "", "certificate not checked"},
		{"another host", &tls.Config{Certificates: []tls.Certificate{other}}, Config{Roots: otherPool}, "25", false, "for another host", ""},
		{"expired", &tls.Config{Certificates: []tls.Certificate{old}}, Config{Roots: oldPool}, "25", false, "expired", ""},
		{"too old a version", &tls.Config{Certificates: []tls.Certificate{good}, MaxVersion: tls.VersionTLS11}, Config{Roots: goodPool}, "25", false, "TLS with mail.test failed", ""},
		{"no TLS", nil, Config{Roots: goodPool, TLS: Implicit}, "25", false, "use --tls starttls", ""},
		{"data before the handshake", nil, Config{Roots: goodPool}, "25", true, "between its consent to TLS", ""},
		{"with a certificate of ours", &tls.Config{Certificates: []tls.Certificate{good}, ClientAuth: tls.RequireAnyClientCert}, Config{Roots: goodPool, Certificate: &other}, "25", false, "", "TLS 1.3"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			client, err := net.Dial("tcp", ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			server, err := ln.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close()
			go func() {
				if tt.server == nil {
					_, _ = server.Write([]byte(plain))
					return
				}
				if s := tls.Server(server, tt.server); s.Handshake() == nil {
					_, _ = s.Write([]byte("220 inside\r\n"))
				}
			}()
			var notes []string
			cfg := tt.cfg
			cfg.Host, cfg.Port = "mail.test", tt.port
			cfg.Dial = func(context.Context, string, string) (net.Conn, error) { return client, nil }
			cfg.Watch = func(e Event) { notes = append(notes, e.Line) }
			c, err := Connect(t.Context(), &cfg, "465")
			if err == nil {
				defer c.Close()
				if tt.injected {
					if err := c.Await(); err != nil {
						t.Fatal(err)
					}
				}
				if !c.implicit {
					err = c.Secure(t.Context())
				}
			}
			if wrong, ok := errors.AsType[*TLSError](err); err != nil && (!ok || tt.err == "" || !strings.Contains(wrong.Error(), tt.err)) || err == nil && tt.err != "" {
				t.Fatalf("%v, want %q", err, tt.err)
			}
			if err != nil {
				if c != nil && !c.Broken() {
					t.Error("the connection counts as usable")
				}
				return
			}
			if line, err := c.ReadLine(); line != "220 inside" || err != nil {
				t.Errorf("%q, %v", line, err)
			}
			if last := notes[len(notes)-1]; c.TLS == nil || !strings.Contains(last, tt.note) {
				t.Errorf("%q, want %q", last, tt.note)
			}
		})
	}
}

func TestParseTLSMode(t *testing.T) {
	for in, want := range map[string]TLSMode{"": Auto, "auto": Auto, "STARTTLS": StartTLS, "implicit": Implicit, "none": None, "ssl": ""} {
		if got, err := ParseTLSMode(in); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
}
