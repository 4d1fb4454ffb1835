// Package acme gets the certificates of a server from an authority and renews
// them (ACME, RFC 8555), for domain names and for bare addresses (RFC 8738), and
// for no other than those it was told.
//
// Control of a name is proved on the server's own ports: by TLS-ALPN-01 (RFC
// 8737) where https is served, or by HTTP-01 where plain requests are led to it.
// A certificate that is there serves on whatever the authority says.
//
// It is not the lesson: the protocol is spoken by golang.org/x/crypto/acme. That
// package's neighbour, autocert, orders names only and knows no profiles, which
// addresses need.
package acme

import (
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/crypto/acme"
)

// Authority is the one that is asked unless another is named.
const Authority = acme.LetsEncryptURL

// Protocol is what a proof by TLS-ALPN-01 is asked for with. A connection that
// speaks it ends after the handshake.
const Protocol = acme.ALPNProto

// Options are the parts of a Manager. Zero values mean their defaults.
type Options struct {
	Names     []string // domain names and addresses
	Dir       string   // where account and certificates are kept; made if it is missing
	Email     string   // where the authority may write to
	Directory string   // URL of the authority's directory; default: Authority
	Roots     *x509.CertPool
	HTTP01    bool          // plain requests come to Response
	Pause     time.Duration // after the first failure; default 1 minute
	Log       *zap.Logger   // required
}

// Manager keeps the certificates. Its methods may be called concurrently.
type Manager struct {
	options Options
	key     *ecdsa.PrivateKey // of the account

	registering sync.Mutex // one name after the other

	mu        sync.Mutex
	held      map[string]*tls.Certificate // by name
	proofs    map[string]*tls.Certificate // of TLS-ALPN-01, by server name
	responses map[string]string           // of HTTP-01, by path
}

// maxPause is the longest between two attempts. An authority allows some five
// failures of a name in an hour.
const maxPause = 6 * time.Hour

// clockEvery is how often the clock is looked at while a certificate lasts: a machine
// that sleeps, or whose clock is put right, waits for less or more than it meant to.
const clockEvery = time.Hour

// New reads what is kept in options.Dir. It asks nobody anything.
func New(options Options) (*Manager, error) {
	if options.Directory == "" {
		options.Directory = Authority
	}
	if options.Pause <= 0 {
		options.Pause = time.Minute
	}
	m := &Manager{
		options: options,
		held:    map[string]*tls.Certificate{}, proofs: map[string]*tls.Certificate{},
		responses: map[string]string{},
	}
	var err error
	if m.key, err = accountKey(options.Dir); err != nil {
		return nil, err
	}
	for _, name := range options.Names {
		cert, err := readCertificate(m.path(name), name)
		switch {
		case err != nil:
			options.Log.Warn("a kept certificate cannot be used, a new one will be asked for", zap.String("name", name), zap.Error(err))
		case cert != nil:
			m.held[name] = cert
		}
	}
	return m, nil
}

// Missing returns the names for which there is no valid certificate.
func (m *Manager) Missing() (names []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, name := range m.options.Names {
		if cert := m.held[name]; cert == nil || time.Now().After(cert.Leaf.NotAfter) {
			names = append(names, name)
		}
	}
	return names
}

// Left returns how long the certificate of a name is still valid, 0 if there is
// none.
func (m *Manager) Left(name string) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	if cert := m.held[name]; cert != nil {
		return max(time.Until(cert.Leaf.NotAfter), 0)
	}
	return 0
}

// Config returns a configuration that serves the certificates and proves control
// by TLS-ALPN-01: TLS 1.2 and later, HTTP/1.1 only.
func (m *Manager) Config() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"http/1.1", Protocol},
		GetCertificate: m.certificate,
	}
}

func (m *Manager) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := strings.ToLower(strings.TrimSuffix(hello.ServerName, "."))
	m.mu.Lock()
	defer m.mu.Unlock()
	if slices.Equal(hello.SupportedProtos, []string{Protocol}) {
		if proof := m.proofs[name]; proof != nil {
			return proof, nil
		}
		return nil, fmt.Errorf("no proof is asked for of %q", name)
	}
	if cert := m.held[name]; cert != nil {
		return cert, nil
	}
	if name != "" {
		if !slices.Contains(m.options.Names, name) {
			return nil, fmt.Errorf("%q is not served here", name)
		}
		return nil, fmt.Errorf("there is no certificate for %s yet", name)
	}
	// A client that names nobody has an address in its address bar.
	if local, err := netip.ParseAddrPort(hello.Conn.LocalAddr().String()); err == nil {
		if cert := m.held[local.Addr().Unmap().String()]; cert != nil {
			return cert, nil
		}
	}
	for _, name := range m.options.Names { // behind a NAT the address is not ours
		if cert := m.held[name]; cert != nil && isAddress(name) {
			return cert, nil
		}
	}
	return nil, errors.New("the client names no server, and there is no certificate for an address")
}

// Response returns what to answer to a plain request for that path, if it is the
// authority's question.
func (m *Manager) Response(path string) (text string, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	text, ok = m.responses[path]
	return text, ok
}

// Run gets what is missing and renews what is due, until ctx ends.
func (m *Manager) Run(ctx context.Context) {
	var wg sync.WaitGroup
	for _, name := range m.options.Names {
		wg.Go(func() { m.keep(ctx, name) })
	}
	wg.Wait()
}

// keep keeps one name's certificate valid.
func (m *Manager) keep(ctx context.Context, name string) {
	log := m.options.Log.With(zap.String("name", name))
	for failures := 0; ; {
		wait := min(time.Until(m.due(name)), clockEvery)
		if wait <= 0 {
			cert, err := m.newAttempt(name, failures).obtain(ctx)
			if ctx.Err() != nil {
				return
			}
			if err == nil {
				err = m.use(name, cert)
			}
			if err == nil {
				failures = 0
				log.Info("a new certificate is in use", zap.Time("until", cert.Leaf.NotAfter))
				continue
			}
			failures++
			wait = m.pause(failures, err)
			fields := []zap.Field{zap.Error(err), zap.Duration("next attempt in", wait.Round(time.Second))}
			if left := m.Left(name); left > 0 {
				fields = append(fields, zap.String("days left", fmt.Sprintf("%.1f", left.Hours()/24)))
			}
			log.Error("no new certificate", fields...)
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

// use has a new certificate served. It returns an error if that one is due already,
// since asking for the next at once would come to the same, again and again.
func (m *Manager) use(name string, cert *tls.Certificate) error {
	m.mu.Lock()
	m.held[name] = cert
	m.mu.Unlock()
	if now := time.Now(); !m.due(name).After(now) {
		return fmt.Errorf("the new certificate is valid until %s, which is too early to be of use: is the clock of this machine right? It says %s",
			cert.Leaf.NotAfter.UTC().Format(time.RFC1123), now.UTC().Format(time.RFC1123))
	}
	return nil
}

// due returns when a certificate is to be asked for: when a third of its lifetime
// is left, whatever that lifetime is, and a little earlier by chance, so that not
// all servers of the world come at once.
func (m *Manager) due(name string) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	cert := m.held[name]
	if cert == nil {
		return time.Time{}
	}
	lifetime := max(cert.Leaf.NotAfter.Sub(cert.Leaf.NotBefore), 0)
	return cert.Leaf.NotAfter.Add(-lifetime/3 - time.Duration(rand.Int64N(int64(lifetime/50)+1)))
}

// pause returns how long to wait after so many failures: longer each time, and at
// least as long as the authority asks for.
func (m *Manager) pause(failures int, err error) time.Duration {
	wait := m.options.Pause << min(2*(failures-1), 10)
	if wait > maxPause || wait <= 0 {
		wait = maxPause
	}
	if refused, ok := errors.AsType[*acme.Error](err); ok { // RateLimit does not unwrap
		limit, _ := acme.RateLimit(refused)
		wait = max(wait, limit)
	}
	return wait
}

func isAddress(name string) bool {
	_, err := netip.ParseAddr(name)
	return err == nil
}
