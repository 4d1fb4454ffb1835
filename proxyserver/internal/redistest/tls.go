package redistest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"topdown/proxyserver/internal/freeport"
)

// TLS is how an engine is reached over TLS.
type TLS struct {
	Addr   string // host:port
	CAFile string // the authority behind its certificate, in PEM form
}

// StartTLS starts a redis-server that speaks TLS as well, with a certificate for
// 127.0.0.1 of an authority of its own.
func StartTLS(tb testing.TB, args ...string) (*Engine, TLS) {
	tb.Helper()
	dir := tb.TempDir()
	ca, caKey := certificate(tb, dir, "ca", nil, nil)
	certificate(tb, dir, "server", ca, caKey)
	port := strconv.Itoa(freeport.Take(tb))
	t := TLS{Addr: net.JoinHostPort("127.0.0.1", port), CAFile: filepath.Join(dir, "ca.pem")}
	e := Start(tb, append(args, "--tls-port", port, "--tls-auth-clients", "no", "--tls-ca-cert-file", t.CAFile,
		"--tls-cert-file", filepath.Join(dir, "server.pem"), "--tls-key-file", filepath.Join(dir, "server.key"))...)
	return e, t
}

// certificate makes name.pem and name.key, signed by an authority or, with none,
// one itself.
func certificate(tb testing.TB, dir, name string, ca *x509.Certificate, caKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	if ca == nil {
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign
		ca, caKey = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, ca, &key.PublicKey, caKey)
	if err != nil {
		tb.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{name + ".pem": {Type: "CERTIFICATE", Bytes: der}, name + ".key": {Type: "PRIVATE KEY", Bytes: private}} {
		if err = os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	return parsed, key
}
