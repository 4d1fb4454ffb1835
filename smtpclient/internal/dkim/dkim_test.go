package dkim

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/emersion/go-msgauth/dkim"
)

type text string

func (m text) WriteTo(w io.Writer) (int64, error) {
	n, err := io.WriteString(w, string(m))
	return int64(n), err
}
func (m text) Size() int64  { return int64(len(m)) }
func (text) EightBit() bool { return false }
func (text) UTF8() bool     { return false }

func keyFile(t *testing.T, kind string, der []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestSign signs with both kinds of key, and looks whether a change shows.
func TestSign(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	edDER, err := x509.MarshalPKCS8PrivateKey(edKey)
	if err != nil {
		t.Fatal(err)
	}
	rsaPublic, err := x509.MarshalPKIXPublicKey(rsaKey.Public())
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ path, record string }{
		{keyFile(t, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey)), "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(rsaPublic)},
		{keyFile(t, "PRIVATE KEY", edDER), "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(edKey.Public().(ed25519.PublicKey))},
	} {
		var key crypto.Signer
		if key, err = LoadKey(tt.path); err != nil {
			t.Fatal(err)
		}
		signer := &Signer{Domain: "lab.test", Selector: "sel", Key: key}
		signed, err := signer.Sign(text("From: a@lab.test\r\nReply-To: a@lab.test\r\nDate: Fri, 20 Nov 2026 12:00:00 +0000\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: 7bit\r\nSubject: s\r\n\r\nbody \r\n.\r\n\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if n, err := signed.WriteTo(&b); err != nil || n != signed.Size() {
			t.Errorf("%d bytes, Size %d, %v", n, signed.Size(), err)
		}
		good := func(text string) bool {
			results, err := dkim.VerifyWithOptions(strings.NewReader(text), &dkim.VerifyOptions{
				LookupTXT: func(string) ([]string, error) { return []string{tt.record}, nil },
			})
			return err == nil && len(results) == 1 && results[0].Err == nil && results[0].Domain == "lab.test"
		}
		if !good(b.String()) {
			t.Errorf("the signature is not valid:\n%s", b.String())
		}
		for _, change := range []string{"Subject: t", "From: b@lab.test\r\nSubject: s", "Subject: s\r\nTo: x@lab.test", "Subject: s\r\nSubject: t"} {
			if good(strings.Replace(b.String(), "Subject: s", change, 1)) {
				t.Errorf("%q passes", change)
			}
		}
		// Readers take the first of two fields, signatures are about the last.
		for _, more := range []string{
			"From: b@lab.test", "Content-Type: text/html", "Content-Transfer-Encoding: base64", "MIME-Version: 2.0", "Reply-To: x@lab.test",
			"Date: Sat, 21 Nov 2026 12:00:00 +0000", "List-Unsubscribe: <https://lab.test/>",
		} {
			if good(strings.Replace(b.String(), "From: a@lab.test", more+"\r\nFrom: a@lab.test", 1)) {
				t.Errorf("%q in front passes", more)
			}
		}
	}
	for _, path := range []string{keyFile(t, "X", []byte("x")), filepath.Join(t.TempDir(), "none")} {
		if _, err := LoadKey(path); err == nil {
			t.Errorf("%s was taken for a key", path)
		}
	}
}
