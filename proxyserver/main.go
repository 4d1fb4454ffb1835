// Command proxyserver is a caching web proxy: the fourth socket programming
// assignment of "Computer Networking: A Top-Down Approach", made to be left
// running. See README.md.
package main

import (
	"bufio"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"topdown/pkg/httpmsg"
	"topdown/pkg/logging"
	"topdown/proxyserver/internal/access"
	"topdown/proxyserver/internal/cache"
	"topdown/proxyserver/internal/exchange"
	"topdown/proxyserver/internal/ftp"
	"topdown/proxyserver/internal/netio"
	"topdown/proxyserver/internal/origin"
	"topdown/proxyserver/internal/proxy"
	"topdown/proxyserver/internal/rules"
	"topdown/proxyserver/internal/status"
	"topdown/proxyserver/internal/store"

	"github.com/urfave/cli/v2"
	"go.uber.org/zap"
)

// Exit codes.
const (
	exitFailure = 1
	exitUsage   = 2
)

const defaultAddr = "127.0.0.1:8899"

func main() {
	os.Exit(run(os.Args, os.Stdout, os.Stderr))
}

// usageError is a mistake in the arguments, not of the world.
type usageError struct{ error }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...)}
}

func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	app := newApp()
	app.Writer, app.ErrWriter = stdout, stderr
	err := app.RunContext(ctx, args)
	if err == nil {
		return 0
	}
	fmt.Fprintf(stderr, "proxyserver: %v\n", err)
	if _, ok := errors.AsType[*usageError](err); ok {
		fmt.Fprintln(stderr, "usage: proxyserver [flags] [PORT]   (proxyserver --help tells all flags)")
		return exitUsage
	}
	return exitFailure
}

func newApp() *cli.App {
	env := func(name string) []string {
		return []string{"PROXYSERVER_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))}
	}
	str := func(name, value, usage string) cli.Flag {
		return &cli.StringFlag{Name: name, Value: value, Usage: usage, EnvVars: env(name)}
	}
	list := func(name, usage string) cli.Flag {
		return &cli.StringSliceFlag{Name: name, Usage: usage, EnvVars: env(name)}
	}
	yes := func(name, usage string) cli.Flag {
		return &cli.BoolFlag{Name: name, Usage: usage, EnvVars: env(name)}
	}
	wait := func(name string, value time.Duration, usage string) cli.Flag {
		return &cli.DurationFlag{Name: name, Value: value, Usage: usage, EnvVars: env(name)}
	}
	num := func(name string, value int, usage string) cli.Flag {
		return &cli.IntFlag{Name: name, Value: value, Usage: usage, EnvVars: env(name)}
	}
	// The commands take it as well, for a user who types it last.
	dirToo := []cli.Flag{&cli.StringFlag{Name: "cache-dir", Usage: "`DIR` of the store"}}
	return &cli.App{
		Name:            "proxyserver",
		Usage:           "a caching web proxy",
		UsageText:       "proxyserver [flags] [PORT]\nproxyserver [flags] explain URL\nproxyserver [flags] cache list | show URL | purge URL | purge-all",
		HideHelpCommand: true,
		Flags: []cli.Flag{
			str("addr", defaultAddr, "`ADDRESS` to listen on; a bare PORT argument means 127.0.0.1:PORT"),
			str("upstream", "", "reverse mode: serve the one origin at `URL`"),
			yes("allow-get-content", "reverse mode: pass on the content of GET and HEAD requests, which is refused with 400 otherwise"),
			str("parent", "", "send everything through the proxy at `URL` (http://[user:password@]host:port)"),
			str("local-root", "", "answer path-style requests that name no host from files in `DIR`"),
			yes("lab", "do as the course handouts do: HTTP/1.0 and Connection: close to origins, the lab's lines on stdout"),

			str("cache-dir", "", "`DIR` for stored responses (default: in the user's cache directory, or a temporary one)"),
			str("cache-size", "1GiB", "`SIZE` of the store"),
			str("cache-memory", "64MiB", "`SIZE` of the copies of small responses in memory"),
			yes("no-cache", "store nothing"),
			yes("purge", "obey the method PURGE from this machine"),

			str("auth-file", "", "ask for a user name and password of `FILE` (htpasswd -B)"),
			list("allow-client", "serve clients in `NETWORK` only (repeatable)"),
			yes("allow-private", "connect to private addresses even when listening publicly"),
			list("allow-target", "connect to `NETWORK` whatever it is (repeatable)"),
			list("deny-target", "never connect to `NETWORK` (repeatable)"),
			list("connect-port", "allow CONNECT to `PORT` besides 443 (repeatable)"),
			str("block-list", "", "refuse the hosts named in `FILE`, one a line, and what is below them"),
			str("user-quota", "", "`SIZE` that each user may transfer a day (UTC), both directions"),

			num("max-conns", 20000, "clients at a time"),
			num("max-conns-per-addr", 0, "clients at a time from one address (default: 256, this machine exempt)"),
			str("max-body", "", "largest content of a request, a `SIZE` (default: no limit)"),
			wait("head-timeout", 10*time.Second, "time for a request's head"),
			wait("idle-timeout", 60*time.Second, "how long a client may stay without a request"),
			wait("connect-timeout", 10*time.Second, "time for name, connection and TLS to an origin"),
			wait("response-timeout", 60*time.Second, "time for an origin to begin its answer"),
			wait("read-timeout", 60*time.Second, "time between two pieces of content, either way"),
			wait("tunnel-timeout", 10*time.Minute, "how long a tunnel may be silent"),
			str("ca-file", "", "trust the certificate authorities in `FILE` (PEM) besides the system's"),

			str("name", "", "this proxy's `NAME` in Via, Cache-Status and Proxy-Status (default: made from host and address)"),
			str("access-log", "-", "`FILE` for a line per exchange, - for stdout, off for none"),
			str("metrics-addr", "", "`ADDRESS` for /metrics and a status page"),
			yes("trace", "show on stderr both sides' messages and every decision"),
			str("log-level", "info", "one of "+logging.Levels),
			str("log-format", "console", "one of "+logging.Formats),
		},
		Action: serve,
		OnUsageError: func(_ *cli.Context, err error, _ bool) error {
			return &usageError{err}
		},
		ExitErrHandler: func(*cli.Context, error) {},
		Commands: []*cli.Command{
			{
				Name: "explain", Usage: "fetch a URL and show each message and decision", ArgsUsage: "URL",
				Action: explain, OnUsageError: commandUsage,
			},
			{
				Name: "cache", Usage: "look into the store of --cache-dir", OnUsageError: commandUsage, Flags: dirToo,
				Action: func(*cli.Context) error { return usagef("cache needs one of list, show, purge, purge-all") },
				Subcommands: []*cli.Command{
					{Name: "list", Usage: "list what is stored", Action: cacheList, OnUsageError: commandUsage, Flags: dirToo},
					{Name: "show", Usage: "show what is stored for a URL", ArgsUsage: "URL", Action: cacheShow, OnUsageError: commandUsage, Flags: dirToo},
					{Name: "purge", Usage: "remove what is stored for a URL", ArgsUsage: "URL", Action: cachePurge, OnUsageError: commandUsage, Flags: dirToo},
					{Name: "purge-all", Usage: "remove everything", Action: cachePurgeAll, OnUsageError: commandUsage, Flags: dirToo},
				},
			},
		},
	}
}

func commandUsage(_ *cli.Context, err error, _ bool) error { return &usageError{err} }

// proxyServer is the chain, put together.
type proxyServer struct {
	server *proxy.Server
	origin *origin.Transport
	cache  *cache.Cache
	store  store.Store
	log    *zap.Logger
	close  []func()
}

func (p *proxyServer) shut() {
	for _, closePart := range slices.Backward(p.close) {
		closePart()
	}
}

func serve(c *cli.Context) error {
	addr, err := listenAddr(c)
	if err != nil {
		return err
	}
	if err = checkPublic(c, addr); err != nil {
		return err
	}
	if metrics := c.String("metrics-addr"); metrics != "" {
		if _, _, err = net.SplitHostPort(metrics); err != nil {
			return usagef("--metrics-addr %q is not of the form host:port", metrics)
		}
	}
	log, err := logging.New(c.App.ErrWriter, c.String("log-level"), c.String("log-format"))
	if err != nil {
		return &usageError{err}
	}
	// Steps 1 and 2: Go's Listen is socket, bind and listen in one.
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return listenError(addr, err)
	}
	defer ln.Close()
	p, err := build(c, ln.Addr().String(), log)
	if err != nil {
		return err
	}
	defer p.shut()
	// An origin, a file of the store: each client may need two more.
	if most := max(descriptors()/3-50, 10); p.server.MaxConns > most {
		if c.IsSet("max-conns") {
			log.Warn("fewer clients than --max-conns: this process may open too few files (ulimit -n)", zap.Int("clients", most))
		}
		p.server.MaxConns = most
	}
	ctx, cancel := context.WithCancel(c.Context)
	defer cancel()
	if err = p.openAccessLog(c); err != nil {
		return err
	}
	if c.Bool("trace") {
		p.server.Trace = c.App.ErrWriter
	}
	stdout := c.App.Writer
	switch {
	case c.Bool("lab"):
		p.server.Notify = func(line string) { fmt.Fprintln(stdout, line) }
	case log.Core().Enabled(zap.DebugLevel):
		p.server.Notify = func(line string) { log.Debug(line) }
	}
	if err = p.serveStatus(ctx, c); err != nil {
		return err
	}
	p.reloadOnHangup(ctx, c)
	ready(stdout, ln.Addr(), p.server.Upstream)
	return p.server.Serve(ctx, ln)
}

// listenError says what can be done about an address that cannot be had.
func listenError(addr string, err error) error {
	hint := ""
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		hint = " (another program listens there: end it, or name another port)"
	case errors.Is(err, syscall.EACCES):
		hint = " (ports below 1024 need root: name a higher one)"
	}
	if failed, ok := errors.AsType[*net.OpError](err); ok {
		err = failed.Err // the rest of it repeats the address
	}
	return fmt.Errorf("listen on %s: %w%s", addr, err, hint)
}

// ready says that the proxy is ready and how to use it.
func ready(w io.Writer, addr net.Addr, upstream *proxy.Upstream) {
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		host, port = addr.String(), ""
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsUnspecified() {
		host = "localhost"
	}
	at := net.JoinHostPort(host, port)
	fmt.Fprintln(w, "Ready to serve...")
	if upstream != nil {
		fmt.Fprintf(w, "  http://%s/ shows %s://%s%s/\n", at, upstream.Scheme, upstream.Host, upstream.Path)
		return
	}
	fmt.Fprintf(w, "  curl:       curl -x http://%s http://www.example.com/\n", at)
	fmt.Fprintf(w, "  browser:    set %s as its HTTP proxy (chromium --proxy-server=%s)\n", at, at)
	if host == "127.0.0.1" || host == "::1" {
		at = net.JoinHostPort("localhost", port)
	}
	fmt.Fprintf(w, "  path style: http://%s/www.example.com/\n", at)
}

// listenAddr combines --addr and a bare PORT.
func listenAddr(c *cli.Context) (string, error) {
	addr := c.String("addr")
	switch c.NArg() {
	case 0:
	case 1:
		port, err := strconv.ParseUint(c.Args().First(), 10, 16)
		if err != nil {
			return "", usagef("%q is not a port number", c.Args().First())
		}
		if c.IsSet("addr") {
			return "", usagef("give either --addr or a port, not both")
		}
		addr = net.JoinHostPort("127.0.0.1", strconv.FormatUint(port, 10))
	default:
		return "", usagef("too many arguments: flags go before the port")
	}
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return "", usagef("--addr %q is not of the form host:port", addr)
	}
	return addr, nil
}

// checkPublic refuses to start a proxy that anybody on the Internet could use.
func checkPublic(c *cli.Context, addr string) error {
	if isLoopback(addr) || c.String("auth-file") != "" || c.String("upstream") != "" {
		return nil
	}
	clients := c.StringSlice("allow-client")
	if len(clients) == 0 {
		return usagef("listening on %s would make an open proxy, and strangers would find it within hours: "+
			"add --auth-file FILE (htpasswd -B -c FILE name) or --allow-client NETWORK", addr)
	}
	for _, s := range clients {
		if prefix, err := access.ParsePrefix(s); err == nil && prefix.Bits() < 8 {
			return usagef("--allow-client %s lets in half the Internet: name smaller networks or add --auth-file FILE", s)
		}
	}
	return nil
}

func isLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// checkNumbers refuses flags whose value would do nothing.
func checkNumbers(c *cli.Context) error {
	for _, name := range []string{"head-timeout", "idle-timeout", "connect-timeout", "response-timeout", "read-timeout", "tunnel-timeout"} {
		if c.Duration(name) <= 0 {
			return usagef("--%s %v: a time has to be more than nothing", name, c.Duration(name))
		}
	}
	if n := c.Int("max-conns"); n <= 0 {
		return usagef("--max-conns %d would serve nobody", n)
	}
	for _, name := range []string{"cache-size", "cache-memory"} {
		n, err := readSize(c, name)
		if err == nil && n < 1<<20 {
			err = usagef("--%s %s: at least 1MiB is needed (--no-cache stores nothing)", name, c.String(name))
		}
		if err != nil {
			return err
		}
	}
	if name := c.String("name"); name != "" && (!httpmsg.IsToken(name) || name[0]|0x20 < 'a' || name[0]|0x20 > 'z') {
		return usagef("--name %q: use letters, digits and -, a letter first", name)
	}
	return nil
}

// build wires the chain: server -> cache -> origin or ftp.
func build(c *cli.Context, addr string, log *zap.Logger) (p *proxyServer, err error) {
	p = &proxyServer{log: log}
	if err = checkNumbers(c); err != nil {
		return p, err
	}
	defer func() {
		if err != nil {
			p.shut()
		}
	}()
	ctx, cancel := context.WithCancel(context.WithoutCancel(c.Context))
	p.close = append(p.close, cancel)
	clock := netio.NewClock(ctx)

	rules, err := readRules(c, addr)
	if err != nil {
		return p, err
	}
	s := &proxy.Server{
		Clock: clock, Rules: rules, Log: log, Name: proxyName(c, addr),
		HeadTimeout: c.Duration("head-timeout"), IdleTimeout: c.Duration("idle-timeout"),
		BodyTimeout: c.Duration("read-timeout"), TunnelIdle: c.Duration("tunnel-timeout"),
		MaxConns: c.Int("max-conns"), MaxPerAddr: c.Int("max-conns-per-addr"),
		GetContent: c.Bool("allow-get-content"),
	}
	p.server = s
	if s.MaxBody, err = readSize(c, "max-body"); err != nil {
		return p, err
	}
	quota, err := readSize(c, "user-quota")
	if err != nil {
		return p, err
	}
	if quota > 0 {
		if c.String("auth-file") == "" {
			return p, usagef("--user-quota needs --auth-file: without names there are no users")
		}
		s.Quota = &access.Quota{Limit: quota}
	}
	if file := c.String("auth-file"); file != "" {
		users, usersErr := readFile("auth-file", file, access.ParseUsers)
		if usersErr != nil {
			return p, usersErr
		}
		s.SetUsers(users)
	}
	if upstream := c.String("upstream"); upstream != "" {
		if s.Upstream, err = proxy.ParseUpstream(upstream); err != nil {
			return p, usagef("--upstream: %w", err)
		}
	}
	if dir := c.String("local-root"); dir != "" {
		if s.LocalRoot, err = os.OpenRoot(dir); err != nil {
			return p, fmt.Errorf("open --local-root: %w", err)
		}
		p.close = append(p.close, func() { s.LocalRoot.Close() }) //nolint:errcheck // only read from
	}
	dialer, err := p.dialer(c, rules)
	if err != nil {
		return p, err
	}
	p.origin = origin.New(ctx, origin.Options{
		Dialer: dialer, Clock: clock, Name: s.Name, Lab: c.Bool("lab"),
		ResponseTimeout: c.Duration("response-timeout"), ReadTimeout: c.Duration("read-timeout"),
	})
	s.Tunnel = dialer.Tunnel
	schemes := exchange.Schemes{"http": p.origin, "https": p.origin, "ftp": p.origin}
	if dialer.Parent == nil {
		schemes["ftp"] = &ftp.Transport{Dial: dialer.Dial, Clock: clock, Timeout: c.Duration("response-timeout")}
	}
	s.Transport = schemes
	if err = p.addCache(c); err != nil {
		return p, err
	}
	return p, nil
}

func (p *proxyServer) dialer(c *cli.Context, rules *access.Rules) (*origin.Dialer, error) {
	d := &origin.Dialer{Timeout: c.Duration("connect-timeout")}
	reverse := p.server.Upstream != nil
	d.Check = func(_ string, addr netip.AddrPort) error {
		if p.server.IsSelf(addr) {
			return &exchange.Error{
				Status: 502, Type: "proxy_loop_detected", Step: "checking for a loop",
				Err: errors.New("that address is this proxy's own"),
			}
		}
		if reverse {
			return nil // the operator has named the one origin
		}
		return rules.Target(addr)
	}
	if file := c.String("ca-file"); file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read --ca-file: %w", err)
		}
		if d.Roots, err = x509.SystemCertPool(); err != nil {
			d.Roots = x509.NewCertPool()
		}
		if !d.Roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--ca-file %s has no certificate in PEM form", file)
		}
	}
	if parent := c.String("parent"); parent != "" {
		var err error
		if d.Parent, err = origin.ParseParent(parent); err != nil {
			return nil, usagef("--parent: %w", err)
		}
	}
	return d, nil
}

// addCache puts the cache in front of the transport.
func (p *proxyServer) addCache(c *cli.Context) error {
	if c.Bool("no-cache") {
		return nil
	}
	size, err := readSize(c, "cache-size")
	if err != nil {
		return err
	}
	memory, err := readSize(c, "cache-memory")
	if err != nil {
		return err
	}
	dir, temporary, err := cacheDir(c)
	if err != nil {
		return err
	}
	var config rules.Config
	if p.server.Upstream != nil {
		config.Targeted = []string{"CDN-Cache-Control"}
	}
	options := store.DiskOptions{Dir: dir, Size: size, Memory: memory, Rules: config, Log: p.log}
	disk, err := store.OpenDisk(options)
	if errors.Is(err, store.ErrInUse) && c.String("cache-dir") == "" && c.Command.Name != "explain" {
		if dir, err = os.MkdirTemp("", "topdown-proxyserver-"); err != nil {
			return fmt.Errorf("make a temporary directory for the cache: %w", err)
		}
		p.log.Info("another proxy uses the cache directory: this one has a temporary one", zap.String("dir", dir))
		temporary, options.Dir = true, dir
		disk, err = store.OpenDisk(options)
	}
	if err != nil {
		return fmt.Errorf("open the store in %s: %w", dir, err)
	}
	if temporary {
		p.close = append(p.close, func() { os.RemoveAll(dir) }) //nolint:errcheck // a temporary directory
	}
	p.store = disk
	p.cache = &cache.Cache{Next: p.server.Transport, Store: disk, Rules: config, Log: p.log, Name: p.server.Name}
	p.server.Transport = p.cache
	if c.Bool("purge") {
		p.server.Purge = p.cache.Purge
	}
	p.close = append(p.close, func() {
		p.cache.Close()
		if err := disk.Close(); err != nil {
			p.log.Warn("close the store", zap.Error(err))
		}
	})
	return nil
}

// cacheDir returns the directory of the store, a temporary one if there is no
// better place.
func cacheDir(c *cli.Context) (dir string, temporary bool, err error) {
	// A command's own flag, where it is not set, hides that of the whole.
	for _, at := range c.Lineage() {
		if dir = at.String("cache-dir"); dir != "" {
			return dir, false, nil
		}
	}
	if base, baseErr := os.UserCacheDir(); baseErr == nil {
		dir = filepath.Join(base, "topdown-proxyserver")
		if os.MkdirAll(dir, 0o700) == nil {
			return dir, false, nil
		}
	}
	dir, err = os.MkdirTemp("", "topdown-proxyserver-")
	if err != nil {
		return "", false, fmt.Errorf("make a directory for the cache (--cache-dir names another, --no-cache does without): %w", err)
	}
	return dir, true, nil
}

func readRules(c *cli.Context, addr string) (*access.Rules, error) {
	rules := &access.Rules{Private: isLoopback(addr) || c.Bool("allow-private")}
	for name, list := range map[string]*[]netip.Prefix{
		"allow-client": &rules.Clients, "allow-target": &rules.Allow, "deny-target": &rules.Deny,
	} {
		for _, s := range c.StringSlice(name) {
			prefix, err := access.ParsePrefix(s)
			if err != nil {
				return nil, usagef("--%s: %w", name, err)
			}
			*list = append(*list, prefix)
		}
	}
	for _, s := range c.StringSlice("connect-port") {
		port, err := strconv.ParseUint(s, 10, 16)
		if err != nil || port == 0 {
			return nil, usagef("--connect-port: %q is not a port number", s)
		}
		if port == 25 {
			return nil, usagef("--connect-port 25: port 25 is never connected to, a proxy that does is a relay for spam")
		}
		rules.ConnectPorts = append(rules.ConnectPorts, uint16(port))
	}
	if file := c.String("block-list"); file != "" {
		hosts, err := readFile("block-list", file, access.ParseHosts)
		if err != nil {
			return nil, err
		}
		rules.Hosts = hosts
	}
	return rules, nil
}

// readFile has parse read the file that a flag names.
func readFile[T any](flag, file string, parse func(io.Reader) (*T, error)) (*T, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("open --%s: %w", flag, err)
	}
	defer f.Close()
	parsed, err := parse(f)
	if err != nil {
		return nil, fmt.Errorf("--%s %s: %w", flag, file, err)
	}
	return parsed, nil
}

// readSize reads octets like 1048576, 64MiB or 1GB; an empty value is 0.
func readSize(c *cli.Context, flag string) (int64, error) {
	s := c.String(flag)
	if s == "" {
		return 0, nil
	}
	end := len(s)
	for end > 0 && (s[end-1] < '0' || s[end-1] > '9') {
		end--
	}
	units := map[string]int64{
		"": 1, "b": 1, "k": 1 << 10, "kb": 1000, "kib": 1 << 10, "m": 1 << 20, "mb": 1e6, "mib": 1 << 20,
		"g": 1 << 30, "gb": 1e9, "gib": 1 << 30, "t": 1 << 40, "tb": 1e12, "tib": 1 << 40,
	}
	unit, known := units[strings.ToLower(strings.TrimSpace(s[end:]))]
	n, err := strconv.ParseInt(s[:end], 10, 64)
	if err != nil || !known || n < 0 || n > (1<<62)/unit {
		return 0, usagef("--%s: %q is not a size like 64MiB", flag, s)
	}
	return n * unit, nil
}

// proxyName names this proxy among others: the same name again would look like
// a loop.
func proxyName(c *cli.Context, addr string) string {
	if name := c.String("name"); name != "" {
		return name
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	h := fnv.New32a()
	io.WriteString(h, host+" "+addr) //nolint:errcheck // a hash takes everything
	return fmt.Sprintf("proxyserver-%08x", h.Sum32())
}

// openAccessLog opens the access log, and stdout's last buffer is written when
// the proxy ends.
func (p *proxyServer) openAccessLog(c *cli.Context) error {
	var w io.Writer
	switch name := c.String("access-log"); name {
	case "off", "":
		return nil
	case "-":
		w = c.App.Writer
	default:
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
		if err != nil {
			return fmt.Errorf("open --access-log: %w", err)
		}
		w = f
	}
	p.server.Access = proxy.NewAccessLog(w)
	p.server.Access.Failed = func(err error) { p.log.Error("the access log cannot be written", zap.Error(err)) }
	p.close = append(p.close, p.server.Access.Close)
	return nil
}

// reloadOnHangup reads the password file and the block list again, and reopens
// the access log, at each SIGHUP.
func (p *proxyServer) reloadOnHangup(ctx context.Context, c *cli.Context) {
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

func (p *proxyServer) reload(c *cli.Context) {
	if file := c.String("auth-file"); file != "" {
		if users, err := readFile("auth-file", file, access.ParseUsers); err != nil {
			p.log.Error("the old passwords stay in force", zap.Error(err))
		} else {
			p.server.SetUsers(users)
		}
	}
	if file := c.String("block-list"); file != "" {
		if hosts, err := readFile("block-list", file, access.ParseHosts); err != nil {
			p.log.Error("the old block list stays in force", zap.Error(err))
		} else {
			p.server.Rules.Hosts.Replace(hosts)
		}
	}
	if name := c.String("access-log"); name != "-" && name != "off" && name != "" {
		if f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640); err != nil {
			p.log.Error("the access log stays where it was", zap.Error(err))
		} else {
			p.server.Access.SetWriter(f)
		}
	}
	p.log.Info("settings read again")
}

// serveStatus starts the listener for metrics.
func (p *proxyServer) serveStatus(ctx context.Context, c *cli.Context) error {
	addr := c.String("metrics-addr")
	if addr == "" {
		return nil
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("listen on --metrics-addr %s: %w", addr, err)
	}
	s := &status.Server{Clock: p.server.Clock, Now: time.Now, Metrics: p.metrics()}
	go func() {
		if err := s.Serve(ctx, ln); err != nil {
			p.log.Error("the status page has ended", zap.Error(err))
		}
	}()
	p.log.Info("status", zap.String("url", "http://"+ln.Addr().String()+"/metrics"))
	return nil
}

func (p *proxyServer) metrics() []status.Metric {
	stats := &p.server.Stats
	number := func(v interface{ Load() int64 }) func() float64 {
		return func() float64 { return float64(v.Load()) }
	}
	return []status.Metric{
		{Name: "proxyserver_requests_total", Help: "Requests answered", Value: number(&stats.Requests)},
		{Name: "proxyserver_hits_total", Help: "Responses from the store", Value: number(&stats.Hits)},
		{Name: "proxyserver_misses_total", Help: "Responses from origins, perhaps stored", Value: number(&stats.Misses)},
		{Name: "proxyserver_bypasses_total", Help: "Responses with no cache asked", Value: number(&stats.Other)},
		{Name: "proxyserver_errors_total", Help: "Errors answered by the proxy itself", Value: number(&stats.Errors)},
		{Name: "proxyserver_refused_total", Help: "Connections over a limit", Value: number(&stats.Refused)},
		{Name: "proxyserver_connections_total", Help: "Connections accepted", Value: number(&stats.Accepted)},
		{Name: "proxyserver_clients", Help: "Clients connected", Value: number(&stats.Clients)},
		{Name: "proxyserver_tunnels", Help: "Tunnels open", Value: number(&stats.Tunnels)},
		{Name: "proxyserver_received_bytes_total", Help: "Octets from clients, counted when they leave", Value: number(&stats.Received)},
		{Name: "proxyserver_sent_bytes_total", Help: "Octets to clients, counted when they leave", Value: number(&stats.Sent)},
		{Name: "proxyserver_idle_origin_connections", Help: "Connections to origins kept for the next request", Value: func() float64 { return float64(p.origin.Idle()) }},
	}
}

// explain fetches one URL and shows what happened: through the proxy that has
// the store open, or through one of its own.
func explain(c *cli.Context) error {
	if c.NArg() != 1 {
		return usagef("explain needs one URL")
	}
	if _, err := proxy.Normalise(c.Args().First()); err != nil {
		return usagef("%q: %w", c.Args().First(), err)
	}
	log, err := logging.New(c.App.ErrWriter, c.String("log-level"), c.String("log-format"))
	if err != nil {
		return &usageError{err}
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	defer ln.Close()
	p, err := build(c, ln.Addr().String(), log)
	if errors.Is(err, store.ErrInUse) {
		at := c.String("addr")
		fmt.Fprintf(c.App.ErrWriter, "asking the proxy that is running at %s\n", at)
		err = proxy.Explain(c.Context, at, c.Args().First(), c.App.Writer)
		if !errors.Is(err, syscall.ECONNREFUSED) {
			return err
		}
		fmt.Fprintf(c.App.ErrWriter, "none is running there (--addr names another); going on with an empty store\n")
		dir, tempErr := os.MkdirTemp("", "topdown-proxyserver-")
		if tempErr != nil {
			return fmt.Errorf("make a temporary directory for the cache: %w", tempErr)
		}
		defer os.RemoveAll(dir) //nolint:errcheck // a temporary directory
		if err = c.Set("cache-dir", dir); err != nil {
			return fmt.Errorf("use a temporary directory for the cache: %w", err)
		}
		p, err = build(c, ln.Addr().String(), log)
	}
	if err != nil {
		return err
	}
	defer p.shut()
	p.server.SetUsers(nil)
	ctx, cancel := context.WithCancel(c.Context)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- p.server.Serve(ctx, ln) }()
	err = proxy.Explain(ctx, ln.Addr().String(), c.Args().First(), c.App.Writer)
	cancel()
	if serveErr := <-done; err == nil {
		err = serveErr
	}
	return err
}

func openStore(c *cli.Context) (*store.Disk, error) {
	dir, temporary, err := cacheDir(c)
	if err != nil {
		return nil, err
	}
	if temporary {
		os.RemoveAll(dir) //nolint:errcheck // a temporary directory
		return nil, usagef("there is no cache directory: name it with --cache-dir")
	}
	disk, err := store.OpenDisk(store.DiskOptions{Dir: dir})
	if errors.Is(err, store.ErrInUse) {
		return nil, fmt.Errorf("a proxy is using %s: end it first", dir)
	}
	return disk, err
}

// cacheKey returns the URL of a command as the cache spells it.
func cacheKey(c *cli.Context) (string, error) {
	if c.NArg() != 1 {
		return "", usagef("cache %s needs one URL", c.Command.Name)
	}
	key, err := proxy.Normalise(c.Args().First())
	if err != nil {
		return "", usagef("%q: %w", c.Args().First(), err)
	}
	return key, nil
}

func cacheList(c *cli.Context) error {
	if c.NArg() > 0 {
		return usagef("cache list needs no argument: cache show URL shows one")
	}
	dir, err := openStore(c)
	if err != nil {
		return err
	}
	defer dir.Close()
	out := bufio.NewWriter(c.App.Writer)
	dir.List(func(info store.Info) bool {
		stored := info.Stored.ResponseTime.UTC().Format(time.RFC3339)
		_, werr := fmt.Fprintf(out, "%s %3d %10d %s\n", stored, info.Stored.Status, info.Size, printable(info.Key))
		return werr == nil
	})
	return out.Flush()
}

func cacheShow(c *cli.Context) error {
	key, err := cacheKey(c)
	if err != nil {
		return err
	}
	dir, err := openStore(c)
	if err != nil {
		return err
	}
	defer dir.Close()
	found := dir.Find(key)
	if len(found) == 0 {
		return fmt.Errorf("nothing is stored for %s", key)
	}
	out := c.App.Writer
	for _, info := range found {
		fmt.Fprintf(out, "%s\n  file:    %s\n  stored:  %s\n  content: %d octets", key, info.Path,
			info.Stored.ResponseTime.UTC().Format(time.RFC3339), info.Size)
		if info.Stored.Partial {
			fmt.Fprintf(out, ", from octet %d on of %d", info.Stored.First, info.Stored.Total)
		}
		fmt.Fprintln(out)
		for _, field := range info.Stored.Vary {
			fmt.Fprintf(out, "  for requests with %s: %s\n", printable(field.Name), printable(field.Value))
		}
		fmt.Fprintf(out, "  %d %s\n", info.Stored.Status, printable(info.Stored.Reason))
		for _, field := range info.Stored.Fields {
			fmt.Fprintf(out, "  %s: %s\n", printable(field.Name), printable(field.Value))
		}
	}
	return nil
}

func cachePurge(c *cli.Context) error {
	key, err := cacheKey(c)
	if err != nil {
		return err
	}
	dir, err := openStore(c)
	if err != nil {
		return err
	}
	defer dir.Close()
	n := dir.Invalidate(c.Context, key)
	fmt.Fprintf(c.App.Writer, "removed %d stored response(s) for %s\n", n, key)
	return nil
}

func cachePurgeAll(c *cli.Context) error {
	if c.NArg() > 0 {
		return usagef("cache purge-all needs no argument: cache purge URL removes one")
	}
	dir, err := openStore(c)
	if err != nil {
		return err
	}
	defer dir.Close()
	n := dir.Clear(c.Context)
	fmt.Fprintf(c.App.Writer, "removed %d stored response(s)\n", n)
	return nil
}

// printable makes an origin's octets safe for a terminal.
func printable(s string) string {
	quoted := strconv.QuoteToASCII(s)
	return strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
}
