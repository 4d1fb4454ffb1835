package main

import (
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"

	"topdown/proxyserver/internal/cache"
	"topdown/proxyserver/internal/rules"
	"topdown/proxyserver/internal/store"

	"go.uber.org/zap"
)

// addCache puts the cache in front of the transport.
func (p *parts) addCache(c *config) error {
	if c.noCache {
		return nil
	}
	opened, err := p.openStore(c)
	if err != nil {
		return err
	}
	p.store = opened
	p.cache = &cache.Cache{Next: p.server.Transport, Store: opened, Rules: c.rules(), Log: p.log, Name: p.server.Name}
	p.server.Transport = p.cache
	if c.purge {
		p.server.Purge = p.cache.Purge
	}
	p.ends = append(p.ends, func() {
		p.cache.Close()
		if err := opened.Close(); err != nil {
			p.log.Warn("close the store", zap.Error(err))
		}
	})
	return nil
}

// rules says which kind of cache this is.
func (c *config) rules() rules.Config {
	r := rules.Config{Lab: c.lab}
	if c.upstream != nil {
		r.Targeted, r.Groups = []string{"CDN-Cache-Control"}, true
		r.Selecting = []string{"x-forwarded-host", "x-forwarded-port", "x-forwarded-proto"}
	}
	return r
}

// openStore opens this proxy's own store, and the one that it shares with others
// before it, if it shares one.
func (p *parts) openStore(c *config) (store.Managed, error) {
	own, err := p.openOwn(c)
	if err != nil || c.storeURL == "" {
		return own, err
	}
	shared, err := c.openShared(own, p.log)
	if err != nil {
		return nil, errors.Join(err, own.Close())
	}
	return shared, nil
}

// memory is what each store may hold in memory.
func (c *config) memory() int64 {
	if c.storeURL != "" {
		return c.cacheMemory / 2
	}
	return c.cacheMemory
}

// openShared opens the shared store. Closing it closes own.
func (c *config) openShared(own *store.Disk, log *zap.Logger) (store.Managed, error) {
	password := ""
	var roots *x509.CertPool
	if c.storeCAFile != "" {
		var err error
		if roots, err = readRoots("--store-ca-file", c.storeCAFile); err != nil {
			return nil, err
		}
	}
	if c.storePasswordFile != "" {
		content, err := os.ReadFile(c.storePasswordFile)
		if err != nil {
			return nil, fileError("--store-password-file", c.storePasswordFile, err)
		}
		password = strings.TrimRight(string(content), "\r\n")
	}
	shared, err := store.OpenRedis(store.RedisOptions{
		URL: c.storeURL, Password: password, Roots: roots, Patience: c.storeTimeout, Object: c.sharedObject, Memory: c.memory(), Local: own, Rules: c.rules(), Log: log,
	})
	if err != nil {
		return nil, fmt.Errorf("--store: %w", err)
	}
	return shared, nil
}

// openOwn opens the store in its directory, in a temporary one if another
// proxy has the usual one, and in memory where there is no place to write.
func (p *parts) openOwn(c *config) (*store.Disk, error) {
	dir, temporary, err := cacheDir(c)
	if err != nil {
		p.log.Warn("nothing can be written: the cache is in memory (--cache-dir DIR names a place)", zap.Error(err))
		return store.NewMemory(c.memory(), c.maxObject), nil
	}
	options := store.DiskOptions{Dir: dir, Size: c.cacheSize, Memory: c.memory(), Object: c.maxObject, Rules: c.rules(), Log: p.log}
	if len(c.command) > 0 {
		// The proxy's store may be larger than a command is told: nothing is evicted.
		options.Size, options.Object = math.MaxInt64, cmp.Or(c.maxObject, c.cacheSize/4)
	}
	disk, err := store.OpenDisk(options)
	if errors.Is(err, store.ErrInUse) && c.cacheDir == "" && len(c.command) == 0 {
		if dir, err = os.MkdirTemp("", "topdown-proxyserver-"); err != nil {
			return nil, fmt.Errorf("make a temporary directory for the cache: %w", err)
		}
		p.log.Warn("another proxy uses the cache directory: this one has a temporary one", zap.String("dir", dir))
		temporary, options.Dir = true, dir
		disk, err = store.OpenDisk(options)
	}
	if err != nil {
		return nil, noDirectory("--cache-dir", dir, err)
	}
	if temporary {
		p.ends = append(p.ends, func() { os.RemoveAll(dir) }) //nolint:errcheck // a temporary directory
	}
	p.dir = dir
	return disk, nil
}

// cacheDir returns the directory of the store, a temporary one if there is no
// better place.
func cacheDir(c *config) (dir string, temporary bool, err error) {
	if c.cacheDir != "" {
		return c.cacheDir, false, nil
	}
	if base, baseErr := os.UserCacheDir(); baseErr == nil {
		dir = filepath.Join(base, "topdown-proxyserver")
		if os.MkdirAll(dir, 0o700) == nil {
			return dir, false, nil
		}
	}
	dir, err = os.MkdirTemp("", "topdown-proxyserver-")
	return dir, err == nil, err
}

// noDirectory words why a directory cannot be used.
func noDirectory(flag, dir string, err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s %s: no such directory", flag, dir)
	}
	return fileError(flag, dir, err)
}
