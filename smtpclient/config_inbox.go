package main

import (
	"context"
	"strings"

	"topdown/pkg/logging"
	"topdown/smtpclient/internal/mailbox"
	"topdown/smtpclient/internal/sasl"
)

func (c *config) pop3Settings() (server, user, tls, auth *setting) {
	s := &c.pop3
	mechanisms := "USER, " + strings.Join(sasl.Names(), ", ")
	return newSetting("pop3", "HOST[:PORT]", "", "the POP3 server (default port 110, with --pop3-tls implicit 995)", text(&s.addr)),
		newSetting("pop3-user", "NAME", "", "the mailbox's user; the password comes from POP3_PASSWORD, SMTP_PASSWORD, --password-file, --password-command or a prompt", text(&s.user)),
		newSetting("pop3-tls", "MODE", "", "auto (implicit on port 995, else STLS if offered), starttls, implicit or none", oneOf(&s.tls, tlsModes)),
		newSetting("pop3-auth", "MECHANISM", "", mechanisms+" (default: the best offered)", oneOf(&s.auth, mechanisms))
}

const inboxExamples = `  smtpclient inbox list --pop3 pop.example.com --user me@example.com
  smtpclient inbox show 3 --pop3 pop.example.com --user me@example.com
  smtpclient inbox save 3 pictures --account work
  smtpclient inbox delete uid:0000a3f1 --account work`

func (p *program) inboxCommand() *command {
	sub := func(word, arguments, purpose string, run func(context.Context) error, more ...*setting) *command {
		server, user, tls, auth := p.cfg.pop3Settings()
		login := p.cfg.loginSettings()
		login[0].settings = append(login[0].settings, auth)
		login[1].settings = append([]*setting{tls}, login[1].settings...)
		return &command{
			name: name + " inbox " + word, purpose: purpose, arguments: arguments,
			about:    "N is a message's number, which holds until a message is deleted, or uid:UID, which stays (list --json shows it).",
			examples: inboxExamples,
			groups:   append([]group{{"Most used", append([]*setting{server, user.as("user")}, more...)}}, append(login, p.cfg.outputSettings())...),
			validate: p.cfg.validateInbox,
			run:      run,
		}
	}
	return &command{
		name: name + " inbox", purpose: "list, show, save and delete the mails of a POP3 mailbox",
		commands: []*command{
			sub("list", "", "print a line for each message", p.inboxList),
			sub("show", "N", "print a message: header, text, list of parts", p.inboxShow),
			sub("save", "N DIRECTORY", "write the parts of a message to files", p.inboxSave,
				newSwitch("raw", "write the message itself too, as message-N.eml", &p.cfg.raw)),
			sub("delete", "N", "delete a message", p.inboxDelete),
		},
	}
}

func (c *config) validateInbox() error {
	args := append(c.args, "", "")
	c.which, c.dir = args[0], args[1]
	if len(c.args) > 0 {
		if err := mailbox.CheckName(c.which); err != nil {
			return err
		}
	}
	if c.pop3.addr == "" {
		return usage("--pop3 is missing: where is the mailbox?")
	}
	return nil
}

const roundtripExamples = `  smtpclient testserver &
  SMTP_PASSWORD=lab smtpclient roundtrip --server 127.0.0.1:2525 \
     --pop3 127.0.0.1:2110 --to you@lab.test`

func (p *program) roundtripCommand() *command {
	c := p.cfg
	server, user, tls, auth, helo := c.smtpSettings()
	pop3, pop3User, pop3TLS, pop3Auth := c.pop3Settings()
	login := c.loginSettings()
	login[0].settings = append(login[0].settings, auth, pop3Auth)
	login[1].settings = append([]*setting{tls, pop3TLS, helo}, login[1].settings...)
	return &command{
		name: name + " roundtrip", purpose: "send a mail, fetch it back and compare",
		about:    "The mail has text in many scripts, lines that begin with a dot, HTML and a picture. It is deleted afterwards, unless --keep is given.",
		examples: roundtripExamples,
		groups: append([]group{{"Most used", []*setting{
			server, pop3,
			newSetting("to", "ADDRESS", "", "whose mailbox it is", text(&c.trip.to)),
			user, pop3User,
			newSetting("from", "ADDRESS", "", "the sender (default: the same address)", text(&c.draft.From)),
			newSetting("wait", "TIME", "1m", "how long to wait for the mail to arrive", above0(&c.trip.wait)),
			newSetting("poll", "TIME", "500ms", "how often to look", above0(&c.trip.poll)),
			newSwitch("keep", "leave the mail in the mailbox", &c.trip.keep),
		}}}, append(login, c.outputSettings())...),
		validate: func() error {
			switch {
			case c.trip.to == "":
				return usage("--to is missing: whose mailbox is it?")
			case c.pop3.addr == "" || c.smtp.addr == "":
				return usage("a round trip needs --server to send and --pop3 to fetch")
			}
			if c.pop3.user == "" {
				c.pop3.user = c.smtp.user
			}
			return nil
		},
		run: p.roundtrip,
	}
}

func (p *program) testserverCommand() *command {
	c := p.cfg
	t := &c.testing
	return &command{
		name: name + " testserver", purpose: "run a mail server in memory, to try the other commands",
		about: "SMTP in, POP3 out, on this machine only. Every address has a mailbox, whose password is lab. Recipients whose name begins with reject or defer are answered 550 and 450. It ends with Ctrl-C and forgets everything.",
		groups: []group{{"Most used", []*setting{
			newSetting("smtp-addr", "ADDRESS", "127.0.0.1:2525", "the loopback address for SMTP", text(&t.smtpAddr)),
			newSetting("pop3-addr", "ADDRESS", "127.0.0.1:2110", "the loopback address for POP3", text(&t.pop3Addr)),
			newSetting("web", "ADDRESS", "", "show on a page of this loopback address what was received, and switch faults on there, as in 127.0.0.1:8025", text(&t.web)),
			newSetting("log-level", "LEVEL", "info", "log this level and above: "+logging.Levels, oneOf(&t.logLevel, logging.Levels)),
			newSetting("log-format", "FORMAT", "console", "form of the log: "+logging.Formats, oneOf(&t.logFormat, logging.Formats)),
		}}},
		validate: func() error { return nil },
		run:      p.testserver,
	}
}
