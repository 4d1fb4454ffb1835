package main

import (
	"cmp"
	"errors"
	"math"
	"strings"
	"time"

	"topdown/smtpclient/internal/sasl"
)

const tlsModes = "auto, starttls, implicit, none"

// commands returns the program's commands, whose flags are bound to the
// configuration.
func (p *program) commands() *command {
	return &command{
		name: name, purpose: "send mail over a socket, and prove that it arrived",
		commands: []*command{p.sendCommand(), p.inboxCommand(), p.roundtripCommand(), p.doctorCommand(), p.testserverCommand()},
	}
}

// outputSettings say how much is shown.
func (c *config) outputSettings() group {
	return group{"Output", []*setting{
		newSwitch("quiet", "do not show the dialogue", &c.quiet).as("q"),
		newSwitch("verbose", "show both directions of the dialogue, with times", &c.verbose).as("v"),
		newSwitch("trace", "explain every step of the dialogue", &c.trace),
		newSetting("trace-file", "FILE", "", "write the dialogue to FILE, which trace.html of the web server draws", text(&c.traceFile)),
		newSwitch("json", "print the result as JSON on standard output", &c.json),
	}}
}

// loginSettings say who we are, whom we trust and how long we wait.
func (c *config) loginSettings() []group {
	return []group{{"Account and password", []*setting{
		newSetting("account", "NAME", "", "take server, user and password source from this section of the accounts file", text(&c.account)),
		newSetting("accounts-file", "FILE", "", "the accounts file (default: smtpclient.conf in the directory topdown of the user's configuration directory)", text(&c.accountsFile)),
		newSetting("password-file", "FILE", "", "read the password from the first line of this file", text(&c.passwordFile)),
		newSetting("password-command", "COMMAND", "", "read the password from the first line that this command prints", text(&c.passwordCommand)),
		newSwitch("insecure-auth", "send a password even if the link to another machine is not encrypted", &c.insecureAuth),
	}}, {"Connection", []*setting{
		newSetting("ca", "FILE", "", "trust the certificates in this PEM file instead of the system's", text(&c.ca)),
		newSetting("client-cert", "FILE", "", "show this PEM certificate to a server that asks for one", text(&c.clientCert)),
		newSetting("client-key", "FILE", "", "its key (default: in the same file)", text(&c.clientKey)),
		newSetting("timeout", "TIME", "", "the longest wait for any one answer (default: the minutes that RFC 5321 asks for; on a terminal 30s for the first)", duration(&c.timeout)),
		newSetting("session-limit", "TIME", "1h", "the longest that connecting, or one mail, may take altogether", duration(&c.sessionLimit)),
		newSwitch("ipv4", "use IPv4 only", &c.ipv4).as("4"),
		newSwitch("ipv6", "use IPv6 only", &c.ipv6).as("6"),
	}}}
}

func (c *config) smtpSettings() (server, user, tls, auth, helo *setting) {
	s := &c.smtp
	return newSetting("server", "HOST[:PORT]", "", "the server that takes the mail (default port 25; with --user 587, with --tls implicit 465)", text(&s.addr)),
		newSetting("user", "NAME", "", "log in; the password comes from SMTP_PASSWORD, --password-file, --password-command or a prompt", text(&s.user)),
		newSetting("tls", "MODE", "", "auto (implicit on port 465, else STARTTLS if offered), starttls, implicit or none", oneOf(&s.tls, tlsModes)),
		newSetting("auth", "MECHANISM", "", strings.Join(sasl.Names(), ", ")+" (default: the strongest offered; the last two only on request, the password is the token)", oneOf(&s.auth, strings.Join(sasl.Names(), ", "))),
		newSetting("helo", "NAME", "", "the name to say in EHLO (default: our address in brackets)", text(&s.helo))
}

const sendExamples = `  A first mail, to the test server of this program:
    smtpclient testserver &
    smtpclient send --server 127.0.0.1:2525 --from me@lab.test \
       --to you@lab.test --subject Hello --text "My first mail"

  Through your provider, logged in, the dialogue explained:
    smtpclient send --server smtp.example.com --user me@example.com --trace \
       --to you@example.net --subject Hi --text-file letter.txt

  HTML with a picture, a text for readers without HTML, and an attachment:
    smtpclient send --server mail.example.com --from me@example.com \
       --to you@example.net --cc "Zoë <zoe@example.net>" --subject "Größe" \
       --text "See the picture." --html '<p>See: <img src="cid:cat.png">' \
       --inline cat.png --attach report.pdf:name=Report.pdf

  A ready message; a look before it goes:
    smtpclient send --server mail.example.com --from me@example.com \
       --message draft.eml --dry-run -- a@example.net b@example.net

  To each row of a list (columns: to,name), at most 5 a second, resumable:
    smtpclient send --server mail.example.com --from me@example.com \
       --each list.csv --rate 5 --subject "Dear {{name}}" --text "Hello {{name}}!"`

func (p *program) sendCommand() *command {
	c := p.cfg
	d, each := &c.draft, &c.each
	server, user, tls, auth, helo := c.smtpSettings()
	pop3, pop3User, pop3TLS, pop3Auth := c.pop3Settings()
	login := c.loginSettings()
	login[0].settings = append(login[0].settings, auth)
	login[1].settings = append([]*setting{tls, helo, newSwitch("direct", "deliver to the recipients' own mail exchangers (MX) instead of a server", &c.direct)}, login[1].settings...)
	return &command{
		name: name + " send", purpose: "send a mail", arguments: "[RECIPIENT...]", examples: sendExamples,
		groups: append([]group{{"Most used", []*setting{
			server, user,
			newSetting("from", "ADDRESS", "", "the sender, as ADDRESS or \"Name <ADDRESS>\" (default: the user, if that is an address)", text(&d.From)),
			newList("to", "ADDRESS", "a recipient, or several with commas; may be repeated", &d.To),
			newSetting("subject", "TEXT", "", "the subject", text(&d.Subject)),
			newSetting("text", "TEXT", "", "the body", text(&d.Text)),
			newSetting("text-file", "FILE", "", "the body from a file, - for standard input", text(&d.TextFile)),
			newList("attach", "FILE", "attach a file, - for standard input; FILE:type=TYPE:name=NAME says what the recipient sees; may be repeated", &d.Attach),
		}}, {"Message", []*setting{
			newList("cc", "ADDRESS", "a recipient of a copy; may be repeated", &d.Cc),
			newList("bcc", "ADDRESS", "a recipient whom the others do not see; may be repeated", &d.Bcc),
			newSetting("reply-to", "ADDRESS", "", "where answers go", text(&d.ReplyTo)),
			newSetting("html", "HTML", "", "an HTML body; with a text too, the reader's program chooses", text(&d.HTML)),
			newSetting("html-file", "FILE", "", "the HTML body from a file, - for standard input", text(&d.HTMLFile)),
			newSetting("charset", "NAME", "", "the character set of --text-file and --html-file (default: UTF-8, or what a byte order mark says)", text(&d.Charset)),
			newList("inline", "FILE", "a file that the HTML shows as cid:FILE; may be repeated", &d.Inline),
			newList("header", "FIELD", "a further header field \"Name: value\"; may be repeated", &d.Header),
			newSetting("message", "FILE", "", "send this complete message, - for standard input", text(&d.Message)),
			newSetting("dkim-key", "FILE", "", "sign with the RSA or Ed25519 key in this PEM file", text(&d.DKIMKey)),
			newSetting("dkim-selector", "NAME", "", "the key's selector in DNS", text(&d.DKIMSelector)),
			newSetting("dkim-domain", "DOMAIN", "", "the signing domain (default: that of --from)", text(&d.DKIMDomain)),
			newSwitch("dry-run", "print the commands (standard error) and the message (standard output), send nothing", &c.dryRun),
		}}, {"Envelope", []*setting{
			newSetting("envelope-from", "ADDRESS", "", "where reports go, <> for nowhere (default: the address of --from)", text(&d.EnvelopeFrom)),
			newSetting("notify", "WHEN", "", "ask for delivery reports (DSN): never, or some of success,failure,delay", text(&d.Notify)),
			newSetting("ret", "WHAT", "", "what a report returns: full or hdrs", text(&d.Return)),
			newSwitch("chunking", "send the message with BDAT where the server offers CHUNKING", &c.chunking),
		}}, {"Many mails", []*setting{
			newSetting("each", "FILE", "", "send one mail to each row of this CSV file, which has a column \"to\"; {{column}} in subject and bodies", text(&each.list)),
			newSetting("journal", "FILE", "", "the journal (default: the list's name with .journal)", text(&each.journal)),
			newSwitch("journal-sync", "let each journal record reach the disk before going on", &each.journalSync),
			newSetting("connections", "N", "1", "connections at a time", number(&each.connections, 1, 100)),
			newSetting("rate", "N", "", "at most this many mails a second", perSecond(&each.rate)),
			newSetting("retries", "N", "3", "tries again after a temporary failure", number(&each.retries, 0, 20)),
			newSetting("retry-delay", "TIME", "1m", "the wait before that, doubled each time", duration(&each.retryDelay)),
			newSetting("retry-uncertain", "", "", "send the rows again that an earlier run left uncertain; --retry-uncertain=ask-server only looks which of them are in the mailbox of --pop3, and notes those as sent", uncertain(each)),
			pop3, pop3User, pop3TLS, pop3Auth,
		}}}, append(login, c.outputSettings())...),
		validate: c.validateSend, run: p.send,
	}
}

// uncertain takes whether uncertain rows are sent again, or looked for.
func uncertain(each *eachConfig) func(string) error {
	return func(value string) error {
		each.askServer = strings.EqualFold(value, "ask-server")
		if each.askServer {
			each.retryUncertain = false
			return nil
		}
		if onOff(&each.retryUncertain)(value) != nil {
			return errors.New("true, false or ask-server is expected")
		}
		return nil
	}
}

// validateSend finds contradictions among the flags.
func (c *config) validateSend() error {
	c.draft.To = append(c.draft.To, c.args...)
	if c.sessionLimit == 0 && c.each.list != "" {
		c.sessionLimit = time.Hour
	}
	if c.each.retryDelay > math.MaxInt64>>20 {
		return usage("--retry-delay is too long")
	}
	c.pop3.user = cmp.Or(c.pop3.user, c.smtp.user)
	switch {
	case c.each.askServer && c.pop3.addr == "":
		return usage("--retry-uncertain=ask-server needs --pop3, or an account that has it: in which mailbox do the mails arrive?")
	case c.each.askServer && c.pop3.user == "":
		return usage("--pop3-user is missing: whose mailbox is it?")
	case c.each.list != "" && (c.direct || c.dryRun):
		return usage("--each goes with neither --direct nor --dry-run")
	case c.direct && c.smtp.addr != "":
		return usage("--direct finds the servers by itself: leave out --server")
	case c.direct && c.smtp.user != "":
		return usage("--direct logs in nowhere: leave out --user")
	case !c.direct && c.smtp.addr == "" && !c.dryRun:
		return usage("--server is missing: which server takes the mail? (--direct asks the recipients' own)")
	}
	return nil
}
