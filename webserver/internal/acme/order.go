package acme

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"golang.org/x/crypto/acme"
)

// orderTime bounds one attempt.
const orderTime = 5 * time.Minute

// attempt is one attempt to get one certificate.
type attempt struct {
	*Manager
	client *acme.Client
	name   string
	number int // of failures before
}

// newAttempt asks the authority from the beginning, directory and account, which
// may both have changed since the last time.
func (m *Manager) newAttempt(name string, number int) *attempt {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: m.options.Roots, MinVersion: tls.VersionTLS12}
	transport.DisableKeepAlives = true
	return &attempt{Manager: m, name: name, number: number, client: &acme.Client{
		Key: m.key, DirectoryURL: m.options.Directory, UserAgent: "topdown-webserver",
		HTTPClient: &http.Client{Transport: transport, Timeout: 30 * time.Second}, RetryBackoff: retryAfter,
	}}
}

// retryAfter returns how long to wait before the nth retry of a request within an
// attempt. An authority that asks for patience (429) gets it between the attempts,
// where it is told what is waited for.
func retryAfter(n int, _ *http.Request, response *http.Response) time.Duration {
	if response != nil && response.StatusCode == http.StatusTooManyRequests {
		return 0
	}
	return min(time.Second<<min(n-1, 4), 10*time.Second)
}

// obtain gets the certificate. The attempt's number decides by which challenge: one
// that fails may be in the way of a firewall or of a server in front, so that the
// next attempt takes the other.
func (a *attempt) obtain(ctx context.Context) (*tls.Certificate, error) {
	name := a.name
	ctx, cancel := context.WithTimeout(ctx, orderTime)
	defer cancel()
	directory, err := a.client.Discover(ctx)
	if err == nil && directory.OrderURL == "" {
		err = errors.New("there is no ACME directory at that address")
	}
	if err != nil {
		return nil, step("reading the directory of "+a.options.Directory, err)
	}
	if err = a.register(ctx); err != nil {
		return nil, step("registering with the authority", err)
	}
	ids, options := acme.DomainIDs(name), []acme.OrderOption(nil)
	if isAddress(name) {
		ids = acme.IPIDs(name)
		// Public authorities certify addresses for some days only.
		if _, ok := directory.Profiles["shortlived"]; ok {
			options = append(options, acme.WithOrderIssuanceProfile("shortlived"))
		}
	}
	order, err := a.client.AuthorizeOrder(ctx, ids, options...)
	if err != nil {
		return nil, step("ordering the certificate", err)
	}
	for _, url := range order.AuthzURLs {
		if err = a.prove(ctx, url); err != nil {
			return nil, err
		}
	}
	if order, err = a.client.WaitOrder(ctx, order.URI); err != nil {
		return nil, step("waiting for the order", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	request := &x509.CertificateRequest{DNSNames: []string{name}}
	if isAddress(name) {
		request = &x509.CertificateRequest{IPAddresses: []net.IP{net.ParseIP(name)}}
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, request, key)
	if err != nil {
		return nil, err
	}
	chain, _, err := a.client.CreateOrderCert(ctx, order.FinalizeURL, csr, true)
	if err != nil {
		return nil, step("fetching the certificate", err)
	}
	cert, err := keepCertificate(a.path(name), name, key, chain)
	if err != nil {
		return nil, step("keeping the certificate", err)
	}
	return cert, nil
}

// register makes the account known to the authority; one that it knows already
// stays as it is.
func (a *attempt) register(ctx context.Context) error {
	a.registering.Lock()
	defer a.registering.Unlock()
	account := new(acme.Account)
	if a.options.Email != "" {
		account.Contact = []string{"mailto:" + a.options.Email}
	}
	_, err := a.client.Register(ctx, account, acme.AcceptTOS)
	if errors.Is(err, acme.ErrAccountAlreadyExists) {
		err = nil
	}
	return err
}

// prove proves that this server is what the name leads to.
func (a *attempt) prove(ctx context.Context, url string) error {
	name := a.name
	authorization, err := a.client.GetAuthorization(ctx, url)
	if err != nil {
		return step("asking how to prove control of "+name, err)
	}
	if authorization.Status == acme.StatusValid {
		return nil // since a short while ago
	}
	var offered []*acme.Challenge
	for _, kind := range []string{"tls-alpn-01", "http-01"} {
		for _, challenge := range authorization.Challenges {
			if challenge.Type == kind && (kind != "http-01" || a.options.HTTP01) {
				offered = append(offered, challenge)
			}
		}
	}
	if len(offered) == 0 {
		return fmt.Errorf("proving control of %s: the authority offers neither TLS-ALPN-01 nor HTTP-01", name)
	}
	challenge := offered[a.number%len(offered)]
	how := fmt.Sprintf("proving control of %s by %s (the authority must reach port %s of it)", name, strings.ToUpper(challenge.Type),
		map[string]string{"tls-alpn-01": "443", "http-01": "80"}[challenge.Type])
	remove, err := a.answer(challenge)
	if err != nil {
		return step(how, err)
	}
	defer remove()
	if _, err = a.client.Accept(ctx, challenge); err != nil {
		return step(how, err)
	}
	if _, err = a.client.WaitAuthorization(ctx, url); err != nil {
		return step(how, err)
	}
	return nil
}

// answer has the server answer a challenge until remove is called.
func (a *attempt) answer(challenge *acme.Challenge) (remove func(), err error) {
	if challenge.Type == "http-01" {
		text, textErr := a.client.HTTP01ChallengeResponse(challenge.Token)
		if textErr != nil {
			return nil, textErr
		}
		path := a.client.HTTP01ChallengePath(challenge.Token)
		a.mu.Lock()
		defer a.mu.Unlock()
		a.responses[path] = text
		return func() {
			a.mu.Lock()
			defer a.mu.Unlock()
			delete(a.responses, path)
		}, nil
	}
	cert, err := a.client.TLSALPN01ChallengeCert(challenge.Token, a.name)
	if err != nil {
		return nil, err
	}
	server := serverName(a.name)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.proofs[server] = &cert
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.proofs, server)
	}, nil
}

// step says at which step it failed, and what the authority said, in words.
func step(what string, err error) error {
	if refused, ok := errors.AsType[*acme.AuthorizationError](err); ok && len(refused.Errors) > 0 {
		err = refused.Errors[0]
	}
	if refused, ok := errors.AsType[*acme.OrderError](err); ok && refused.Problem != nil {
		err = refused.Problem
	}
	if problem, ok := errors.AsType[*acme.Error](err); ok && problem.Detail != "" {
		return &stepError{what, "the authority says: " + problem.Detail, problem}
	}
	return fmt.Errorf("%s: %w", what, err)
}

// stepError words an authority's refusal.
type stepError struct {
	step, text string
	cause      *acme.Error
}

func (e *stepError) Error() string { return e.step + ": " + e.text }

// Unwrap returns what the authority sent, which may ask for patience.
func (e *stepError) Unwrap() error { return e.cause }
