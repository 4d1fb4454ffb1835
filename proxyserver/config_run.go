package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"strings"

	"topdown/proxyserver/internal/store"

	"github.com/urfave/cli/v2"
)

const usageText = `proxyserver is a caching web proxy.

Usage:
  proxyserver [flags] [PORT]
  proxyserver [flags] explain URL
  proxyserver [flags] cache list | show URL | purge URL | purge-all
`

const moreText = `
Commands:
  explain URL           fetch a URL and show each message and decision
  cache list            list what is stored
  cache show URL        show what is stored for a URL
  cache purge URL       remove what is stored for a URL
  cache purge-all       remove everything

A SIZE is written 500, 64KiB or 10MiB; a TIME 0.5 (seconds), 30s or 5m.
Each flag can be given by the environment as well: --cache-size as
PROXYSERVER_CACHE_SIZE.

Examples:
  proxyserver                                   for yourself, on port 8899
  proxyserver --addr :8899 --auth-file users    for others, with passwords
  proxyserver --addr :80 --upstream http://localhost:3000
  proxyserver explain http://www.example.com/   why is that a hit, or a miss?

Exit codes: 0 ended by a signal or done, 1 it could not listen or do what it was
asked for, 2 it was called wrongly.
`

// runCommand reads the command line and does what it asks for.
func runCommand(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	c := &config{}
	groups := c.groups()
	if program := filepath.Base(args[0]); strings.TrimSuffix(program, ".exe") == labName {
		c.lab = true
	}
	settings := all(groups)
	fromEnvironment(settings)
	app := &cli.App{
		Name:                  name,
		Writer:                stdout,
		ErrWriter:             stderr,
		HideHelpCommand:       true,
		CustomAppHelpTemplate: usageText + help(groups) + moreText,
		OnUsageError:          func(_ *cli.Context, err error, _ bool) error { return badFlag(err, settings) },
		ExitErrHandler:        func(*cli.Context, error) {}, // run does that
		Action: func(ctx *cli.Context) error {
			if c.version {
				return printVersion(stdout)
			}
			if err := check(settings); err != nil {
				return err
			}
			if err := c.validate(ctx.Args().Slice()); err != nil {
				return usageError{err}
			}
			if len(c.command) == 0 {
				return serve(ctx.Context, c, stdout, stderr)
			}
			if c.command[0] == "explain" {
				return explain(ctx.Context, c, stdout, stderr)
			}
			return cacheCommand(ctx.Context, c, stdout)
		},
	}
	for _, s := range settings {
		app.Flags = append(app.Flags, &cli.GenericFlag{Name: s.name, Value: s})
	}
	return app.RunContext(ctx, arrange(args, settings))
}

// validate reads the arguments, and checks what no flag can by itself.
func (c *config) validate(args []string) error {
	switch {
	case len(args) > 0 && (args[0] == "explain" || args[0] == "cache"):
		c.command = args
		if err := c.validateCommand(); err != nil {
			return err
		}
	case len(args) > 0 && isCacheCommand(args[0]):
		return usagef("unknown command %s (did you mean %s cache %s?)", args[0], name, args[0])
	case len(args) > 1:
		return usagef("unexpected argument %q", args[1])
	case len(args) == 1:
		var n int
		if number(&n, 0, 65535)(args[0]) != nil {
			return usagef("argument %q: a port from 1 to 65535 is expected, or 0 for any", args[0])
		}
		if c.addrSetting.given != "" {
			return errors.New("give either --addr or a port, not both")
		}
		c.addr = net.JoinHostPort("127.0.0.1", args[0])
	}
	if _, _, err := net.SplitHostPort(c.addr); err != nil {
		return c.addrSetting.wrong("host:port is expected")
	}
	if c.statusAddr != "" && c.statusAddr != "off" {
		if _, _, err := net.SplitHostPort(c.statusAddr); err != nil {
			return c.statusSetting.wrong("host:port or off is expected")
		}
	}
	if c.metricsAddr != "" {
		if _, _, err := net.SplitHostPort(c.metricsAddr); err != nil {
			return usagef("--metrics-addr %q: host:port is expected", c.metricsAddr)
		}
	}
	if (c.tlsCert == "") != (c.tlsKey == "") {
		return errors.New("--tls-cert and --tls-key go together")
	}
	if store.HasPassword(c.storeURL) && strings.HasPrefix(c.storeSetting.given, "--") {
		return errors.New("--store has a password, which every user of this machine can read: name a file with --store-password-file, or set " + c.storeSetting.variable())
	}
	if c.storePasswordFile != "" && c.storeURL == "" {
		return errors.New("--store-password-file needs --store")
	}
	if c.storeTimeout <= 0 {
		return errors.New("--store-timeout 0: a time above 0 is expected, as in 20ms or 1s")
	}
	if c.storeCAFile != "" && !strings.HasPrefix(c.storeURL, "rediss://") {
		return errors.New("--store-ca-file needs --store rediss://…")
	}
	if c.userQuota > 0 && c.authFile == "" {
		return errors.New("--user-quota needs --auth-file: without names there are no users")
	}
	if c.upstream == nil {
		for flag, given := range map[string]bool{
			"allow-get-content": c.allowGetContent, "preserve-host": c.preserveHost, "trust-proxy": len(c.trustProxy) > 0,
		} {
			if given {
				return usagef("--%s is for reverse mode: it needs --upstream", flag)
			}
		}
	}
	return c.checkPublic()
}

// checkPublic refuses to start a proxy that anybody on the Internet could use.
func (c *config) checkPublic() error {
	if isLoopback(c.addr) || c.authFile != "" || c.upstream != nil || len(c.command) > 0 {
		return nil
	}
	if len(c.allowClient) == 0 {
		return usagef("listening on %s would make an open proxy, and strangers would find it within hours: "+
			"add --auth-file FILE (htpasswd -B -c FILE name) or --allow-client NETWORK", c.addr)
	}
	for _, prefix := range c.allowClient {
		if prefix.Bits() < 8 {
			return usagef("--allow-client %s lets in half the Internet: name smaller networks or add --auth-file FILE", prefix)
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
