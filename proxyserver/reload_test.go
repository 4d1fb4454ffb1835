//go:build unix

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
)

// Files that take their time hold up nobody who connects meanwhile.
func TestSlowCertificate(t *testing.T) {
	dir := t.TempDir()
	k := &keyPair{cert: filepath.Join(dir, "cert"), key: filepath.Join(dir, "key"), log: zap.NewNop()}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{k.cert: {Type: "CERTIFICATE", Bytes: cert}, k.key: {Type: "PRIVATE KEY", Bytes: key}} {
		if err = os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err = k.load(); err != nil {
		t.Fatal(err)
	}
	old := k.current()
	k.mu.Lock()
	k.checked = time.Time{}
	k.mu.Unlock()
	// To open a pipe takes until somebody writes to it.
	os.Remove(k.cert)
	if err = syscall.Mkfifo(k.cert, 0o600); err != nil {
		t.Fatal(err)
	}
	first := make(chan struct{})
	go func() {
		defer close(first)
		k.current()
	}()
	pipe := make(chan *os.File)
	go func() {
		f, _ := os.OpenFile(k.cert, os.O_WRONLY, 0) // open once the other is reading
		pipe <- f
	}()
	f := <-pipe
	got := make(chan bool, 1)
	go func() { got <- k.current() == old }()
	select {
	case same := <-got:
		if !same {
			t.Error("another certificate")
		}
	case <-time.After(20 * time.Second):
		t.Error("a client waits for the files")
	}
	f.Close()
	<-first
	if k.current() != old {
		t.Error("an empty file took the place of the certificate")
	}
}

// A session that outlives the end of the lab's lines costs nothing.
func TestLineAfterTheLast(t *testing.T) {
	var out strings.Builder
	l := newLineWriter(&out)
	l.add("one")
	l.close()
	l.add("two")
	if out.String() != "one\n" {
		t.Errorf("written: %q", out.String())
	}
}
