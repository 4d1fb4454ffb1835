package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"topdown/webserver/internal/acme"
)

// names takes domain names and addresses, separated by commas.
func names(to *[]string) func(string) error {
	return func(value string) error {
		*to = nil
		for text := range strings.SplitSeq(value, ",") {
			checked, err := acme.CheckName(strings.TrimSpace(text))
			if err != nil {
				return err
			}
			*to = append(*to, checked)
		}
		return nil
	}
}

// validateDomains completes what --domain makes of other flags, and checks what it
// goes together with.
func (c *config) validateDomains() error {
	if c.redirectHTTP == "off" {
		c.redirectHTTP = ""
	}
	if len(c.domains) == 0 {
		for flag, value := range map[string]string{
			"cert-dir": c.certDir, "acme-email": c.acmeEmail, "acme-directory": c.acmeDirectory, "acme-ca": c.acmeCA,
		} {
			if value != "" {
				return fmt.Errorf("--%s needs --domain: there is no certificate to ask for", flag)
			}
		}
		return nil
	}
	switch {
	case c.tlsCert != "" || c.tlsKey != "":
		return errors.New("--domain gets certificates by itself; --tls-cert and --tls-key name one that is there: use either")
	case strings.HasPrefix(c.addr, "unix:"):
		return errors.New("--domain needs a port that the authority can reach, not a Unix socket")
	}
	if c.address.given == "" {
		c.addr = ":443"
	}
	if c.redirect.given == "" {
		c.redirectHTTP = ":80"
	}
	if c.certDir != "" {
		return nil
	}
	// systemd names several directories separated by colons.
	if c.certDir, _, _ = strings.Cut(os.Getenv("STATE_DIRECTORY"), ":"); c.certDir != "" {
		return nil
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return fmt.Errorf("--cert-dir is needed: this user has no directory of its own (%w)", err)
	}
	c.certDir = filepath.Join(dir, name, "certs")
	return nil
}
