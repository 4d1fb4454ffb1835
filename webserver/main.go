// Webserver serves files over HTTP/1.1, from the socket up: the first
// programming assignment of Computer Networking: A Top-Down Approach.
//
// This file only reads the command line and puts the parts together. The
// lesson begins in internal/server/server.go.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"
	"go.uber.org/zap"

	"topdown/pkg/httpmsg"
	"topdown/pkg/logging"
	"topdown/webserver/internal/auth"
	"topdown/webserver/internal/certs"
	"topdown/webserver/internal/form"
	"topdown/webserver/internal/listen"
	"topdown/webserver/internal/metrics"
	"topdown/webserver/internal/sandbox"
	"topdown/webserver/internal/server"
	"topdown/webserver/internal/site"
	"topdown/webserver/www"
)

// version is set by the linker (scripts/build).
var version = "unreleased"

// Exit codes.
const (
	exitOK      = 0
	exitFailure = 1 // something went wrong while running: a port in use, no such directory
	exitUsage   = 2 // the command line cannot be understood
)

func main() { os.Exit(run(os.Args, os.Stdout, os.Stderr)) }

// run runs the program and returns its exit code.
func run(args []string, stdout, stderr io.Writer) int {
	// A reader of our output that goes away is no reason to stop serving.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	err := newApp(stdout, stderr).RunContext(ctx, args)
	if err == nil {
		return exitOK
	}
	if coder, ok := errors.AsType[exitError](err); ok {
		if coder.err != nil {
			fmt.Fprintln(stderr, "webserver:", coder.err)
		}
		return coder.code
	}
	fmt.Fprintln(stderr, "webserver:", err)
	return exitFailure
}

// exitError is an error with an exit code of its own. It is not a
// cli.ExitCoder: the library would end the program by itself.
type exitError struct {
	code int
	err  error
}

func (e exitError) Error() string { return fmt.Sprint(e.err) }

func usage(format string, args ...any) error {
	return exitError{exitUsage, fmt.Errorf(format+"\nrun 'webserver --help' for what it takes", args...)}
}

// badFlag answers a flag that does not exist or cannot be read, of the program
// and of its commands.
func badFlag(_ *cli.Context, err error, _ bool) error { return usage("%v", err) }

// config is the command line.
type config struct {
	addr, port               string
	root, cacheControl       string
	listing, spa             bool
	uploads, tokenFile       string
	token                    string
	uploadMax, uploadQuota   int64
	maxBody                  int64
	tlsCert, tlsKey          string
	redirectHTTP, htpasswd   string
	maxConns, maxPerAddr     int
	maxPerAddrSet            bool
	headTimeout, idleTimeout time.Duration
	minRate                  int64
	accessLog, accessFormat  string
	logLevel, logFormat      string
	metricsAddr              string
	noSandbox, trace         bool
}

func newApp(stdout, stderr io.Writer) *cli.App {
	var c config
	env := func(name string) []string { return []string{"WEBSERVER_" + name} }
	size := func(name, envName, value, text string) *cli.StringFlag {
		return &cli.StringFlag{Name: name, EnvVars: env(envName), Value: value, Usage: text}
	}
	return &cli.App{
		Name:      "webserver",
		Usage:     "serve files over HTTP/1.1",
		ArgsUsage: "[PORT]",
		Description: "Without --root it serves a built-in sample site.\n\n" +
			"Examples:\n" +
			"  webserver                                    the sample site, at http://localhost:8080/\n" +
			"  webserver --root ./public --listing 8081     a directory, at port 8081\n" +
			"  webserver --trace                            show each message and each decision\n" +
			"  webserver get http://localhost:8080/         a client: send a GET, show the response",
		Writer:          stdout,
		ErrWriter:       stderr,
		HideHelpCommand: true,
		Version:         version,
		ExitErrHandler:  func(*cli.Context, error) {},
		OnUsageError:    badFlag,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "addr", EnvVars: env("ADDR"), Value: ":8080", Destination: &c.addr, Usage: "`ADDRESS` to listen on: host:port, :port, or unix:/path"},
			&cli.StringFlag{Name: "root", EnvVars: env("ROOT"), Destination: &c.root, Usage: "serve the files in `DIR` and nothing outside it (default: the sample site)"},
			&cli.BoolFlag{Name: "listing", EnvVars: env("LISTING"), Destination: &c.listing, Usage: "list directories that have no index.html"},
			&cli.BoolFlag{Name: "spa", EnvVars: env("SPA"), Destination: &c.spa, Usage: "answer with index.html where a page is missing (single-page application)"},
			&cli.StringFlag{Name: "cache-control", EnvVars: env("CACHE_CONTROL"), Destination: &c.cacheControl, Usage: "Cache-Control `VALUE` for every file (default: no-cache; for names with a fingerprint, a year)"},
			&cli.StringFlag{Name: "uploads", EnvVars: env("UPLOADS"), Destination: &c.uploads, Usage: "keep the files of posted forms in `DIR`"},
			size("upload-max", "UPLOAD_MAX", "100MiB", "largest request that may send files, `SIZE`"),
			size("upload-quota", "UPLOAD_QUOTA", "1GiB", "most that the upload directory may hold, `SIZE`"),
			&cli.StringFlag{Name: "upload-token-file", EnvVars: env("UPLOAD_TOKEN_FILE"), Destination: &c.tokenFile, Usage: "`FILE` with the token that sending files takes (or set WEBSERVER_UPLOAD_TOKEN)"},
			size("max-body", "MAX_BODY", "10MiB", "largest other request body, `SIZE`"),
			&cli.StringFlag{Name: "tls-cert", EnvVars: env("TLS_CERT"), Destination: &c.tlsCert, Usage: "certificate chain `FILE` (PEM); speaks https, reloads the file when it changes"},
			&cli.StringFlag{Name: "tls-key", EnvVars: env("TLS_KEY"), Destination: &c.tlsKey, Usage: "private key `FILE` (PEM)"},
			&cli.StringFlag{Name: "redirect-http", EnvVars: env("REDIRECT_HTTP"), Destination: &c.redirectHTTP, Usage: "also listen on `ADDRESS` and redirect to https from there"},
			&cli.StringFlag{Name: "htpasswd", EnvVars: env("HTPASSWD"), Destination: &c.htpasswd, Usage: "ask for a user of this htpasswd `FILE` (bcrypt: htpasswd -B)"},
			&cli.IntFlag{Name: "max-conns", EnvVars: env("MAX_CONNS"), Value: 20_000, Destination: &c.maxConns, Usage: "most connections at a time"},
			&cli.IntFlag{Name: "max-conns-per-addr", EnvVars: env("MAX_CONNS_PER_ADDR"), Value: 256, Destination: &c.maxPerAddr, Usage: "most connections of one client address (by default not for this host itself)"},
			&cli.DurationFlag{Name: "head-timeout", EnvVars: env("HEAD_TIMEOUT"), Value: 10 * time.Second, Destination: &c.headTimeout, Usage: "time that the head of a request may take"},
			&cli.DurationFlag{Name: "idle-timeout", EnvVars: env("IDLE_TIMEOUT"), Value: time.Minute, Destination: &c.idleTimeout, Usage: "time that a connection may be silent between requests"},
			&cli.Int64Flag{Name: "min-rate", EnvVars: env("MIN_RATE"), Value: 240, Destination: &c.minRate, Usage: "slowest sending and reading that is put up with, bytes a second"},
			&cli.StringFlag{Name: "access-log", EnvVars: env("ACCESS_LOG"), Value: "-", Destination: &c.accessLog, Usage: "`FILE` for a line per request; - is standard output, off is none; SIGHUP reopens it"},
			&cli.StringFlag{Name: "access-format", EnvVars: env("ACCESS_FORMAT"), Value: "combined", Destination: &c.accessFormat, Usage: "form of those lines: " + logging.AccessFormats},
			&cli.StringFlag{Name: "log-level", EnvVars: env("LOG_LEVEL"), Value: "info", Destination: &c.logLevel, Usage: "what is logged on standard error: " + logging.Levels},
			&cli.StringFlag{Name: "log-format", EnvVars: env("LOG_FORMAT"), Value: "console", Destination: &c.logFormat, Usage: "form of the log: " + logging.Formats},
			&cli.StringFlag{Name: "metrics-addr", EnvVars: env("METRICS_ADDR"), Destination: &c.metricsAddr, Usage: "serve /metrics in Prometheus text on `ADDRESS`"},
			&cli.BoolFlag{Name: "no-sandbox", EnvVars: env("NO_SANDBOX"), Destination: &c.noSandbox, Usage: "do not have the kernel keep this process to its files (Linux: Landlock)"},
			&cli.BoolFlag{Name: "trace", EnvVars: env("TRACE"), Destination: &c.trace, Usage: "show each message and each decision, with the RFC's section, on standard error"},
		},
		Before: func(ctx *cli.Context) error { return c.complete(ctx) },
		Action: func(ctx *cli.Context) error {
			if ctx.NArg() > 1 {
				return usage("%q: one port is expected, flags come before it", ctx.Args().Slice())
			}
			if c.port = ctx.Args().First(); c.port != "" {
				c.addr = ":" + c.port
			}
			return serve(ctx.Context, &c, stdout, stderr)
		},
		Commands: []*cli.Command{getCommand(stdout, stderr)},
	}
}

// complete reads what the flag package cannot: sizes, secrets, and which values
// go together.
func (c *config) complete(ctx *cli.Context) (err error) {
	for _, s := range []struct {
		flag string
		into *int64
	}{{"upload-max", &c.uploadMax}, {"upload-quota", &c.uploadQuota}, {"max-body", &c.maxBody}} {
		if *s.into, err = parseSize(ctx.String(s.flag)); err != nil {
			return usage("--%s: %v", s.flag, err)
		}
	}
	c.maxPerAddrSet = ctx.IsSet("max-conns-per-addr")
	c.token = os.Getenv("WEBSERVER_UPLOAD_TOKEN")
	switch {
	case (c.tlsCert == "") != (c.tlsKey == ""):
		return usage("--tls-cert and --tls-key go together")
	case c.redirectHTTP != "" && c.tlsCert == "":
		return usage("--redirect-http needs --tls-cert and --tls-key: there is no https to redirect to")
	case !httpmsg.IsValue(c.cacheControl):
		return usage("--cache-control %q has a character that a field cannot hold", c.cacheControl)
	case c.spa && c.root == "":
		return usage("--spa needs --root: the sample site is no application")
	}
	return nil
}

// serve puts the server together and runs it until ctx ends.
func serve(ctx context.Context, c *config, stdout, stderr io.Writer) error {
	log, err := logging.New(stderr, c.logLevel, c.logFormat)
	if err != nil {
		return usage("%v", err)
	}
	report := func(what string) func(error) {
		return func(err error) { log.Warn(what, zap.Error(err)) }
	}
	files, err := site.New(site.Options{Root: c.root, Builtin: www.Files, SPA: c.spa, CacheControl: c.cacheControl})
	if err != nil {
		return fmt.Errorf("cannot serve --root: %w", err)
	}
	defer files.Close() //nolint:errcheck // it was only read from
	listeners, err := open(ctx, c)
	if err != nil {
		return err
	}
	// A file to serve, a log, a listener: they need descriptors too.
	if most := max(descriptors()*9/10-50, 10); c.maxConns > most {
		log.Info("fewer connections than --max-conns: the limit of open files (ulimit -n) is in the way", zap.Int("connections", most))
		c.maxConns = most
	}
	srv := &server.Server{
		Site: files, Log: log, Listing: c.listing,
		MaxBody: c.maxBody, MaxUpload: c.uploadMax,
		MaxConns: c.maxConns, MaxConnsPerAddr: c.maxPerAddr, CountLoopback: c.maxPerAddrSet,
		HeadTimeout: c.headTimeout, IdleTimeout: c.idleTimeout, MinRate: c.minRate,
	}
	if c.trace {
		srv.Trace = server.NewTracer(stderr, time.Now)
	}
	rules := sandbox.Rules{}
	if c.root != "" {
		rules.ReadDirs = append(rules.ReadDirs, c.root)
	}
	if path, ok := strings.CutPrefix(c.addr, "unix:"); ok {
		rules.WriteDirs = append(rules.WriteDirs, filepath.Dir(path)) // to remove the socket
	}
	if err = access(c, srv, &rules, report); err != nil {
		return err
	}
	if err = uploads(c, srv, &rules, listeners); err != nil {
		return err
	}
	scheme := "http"
	if c.tlsCert != "" {
		source, certErr := certs.New(c.tlsCert, c.tlsKey, report("certificate"))
		if certErr != nil {
			return certErr
		}
		scheme, srv.TLS = "https", source.Config()
		rules.ReadFiles = append(rules.ReadFiles, c.tlsCert, c.tlsKey)
	}
	format, err := logging.ParseAccessFormat(c.accessFormat)
	if err != nil {
		return usage("--access-format: %v", err)
	}
	lines, err := logging.OpenAccess(c.accessLog, logging.AccessOptions{Format: format, Stdout: stdout, Report: report("access log")})
	if err != nil {
		return err
	}
	defer lines.Close() //nolint:errcheck // it reports what it loses
	srv.Access = lines
	if c.accessLog != "-" && c.accessLog != "off" {
		rules.WriteFiles = append(rules.WriteFiles, c.accessLog)
	}
	counters := metrics.New()
	srv.Metrics = counters
	also, err := companions(ctx, c, srv, counters, listeners)
	if err != nil {
		return err
	}
	if !c.noSandbox {
		status, limitErr := sandbox.Restrict(rules)
		if limitErr != nil {
			return fmt.Errorf("sandbox: %w (--no-sandbox goes without)", limitErr)
		}
		log.Info("sandbox: " + status)
	}
	for _, start := range also {
		go start()
	}
	defer onHangup(lines, report("access log"))()

	fmt.Fprintln(stdout, "Ready to serve...")
	for _, ln := range listeners {
		for _, url := range listen.URLs(ln.Addr(), scheme) {
			fmt.Fprintln(stdout, "  "+url)
		}
	}
	err = srv.Serve(ctx, listeners...)
	log.Info("stopped")
	return err
}

// open opens the listeners, or takes those that systemd has opened.
func open(ctx context.Context, c *config) ([]net.Listener, error) {
	listeners, err := listen.Activated(os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS"))
	for _, name := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		err = errors.Join(err, os.Unsetenv(name))
	}
	if err != nil || len(listeners) > 0 {
		return listeners, err
	}
	ln, err := listen.Listen(ctx, c.addr)
	if errors.Is(err, listen.ErrAddress) {
		return nil, usage("%v", err)
	}
	if err != nil {
		return nil, err
	}
	return []net.Listener{ln}, nil
}

// access sets up who may come in.
func access(c *config, srv *server.Server, rules *sandbox.Rules, report func(string) func(error)) error {
	if c.htpasswd == "" {
		return nil
	}
	users, err := auth.Open(c.htpasswd, report("htpasswd"))
	if err != nil {
		return err
	}
	srv.Users = users
	rules.ReadFiles = append(rules.ReadFiles, c.htpasswd)
	return nil
}

// uploads sets up where posted files go, and who may send them.
func uploads(c *config, srv *server.Server, rules *sandbox.Rules, listeners []net.Listener) error {
	if c.uploads == "" {
		return nil
	}
	secret := c.token
	if c.tokenFile != "" {
		text, err := os.ReadFile(c.tokenFile)
		if err != nil {
			return err
		}
		secret = string(text)
	}
	if secret != "" || c.tokenFile != "" {
		token, err := auth.NewToken(secret)
		if err != nil {
			return fmt.Errorf("upload token: %w", err)
		}
		srv.UploadToken = token
	} else if c.htpasswd == "" && !private(listeners) {
		return errors.New("--uploads on an address that others can reach would let anybody fill this disk: " +
			"set --upload-token-file or --htpasswd, or listen on this host only (--addr 127.0.0.1:8080)")
	}
	store, err := form.OpenUploads(c.uploads, form.Quota{PerRequest: c.uploadMax, Total: c.uploadQuota})
	if err != nil {
		return err
	}
	srv.Uploads = store
	rules.WriteDirs = append(rules.WriteDirs, c.uploads)
	return nil
}

// private reports whether only this host can reach the listeners.
func private(listeners []net.Listener) bool {
	for _, ln := range listeners {
		if tcp, ok := ln.Addr().(*net.TCPAddr); ok && !tcp.IP.IsLoopback() {
			return false
		}
	}
	return true
}

// companions opens the listeners beside the server's own, for metrics and for
// redirects to https, and returns what serves them.
func companions(ctx context.Context, c *config, srv *server.Server, counters *metrics.Metrics, listeners []net.Listener) (start []func(), err error) {
	if c.metricsAddr != "" {
		ln, err := listen.Listen(ctx, c.metricsAddr)
		if err != nil {
			return nil, fmt.Errorf("--metrics-addr: %w", err)
		}
		start = append(start, func() {
			if err := counters.Serve(ctx, ln, listen.IsOwnHost, srv.Log); err != nil {
				srv.Log.Error("the metrics listener has ended", zap.Error(err))
			}
		})
	}
	if c.redirectHTTP != "" {
		ln, err := listen.Listen(ctx, c.redirectHTTP)
		if err != nil {
			return nil, fmt.Errorf("--redirect-http: %w", err)
		}
		port := "443"
		if tcp, ok := listeners[0].Addr().(*net.TCPAddr); ok {
			port = fmt.Sprint(tcp.Port)
		}
		redirect := &server.Server{
			Site: srv.Site, Log: srv.Log, Access: srv.Access, Metrics: counters, Trace: srv.Trace, RedirectTo: port,
			MaxConns: c.maxConns, MaxConnsPerAddr: c.maxPerAddr, CountLoopback: c.maxPerAddrSet,
			HeadTimeout: c.headTimeout, IdleTimeout: c.idleTimeout, MinRate: c.minRate,
		}
		start = append(start, func() {
			if err := redirect.Serve(ctx, ln); err != nil {
				srv.Log.Error("the redirect to https has ended", zap.Error(err))
			}
		})
	}
	return start, nil
}

// onHangup reopens the access log on SIGHUP, as log rotation asks for. The
// returned function ends that.
func onHangup(lines *logging.AccessLog, report func(error)) (stop func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP)
	go func() {
		for range signals {
			if err := lines.Reopen(); err != nil {
				report(err)
			}
		}
	}()
	return func() {
		signal.Stop(signals)
		close(signals)
	}
}

// parseSize reads a number of bytes: 500, 64KiB, 10MiB, 1GiB; K, M and G alone
// mean the same.
func parseSize(s string) (int64, error) {
	digits := strings.TrimRight(s, "KMGTkmgtiBb ")
	var n int64
	if _, err := fmt.Sscanf(digits, "%d", &n); err != nil || n < 0 || fmt.Sprint(n) != digits {
		return 0, fmt.Errorf("%q is no size: write 500, 64KiB, 10MiB or 1GiB", s)
	}
	shift, known := map[string]uint{
		"": 0, "b": 0, "k": 10, "kib": 10, "kb": 10, "m": 20, "mib": 20, "mb": 20,
		"g": 30, "gib": 30, "gb": 30, "t": 40, "tib": 40, "tb": 40,
	}[strings.ToLower(strings.TrimSpace(s[len(digits):]))]
	if !known || n > (1<<62)>>shift {
		return 0, fmt.Errorf("%q is no size: write 500, 64KiB, 10MiB or 1GiB", s)
	}
	return n << shift, nil
}
