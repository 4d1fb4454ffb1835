package main

import (
	"errors"
	"net/netip"
	"time"

	"topdown/pkg/httpmsg"
	"topdown/pkg/logging"
	"topdown/proxyserver/internal/origin"
	"topdown/proxyserver/internal/proxy"
)

// name is the program's, in its messages and in the names of its variables.
const name = "proxyserver"

// labName is the name under which graders start a proxy, with a port and
// nothing else: it stands for --lab.
const labName = "proxy"

// defaultStatus is where the live page is, if it is anywhere and nobody says where.
const defaultStatus = "127.0.0.1:8898"

// config is what the command line and the environment ask for.
type config struct {
	command []string // the words of a command, none to serve

	addr                   string
	addrSetting            *setting // whether it was given matters
	upstream               *proxy.Upstream
	parent                 *origin.Parent
	localRoot              string
	lab                    bool
	allowGetContent        bool
	preserveHost           bool
	trustProxy             []netip.Prefix
	tlsCert, tlsKey        string
	cacheDir               string
	cacheSize, cacheMemory int64
	maxObject              int64
	storeSetting           *setting
	storeURL               string
	storePasswordFile      string
	storeCAFile            string
	storeTimeout           time.Duration
	sharedObject           int64
	noCache, purge         bool

	authFile                              string
	allowClient, allowTarget, denyTarget  []netip.Prefix
	allowPrivate                          bool
	connectPort, targetPort               []uint16
	blockList                             string
	userQuota                             int64
	maxConns, maxPerAddr                  int
	maxConnsSetting                       *setting
	maxBody                               int64
	headTimeout, idleTimeout, readTimeout time.Duration
	connectTimeout, responseTimeout       time.Duration
	tunnelTimeout                         time.Duration
	caFile                                string

	name                   string
	accessLog, metricsAddr string
	statusAddr             string
	statusSetting          *setting // whether it was given matters
	accessFormat           logging.AccessFormat
	trace                  bool
	traceFile              string
	logLevel, logFormat    string
	version                bool
}

// groups returns the flags bound to the fields of c, as --help shows them.
func (c *config) groups() []group {
	c.addrSetting = newSetting("addr", "ADDRESS", "127.0.0.1:8899", "listen there; a bare PORT argument means 127.0.0.1:PORT", text(&c.addr))
	c.maxConnsSetting = newSetting("max-conns", "N", "20000", "clients at a time", number(&c.maxConns, 1, 1<<30))
	c.storeSetting = newSetting("store", "URL", "", "share what is stored with other proxies: redis://[user@]host:port[/db], rediss://… or redis+cluster://host,host,… (Redis 7, Valkey)", text(&c.storeURL))
	c.statusSetting = newSetting("status-addr", "ADDRESS", "", "show the exchanges as they happen on a page at ADDRESS, off: nowhere (default: "+defaultStatus+" where the proxy listens on loopback, without --lab)", text(&c.statusAddr))
	return []group{
		{"Most used", []*setting{
			c.addrSetting,
			newSetting("upstream", "URL", "", "reverse mode: serve the one origin at URL", parsed(&c.upstream, proxy.ParseUpstream)),
			newSetting("auth-file", "FILE", "", "ask for a user name and password of FILE (htpasswd -B)", text(&c.authFile)),
			newList("allow-client", "NETWORK", "serve clients in NETWORK only", &c.allowClient, network),
			newSetting("cache-dir", "DIR", "", "keep responses in DIR (default: in the user's cache directory, or a temporary one)", text(&c.cacheDir)),
			newSetting("cache-size", "SIZE", "1GiB", "size of the store", size(&c.cacheSize, 1<<20)),
			newSetting("access-log", "FILE", "-", "write a line per exchange to FILE; -: standard output, off: none", text(&c.accessLog)),
			c.statusSetting,
			newSwitch("lab", "do as the course handouts do (see README.md); so does a program started as '"+labName+"'", &c.lab),
			newSwitch("trace", "show on standard error both sides' messages and every decision", &c.trace),
			newSetting("trace-file", "FILE", "", "write them to FILE, which trace.html of the web server draws", text(&c.traceFile)),
		}},
		{"Where requests go", []*setting{
			newSetting("parent", "URL", "", "send everything through the proxy at URL (http://[user:password@]host:port)", parsed(&c.parent, origin.ParseParent)),
			newSetting("local-root", "DIR", "", "answer path-style requests that name no host from files in DIR", text(&c.localRoot)),
			newSetting("ca-file", "FILE", "", "trust the certificate authorities in FILE (PEM) besides the system's", text(&c.caFile)),
		}},
		{"Reverse mode and TLS", []*setting{
			newSetting("tls-cert", "FILE", "", "speak https with the certificate chain in FILE (PEM), read again when it changes", text(&c.tlsCert)),
			newSetting("tls-key", "FILE", "", "its private key", text(&c.tlsKey)),
			newSwitch("preserve-host", "send the client's Host to the origin, not the origin's own", &c.preserveHost),
			newList("trust-proxy", "NETWORK", "believe what proxies in NETWORK say of the client (X-Forwarded-For and its kin)", &c.trustProxy, network),
			newSwitch("allow-get-content", "pass on the content of GET and HEAD requests, which is refused with 400 otherwise", &c.allowGetContent),
		}},
		{"Cache", []*setting{
			newSetting("cache-memory", "SIZE", "64MiB", "size of the copies of small responses in memory", size(&c.cacheMemory, 1<<20)),
			newSetting("max-object", "SIZE", "", "largest response that is stored (default: a quarter of --cache-size)", size(&c.maxObject, 1)),
			c.storeSetting,
			newSetting("store-password-file", "FILE", "", "read the password for --store from FILE", text(&c.storePasswordFile)),
			newSetting("store-ca-file", "FILE", "", "trust the certificate authorities in FILE (PEM) for --store rediss://…", text(&c.storeCAFile)),
			newSetting("store-timeout", "TIME", "20ms", "how long the shared store may take for an answer; a slower one counts as down", duration(&c.storeTimeout)),
			newSetting("shared-object", "SIZE", "1MiB", "largest response that is shared; larger ones stay on the proxy that fetched them", size(&c.sharedObject, 1)),
			newSwitch("no-cache", "store nothing", &c.noCache),
			newSwitch("purge", "obey the method PURGE from this machine", &c.purge),
		}},
		{"Who may do what", []*setting{
			newSwitch("allow-private", "connect to private addresses even when listening publicly", &c.allowPrivate),
			newList("allow-target", "NETWORK", "connect to NETWORK whatever it is", &c.allowTarget, network),
			newList("deny-target", "NETWORK", "never connect to NETWORK", &c.denyTarget, network),
			newList("connect-port", "PORT", "allow CONNECT to PORT besides 443", &c.connectPort, port),
			newList("target-port", "PORT", "allow URLs with PORT below 1024, besides 80 and 443, when listening publicly", &c.targetPort, port),
			newSetting("block-list", "FILE", "", "refuse the hosts named in FILE, one a line, and what is below them", text(&c.blockList)),
			newSetting("user-quota", "SIZE", "", "what each user may transfer a day (UTC), both directions", size(&c.userQuota, 1)),
		}},
		{"Limits", []*setting{
			c.maxConnsSetting,
			newSetting("max-conns-per-addr", "N", "", "clients at a time from one IPv4 address or IPv6 /64 (default: 256, this machine exempt)", number(&c.maxPerAddr, -1, 1<<30)),
			newSetting("max-body", "SIZE", "", "largest content of a request (default: no limit)", size(&c.maxBody, 1)),
			newSetting("head-timeout", "TIME", "10s", "time for a request's head", positive(&c.headTimeout)),
			newSetting("idle-timeout", "TIME", "60s", "how long a client may stay without a request", positive(&c.idleTimeout)),
			newSetting("connect-timeout", "TIME", "10s", "time for name, connection and TLS to an origin", positive(&c.connectTimeout)),
			newSetting("response-timeout", "TIME", "60s", "time for an origin to begin its answer", positive(&c.responseTimeout)),
			newSetting("read-timeout", "TIME", "60s", "time between two pieces of content, either way", positive(&c.readTimeout)),
			newSetting("tunnel-timeout", "TIME", "10m", "how long a tunnel may be silent", positive(&c.tunnelTimeout)),
		}},
		{"What it tells", []*setting{
			newSetting("name", "NAME", "", "this proxy's name in Via, Cache-Status and Proxy-Status (default: made from host and address)", parsed(&c.name, proxyName)),
			newSetting("access-format", "FORMAT", "combined", "form of the access log: "+logging.AccessFormats, accessFormat(&c.accessFormat)),
			newSetting("metrics-addr", "ADDRESS", "", "serve /metrics for Prometheus, and a page of these figures, at ADDRESS, as in 127.0.0.1:9100", text(&c.metricsAddr)),
			newSetting("log-level", "LEVEL", "info", "log this level and above: "+logging.Levels, oneOf(&c.logLevel, logging.Levels)),
			newSetting("log-format", "FORMAT", "console", "form of the log: "+logging.Formats, oneOf(&c.logFormat, logging.Formats)),
			newSwitch("version", "print the version", &c.version),
		}},
	}
}

func accessFormat(to *logging.AccessFormat) func(string) error {
	return func(value string) (err error) {
		if *to, err = logging.ParseAccessFormat(value); err != nil {
			return errors.New("one of " + logging.AccessFormats + " is expected")
		}
		return nil
	}
}

// proxyName takes a name that fits into Via and Proxy-Status alike.
func proxyName(value string) (string, error) {
	if !httpmsg.IsToken(value) || value[0]|0x20 < 'a' || value[0]|0x20 > 'z' {
		return "", errors.New("letters, digits and - are expected, a letter first")
	}
	return value, nil
}
