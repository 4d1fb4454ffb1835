// Command smtpclient sends mail over a socket and proves that it arrived: the
// mail client lab. It is send, inbox and roundtrip, and a test server for a
// first mail without an account.
package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"topdown/pkg/logging"
	"topdown/smtpclient/internal/account"
	"topdown/smtpclient/internal/agent"
	"topdown/smtpclient/internal/testserver"
	"topdown/smtpclient/internal/wire"

	"github.com/urfave/cli/v2"
	"go.uber.org/zap"
	"golang.org/x/term"
)

func main() {
	debug.SetGCPercent(300) // a mail is soon garbage, and there is never much of it
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args, os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the program without the process around it.
func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	a := &agent.Agent{In: in, Out: out, Err: errOut, Now: time.Now, Random: rand.Reader, Mask: &wire.Mask{}}
	if f, ok := errOut.(*os.File); ok {
		a.Terminal = term.IsTerminal(int(f.Fd()))
	}
	err := newApp(a).RunContext(ctx, positionalsLast(args))
	if err == nil {
		return agent.ExitOK
	}
	code := agent.ExitCode(err)
	if ctx.Err() != nil && code != agent.ExitUncertain && code != agent.ExitPartial {
		code, err = agent.ExitInterrupted, errors.New("interrupted")
	}
	fmt.Fprintf(errOut, "smtpclient: %s\n", a.Hide(err.Error()))
	if code == agent.ExitUsage {
		fmt.Fprintln(errOut, "smtpclient COMMAND --help shows the options, with examples")
	}
	return code
}

// positionalsLast lets "inbox show 3 --pop3 HOST" be written, options last.
func positionalsLast(args []string) []string {
	if len(args) < 4 || args[1] != "inbox" {
		return args
	}
	n := 3
	for n < len(args) && !strings.HasPrefix(args[n], "-") {
		n++
	}
	moved := append(append([]string{}, args[:3]...), args[n:]...)
	return append(moved, args[3:n]...)
}

func newApp(a *agent.Agent) *cli.App {
	app := &cli.App{
		Name: "smtpclient", Usage: "send mail over a socket, and prove that it arrived",
		HideHelpCommand: true, HideVersion: true,
		DisableSliceFlagSeparator: true, // a comma is part of names and headers
		Reader:                    a.In, Writer: a.Out, ErrWriter: a.Err,
		ExitErrHandler: func(*cli.Context, error) {},
		OnUsageError:   usageError,
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return agent.Usage("there is no command %q: use send, inbox, roundtrip or testserver", c.Args().First())
			}
			_ = cli.ShowAppHelp(c) // to standard output; nothing to do if that is closed
			return agent.Usage("give a command: send, inbox, roundtrip or testserver")
		},
		Commands: []*cli.Command{sendCommand(a), inboxCommand(a), roundtripCommand(a), testserverCommand(a)},
	}
	return app
}

func usageError(_ *cli.Context, err error, _ bool) error { return agent.Usage("%w", err) }

// env is the environment variable beside a flag.
func env(name string) []string {
	return []string{"SMTPCLIENT_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))}
}

func text(name, usage string) *cli.StringFlag {
	return &cli.StringFlag{Name: name, Usage: usage, EnvVars: env(name)}
}

func texts(name, usage string) *cli.StringSliceFlag {
	return &cli.StringSliceFlag{Name: name, Usage: usage}
}

func yes(name, usage string) *cli.BoolFlag {
	return &cli.BoolFlag{Name: name, Usage: usage, EnvVars: env(name)}
}

// outputFlags say how much is shown.
func outputFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "json", Usage: "print the result as JSON on standard output", EnvVars: env("json")},
		&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "do not show the dialogue", EnvVars: env("quiet")},
		&cli.BoolFlag{Name: "verbose", Aliases: []string{"v"}, Usage: "show both directions of the dialogue, with times", EnvVars: env("verbose")},
		&cli.BoolFlag{Name: "trace", Usage: "explain every step of the dialogue", EnvVars: env("trace")},
	}
}

// commonFlags say who we are and how long we wait.
func commonFlags() []cli.Flag {
	return append([]cli.Flag{
		text("account", "take server, user and password source from the section `NAME` of the accounts file"),
		text("accounts-file", "the accounts `FILE` (default: smtpclient.conf in the directory topdown of the user's configuration directory)"),
		text("ca", "trust the certificates in this PEM `FILE` instead of the system's"),
		text("password-file", "read the password from the first line of `FILE`"),
		text("password-command", "read the password from the first line that `COMMAND` prints"),
		yes("insecure-auth", "send a password even if the link to another machine is not encrypted"),
		&cli.DurationFlag{Name: "timeout", Usage: "the longest wait for any one answer", DefaultText: "the minutes that RFC 5321 asks for", EnvVars: env("timeout")},
		&cli.DurationFlag{Name: "session-limit", Usage: "the longest that connecting, or one mail, may take altogether", Value: time.Hour, EnvVars: env("session-limit")},
	}, outputFlags()...)
}

func smtpFlags() []cli.Flag {
	return []cli.Flag{
		text("server", "the server that takes the mail, as `HOST[:PORT]` (default port 25; with --user 587, with --tls implicit 465)"),
		text("tls", "`MODE`: auto (implicit on port 465, else STARTTLS if offered), starttls, implicit or none"),
		text("user", "log in as `NAME`; the password comes from SMTP_PASSWORD, --password-file, --password-command or a prompt"),
		text("auth", "log in with `MECHANISM`: SCRAM-SHA-256, CRAM-MD5, PLAIN, LOGIN or XOAUTH2 (default: the strongest offered; XOAUTH2 only on request, the password is the token)"),
		text("helo", "the `NAME` to say in EHLO (default: our address in brackets)"),
	}
}

func pop3Flags(alias ...string) []cli.Flag {
	user := text("pop3-user", "the mailbox's user `NAME`; the password comes from POP3_PASSWORD or the same sources as for sending")
	user.Aliases = alias
	return []cli.Flag{
		text("pop3", "the POP3 server as `HOST[:PORT]` (default port 110, with --pop3-tls implicit 995)"),
		text("pop3-tls", "`MODE`: auto (implicit on port 995, else STLS if offered), starttls, implicit or none"),
		user,
		text("pop3-auth", "`MECHANISM` for the mailbox: USER, PLAIN, LOGIN, CRAM-MD5, SCRAM-SHA-256 or XOAUTH2"),
	}
}

const sendHelp = `A first mail, to the test server of this program:

   smtpclient testserver &
   smtpclient send --server 127.0.0.1:2525 --from me@lab.test --to you@lab.test \
      --subject Hello --text "My first mail"

Through your provider, logged in, the dialogue explained:

   smtpclient send --server smtp.example.com --user me@example.com --trace \
      --from "Me <me@example.com>" --to you@example.net --text-file letter.txt

HTML with a picture, a text for readers without HTML, and an attachment:

   smtpclient send --server mail.example.com --from me@example.com \
      --to you@example.net --cc "Zoë <zoe@example.net>" --subject "Größe" \
      --text "See the picture." --html '<p>See: <img src="cid:cat.png">' \
      --inline cat.png --attach report.pdf

A ready message; recipients after --; a look before it goes:

   smtpclient send --server mail.example.com --from me@example.com \
      --message draft.eml --dry-run -- a@example.net b@example.net

To each row of a list (columns: to,name), at most 5 a second, resumable:

   smtpclient send --server mail.example.com --from me@example.com \
      --each list.csv --rate 5 --subject "Dear {{name}}" --text "Hello {{name}}!"

Exit codes: 0 all recipients accepted; 64 wrong usage; 65 bad message; 66 no such
file; 68 unknown host; 69 refused for good; 73 cannot write; 75 try again later;
76 protocol or TLS failure; 77 authentication; 78 configuration; 79 some
recipients refused, the others have the mail; 80 may have been delivered: do not
send again blindly; 130 interrupted.`

func sendCommand(a *agent.Agent) *cli.Command {
	flags := append(smtpFlags(), []cli.Flag{
		yes("direct", "deliver to the recipients' own mail exchangers (MX) instead of a server"),
		text("from", "the sender, as \"`ADDRESS`\" or \"Name <ADDRESS>\""),
		texts("to", "a recipient, or several with commas; may be repeated"),
		texts("cc", "a recipient of a copy"),
		texts("bcc", "a recipient whom the others do not see"),
		text("reply-to", "the `ADDRESS` for answers"),
		text("subject", "the subject"),
		text("text", "the body as `TEXT`"),
		text("text-file", "the body from `FILE`, - for standard input"),
		text("html", "the body as `HTML`; with --text too, the reader's program chooses"),
		text("html-file", "the HTML body from `FILE`, - for standard input"),
		texts("inline", "a `FILE` that the HTML shows as cid:FILE"),
		texts("attach", "a `FILE` to attach; may be repeated"),
		texts("header", "a further header field \"`Name: value`\"; may be repeated"),
		text("message", "send this complete message `FILE`, - for standard input"),
		text("notify", "ask for delivery reports (DSN): `never`, or some of success,failure,delay"),
		text("ret", "what a report returns: `full` or hdrs"),
		yes("chunking", "send the message with BDAT where the server offers CHUNKING"),
		text("dkim-key", "sign with the RSA or Ed25519 key in this PEM `FILE`"),
		text("dkim-selector", "the key's `SELECTOR` in DNS"),
		text("dkim-domain", "the signing `DOMAIN` (default: that of --from)"),
		yes("dry-run", "print the commands (standard error) and the message (standard output), send nothing"),
		text("each", "send one mail to each row of this CSV `FILE`, which has a column \"to\"; {{column}} in subject and bodies"),
		text("journal", "the journal `FILE` of --each (default: the list's name with .journal)"),
		yes("journal-sync", "let each journal record reach the disk before going on"),
		&cli.IntFlag{Name: "connections", Usage: "connections at a time for --each", Value: 1, EnvVars: env("connections")},
		&cli.Float64Flag{Name: "rate", Usage: "at most this many mails a second for --each (0: no limit)", EnvVars: env("rate")},
		&cli.IntFlag{Name: "retries", Usage: "tries again after a temporary failure, for --each", Value: 3, EnvVars: env("retries")},
		&cli.DurationFlag{Name: "retry-delay", Usage: "the wait before that, doubled each time", Value: time.Minute, EnvVars: env("retry-delay")},
		yes("retry-uncertain", "send the rows again that an earlier run left uncertain"),
	}...)
	return &cli.Command{
		Name: "send", Usage: "send a mail", ArgsUsage: "[-- RECIPIENT...]", Description: sendHelp,
		Flags: append(flags, commonFlags()...), OnUsageError: usageError,
		Action: func(c *cli.Context) error {
			p, err := readProfile(c, a)
			if err != nil {
				return err
			}
			for _, arg := range c.Args().Slice() {
				if strings.HasPrefix(arg, "-") {
					return agent.Usage("%q stands behind a recipient: options come first, recipients after --", arg)
				}
			}
			return a.Send(c.Context, &agent.SendOptions{
				Server: p.smtp, Direct: c.Bool("direct"), Chunking: c.Bool("chunking"), DryRun: c.Bool("dry-run"),
				Letter: agent.Letter{
					From: cmp.Or(c.String("from"), p.from), ReplyTo: c.String("reply-to"),
					To: append(c.StringSlice("to"), c.Args().Slice()...), Cc: c.StringSlice("cc"), Bcc: c.StringSlice("bcc"),
					Subject: c.String("subject"), Text: c.String("text"), HTML: c.String("html"),
					TextFile: c.String("text-file"), HTMLFile: c.String("html-file"),
					Inline: c.StringSlice("inline"), Attach: c.StringSlice("attach"), Header: c.StringSlice("header"),
					Message: c.String("message"), Notify: c.String("notify"), Return: c.String("ret"),
					DKIMKey: c.String("dkim-key"), DKIMSelector: c.String("dkim-selector"), DKIMDomain: c.String("dkim-domain"),
				},
				Each: agent.Each{
					List: c.String("each"), Journal: c.String("journal"), JournalSync: c.Bool("journal-sync"),
					Connections: c.Int("connections"), Rate: c.Float64("rate"),
					Retries: c.Int("retries"), RetryDelay: c.Duration("retry-delay"), RetryUncertain: c.Bool("retry-uncertain"),
				},
			})
		},
	}
}

const inboxHelp = `   smtpclient inbox list --pop3 pop.example.com --user me@example.com
   smtpclient inbox show 3 --pop3 pop.example.com --user me@example.com
   smtpclient inbox save 3 pictures --account work
   smtpclient inbox delete uid:0000a3f1 --account work

Numbers hold until a message is deleted; a UID (list --json shows it) stays.
Exit codes as for send; 66 if there is no such message.`

func inboxCommand(a *agent.Agent) *cli.Command {
	flags := append(pop3Flags("user"), commonFlags()...)
	sub := func(name, usage, args string, n int, more []cli.Flag, do func(context.Context, *agent.InboxOptions) error) *cli.Command {
		return &cli.Command{
			Name: name, Usage: usage, ArgsUsage: args, Description: inboxHelp,
			Flags: append(more, flags...), OnUsageError: usageError,
			Action: func(c *cli.Context) error {
				if c.NArg() != n {
					return agent.Usage("write: inbox %s", strings.TrimSpace(name+" "+args))
				}
				p, err := readProfile(c, a)
				if err != nil {
					return err
				}
				if p.pop3.Addr == "" {
					return agent.Usage("--pop3 is missing: where is the mailbox?")
				}
				if !c.Bool("verbose") && !c.Bool("trace") {
					a.Detail = agent.Nothing // the mail is what is wanted
				}
				return do(c.Context, &agent.InboxOptions{Server: p.pop3, Which: c.Args().Get(0), Dir: c.Args().Get(1), Raw: c.Bool("raw")})
			},
		}
	}
	return &cli.Command{
		Name: "inbox", Usage: "list, show, save and delete the mails of a POP3 mailbox", Description: inboxHelp,
		HideHelpCommand: true, OnUsageError: usageError,
		Action: func(c *cli.Context) error {
			if !c.Args().Present() {
				return agent.Usage("inbox needs a command: list, show, save or delete")
			}
			return agent.Usage("inbox has no command %q: use list, show, save or delete", c.Args().First())
		},
		Subcommands: []*cli.Command{
			sub("list", "one line for each message", "", 0, nil, a.List),
			sub("show", "print a message: header, text, list of parts", "N", 1, nil, a.Show),
			sub("save", "write the parts of a message to files in DIR", "N DIR", 2, []cli.Flag{yes("raw", "write the message itself too, as message-N.eml")}, a.Save),
			sub("delete", "delete a message", "N", 1, nil, a.Delete),
		},
	}
}

const roundtripHelp = `Sends a mail with text, HTML and an image, waits until it is in the mailbox,
fetches it, compares part by part and deletes it. Exit code 0: it arrived and is
what was sent; 1: it arrived changed; 75: it did not arrive in time; others as
for send.

   smtpclient testserver &
   SMTP_PASSWORD=lab smtpclient roundtrip --server 127.0.0.1:2525 \
      --pop3 127.0.0.1:2110 --to me@lab.test`

func roundtripCommand(a *agent.Agent) *cli.Command {
	flags := append(smtpFlags(), pop3Flags()...)
	flags = append(flags,
		text("from", "the sender (default: the recipient)"),
		&cli.StringFlag{Name: "to", Usage: "the recipient, whose mailbox is looked at"},
		&cli.DurationFlag{Name: "wait", Usage: "how long to wait for the mail to arrive", Value: time.Minute, EnvVars: env("wait")},
		&cli.DurationFlag{Name: "poll", Usage: "how often to look", Value: 500 * time.Millisecond, EnvVars: env("poll")},
		yes("keep", "leave the mail in the mailbox"))
	return &cli.Command{
		Name: "roundtrip", Usage: "send a mail, fetch it back and compare", Description: roundtripHelp,
		Flags: append(flags, commonFlags()...), OnUsageError: usageError,
		Action: func(c *cli.Context) error {
			p, err := readProfile(c, a)
			if err != nil {
				return err
			}
			if c.Args().Present() {
				return agent.Usage("roundtrip takes no arguments, only options")
			}
			if p.pop3.User == "" {
				p.pop3.User = p.smtp.User
			}
			return a.Roundtrip(c.Context, &agent.RoundtripOptions{
				SMTP: p.smtp, POP3: p.pop3, From: cmp.Or(c.String("from"), p.from), To: c.String("to"),
				Wait: c.Duration("wait"), Poll: c.Duration("poll"), Keep: c.Bool("keep"),
			})
		},
	}
}

// profile is where the options, the environment and the accounts file agree on.
type profile struct {
	smtp, pop3 agent.Server
	from       string
}

// readProfile reads the flags that the commands share.
func readProfile(c *cli.Context, a *agent.Agent) (*profile, error) {
	a.JSON = c.Bool("json")
	switch a.Detail = agent.Replies; {
	case c.Bool("trace"):
		a.Detail = agent.Trace
	case c.Bool("verbose"):
		a.Detail = agent.Both
	case c.Bool("quiet"), a.JSON:
		a.Detail = agent.Nothing
	}
	acc := &account.Account{}
	if name := c.String("account"); name != "" {
		path := c.String("accounts-file")
		if path == "" {
			dir, err := os.UserConfigDir()
			if err != nil {
				return nil, &agent.CodeError{Code: agent.ExitConfig, Err: fmt.Errorf("%w: name the accounts file with --accounts-file", err)}
			}
			path = filepath.Join(dir, "topdown", "smtpclient.conf")
		}
		var err error
		if acc, err = account.Load(path, name); err != nil {
			return nil, &agent.CodeError{Code: agent.ExitConfig, Err: err}
		}
	}
	common := agent.Server{
		CA: cmp.Or(c.String("ca"), acc.CA), InsecureAuth: c.Bool("insecure-auth"),
		Timeout: c.Duration("timeout"), Limit: c.Duration("session-limit"),
	}
	if common.Timeout < 0 || common.Limit < 0 {
		return nil, agent.Usage("--timeout and --session-limit must not be negative")
	}
	secret := account.Secret{File: c.String("password-file"), Command: c.String("password-command")}
	if secret.File == "" && secret.Command == "" {
		if secret.Value = os.Getenv("SMTP_PASSWORD"); secret.Value == "" {
			secret.Value, secret.File, secret.Command = acc.Password, acc.PasswordFile, acc.PasswordCommand
		}
	}
	if secret.Value == "" && secret.File == "" && secret.Command == "" {
		secret.Prompt = prompt(c.Context, a.Err)
	}
	p := &profile{smtp: common, pop3: common, from: acc.From}
	p.smtp.Addr, p.smtp.TLS, p.smtp.Helo = cmp.Or(c.String("server"), acc.Server), cmp.Or(c.String("tls"), acc.TLS), cmp.Or(c.String("helo"), acc.Helo)
	if p.smtp.User, p.smtp.Auth = cmp.Or(c.String("user"), acc.User), cmp.Or(c.String("auth"), acc.Auth); c.Bool("direct") {
		p.smtp = common // an account's server has no part in direct delivery
		p.smtp.Addr, p.smtp.TLS, p.smtp.Helo, p.smtp.User = c.String("server"), c.String("tls"), c.String("helo"), c.String("user")
	}
	p.pop3.Addr, p.pop3.TLS = cmp.Or(c.String("pop3"), acc.POP3), cmp.Or(c.String("pop3-tls"), acc.POP3TLS)
	p.pop3.User, p.pop3.Auth = cmp.Or(c.String("pop3-user"), acc.POP3User, acc.User), c.String("pop3-auth")
	p.smtp.Secret, p.pop3.Secret = secret, secret
	if password := os.Getenv("POP3_PASSWORD"); password != "" {
		p.pop3.Secret = account.Secret{Value: password}
	}
	return p, nil
}

// prompt returns a function that asks for a password on the terminal, without
// echo and at most once, or nil if there is no terminal.
func prompt(ctx context.Context, w io.Writer) func() (string, error) {
	terminal := os.Stdin
	if !term.IsTerminal(int(terminal.Fd())) {
		tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
		if err != nil {
			return nil
		}
		terminal = tty
	}
	answer := ""
	return func() (string, error) {
		if answer != "" {
			return answer, nil
		}
		fmt.Fprint(w, "Password: ")
		before, err := term.GetState(int(terminal.Fd()))
		if err != nil {
			return "", fmt.Errorf("read the password: %w", err)
		}
		typed := make(chan struct{})
		var password []byte
		go func() {
			defer close(typed)
			password, err = term.ReadPassword(int(terminal.Fd()))
		}()
		select {
		case <-typed:
		case <-ctx.Done(): // Ctrl-C: the terminal must echo again
			_ = term.Restore(int(terminal.Fd()), before) // the program is ending
			fmt.Fprintln(w)
			return "", ctx.Err()
		}
		fmt.Fprintln(w)
		if err != nil {
			return "", fmt.Errorf("read the password: %w", err)
		}
		answer = string(password)
		if answer == "" {
			return "", account.ErrNoPassword
		}
		return answer, nil
	}
}

const testserverHelp = `A mail server in memory for a first mail: SMTP in, POP3 out, on this machine
only. Every address has a mailbox, whose password is "lab". Recipients whose name
begins with "reject" or "defer" are answered 550 and 450. It ends with Ctrl-C and
forgets everything.`

func testserverCommand(a *agent.Agent) *cli.Command {
	return &cli.Command{
		Name: "testserver", Usage: "run a mail server in memory, to try the other commands", Description: testserverHelp,
		OnUsageError: usageError,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "smtp-addr", Usage: "the loopback `ADDRESS` for SMTP", Value: "127.0.0.1:2525", EnvVars: env("smtp-addr")},
			&cli.StringFlag{Name: "pop3-addr", Usage: "the loopback `ADDRESS` for POP3", Value: "127.0.0.1:2110", EnvVars: env("pop3-addr")},
			&cli.StringFlag{Name: "log-level", Usage: logging.Levels, Value: "info", EnvVars: env("log-level")},
			&cli.StringFlag{Name: "log-format", Usage: logging.Formats, Value: "console", EnvVars: env("log-format")},
		},
		Action: func(c *cli.Context) error {
			log, err := logging.New(a.Err, c.String("log-level"), c.String("log-format"))
			if err != nil {
				return agent.Usage("%w", err)
			}
			smtpLn, err := testserver.Listen(c.String("smtp-addr"))
			if err != nil {
				return listenError(err)
			}
			defer smtpLn.Close()
			pop3Ln, err := testserver.Listen(c.String("pop3-addr"))
			if err != nil {
				return listenError(err)
			}
			defer pop3Ln.Close()
			server := &testserver.Server{
				Password: "lab",
				Delivered: func(m testserver.Mail) {
					log.Info("mail received", zap.String("from", wire.Printable(m.From)), zap.String("to", wire.Printable(m.To)), zap.Int("bytes", len(m.Data)))
				},
			}
			log.Info("ready: every mailbox's password is lab", zap.Stringer("smtp", smtpLn.Addr()), zap.Stringer("pop3", pop3Ln.Addr()))
			err = server.Serve(c.Context, smtpLn, pop3Ln)
			if err == nil {
				log.Info("ended")
			}
			return err
		},
	}
}

func listenError(err error) error {
	if _, busy := errors.AsType[*net.OpError](err); busy {
		return &agent.CodeError{Code: agent.ExitRefused, Err: fmt.Errorf("%w: name another with --smtp-addr or --pop3-addr", err)}
	}
	return agent.Usage("%w", err)
}
