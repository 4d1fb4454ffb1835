package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"topdown/smtpclient/internal/smtp"
	"topdown/smtpclient/internal/wire"
)

// SendOptions are the options of send.
type SendOptions struct {
	Letter
	Server   Server
	Direct   bool
	Chunking bool
	DryRun   bool
	Each     Each

	// Resolver and DirectPort replace DNS and port 25 of --direct, for tests.
	Resolver   smtp.Resolver
	DirectPort string
}

// A Report is the result of send as JSON.
type Report struct {
	Result     string      `json:"result"` // sent, partial, refused, deferred, uncertain or failed
	Exit       int         `json:"exit"`
	MessageID  string      `json:"message_id,omitempty"`
	Size       int64       `json:"size,omitempty"` // bytes
	Server     string      `json:"server,omitempty"`
	Recipients []Recipient `json:"recipients"`
	Error      string      `json:"error,omitempty"`
}

// A Recipient is the result for one address.
type Recipient struct {
	Address  string      `json:"address"`
	Status   smtp.Status `json:"status"`
	Code     int         `json:"code,omitempty"`
	Enhanced string      `json:"enhanced,omitempty"`
	Text     string      `json:"text,omitempty"`
}

// Send sends a letter, or one to each row of a list.
func (a *Agent) Send(ctx context.Context, o *SendOptions) error {
	if o.Each.List != "" {
		return a.sendEach(ctx, o)
	}
	report := &Report{Recipients: []Recipient{}}
	err := a.send(ctx, o, report)
	if o.DryRun && err == nil {
		return nil
	}
	if report.Exit = ExitCode(err); err != nil {
		report.Error = a.Hide(err.Error())
	}
	report.Result = outcome(report.Exit)
	if a.JSON {
		return errors.Join(err, a.printJSON(report))
	}
	for _, to := range report.Recipients {
		fmt.Fprintln(a.Out, verdict(to))
	}
	if report.MessageID != "" && len(report.Recipients) > 0 {
		fmt.Fprintf(a.Out, "Message-ID: <%s>\n", report.MessageID)
	}
	return err
}

func outcome(code int) string {
	switch code {
	case ExitOK:
		return "sent"
	case ExitPartial:
		return "partial"
	case ExitUncertain:
		return "uncertain"
	case ExitTemporary:
		return "deferred"
	case ExitRefused:
		return "refused"
	}
	return "failed"
}

// verdict is the line about one recipient.
func verdict(to Recipient) string {
	reply := strings.TrimSpace(fmt.Sprintf("%d %s %s", to.Code, to.Enhanced, to.Text))
	reply = strings.ReplaceAll(reply, "  ", " ")
	switch to.Status {
	case smtp.Accepted:
		return fmt.Sprintf("Sent to %s: %s", to.Address, reply)
	case smtp.Refused:
		return fmt.Sprintf("Refused for %s: %s", to.Address, reply)
	case smtp.Deferred:
		return fmt.Sprintf("Not now for %s: %s", to.Address, reply)
	case smtp.Uncertain:
		return fmt.Sprintf("Perhaps delivered to %s: %s", to.Address, to.Text)
	}
	return fmt.Sprintf("Not sent to %s", to.Address)
}

// recipients turns the results of a dialogue into a report's.
func (a *Agent) recipients(result *smtp.Result) []Recipient {
	list := make([]Recipient, len(result.Recipients))
	for i, to := range result.Recipients {
		list[i] = Recipient{to.Address, to.Status, to.Reply.Code, to.Reply.Enhanced, wire.Printable(a.Hide(to.Reply.Text()))}
	}
	return list
}

func (a *Agent) send(ctx context.Context, o *SendOptions, report *Report) error {
	if err := o.check(); err != nil {
		return err
	}
	letter, err := a.prepare(&o.Letter)
	if err != nil {
		return err
	}
	defer letter.close()
	report.MessageID, report.Size = letter.id, letter.message.Size()
	if o.DryRun {
		return a.dryRun(ctx, o, letter)
	}
	for _, problem := range letter.problems {
		a.warn("%s", problem)
	}
	message := letter.message
	if a.Terminal && message.Size() > 1<<20 {
		message = watched{message, newBar(a.Err, "sending", message.Size(), "B")}
	}
	var result *smtp.Result
	if o.Direct {
		result, err = a.sendDirect(ctx, o, letter.env, message)
	} else {
		report.Server = o.Server.Addr
		result, err = a.sendThrough(ctx, o, letter.env, message)
	}
	if result != nil {
		report.Recipients = a.recipients(result)
		if accepted := result.Count(smtp.Accepted); err == nil && accepted < len(result.Recipients) {
			return fail(ExitPartial, "%d of %d recipients did not get the mail, the others did", len(result.Recipients)-accepted, len(result.Recipients))
		}
	}
	return err
}

// check finds contradictions among the options.
func (o *SendOptions) check() error {
	switch {
	case o.Direct && o.Server.Addr != "":
		return Usage("--direct finds the servers by itself: leave out --server")
	case o.Direct && o.Server.User != "":
		return Usage("--direct logs in nowhere: leave out --user")
	case !o.Direct && o.Server.Addr == "" && !o.DryRun:
		return Usage("--server is missing: which server takes the mail? (--direct asks the recipients' own)")
	}
	return nil
}

// sendThrough sends a mail through the one server that was named.
func (a *Agent) sendThrough(ctx context.Context, o *SendOptions, env *smtp.Envelope, m smtp.Message) (*smtp.Result, error) {
	cfg, err := a.sendConfig(ctx, o)
	if err != nil {
		return nil, err
	}
	session, err := smtp.Dial(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if _, ok := session.Extensions["DSN"]; !ok && (env.Notify != "" || env.Return != "") {
		a.warn("the server does not offer DSN: --notify and --ret have no effect")
	}
	if _, ok := session.Extensions["CHUNKING"]; !ok && o.Chunking {
		a.warn("the server does not offer CHUNKING: the message is sent with DATA")
	}
	result, err := session.Send(env, m)
	if quit := session.Quit(); quit != nil && err == nil && a.Detail >= Both {
		a.warn("the mail is delivered, but: %v", quit)
	}
	return result, err
}

func (a *Agent) sendConfig(ctx context.Context, o *SendOptions) (*smtp.Config, error) {
	server := o.Server
	if host, port, err := splitAddr(server.Addr, "25"); err == nil && port == "25" && !strings.HasSuffix(server.Addr, ":25") {
		switch { // no port was given: the one for people (RFC 6409, RFC 8314)
		case server.TLS == string(wire.Implicit):
			server.Addr = net.JoinHostPort(host, smtp.ImplicitPort)
		case server.User != "":
			server.Addr = net.JoinHostPort(host, "587")
		}
	}
	cfg, err := a.smtpConfig(ctx, &server)
	if err != nil {
		return nil, err
	}
	cfg.Chunking = o.Chunking
	return cfg, nil
}

// sendDirect sends a mail to the mail exchangers of each recipient's domain.
func (a *Agent) sendDirect(ctx context.Context, o *SendOptions, env *smtp.Envelope, m smtp.Message) (*smtp.Result, error) {
	all := &smtp.Result{}
	var failure error
	var domains []string
	byDomain := make(map[string][]string)
	for _, to := range env.To {
		domain := strings.ToLower(to[strings.LastIndexByte(to, '@')+1:])
		if byDomain[domain] == nil {
			domains = append(domains, domain)
		}
		byDomain[domain] = append(byDomain[domain], to)
	}
	for _, domain := range domains {
		part := *env
		part.To = byDomain[domain]
		result, err := a.sendToDomain(ctx, o, domain, &part, m)
		if result == nil {
			result = &smtp.Result{}
			for _, to := range part.To {
				result.Recipients = append(result.Recipients, smtp.Recipient{Address: to, Status: smtp.Unsent})
			}
		}
		all.Recipients = append(all.Recipients, result.Recipients...)
		if err != nil {
			err = fmt.Errorf("%s: %w", domain, err)
			a.warn("%s", a.Hide(err.Error()))
			// Of several failures the one with the worst consequence counts.
			if _, uncertain := errors.AsType[*smtp.UncertainError](failure); !uncertain {
				failure = err
			}
		}
	}
	if _, uncertain := errors.AsType[*smtp.UncertainError](failure); !uncertain && all.Count(smtp.Accepted) > 0 {
		failure = nil // some have it: the caller counts
	}
	return all, failure
}

// sendToDomain tries a domain's mail exchangers in turn until one of them
// answers for good.
func (a *Agent) sendToDomain(ctx context.Context, o *SendOptions, domain string, env *smtp.Envelope, m smtp.Message) (*smtp.Result, error) {
	var resolver smtp.Resolver = net.DefaultResolver
	if o.Resolver != nil {
		resolver = o.Resolver
	}
	hops, err := smtp.Route(ctx, resolver, domain)
	if err != nil {
		return nil, err
	}
	port := "25"
	if o.DirectPort != "" {
		port = o.DirectPort
	}
	server := o.Server
	for _, hop := range hops {
		server.Addr = net.JoinHostPort(hop.Host, port)
		var cfg *smtp.Config
		if cfg, err = a.smtpConfig(ctx, &server); err != nil {
			return nil, err
		}
		cfg.Addr = net.JoinHostPort(hop.Addr.String(), port)
		cfg.Chunking = o.Chunking
		// Certificates of mail exchangers are seldom for the name in the MX
		// record; encrypting without a check still beats not encrypting.
		cfg.Opportunistic = cfg.TLS == wire.Auto
		var session *smtp.Session
		if session, err = smtp.Dial(ctx, cfg); err != nil {
			if ctx.Err() != nil {
				return nil, err
			}
			continue
		}
		var result *smtp.Result
		result, err = session.Send(env, m)
		_ = session.Quit() // the result is known
		if result.Count(smtp.Unsent) == 0 {
			return result, err
		}
	}
	return nil, err
}

// dryRun shows what would be sent: the problems and the commands on the error
// output, the message on the standard output. A server that is named is asked
// for its extensions and its limit, and given no mail.
func (a *Agent) dryRun(ctx context.Context, o *SendOptions, letter *ready) error {
	for _, problem := range letter.problems {
		a.warn("%s", problem)
	}
	session := &smtp.Session{Chunking: o.Chunking}
	if o.Server.Addr != "" {
		quiet := *a
		quiet.Detail = Nothing
		if a.Detail >= Both {
			quiet.Detail = a.Detail
			quiet.JSON = true // the dialogue goes beside the message
		}
		cfg, err := quiet.sendConfig(ctx, o)
		if err != nil {
			return err
		}
		if session, err = smtp.Dial(ctx, cfg); err != nil {
			return err
		}
		session.Chunking = o.Chunking
		if err := session.Check(letter.env, letter.message); err != nil {
			a.warn("%v", err)
		}
		_ = session.Quit() // nothing was sent
	} else {
		a.warn("no --server: the commands are those for a server without extensions")
	}
	for _, line := range session.Commands(letter.env, letter.message) {
		fmt.Fprintln(a.Err, line)
	}
	if _, err := letter.message.WriteTo(a.Out); err != nil {
		return changed(err)
	}
	return nil
}
