package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"topdown/smtpclient/internal/doctor"
	"topdown/smtpclient/internal/session"

	"github.com/miekg/dns"
	"golang.org/x/net/idna"
)

// doctorConfig are the flags of doctor.
type doctorConfig struct {
	domain    string
	fromIP    netip.Addr
	dns       string
	selectors []string
	limit     time.Duration
}

// A doctorReport is the result of doctor as JSON.
type doctorReport struct {
	Domain   string           `json:"domain"`
	Exit     int              `json:"exit"`
	Findings []doctor.Finding `json:"findings"`
	Error    string           `json:"error,omitempty"`
}

// doctor looks at a domain's mail.
func (p *program) doctor(ctx context.Context) error {
	c := &p.cfg.doctor
	report := &doctorReport{Domain: c.domain, Findings: []doctor.Finding{}}
	err := p.examine(ctx, report)
	report.Exit, report.Error = p.outcome(err)
	if p.cfg.json {
		return errors.Join(err, p.printJSON(report))
	}
	for _, f := range report.Findings {
		printFinding(p.out, f)
	}
	return err
}

func (p *program) examine(ctx context.Context, report *doctorReport) error {
	c := &p.cfg.doctor
	pool, err := roots(p.cfg.ca)
	if err != nil {
		return err
	}
	server := c.dns
	if server == "" {
		if server, err = systemDNS(); err != nil {
			return err
		}
	}
	if _, _, missing := net.SplitHostPort(server); missing != nil {
		server = net.JoinHostPort(strings.Trim(server, "[]"), "53")
	}
	findings, err := doctor.Examine(ctx, doctor.Options{
		Domain: c.domain, FromIP: c.fromIP, Selectors: c.selectors, DNS: server, Roots: pool, Timeout: p.cfg.timeout, Limit: c.limit,
	})
	switch {
	case errors.Is(err, doctor.ErrNoDomain):
		return fail(exitNoHost, "%w", err)
	case errors.Is(err, doctor.ErrDNS):
		return fail(exitTemporary, "%w", err)
	case err != nil:
		return err
	}
	report.Findings = append(report.Findings, findings...)
	bad := 0
	for _, f := range findings {
		if f.Level == doctor.Bad {
			bad++
		}
	}
	if bad > 0 {
		return fail(exitFailed, "%s: %d of %d findings are bad", c.domain, bad, len(findings))
	}
	return nil
}

// systemDNS is the server that this machine asks.
func systemDNS() (string, error) {
	system, err := dns.ClientConfigFromFile("/etc/resolv.conf")
	if err != nil || len(system.Servers) == 0 {
		return "", fail(exitConfig, "no DNS server is configured here: name one with --dns")
	}
	return net.JoinHostPort(system.Servers[0], system.Port), nil
}

// printFinding writes a finding for people.
func printFinding(w io.Writer, f doctor.Finding) {
	fmt.Fprintf(w, "%-5s %s: %s\n", f.Level, session.Printable(f.Check), session.Printable(f.Found))
	for _, text := range []string{f.Meaning, f.Advice} {
		if text == "" {
			continue
		}
		for _, line := range wrap(session.Printable(text), width-6) {
			fmt.Fprintf(w, "      %s\n", line)
		}
	}
}

const doctorExamples = `  smtpclient doctor example.com
  smtpclient doctor example.com --dkim-selector s1 --from-ip 192.0.2.25`

func (p *program) doctorCommand() *command {
	c := &p.cfg.doctor
	return &command{
		name: name + " doctor", purpose: "tell why mail from or to a domain may not arrive", arguments: "DOMAIN",
		about:    "It asks DNS, and the mail servers up to EHLO; nothing is sent. The worst finding comes first; exit code 1 if one is bad.",
		examples: doctorExamples,
		groups: []group{{"Most used", []*setting{
			newList("dkim-selector", "NAME", "the selector of a DKIM key, the s= of a signature; may be repeated", &c.selectors),
			newSetting("from-ip", "ADDRESS", "", "the address that sends the domain's mail: its name and SPF are looked at", address(&c.fromIP)),
			newSetting("dns", "HOST[:PORT]", "", "the DNS server to ask (default: that of this machine); DANE needs one that checks DNSSEC", text(&c.dns)),
			newSetting("timeout", "TIME", "10s", "the longest wait for any one answer of a server", above0(&p.cfg.timeout)),
			newSetting("limit", "TIME", "1m", "the longest that everything may take", above0(&c.limit)),
			newSetting("ca", "FILE", "", "trust the certificates in this PEM file instead of the system's", text(&p.cfg.ca)),
			newSwitch("json", "print the findings as JSON on standard output", &p.cfg.json),
		}}},
		validate: func() error {
			domain, err := idna.Lookup.ToASCII(strings.TrimSuffix(p.cfg.args[0], "."))
			if err != nil || !strings.Contains(domain, ".") {
				return usage("%q: a domain is expected, as in example.com", p.cfg.args[0])
			}
			c.domain = domain
			return nil
		},
		run: p.doctor,
	}
}

// address takes an IP address.
func address(to *netip.Addr) func(string) error {
	return func(value string) (err error) {
		if *to, err = netip.ParseAddr(value); err != nil {
			return errors.New("an IP address is expected, as in 192.0.2.25 or 2001:db8::25")
		}
		return nil
	}
}
