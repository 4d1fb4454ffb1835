package main

import (
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"

	"topdown/webserver/internal/acme"
)

// domains sets up https with certificates that are got and renewed here.
func (p *parts) domains() error {
	c := p.config
	// Read now: the sandbox keeps the authorities of the system out of reach.
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if c.acmeCA != "" {
		text, readErr := os.ReadFile(c.acmeCA)
		if readErr != nil {
			return fileError("--acme-ca", c.acmeCA, readErr)
		}
		if !roots.AppendCertsFromPEM(text) {
			return fmt.Errorf("--acme-ca %s: there is no PEM certificate in it", c.acmeCA)
		}
	}
	p.authority, err = acme.New(acme.Options{
		Names: c.domains, Dir: c.certDir, Email: c.acmeEmail, Directory: c.acmeDirectory,
		Roots: roots, HTTP01: p.listeners.redirect != nil, Log: p.log.Named("certificate"),
	})
	if err != nil {
		return fileError("--cert-dir", c.certDir, err)
	}
	p.server.TLS = p.authority.Config()
	p.server.Challenge = p.authority.Response
	for _, name := range c.domains {
		p.server.Metrics.Gauge(fmt.Sprintf("certificate_days_left{name=%q}", name), func() float64 { return p.authority.Left(name).Hours() / 24 })
	}
	p.rules.WriteDirs = append(p.rules.WriteDirs, c.certDir)
	p.rules.AllowConnect = true
	// What resolving the authority's name takes.
	p.rules.Files = append(p.rules.Files, "/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/services")
	return nil
}

// announce says what is about to be asked of an authority, and what must be true
// for that.
func (p *parts) announce(w io.Writer) {
	missing := p.authority.Missing()
	if len(missing) == 0 {
		return
	}
	authority := p.config.acmeDirectory
	if authority == "" {
		authority = acme.Authority
	}
	if u, err := url.Parse(authority); err == nil {
		authority = u.Host
	}
	ports := "port " + port(p.listeners.main[0])
	if p.listeners.redirect != nil {
		ports = "ports " + port(p.listeners.main[0]) + " and " + port(p.listeners.redirect)
	}
	list := strings.Join(missing, ", ")
	fmt.Fprintf(w, "Asking %s for a certificate for %s. For that, %s must lead to this machine,\n"+
		"and %s be reachable from outside as 443 and 80. This agrees to the authority's terms.\n", authority, list, list, ports)
}

func port(ln net.Listener) string {
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	return port
}
