package main

import (
	"cmp"
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"topdown/smtpclient/internal/account"
	"topdown/smtpclient/internal/draft"
	"topdown/smtpclient/internal/session"
	"topdown/smtpclient/internal/smtp"

	"github.com/urfave/cli/v2"
)

// name is the program's, in its messages and in the names of its variables.
const name = "smtpclient"

// config is what flags, environment and the accounts file say.
type config struct {
	command string   // as the user calls it: "smtpclient inbox list"
	args    []string // those that are no flags

	json, quiet, verbose, trace bool
	traceFile                   string

	account, accountsFile         string
	ca, clientCert, clientKey     string
	passwordFile, passwordCommand string
	insecureAuth                  bool
	timeout, sessionLimit         time.Duration
	ipv4, ipv6                    bool
	smtp, pop3                    server

	draft                    draft.Draft
	direct, chunking, dryRun bool
	each                     eachConfig

	which, dir string // the message, and where save writes
	raw        bool

	trip    roundtripConfig
	testing testserverConfig
	doctor  doctorConfig

	// resolver and directPort replace DNS and port 25 of --direct, for tests.
	resolver   smtp.Resolver
	directPort string
}

// detail is how much of a session is shown.
func (c *config) detail() session.Detail {
	switch {
	case c.trace:
		return session.Trace
	case c.verbose:
		return session.Both
	case c.quiet, c.json:
		return session.Nothing
	}
	return session.Replies
}

// network is the kind of address that -4 and -6 leave.
func (c *config) network() string {
	switch {
	case c.ipv4:
		return "tcp4"
	case c.ipv6:
		return "tcp6"
	}
	return "tcp"
}

// runCommand reads the command line and does what it asks for.
func (p *program) runCommand(ctx context.Context, args []string) error {
	c := p.commands()
	args, wantsHelp := withoutHelp(args[1:])
	for len(c.commands) > 0 && len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		i := slices.IndexFunc(c.commands, func(sub *command) bool { return sub.word() == args[0] })
		if i < 0 {
			return usage("there is no command %q: %s is expected", strings.TrimPrefix(c.name+" "+args[0], name+" "), c.words())
		}
		c, args = c.commands[i], args[1:]
		p.cfg.command = c.name
	}
	settings := all(c.groups)
	fromEnvironment(settings)
	if wantsHelp {
		_, err := io.WriteString(p.out, c.helpText())
		return err
	}
	var wantsVersion bool
	settings = append(settings, newSwitch("version", "", &wantsVersion))
	app := &cli.App{
		Name: name, Writer: p.out, ErrWriter: p.err, HideHelp: true, HideVersion: true,
		ExitErrHandler: func(*cli.Context, error) {}, // run does that
		OnUsageError:   func(_ *cli.Context, err error, _ bool) error { return badFlag(err, settings) },
		Action: func(ctx *cli.Context) error {
			p.cfg.args = ctx.Args().Slice()
			switch {
			case wantsVersion:
				return printVersion(p.out)
			case c.run == nil:
				return usage("a command is missing: %s is expected", c.words())
			}
			if err := cmp.Or(check(settings), c.count(p.cfg.args)); err != nil {
				return err
			}
			if err := p.complete(ctx.Context); err != nil {
				return err
			}
			if err := c.validate(); err != nil {
				return err
			}
			return p.traced(ctx.Context, c.run)
		},
	}
	for _, s := range settings {
		app.Flags = append(app.Flags, &cli.GenericFlag{Name: s.name, Value: s})
	}
	return app.RunContext(ctx, append([]string{name}, arrange(args, settings)...))
}

// complete adds what the flags left open, from the accounts file and the
// environment.
func (p *program) complete(ctx context.Context) error {
	c := p.cfg
	acc := &account.Account{}
	if c.account != "" {
		path, flag := c.accountsFile, "--accounts-file "
		if path == "" {
			flag = ""
			dir, err := os.UserConfigDir()
			if err != nil {
				return fail(exitConfig, "%w: name the accounts file with --accounts-file", err)
			}
			path = filepath.Join(dir, "topdown", "smtpclient.conf")
		}
		var err error
		if acc, err = account.Load(path, c.account); err != nil {
			return fail(exitConfig, "%w", draft.FileError(flag, err))
		}
	}
	secret := account.Secret{File: c.passwordFile, Command: c.passwordCommand, CommandIn: p.in, CommandErr: p.err}
	if secret.File == "" && secret.Command == "" {
		if secret.Value = os.Getenv("SMTP_PASSWORD"); secret.Value == "" {
			secret.Value, secret.File, secret.Command = acc.Password, acc.PasswordFile, acc.PasswordCommand
		}
	}
	if secret.Value == "" && secret.File == "" && secret.Command == "" {
		secret.Prompt = prompt(ctx, p.err)
	}
	c.smtp.secret, c.pop3.secret = secret, secret
	if password := os.Getenv("POP3_PASSWORD"); password != "" {
		c.pop3.secret = account.Secret{Value: password}
	}
	fallBack := func(to *string, from string) { *to = cmp.Or(*to, from) }
	fallBack(&c.ca, acc.CA)
	fallBack(&c.draft.From, acc.From)
	if !c.direct { // an account's server has no part in direct delivery
		fallBack(&c.smtp.addr, acc.Server)
		fallBack(&c.smtp.tls, acc.TLS)
		fallBack(&c.smtp.helo, acc.Helo)
		fallBack(&c.smtp.user, acc.User)
		fallBack(&c.smtp.auth, acc.Auth)
	}
	if strings.Contains(c.smtp.user, "@") && c.draft.Message == "" {
		fallBack(&c.draft.From, c.smtp.user)
	}
	fallBack(&c.pop3.addr, acc.POP3)
	fallBack(&c.pop3.tls, acc.POP3TLS)
	fallBack(&c.pop3.user, cmp.Or(acc.POP3User, acc.User))
	c.draft.In, c.draft.Now, c.draft.Random, c.draft.Warn = p.in, p.now, p.random, p.warn
	if c.ipv4 && c.ipv6 {
		return usage("-4 and -6 exclude each other")
	}
	return c.readable()
}

// readable finds the named files that cannot be read, whether or not they are
// needed in the end: nobody names a file for nothing. Those of a draft are read
// before the first connection anyway.
func (c *config) readable() error {
	for _, f := range []struct {
		flag, path string
		code       int
	}{
		{"--accounts-file ", c.accountsFile, exitConfig},
		{"--password-file ", c.passwordFile, exitNoInput},
		{"--ca ", c.ca, exitNoInput},
		{"--client-cert ", c.clientCert, exitNoInput},
		{"--client-key ", c.clientKey, exitNoInput},
	} {
		if f.path == "" {
			continue
		}
		info, err := os.Stat(f.path)
		if err == nil && (info.Mode().IsRegular() || info.IsDir()) { // what comes out of a pipe comes once
			_, err = os.ReadFile(f.path)
		}
		if err != nil {
			return fail(f.code, "%w", draft.FileError(f.flag, err))
		}
	}
	return nil
}
