package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"go.uber.org/zap"

	"topdown/pkg/logging"
	"topdown/webserver/internal/acme"
	"topdown/webserver/internal/certs"
	"topdown/webserver/internal/listen"
	"topdown/webserver/internal/metrics"
	"topdown/webserver/internal/sandbox"
	"topdown/webserver/internal/server"
	"topdown/webserver/internal/site"
	"topdown/webserver/www"
)

// parts are what serve puts together.
type parts struct {
	config    *config
	log       *zap.Logger
	server    *server.Server
	files     *site.Site
	lines     *logging.AccessLog
	rules     sandbox.Rules // what the process still needs once it serves
	listeners listeners
	authority *acme.Manager // nil without --domain
}

// serve puts the server together and runs it until ctx ends.
func serve(ctx context.Context, c *config, stdout, stderr io.Writer) error {
	log, err := logging.New(stderr, c.logLevel, c.logFormat)
	if err != nil {
		return err
	}
	files, err := site.New(site.Options{Root: c.root, Builtin: www.Files, SPA: c.spa, CacheControl: c.cacheControl, PageEnd: c.pageEnd(), Seal: c.tlsCert == "" && len(c.domains) == 0})
	if err != nil {
		return fileError("--root", c.root, err)
	}
	defer files.Close() //nolint:errcheck // it was only read from
	p := &parts{config: c, log: log, files: files}
	if p.listeners, err = open(ctx, c); err != nil {
		return err
	}
	defer p.listeners.close()
	p.server = &server.Server{
		Site: files, Log: log, Listing: c.listing, Metrics: metrics.New(),
		MaxBody: c.maxBody, MaxUpload: c.uploadMax,
		MaxConns: p.connections(), MaxConnsPerAddr: c.maxPerAddr, CountLoopback: c.perAddr.given != "",
		TrustProxy:  c.trustProxy,
		HeadTimeout: c.headTimeout, IdleTimeout: c.idleTimeout, MinRate: c.minRate,
	}
	if c.archive {
		p.server.MaxArchive = c.archiveMax
	}
	if p.listeners.loopback() {
		p.server.OwnHost = listen.IsOwnHost
	}
	closeTrace, err := p.trace(stderr)
	if err != nil {
		return err
	}
	defer closeTrace()
	if c.root != "" {
		p.rules.ReadDirs = append(p.rules.ReadDirs, c.root)
	}
	if path, ok := strings.CutPrefix(c.addr, "unix:"); ok {
		p.rules.WriteDirs = append(p.rules.WriteDirs, filepath.Dir(path)) // to remove the socket
	}
	for _, part := range []func() error{p.access, p.uploads, p.tls, func() error { return p.accessLog(stdout) }} {
		if err := part(); err != nil {
			return err
		}
	}
	defer p.lines.Close() //nolint:errcheck // it reports what it loses
	var shared []string
	if !c.noSandbox {
		shared = p.rules.Shared()
		status, err := sandbox.Restrict(p.rules)
		if err != nil {
			return fmt.Errorf("sandbox: %w (--no-sandbox goes without)", err)
		}
		log.Debug("sandbox: " + status)
	}
	defer p.onHangup()()
	defer p.liveReload(ctx)()
	p.listeners.serveOthers(ctx, p.server)
	p.ready(stdout)
	for _, what := range shared {
		fmt.Fprintf(stdout, "  Sandbox: %s. Give it a folder of its own.\n", what)
	}
	if p.authority != nil {
		asked, cancel := context.WithCancel(ctx)
		var asking sync.WaitGroup
		asking.Go(func() { p.authority.Run(asked) })
		defer asking.Wait()
		defer cancel()
	}
	return p.server.Serve(ctx, p.listeners.main...)
}

// ready says where the server can be found.
func (p *parts) ready(w io.Writer) {
	fmt.Fprintln(w, "Ready to serve...")
	scheme := "http"
	if p.server.TLS != nil {
		scheme = "https"
	}
	var urls []string
	for _, ln := range p.listeners.main {
		urls = append(urls, listen.URLs(ln.Addr(), scheme)...)
	}
	for _, name := range p.config.domains {
		urls = append(urls, "https://"+name+"/")
	}
	for _, url := range urls {
		fmt.Fprintln(w, "  "+url)
	}
	if p.config.qr {
		if err := printQR(w, urls); err != nil {
			p.log.Warn(err.Error())
		}
	}
	if p.authority != nil {
		p.announce(w)
	}
}

// connections returns how many connections there can be. A file to serve, a log, a
// listener: they need descriptors too.
func (p *parts) connections() int {
	n := p.config.maxConns
	most := max(descriptors()*9/10-50, 10)
	if n > most && p.config.limits.given != "" {
		p.log.Warn("fewer connections than --max-conns: the limit of open files (ulimit -n) is in the way", zap.Int("connections", most))
	}
	return min(n, most)
}

// report returns what tells the log of faults in a part.
func (p *parts) report(what string) func(error) {
	return func(err error) { p.log.Warn(what, zap.Error(err)) }
}

// bytesPerFile is what a file takes at least of the quota: a block of the disk.
const bytesPerFile = 4 << 10

// tls sets up https.
func (p *parts) tls() error {
	if len(p.config.domains) > 0 {
		return p.domains()
	}
	if p.config.tlsCert == "" {
		return nil
	}
	source, err := certs.New(p.config.tlsCert, p.config.tlsKey, p.report("certificate"))
	if err != nil {
		return err
	}
	p.server.TLS = source.Config()
	p.rules.ReadFiles = append(p.rules.ReadFiles, p.config.tlsCert, p.config.tlsKey)
	return nil
}

// fileError names the flag and the file that is wrong, once.
func fileError(flag, file string, err error) error {
	if failed, ok := errors.AsType[*os.PathError](err); ok {
		err = failed.Err
	}
	if errors.Is(err, os.ErrNotExist) && (flag == "--root" || flag == "--uploads") {
		err = errors.New("no such directory")
	}
	return fmt.Errorf("%s %s: %w", flag, file, err)
}
