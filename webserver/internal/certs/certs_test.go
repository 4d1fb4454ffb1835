package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"topdown/webserver/internal/watch"
)

// pair makes a certificate of that name and its key, as PEM.
func pair(t *testing.T, name string, notBefore, notAfter time.Time) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: notBefore, NotAfter: notAfter,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// setup is a source with a clock that the test moves.
type setup struct {
	*Source
	cert, key string

	mu      sync.Mutex
	clock   time.Time
	reports []string
}

func newSetup(t *testing.T, cert, key []byte) *setup {
	t.Helper()
	dir := t.TempDir()
	s := &setup{cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem")}
	write(t, s.cert, cert)
	write(t, s.key, key)
	var err error
	s.Source, err = New(s.cert, s.key, func(err error) { s.reports = append(s.reports, err.Error()) })
	if err != nil {
		t.Fatal(err)
	}
	s.clock = time.Now()
	s.now = func() time.Time {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.clock
	}
	return s
}

func (s *setup) later(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clock = s.clock.Add(d)
}

// handshake connects a client and returns the connection's state.
func (s *setup) handshake(t *testing.T, client *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	here, there := net.Pipe()
	defer here.Close()
	defer there.Close()
	go func() {
		conn := tls.Server(there, s.Config())
		conn.HandshakeContext(t.Context())
		conn.Close()
	}()
	client.InsecureSkipVerify = true
	conn := tls.Client(here, client)
	err := conn.HandshakeContext(t.Context())
	return conn.ConnectionState(), err
}

func (s *setup) name(t *testing.T) string {
	t.Helper()
	state, err := s.handshake(t, &tls.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return state.PeerCertificates[0].Subject.CommonName
}

func TestConfig(t *testing.T) {
	now := time.Now()
	cert, key := pair(t, "one", now.Add(-time.Hour), now.Add(time.Hour))
	s := newSetup(t, cert, key)
	state, err := s.handshake(t, &tls.Config{NextProtos: []string{"h2", "http/1.1"}})
	if err != nil || state.NegotiatedProtocol != "http/1.1" || state.Version != tls.VersionTLS13 {
		t.Errorf("%q by ALPN, version %x, %v", state.NegotiatedProtocol, state.Version, err)
	}
	if state, err = s.handshake(t, &tls.Config{MaxVersion: tls.VersionTLS12}); err != nil || state.Version != tls.VersionTLS12 {
		t.Errorf("TLS 1.2: %v", err)
	}
	if _, err = s.handshake(t, &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}); err == nil {
		t.Error("TLS 1.1 was accepted")
	}
	if _, err = s.handshake(t, &tls.Config{NextProtos: []string{"h2"}}); err == nil {
		t.Error("HTTP/2 alone was accepted")
	}
	if len(s.reports) != 0 {
		t.Errorf("reports: %q", s.reports)
	}
}

func TestRenewal(t *testing.T) {
	now := time.Now()
	from, to := now.Add(-time.Hour), now.Add(24*time.Hour)
	cert1, key1 := pair(t, "one", from, to)
	cert2, key2 := pair(t, "two", from, to)
	s := newSetup(t, cert1, key1)

	write(t, s.cert, cert2)
	if got := s.name(t); got != "one" {
		t.Errorf("within a second: %q", got)
	}
	s.later(2 * watch.Every)
	if got := s.name(t); got != "one" {
		t.Errorf("new certificate with the old key: %q is served", got)
	}
	if len(s.reports) != 1 || !strings.Contains(s.reports[0], "stays") {
		t.Fatalf("reports: %q", s.reports)
	}
	s.later(2 * watch.Every)
	s.name(t)
	if len(s.reports) != 1 {
		t.Errorf("reported again: %q", s.reports)
	}

	write(t, s.key, key2)
	s.later(2 * watch.Every)
	if got := s.name(t); got != "two" {
		t.Errorf("after the renewal: %q", got)
	}

	write(t, s.cert, cert2[:len(cert2)/2])
	s.later(2 * watch.Every)
	if got := s.name(t); got != "two" || len(s.reports) != 2 {
		t.Errorf("half a file: %q, reports %q", got, s.reports)
	}
	if err := os.Remove(s.cert); err != nil {
		t.Fatal(err)
	}
	s.later(2 * watch.Every)
	if got := s.name(t); got != "two" || len(s.reports) != 3 {
		t.Errorf("no file: %q, reports %q", got, s.reports)
	}
	write(t, s.cert, cert1)
	write(t, s.key, key1)
	s.later(2 * watch.Every)
	if got := s.name(t); got != "one" || len(s.reports) != 3 {
		t.Errorf("put back: %q, reports %q", got, s.reports)
	}
}

func TestExpiryIsReportedDaily(t *testing.T) {
	now := time.Now()
	cert, key := pair(t, "old", now.Add(-2*time.Hour), now.Add(30*time.Minute))
	s := newSetup(t, cert, key)
	for range 3 {
		s.later(time.Hour)
		if got := s.name(t); got != "old" {
			t.Errorf("%q is served", got)
		}
	}
	if len(s.reports) != 1 || !strings.Contains(s.reports[0], "expired on") {
		t.Errorf("reports: %q", s.reports)
	}
	s.later(expiryEvery)
	s.name(t)
	if len(s.reports) != 2 {
		t.Errorf("reports after a day: %q", s.reports)
	}
}

func TestNotValidYet(t *testing.T) {
	now := time.Now()
	cert, key := pair(t, "new", now.Add(time.Hour), now.Add(2*time.Hour))
	s := newSetup(t, cert, key)
	if len(s.reports) != 1 || !strings.Contains(s.reports[0], "not valid before") {
		t.Errorf("reports: %q", s.reports)
	}
}

func TestNewErrors(t *testing.T) {
	now := time.Now()
	cert, key := pair(t, "one", now, now.Add(time.Hour))
	_, otherKey := pair(t, "two", now, now.Add(time.Hour))
	tests := map[string]struct {
		cert, key []byte
		want      string
		is        error
	}{
		"no certificate":  {nil, key, "", fs.ErrNotExist},
		"no key":          {cert, nil, "", fs.ErrNotExist},
		"empty":           {[]byte{}, key, "no PEM certificate", nil},
		"swapped":         {key, cert, "swapped", nil},
		"does not match":  {cert, otherKey, "does not match", nil},
		"encrypted key":   {cert, pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")}), "openssl pkey", nil},
		"damaged":         {pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}), key, "x509", nil},
		"too large":       {make([]byte, maxFile+1), key, "too large", nil},
		"key without PEM": {cert, []byte("hello"), "PEM", nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			certFile, keyFile := filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem")
			if test.cert != nil {
				write(t, certFile, test.cert)
			}
			if test.key != nil {
				write(t, keyFile, test.key)
			}
			_, err := New(certFile, keyFile, nil)
			if err == nil {
				t.Fatal("no error")
			}
			if test.is != nil && !errors.Is(err, test.is) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %q in it and %v under it", err, test.want, test.is)
			}
			if !strings.Contains(err.Error(), dir) {
				t.Errorf("%v does not name the file", err)
			}
		})
	}
	if _, err := New(t.TempDir(), "x", nil); err == nil || !strings.Contains(err.Error(), "not a file") {
		t.Errorf("a folder: %v", err)
	}
}
