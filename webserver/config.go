package main

import (
	"context"
	"io"
	"math"
	"net/netip"
	"os"
	"time"

	"github.com/urfave/cli/v2"

	"topdown/pkg/logging"
)

// name is the program's, in its messages and in the names of its variables.
const name = "webserver"

// config is what the command line and the environment ask for.
type config struct {
	addr, root   string
	listing, spa bool
	archive      bool
	archiveMax   int64
	liveReload   bool
	cacheControl string

	uploads, tokenFile string
	token              string // from the environment: a secret is no flag
	uploadMax          int64
	uploadQuota        int64
	maxBody            int64

	tlsCert, tlsKey string
	redirectHTTP    string   // "" for none
	domains         []string // to get certificates for
	certDir         string
	acmeEmail       string
	acmeDirectory   string
	acmeCA          string
	htpasswd        string

	maxConns     int
	maxPerAddr   int
	limits       *setting // --max-conns: whether it was given matters
	perAddr      *setting // the same
	address      *setting // --addr: the same
	redirect     *setting // --redirect-http: the same
	headTimeout  time.Duration
	idleTimeout  time.Duration
	minRate      int64
	accessLog    string
	accessFormat string
	metricsAddr  string
	logLevel     string
	logFormat    string
	trustProxy   []netip.Prefix
	noSandbox    bool
	check        bool
	qr           bool
	trace        bool
	traceFile    string
	version      bool
}

// groups returns the flags bound to the fields of c, as --help shows them.
func (c *config) groups() []group {
	c.limits = newSetting("max-conns", "N", "20000", "hold at most N connections at a time", number(&c.maxConns, 1, 1<<30))
	c.perAddr = newSetting("max-conns-per-addr", "N", "256", "hold at most N connections of one client, an IPv4 address or an IPv6 /64 (not of this machine itself, unless given); 0: no limit", number(&c.maxPerAddr, 0, 1<<30))
	c.address = newSetting("addr", "ADDRESS", ":8080", "listen on host:port, :port, or unix:/path (with --domain: :443)", text(&c.addr))
	c.redirect = newSetting("redirect-http", "ADDRESS", "", "listen there, too, and redirect to https (with --domain: :80); off: do not", text(&c.redirectHTTP))
	return []group{
		{"Most used", []*setting{
			newSetting("root", "DIR", "", "serve the files in this directory and nothing outside it (default: a sample site)", text(&c.root)),
			c.address,
			newSwitch("listing", "list directories that have no index.html", &c.listing),
			newSetting("uploads", "DIR", "", "keep the files of posted forms in this directory", text(&c.uploads)),
			newSetting("htpasswd", "FILE", "", "ask for a user of this file (made by htpasswd -B)", text(&c.htpasswd)),
			newSetting("domain", "NAMES", "", "speak https, with certificates that are got and renewed for these names or addresses (separated by commas)", names(&c.domains)),
			newSetting("access-log", "FILE", "-", "a line for each request; - is standard output, off is none; SIGHUP opens it anew", text(&c.accessLog)),
			newSwitch("trace", "show each message and each decision, with the RFC's section, on standard error", &c.trace),
			newSetting("trace-file", "FILE", "", "write the same to FILE, which trace.html of the sample site draws", text(&c.traceFile)),
		}},
		{"Files", []*setting{
			newSwitch("archive", "in listings, offer a directory as one file (.zip, .tar.gz)", &c.archive),
			newSetting("archive-max", "SIZE", "10GiB", "largest directory that is sent as one file", size(&c.archiveMax)),
			newSwitch("live-reload", "have pages load anew in the browser when a file below the root changes (for those who write them)", &c.liveReload),
			newSwitch("spa", "answer with index.html where a page is missing (single-page application)", &c.spa),
			newSwitch("check", "do not serve: list what should not stand below the root (keys, backups, links that lead out); exit code 1 if there is anything", &c.check),
			newSetting("cache-control", "VALUE", "", "Cache-Control for every file (default: no-cache; for names with a fingerprint, a year)", text(&c.cacheControl)),
		}},
		{"Forms and uploads", []*setting{
			newSetting("upload-max", "SIZE", "100MiB", "largest request that may send files", size(&c.uploadMax)),
			newSetting("upload-quota", "SIZE", "1GiB", "most that the upload directory may hold", size(&c.uploadQuota)),
			newSetting("upload-token-file", "FILE", "", "file with the token that sending files takes (or set WEBSERVER_UPLOAD_TOKEN)", text(&c.tokenFile)),
			newSetting("max-body", "SIZE", "10MiB", "largest other request body", size(&c.maxBody)),
		}},
		{"https", []*setting{
			newSetting("tls-cert", "FILE", "", "certificate chain (PEM): speak https; read again when it changes", text(&c.tlsCert)),
			newSetting("tls-key", "FILE", "", "its private key (PEM)", text(&c.tlsKey)),
			c.redirect,
			newSetting("cert-dir", "DIR", "", "where --domain keeps keys and certificates (default: $STATE_DIRECTORY, else a directory of the user's)", text(&c.certDir)),
			newSetting("acme-email", "ADDRESS", "", "where the authority may write to", text(&c.acmeEmail)),
			newSetting("acme-directory", "URL", "", "directory of another authority than Let's Encrypt", text(&c.acmeDirectory)),
			newSetting("acme-ca", "FILE", "", "certificate (PEM) to trust when asking it", text(&c.acmeCA)),
		}},
		{"Limits", []*setting{
			c.limits,
			c.perAddr,
			newSetting("head-timeout", "TIME", "10s", "time that the head of a request may take", duration(&c.headTimeout)),
			newSetting("idle-timeout", "TIME", "60s", "time that a connection may be silent between requests", duration(&c.idleTimeout)),
			newSetting("min-rate", "N", "240", "slowest sending and reading that is put up with, bytes a second", number(&c.minRate, 1, math.MaxInt32)),
			newSetting("trust-proxy", "NETWORKS", "", "believe X-Forwarded-For and -Host, or Forwarded, from proxies in these networks (10.0.0.0/8,::1)", networks(&c.trustProxy)),
			newSwitch("no-sandbox", "do not have the kernel keep this process to its files (Linux: Landlock)", &c.noSandbox),
		}},
		{"What it tells", []*setting{
			newSetting("access-format", "FORMAT", "combined", "form of the access log: "+logging.AccessFormats, oneOf(&c.accessFormat, logging.AccessFormats)),
			newSetting("metrics-addr", "ADDRESS", "", "serve counters for Prometheus at http://ADDRESS/metrics, for example 127.0.0.1:9100", text(&c.metricsAddr)),
			newSetting("log-level", "LEVEL", "info", "log this level and above: "+logging.Levels, oneOf(&c.logLevel, logging.Levels)),
			newSetting("log-format", "FORMAT", "console", "form of the log: "+logging.Formats, oneOf(&c.logFormat, logging.Formats)),
			newSwitch("qr", "print the address as a QR code, for the phone beside you", &c.qr),
			newSwitch("version", "print the version", &c.version),
		}},
	}
}

const usageText = `webserver serves files over HTTP/1.1.

Usage:
  webserver [flags] [DIR] [PORT]
  webserver get [flags] URL | HOST PORT FILE

It serves DIR, or a built-in sample site, at port 8080 until it is interrupted.
`

const moreText = `
A SIZE is written 500, 64KiB or 10MiB; a TIME 0.5 (seconds), 30s or 5m.
Each flag can be given by the environment as well: --root as WEBSERVER_ROOT.

Commands:
  get                   a client: send a GET from a socket, show the response

Examples:
  webserver                             the sample site, at http://localhost:8080/
  webserver ./public 8081 --listing     a directory, at port 8081
  webserver /srv/www --domain example.com,www.example.com
  webserver --trace                     show each message and each decision
  webserver get http://localhost:8080/  send a GET, show the response

Exit codes: 0 ended by a signal, 1 a failure (a port in use, no such directory),
2 the command line cannot be understood.
`

// runCommand reads the command line and does what it asks for.
func runCommand(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) > 2 && args[1] == "help" && args[2] == "get" {
		args = []string{args[0], "get", "--help"}
	}
	if len(args) > 1 && args[1] == "get" {
		return runGet(ctx, args[1:], stdout, stderr)
	}
	c := &config{token: os.Getenv("WEBSERVER_UPLOAD_TOKEN")}
	groups := c.groups()
	fromEnvironment(all(groups))
	return runApp(ctx, args, "", usageText+help(groups)+moreText, all(groups), stdout, stderr, func(ctx context.Context, args []string) error {
		if c.version {
			return printVersion(stdout)
		}
		if err := c.validate(args); err != nil {
			return usageError{error: err}
		}
		if c.check {
			return checkRoot(c, stdout)
		}
		return serve(ctx, c, stdout, stderr)
	})
}

// runApp reads flags and arguments and has action do what they ask for.
func runApp(ctx context.Context, args []string, command, helpText string, settings []*setting, stdout, stderr io.Writer, action func(ctx context.Context, args []string) error) error {
	app := &cli.App{
		Name:                  name,
		Writer:                stdout,
		ErrWriter:             stderr,
		HideHelpCommand:       true,
		CustomAppHelpTemplate: helpText,
		OnUsageError:          func(_ *cli.Context, err error, _ bool) error { return badFlag(err, command, settings) },
		ExitErrHandler:        func(*cli.Context, error) {}, // run does that
		Action: func(ctx *cli.Context) error {
			if err := check(settings, command); err != nil {
				return err
			}
			return action(ctx.Context, ctx.Args().Slice())
		},
	}
	for _, s := range settings {
		app.Flags = append(app.Flags, &cli.GenericFlag{Name: s.name, Value: s})
	}
	return app.RunContext(ctx, arrange(args, settings))
}
