package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"net/netip"
	"os"
	"slices"

	"topdown/pkg/httpmsg"
	"topdown/proxyserver/internal/access"
	"topdown/proxyserver/internal/cache"
	"topdown/proxyserver/internal/exchange"
	"topdown/proxyserver/internal/ftp"
	"topdown/proxyserver/internal/netio"
	"topdown/proxyserver/internal/origin"
	"topdown/proxyserver/internal/proxy"
	"topdown/proxyserver/internal/store"

	"go.uber.org/zap"
)

// parts are the chain, put together.
type parts struct {
	server *proxy.Server
	origin *origin.Transport
	cache  *cache.Cache
	store  store.Managed
	dir    string // of the store, "" without one
	log    *zap.Logger
	ends   []func()
}

// close ends the parts, the last one made first.
func (p *parts) close() {
	for _, end := range slices.Backward(p.ends) {
		end()
	}
}

// build wires the chain: server -> cache -> origin or ftp.
func build(ctx context.Context, c *config, addr string, log *zap.Logger) (p *parts, err error) {
	p = &parts{log: log}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	// The parts outlive ctx: exchanges under way come to their end.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	p.ends = append(p.ends, cancel)
	clock := netio.NewClock(ctx)
	s := &proxy.Server{
		Clock: clock, Log: log, Name: ownName(c.name, addr), Upstream: c.upstream,
		GetContent: c.allowGetContent, PreserveHost: c.preserveHost, TrustProxy: c.trustProxy,
		HeadTimeout: c.headTimeout, IdleTimeout: c.idleTimeout, BodyTimeout: c.readTimeout, TunnelIdle: c.tunnelTimeout,
		Limits:   httpmsg.Limits{HostOptional: c.lab},
		MaxConns: c.maxConns, MaxPerAddr: c.maxPerAddr, MaxBody: c.maxBody,
		Rules: &access.Rules{
			Clients: c.allowClient, Allow: c.allowTarget, Deny: c.denyTarget, Private: isLoopback(addr) || c.allowPrivate,
			ConnectPorts: c.connectPort, TargetPorts: c.targetPort,
			ThisMachine: isLoopback(addr), WebPorts: !isLoopback(addr),
		},
	}
	p.server = s
	if c.blockList != "" {
		if s.Rules.Hosts, err = readFile("block-list", c.blockList, access.ParseHosts); err != nil {
			return p, err
		}
	}
	if c.userQuota > 0 {
		s.Quota = &access.Quota{Limit: c.userQuota}
	}
	if c.authFile != "" {
		users, usersErr := readFile("auth-file", c.authFile, access.ParseUsers)
		if usersErr != nil {
			return p, usersErr
		}
		s.SetUsers(users)
	}
	if c.localRoot != "" {
		if s.LocalRoot, err = os.OpenRoot(c.localRoot); err != nil {
			return p, noDirectory("--local-root", c.localRoot, err)
		}
		p.ends = append(p.ends, func() { s.LocalRoot.Close() }) //nolint:errcheck // only read from
	}
	dialer, err := p.dialer(c)
	if err != nil {
		return p, err
	}
	p.origin = origin.New(ctx, origin.Options{
		Dialer: dialer, Clock: clock, Name: s.Name, Lab: c.lab,
		ResponseTimeout: c.responseTimeout, ReadTimeout: c.readTimeout,
	})
	s.Tunnel = dialer.Tunnel
	schemes := exchange.Schemes{"http": p.origin, "https": p.origin, "ftp": p.origin}
	if dialer.Parent == nil {
		schemes["ftp"] = &ftp.Transport{Dial: dialer.Dial, Clock: clock, Timeout: c.responseTimeout}
	}
	s.Transport = schemes
	return p, p.addCache(c)
}

func (p *parts) dialer(c *config) (*origin.Dialer, error) {
	d := &origin.Dialer{Timeout: c.connectTimeout, Parent: c.parent}
	d.Check = func(_ string, addr netip.AddrPort) error {
		if p.server.IsSelf(addr) {
			return &exchange.Error{
				Status: 502, Type: "proxy_loop_detected", Step: "checking for a loop",
				Err: errors.New("that address is this proxy's own"),
			}
		}
		if c.upstream != nil {
			return nil // the operator has named the one origin
		}
		return p.server.Rules.Target(addr)
	}
	if c.caFile == "" {
		return d, nil
	}
	var err error
	d.Roots, err = readRoots("--ca-file", c.caFile)
	return d, err
}

// readRoots adds the authorities in a file to the system's.
func readRoots(flag, file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fileError(flag, file, err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s %s: a certificate in PEM form is expected", flag, file)
	}
	return roots, nil
}

// readFile has parse read the file that a flag names.
func readFile[T any](flag, file string, parse func(io.Reader) (*T, error)) (*T, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fileError("--"+flag, file, err)
	}
	defer f.Close()
	parsed, err := parse(f)
	if err != nil {
		return nil, fmt.Errorf("--%s %s: %w", flag, file, err)
	}
	return parsed, nil
}

// ownName returns the proxy's name, or one that is made of host and address:
// the same name again would look like a loop.
func ownName(given, addr string) string {
	if given != "" {
		return given
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	h := fnv.New32a()
	io.WriteString(h, host+" "+addr) //nolint:errcheck // a hash takes everything
	return fmt.Sprintf("proxyserver-%08x", h.Sum32())
}
