package main

import (
	"errors"
	"fmt"
	"os"

	"topdown/webserver/internal/auth"
	"topdown/webserver/internal/form"
)

// access sets up who may come in.
func (p *parts) access() (err error) {
	if file := p.config.htpasswd; file != "" {
		p.server.Users, err = auth.Open(file, p.report("htpasswd"))
		p.rules.ReadFiles = append(p.rules.ReadFiles, file)
	}
	return err
}

// uploads sets up where posted files go, and who may send them.
func (p *parts) uploads() error {
	c := p.config
	if c.uploads == "" {
		return nil
	}
	secret := c.token
	if c.tokenFile != "" {
		text, err := os.ReadFile(c.tokenFile)
		if err != nil {
			return fileError("--upload-token-file", c.tokenFile, err)
		}
		secret = string(text)
	}
	if secret != "" || c.tokenFile != "" {
		token, err := auth.NewToken(secret)
		if err != nil {
			return fmt.Errorf("upload token: %w", err)
		}
		p.server.UploadToken = token
	} else if c.htpasswd == "" && len(c.trustProxy) > 0 {
		return errors.New("--uploads behind a proxy (--trust-proxy) would let anybody fill this disk: set --upload-token-file or --htpasswd")
	} else if c.htpasswd == "" && !p.listeners.private() {
		return errors.New("--uploads on an address that others can reach would let anybody fill this disk: " +
			"set --upload-token-file or --htpasswd, or listen on this machine only (--addr 127.0.0.1:8080)")
	}
	store, err := form.OpenUploads(c.uploads, form.Quota{PerRequest: c.uploadMax, Total: c.uploadQuota, Files: max(c.uploadQuota/bytesPerFile, 1)})
	if err != nil {
		return fileError("--uploads", c.uploads, err)
	}
	p.server.Uploads = store
	p.rules.WriteDirs = append(p.rules.WriteDirs, c.uploads)
	return nil
}
