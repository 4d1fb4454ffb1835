// Package smtpclient grades the mail client lab: requirements S1 to S5 of the
// assignment. The program is run against a server of the grader's that follows a
// script; it is judged by its side of the dialogue (RFC 5321), by what it printed
// and how it ended.
package smtpclient

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math/big"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"topdown/scripts/grade/internal/rubric"
	"topdown/scripts/grade/internal/submission"
	"topdown/scripts/grade/internal/transcript"
)

type lab struct {
	s    *submission.Submission
	mu   sync.Mutex
	runs map[string]*session
	port int
	// gate bounds how many programs run at a time.
	gate chan struct{}

	from, to, subject, user, password string
	bodies                            map[string]string // file path by the body's name
	texts                             map[string]string
	image                             []byte
	imageFile, caFile                 string
	good, bad                         *tls.Config
}

// Rubric returns the lab's checks for a submission, and a function that ends it.
// Without a submission the checks are for reading only.
func Rubric(s *submission.Submission) (*rubric.Rubric, func(), error) {
	l := &lab{s: s, runs: map[string]*session{}, gate: make(chan struct{}, 4)}
	r := &rubric.Rubric{
		Lab:    "smtpclient",
		Stages: []string{"connect, and take turns", "the commands", "the message", "read replies, and act on them", "TLS, log in, pictures"},
		Checks: l.checks(),
		Vars: func() map[string]string {
			return map[string]string{"host": "127.0.0.1", "port": strconv.Itoa(l.port)}
		},
	}
	if s == nil {
		return r, nil, nil
	}
	return r, func() {}, l.prepare()
}

func (l *lab) prepare() error {
	s := l.s
	word := s.Text(6)
	l.from, l.to = "alice."+word+"@example.test", "bob."+word+"@example.test"
	l.subject = "Greetings " + word
	l.user, l.password = "alice."+word, "Pw-"+s.Text(14)
	l.texts = map[string]string{
		"plain": "I love computer networks!\nThe word of today is " + word + ".\n",
		"dots":  "The next line is a dot.\n.\n.hidden\n..two dots\nthe last line, " + word + "\n",
	}
	l.bodies = map[string]string{}
	for name, text := range l.texts {
		path, err := s.Write("body-"+name+".txt", []byte(text))
		if err != nil {
			return err
		}
		l.bodies[name] = path
	}
	img := image.NewRGBA(image.Rect(0, 0, 40, 40))
	for i := range 1600 {
		img.Set(i%40, i/40, color.RGBA{byte(s.Rand.Uint32()), byte(i), 100, 255})
	}
	var b strings.Builder
	if err := png.Encode(&b, img); err != nil {
		return err
	}
	l.image = []byte(b.String())
	var err error
	if l.imageFile, err = s.Write("picture.png", l.image); err != nil {
		return err
	}
	var ca []byte
	if l.good, ca, err = certificate(); err != nil {
		return err
	}
	if l.bad, _, err = certificate(); err != nil {
		return err
	}
	l.caFile, err = s.Write("ca.pem", ca)
	return err
}

// certificate makes an authority and a certificate by it for this machine.
func certificate() (*tls.Config, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	from, to := time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	caTemplate := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "grade test authority"}, NotBefore: from, NotAfter: to,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	ca, err := x509.CreateCertificate(rand.Reader, caTemplate, caTemplate, &key.PublicKey, key)
	if err != nil {
		return nil, nil, err
	}
	leafKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	leaf, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "localhost"}, NotBefore: from, NotAfter: to,
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, caTemplate, &leafKey.PublicKey, key)
	if err != nil {
		return nil, nil, err
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{{Certificate: [][]byte{leaf, ca}, PrivateKey: leafKey}}}
	return config, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca}), nil
}

// The refusals of "stops": a temporary and a permanent one at each step.
type refusal struct {
	step string
	code int
}

func (r refusal) name() string { return fmt.Sprintf("%d at %s", r.code, r.step) }

func refusals() []refusal {
	return []refusal{
		{greeting, 421},
		{greeting, 554},
		{hello, 421},
		{hello, 550},
		{mailFrom, 451},
		{mailFrom, 550},
		{rcptTo, 450},
		{rcptTo, 550},
		{data, 451},
		{data, 554},
		{end, 451},
		{end, 554},
	}
}

// scripts are the runs by name.
func (l *lab) scripts() map[string]script {
	all := map[string]script{
		"normal": {body: "plain"},
		"many":   {body: "plain", many: true},
	}
	if l.s.Has("body_file") {
		all["dots"] = script{body: "dots"}
	}
	for _, r := range refusals() {
		all[r.name()] = script{body: "plain", failAt: r.step, failCode: r.code}
	}
	if c := l.s.Also["starttls"]; c != "" {
		all["tls"] = script{body: "plain", tls: l.good, command: c}
		all["false tls"] = script{body: "plain", tls: l.bad, command: c}
	}
	if c := l.s.Also["auth"]; c != "" {
		all["auth"] = script{body: "plain", auth: true, command: c}
	}
	if c := l.s.Also["image"]; c != "" {
		all["image"] = script{body: "plain", command: c}
	}
	return all
}

// session runs the program against a script, once. All runs are begun together,
// since most of their time is waiting.
func (l *lab) session(t *rubric.T, name string) (*session, *rubric.Failure) {
	all := l.scripts()
	if _, ok := all[name]; !ok {
		return nil, rubric.Skipf("no command was named for it")
	}
	l.mu.Lock()
	if l.s.FixedPort != 0 || len(l.s.Only) > 0 {
		all = map[string]script{name: all[name]}
	}
	for other, sc := range all {
		if l.runs[other] == nil {
			l.runs[other] = l.begin(sc)
		}
	}
	s := l.runs[name]
	l.mu.Unlock()
	<-s.done
	t.Log = s.log
	if s.err != nil {
		return nil, rubric.Failf("the program starts", "%v", s.err)
	}
	if !s.connected {
		return nil, rubric.Failf("the program connects to the server", "no connection came; %s%s", s.proc.Ending(), submission.Printed(s.proc.Output()))
	}
	return s, nil
}

// limit is how long a run may take.
const limit = 30 * time.Second

func (l *lab) begin(sc script) *session {
	s := &session{script: sc, log: transcript.New(), done: make(chan struct{}), key: l.s.Text(6)}
	go func() {
		defer close(s.done)
		l.gate <- struct{}{}
		defer func() { <-l.gate }()
		ln, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: l.s.FixedPort})
		if err != nil {
			s.err = err
			return
		}
		defer func() { _ = ln.Close() }()
		port := ln.Addr().(*net.TCPAddr).Port
		l.mu.Lock()
		l.port = port
		l.mu.Unlock()
		line := sc.command
		if line == "" {
			line = l.s.Command
		}
		s.proc, s.err = l.s.Start(line, map[string]string{
			"host": "127.0.0.1", "port": strconv.Itoa(port), "server_host": "127.0.0.1", "server_port": strconv.Itoa(port),
			"from": l.from, "to": l.to, "subject": l.subject, "body": l.texts[sc.body], "body_file": l.bodies[sc.body],
			"user": l.user, "password": l.password, "ca": l.caFile, "image": l.imageFile, "dir": l.s.Work,
		}, "SSL_CERT_FILE="+l.caFile)
		if s.err != nil {
			return
		}
		s.log.Notef("started: %s", strings.ReplaceAll(s.proc.Line, l.password, "…"))
		served := make(chan struct{})
		go func() {
			defer close(served)
			conn, err := ln.Accept()
			if err == nil {
				_ = ln.Close()
				s.serve(conn)
			}
		}()
		if s.proc.Wait(limit) {
			s.log.Notef("%s", s.proc.Ending())
		} else {
			s.log.Notef("it still ran after %v and was ended", limit)
			s.proc.Stop()
		}
		_ = ln.Close()
		<-served
	}()
	return s
}
