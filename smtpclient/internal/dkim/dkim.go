// Package dkim signs a message for a domain (RFC 6376, RFC 8463), in two
// passes, so that a message of any size needs no memory: one to hash it, one to
// send it behind the signature. The signature's time is the current time.
package dkim

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"

	"topdown/smtpclient/internal/smtp"

	"github.com/emersion/go-msgauth/dkim"
)

// minRSA is the shortest RSA key that receivers take (RFC 8301 section 3.2).
const minRSA = 1024

// headers are signed. Those that make a mail what a reader sees are named once more
// than they occur, so that none can be added (RFC 6376 section 8.15).
var headers = []string{
	"From", "From", "Reply-To", "Reply-To", "Subject", "Subject", "Date", "Date", "To", "To", "Cc", "Cc", "Message-ID", "Message-ID",
	"MIME-Version", "MIME-Version", "Content-Type", "Content-Type", "Content-Transfer-Encoding", "Content-Transfer-Encoding",
	"In-Reply-To", "References", "List-Unsubscribe", "List-Unsubscribe-Post", // the last two: RFC 8058 section 4
}

// A Signer holds what a domain's signature needs.
type Signer struct {
	Domain   string
	Selector string
	Key      crypto.Signer
}

// ErrKey is wrapped by the errors about a key that is none, or is not safe.
var ErrKey = errors.New("this key cannot sign mail")

// LoadKey reads an RSA or Ed25519 private key in PEM form. Other users must not
// be able to read the file: they could sign in the domain's name.
func LoadKey(path string) (crypto.Signer, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if runtime.GOOS != "windows" && info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s: %w: other users can read it: run chmod 600 %s", path, ErrKey, path)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("%s: %w: it is no PEM file with a private key", path, ErrKey)
	}
	if old, perr := x509.ParsePKCS1PrivateKey(block.Bytes); perr == nil {
		return check(path, old)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", path, ErrKey, err)
	}
	return check(path, key)
}

func check(path string, key any) (crypto.Signer, error) {
	switch key := key.(type) {
	case *rsa.PrivateKey:
		if key.N.BitLen() < minRSA {
			return nil, fmt.Errorf("%s: %w: an RSA key of %d bits is too short, receivers want %d or more", path, ErrKey, key.N.BitLen(), minRSA)
		}
		return key, nil
	case ed25519.PrivateKey:
		return key, nil
	}
	return nil, fmt.Errorf("%s: %w: it is neither an RSA nor an Ed25519 key", path, ErrKey)
}

// Sign returns the message with a DKIM-Signature field in front.
func (s *Signer) Sign(m smtp.Message) (smtp.Message, error) {
	if s.Domain == "" || s.Selector == "" {
		return nil, errors.New("a DKIM signature needs a domain and a selector")
	}
	signer, err := dkim.NewSigner(&dkim.SignOptions{
		Domain: s.Domain, Selector: s.Selector, Signer: s.Key,
		HeaderCanonicalization: dkim.CanonicalizationRelaxed,
		BodyCanonicalization:   dkim.CanonicalizationRelaxed,
		HeaderKeys:             headers,
	})
	if err != nil {
		return nil, fmt.Errorf("DKIM: %w", err)
	}
	if _, err := m.WriteTo(signer); err != nil {
		_ = signer.Close() // the first error counts
		return nil, fmt.Errorf("DKIM: %w", err)
	}
	if err := signer.Close(); err != nil {
		return nil, fmt.Errorf("DKIM: %w", err)
	}
	return &signed{m, []byte(signer.Signature())}, nil
}

type signed struct {
	smtp.Message
	field []byte
}

// Size implements smtp.Message.
func (s *signed) Size() int64 { return int64(len(s.field)) + s.Message.Size() }

// WriteTo implements smtp.Message.
func (s *signed) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(s.field)
	if err != nil {
		return int64(n), err
	}
	m, err := s.Message.WriteTo(w)
	return int64(n) + m, err
}
