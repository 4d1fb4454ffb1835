package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"topdown/proxyserver/internal/access"

	"go.uber.org/zap"
)

// reloadOnHangup reads the password file and the block list again, and reopens
// the access log, at each SIGHUP.
func (p *parts) reloadOnHangup(ctx context.Context, c *config) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	go func() {
		defer signal.Stop(hangup)
		for {
			select {
			case <-ctx.Done():
				return
			case <-hangup:
				p.reload(c)
			}
		}
	}()
}

func (p *parts) reload(c *config) {
	if c.authFile != "" {
		if users, err := readFile("auth-file", c.authFile, access.ParseUsers); err != nil {
			p.log.Error("the old passwords stay in force", zap.Error(err))
		} else {
			p.server.SetUsers(users)
		}
	}
	if c.blockList != "" {
		if hosts, err := readFile("block-list", c.blockList, access.ParseHosts); err != nil {
			p.log.Error("the old block list stays in force", zap.Error(err))
		} else {
			p.server.Rules.Hosts.Replace(hosts)
		}
	}
	if err := p.server.Access.Reopen(); err != nil {
		p.log.Error("the access log stays where it was", zap.Error(err))
	}
	p.log.Info("settings read again")
}

// certificate returns what clients are spoken to with: nil without --tls-cert.
func (p *parts) certificate(c *config) (*tls.Config, error) {
	if c.tlsCert == "" {
		return nil, nil
	}
	pair := &keyPair{cert: c.tlsCert, key: c.tlsKey, log: p.log}
	if err := pair.load(); err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return pair.current(), nil },
	}, nil
}

// keyPair is a certificate whose files are looked at again, at most once a
// second, when somebody connects.
type keyPair struct {
	cert, key string
	log       *zap.Logger

	loaded atomic.Pointer[tls.Certificate]

	mu      sync.Mutex // for whoever looks; nobody waits for it
	stamp   string     // of the files as loaded, or as last tried
	checked time.Time
}

func (k *keyPair) current() *tls.Certificate {
	if k.mu.TryLock() {
		if now := time.Now(); now.Sub(k.checked) >= time.Second {
			k.checked = now
			if stamp := k.stampFiles(); stamp != k.stamp {
				if err := k.load(); err != nil {
					k.log.Error("the old certificate stays in use", zap.Error(err))
				}
			}
		}
		k.mu.Unlock()
	}
	return k.loaded.Load()
}

// load reads the files. A pair of which one file is new and one is old does not
// fit together; the next look finds both new.
func (k *keyPair) load() error {
	k.stamp = k.stampFiles()
	for flag, file := range map[string]string{"--tls-cert": k.cert, "--tls-key": k.key} {
		if _, err := os.Stat(file); err != nil {
			return fileError(flag, file, err)
		}
	}
	loaded, err := tls.LoadX509KeyPair(k.cert, k.key)
	if err != nil {
		return fmt.Errorf("--tls-cert %s: %w", k.cert, err)
	}
	k.loaded.Store(&loaded)
	return nil
}

func (k *keyPair) stampFiles() string {
	var stamp strings.Builder
	for _, file := range []string{k.cert, k.key} {
		if info, err := os.Stat(file); err == nil {
			fmt.Fprintln(&stamp, info.ModTime().UnixNano(), info.Size())
		}
	}
	return stamp.String()
}
