// Package certs keeps the certificate of a TLS server and takes a renewed one
// into use while the server runs.
package certs

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"topdown/webserver/internal/watch"
)

const (
	// expiryEvery is how often an expired certificate is reported.
	expiryEvery = 24 * time.Hour
	// maxFile is more than any chain of certificates has.
	maxFile = 4 << 20
)

// Source is a certificate with its key, read from two PEM files and read again
// when they change. The methods may be called concurrently.
type Source struct {
	certFile, keyFile string
	report            func(error)
	now               func() time.Time
	files             *watch.Files

	mu       sync.Mutex
	cert     *tls.Certificate
	warnedAt time.Time // of the expiry
}

// New reads a certificate, followed in its file by those that signed it, and
// its key. When the files change, they are read again; if the new pair cannot
// be used, perhaps because only one is there yet, the old one stays. Report,
// which may be nil, is told of that, and of a certificate that has expired or
// is not valid yet, which is no error.
func New(certFile, keyFile string, report func(error)) (*Source, error) {
	if report == nil {
		report = func(error) {}
	}
	s := &Source{certFile: certFile, keyFile: keyFile, report: report, now: time.Now}
	now := s.now()
	var err error
	if s.files, err = watch.New(now, "the certificate read before stays", s.load, certFile, keyFile); err != nil {
		return nil, err
	}
	if err := s.validity(now); err != nil { // nobody else has s yet
		report(err)
	}
	return s, nil
}

// Config returns a configuration that serves the certificate: TLS 1.2 and
// later, HTTP/1.1 only.
func (s *Source) Config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return s.certificate(), nil
		},
	}
}

// certificate returns the certificate to use now.
func (s *Source) certificate() *tls.Certificate {
	now := s.now()
	if err := s.files.Refresh(now); err != nil {
		s.report(err)
	}
	s.mu.Lock()
	cert, err := s.cert, s.validity(now)
	s.mu.Unlock()
	if err != nil {
		s.report(err)
	}
	return cert
}

// load reads the files.
func (s *Source) load() error {
	cert, err := readPair(s.certFile, s.keyFile)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cert, s.warnedAt = cert, time.Time{}
	return nil
}

// validity returns an error if the certificate is not valid at the time now and
// that has not been said for a day. The caller holds s.mu.
func (s *Source) validity(now time.Time) error {
	const day = "2006-01-02 15:04 MST"
	leaf := s.cert.Leaf
	var err error
	switch {
	case now.After(leaf.NotAfter):
		err = fmt.Errorf("the certificate %s expired on %s: browsers will refuse it; renew it", s.certFile, leaf.NotAfter.Format(day))
	case now.Before(leaf.NotBefore):
		err = fmt.Errorf("the certificate %s is not valid before %s: look at the machine's clock", s.certFile, leaf.NotBefore.Format(day))
	}
	if err == nil || !s.warnedAt.IsZero() && now.Sub(s.warnedAt) < expiryEvery {
		return nil
	}
	s.warnedAt = now
	return err
}

// readPair reads a certificate and its key and checks that they belong
// together.
func readPair(certFile, keyFile string) (*tls.Certificate, error) {
	certPEM, err := readFile(certFile)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	keyPEM, err := readFile(keyFile)
	if err != nil {
		return nil, fmt.Errorf("key of the certificate: %w", err)
	}
	certs, keys := blocks(certPEM), blocks(keyPEM)
	switch {
	case !certs["CERTIFICATE"] && keys["CERTIFICATE"]:
		return nil, fmt.Errorf("certificate %s: there is no certificate in it, but there is one in %s: are the two files swapped?", certFile, keyFile)
	case !certs["CERTIFICATE"]:
		return nil, fmt.Errorf("certificate %s: there is no PEM certificate in it", certFile)
	case keys["ENCRYPTED PRIVATE KEY"]:
		return nil, fmt.Errorf("key %s: it is encrypted; decrypt it with: openssl pkey -in %s -out plain.key", keyFile, keyFile)
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", certFile, keyFile, err)
	}
	if cert.Leaf == nil {
		if cert.Leaf, err = x509.ParseCertificate(cert.Certificate[0]); err != nil {
			return nil, fmt.Errorf("certificate %s: %w", certFile, err)
		}
	}
	return &cert, nil
}

func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: it is not a file", path)
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("%s: it is too large for PEM", path)
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrPermission) {
		return nil, fmt.Errorf("%w: this user may not read it", err)
	}
	return data, err
}

// blocks returns the types of the PEM blocks in data.
func blocks(data []byte) map[string]bool {
	types := map[string]bool{}
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			return types
		}
		types[block.Type] = true
		data = rest
	}
}
