package acme

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Private keys are for the server's user alone.
const (
	dirMode  = 0o700
	fileMode = 0o600
)

// accountKey returns the key of the account, which is made at the first start.
func accountKey(dir string) (*ecdsa.PrivateKey, error) {
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "account.pem")
	text, err := os.ReadFile(path)
	if err == nil {
		block, _ := pem.Decode(text)
		if block == nil {
			return nil, fmt.Errorf("%s: there is no PEM in it", path)
		}
		key, parseErr := x509.ParsePKCS8PrivateKey(block.Bytes)
		if parseErr != nil {
			return nil, fmt.Errorf("%s: %w", path, parseErr)
		}
		if key, ok := key.(*ecdsa.PrivateKey); ok {
			return key, nil
		}
		return nil, fmt.Errorf("%s: it is not an ECDSA key", path)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	text, err = encodeKey(key)
	if err != nil {
		return nil, err
	}
	return key, writeFile(path, text)
}

// readCertificate returns the certificate of a name that is kept, nil if there is
// none.
func readCertificate(path, name string) (*tls.Certificate, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	cert, err := tls.X509KeyPair(text, text)
	if err != nil {
		return nil, err
	}
	if cert.Leaf, err = x509.ParseCertificate(cert.Certificate[0]); err != nil {
		return nil, err
	}
	return &cert, cert.Leaf.VerifyHostname(name)
}

// keepCertificate writes a certificate and its key to one file, so that they
// always belong together.
func keepCertificate(path, name string, key *ecdsa.PrivateKey, chain [][]byte) (*tls.Certificate, error) {
	text, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	for _, der := range chain {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	if err = writeFile(path, text); err != nil {
		return nil, err
	}
	return readCertificate(path, name)
}

// path returns the file of a name's certificate: name@authority.pem, so that one
// of an authority for tries is not taken for one that browsers trust. An address in
// IPv6 has colons, which not every file system takes; a name has none of the
// characters that lead out of a folder (see CheckName).
func (m *Manager) path(name string) string {
	_, authority, _ := strings.Cut(m.options.Directory, "://")
	plain := strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune(".-@", r) {
			return r
		}
		return '_'
	}, name+"@"+authority)
	return filepath.Join(m.options.Dir, plain+".pem")
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// writeFile writes a file whole or not at all.
func writeFile(path string, text []byte) error {
	temp := path + ".new"
	file, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	return os.Rename(temp, path)
}

// CheckName returns the form of a name or address that certificates are asked for
// under, or what is wrong with it.
func CheckName(name string) (string, error) {
	if addr, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		return addr.Unmap().WithZone("").String(), nil
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	labels := strings.Split(name, ".")
	for _, label := range labels {
		if label == "*" {
			return "", errors.New("a wildcard takes a proof by DNS, which this server cannot give")
		}
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return "", errors.New("a domain name or an address is expected, as in example.com or 203.0.113.7")
		}
	}
	if _, err := strconv.Atoi(labels[len(labels)-1]); err == nil || len(labels) < 2 || len(name) > 253 {
		return "", errors.New("a domain name or an address is expected, as in example.com or 203.0.113.7")
	}
	return name, nil
}

// serverName returns what the authority calls a name in the TLS handshake: an
// address by its name in the reverse DNS (RFC 8738, section 6).
func serverName(name string) string {
	addr, err := netip.ParseAddr(name)
	if err != nil {
		return name
	}
	if addr.Is4() {
		b := addr.As4()
		return fmt.Sprintf("%d.%d.%d.%d.in-addr.arpa", b[3], b[2], b[1], b[0])
	}
	b := addr.As16()
	digits := hex.EncodeToString(b[:])
	var reverse strings.Builder
	for i := len(digits) - 1; i >= 0; i-- {
		reverse.WriteByte(digits[i])
		reverse.WriteByte('.')
	}
	return reverse.String() + "ip6.arpa"
}
