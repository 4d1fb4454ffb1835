package doctor

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"topdown/smtpclient/internal/session"
	"topdown/smtpclient/internal/smtp"

	"github.com/miekg/dns"
)

// maxHosts bounds how many mail exchangers are looked at.
const maxHosts = 5

// host is one mail exchanger.
type host struct {
	name  string
	addrs []netip.Addr
	chain []*x509.Certificate // what it showed; nil: nothing
}

// mailExchangers looks at the hosts that take the domain's mail.
func (e *examination) mailExchangers(ctx context.Context) {
	a, err := e.dns.ask(ctx, e.Domain, dns.TypeMX)
	if err != nil {
		e.trouble("MX", err)
		return
	}
	var records []*dns.MX
	for _, record := range a.records {
		if mx, ok := record.(*dns.MX); ok {
			records = append(records, mx)
		}
	}
	slices.SortStableFunc(records, func(a, b *dns.MX) int { return int(a.Preference) - int(b.Preference) })
	switch {
	case len(records) == 1 && records[0].Mx == ".":
		e.add("MX", Info, "null MX", "The domain takes no mail, and says so (RFC 7505).", "")
		return
	case len(records) == 0:
		if !e.withoutMX(ctx) {
			return
		}
	default:
		names := make([]string, len(records))
		for i, mx := range records {
			names[i] = fmt.Sprintf("%d %s", mx.Preference, strings.TrimSuffix(mx.Mx, "."))
			if i < maxHosts {
				e.hosts = append(e.hosts, &host{name: strings.ToLower(strings.TrimSuffix(mx.Mx, "."))})
			}
		}
		e.add("MX", Good, clip(strings.Join(names, ", ")), "These hosts take the domain's mail.", "")
	}
	reached := 0
	for _, h := range e.hosts {
		if e.exchanger(ctx, h) {
			reached++
		}
		e.dane(ctx, h)
	}
	if reached == 0 {
		e.add("MX", Bad, "no mail exchanger answered", "Mail to the domain waits at its senders, and is returned after some days.", "See what stands about each host; networks that forbid port 25 let none answer.")
	}
}

// withoutMX looks for the domain's own address, which stands in for an MX.
func (e *examination) withoutMX(ctx context.Context) bool {
	addrs, err := e.dns.addresses(ctx, e.Domain)
	switch {
	case err != nil:
		e.trouble("MX", err)
		return false
	case len(addrs) == 0:
		e.add("MX", Bad, "no MX record, no address", "Nobody can send mail to the domain.", "Publish an MX record, or a null MX (0 .) if it shall take none.")
		return false
	}
	e.add("MX", Warn, "no MX record", "Mail goes to the domain's own address, which is often only a web server.", "Publish an MX record.")
	e.hosts = []*host{{name: e.Domain}}
	return true
}

// exchanger talks to a host up to EHLO and TLS; it tells whether it answered.
func (e *examination) exchanger(ctx context.Context, h *host) bool {
	check := "server " + h.name
	var err error
	if h.addrs, err = e.dns.addresses(ctx, h.name); err != nil {
		e.trouble(check, err)
		return false
	}
	if len(h.addrs) == 0 {
		e.add(check, Bad, "the host has no address", "Mail cannot be delivered to it.", "Publish its A or AAAA record, or take it out of the MX records.")
		return false
	}
	if a, aerr := e.dns.ask(ctx, h.name, dns.TypeCNAME); aerr == nil && len(a.records) > 0 {
		e.add(check, Warn, "the name is an alias (CNAME)", "Some senders refuse that (RFC 2181 section 10.3).", "Name the host itself in the MX record.")
	}
	s, err := e.connect(ctx, h, false)
	if _, insecure := errors.AsType[*session.TLSError](err); insecure {
		e.certificate(check, err)
		s, err = e.connect(ctx, h, true)
		if err == nil {
			h.chain = s.Certificates()
			_ = s.Quit() // nothing was sent
			return true
		}
	}
	if err != nil {
		e.add(check, Warn, err.Error(), "Mail does not reach this host now.", "Let it answer on port "+e.MailPort+".")
		return false
	}
	defer s.Quit() //nolint:errcheck // nothing was sent
	if h.chain = s.Certificates(); h.chain == nil {
		level := Warn
		if e.enforced {
			level = Bad
		}
		e.add(check, level, "it answers, and offers no STARTTLS", "Mail to it can be read on the way.", "Turn STARTTLS on, with a certificate for "+h.name+".")
		return true
	}
	e.add(check, Good, "it answers, with STARTTLS and a right certificate until "+h.chain[0].NotAfter.Format("2006-01-02"), "Mail to it is encrypted.", "")
	return true
}

func (e *examination) certificate(check string, err error) {
	if e.enforced {
		e.add(check, Bad, err.Error(), "MTA-STS forbids senders to deliver to it.", "Give it a certificate for its name.")
		return
	}
	e.add(check, Warn, err.Error(), "Most senders encrypt without looking at the certificate; those that look do not deliver.", "Give it a certificate for its name.")
}

// connect tries a host's addresses.
func (e *examination) connect(ctx context.Context, h *host, loosely bool) (*smtp.Session, error) {
	var failure error
	for _, addr := range h.addrs[:min(2, len(h.addrs))] {
		s, err := smtp.Dial(ctx, &smtp.Config{Config: session.Config{
			Host: h.name, Port: e.MailPort, Addr: net.JoinHostPort(addr.String(), e.MailPort), Roots: e.Roots,
			Opportunistic: loosely, Timeout: e.Timeout, Limit: 2 * e.Timeout, Dial: e.Dial,
		}})
		if err == nil {
			return s, nil
		}
		failure = cmp.Or(failure, err)
		if _, insecure := errors.AsType[*session.TLSError](err); insecure {
			return nil, err
		}
	}
	return nil, failure
}

// dane compares a host's TLSA records with its certificate (RFC 7672).
func (e *examination) dane(ctx context.Context, h *host) {
	check := "DANE " + h.name
	a, err := e.dns.ask(ctx, "_25._tcp."+h.name, dns.TypeTLSA)
	if err != nil {
		e.trouble(check, err)
		return
	}
	var records []*dns.TLSA
	for _, record := range a.records {
		if tlsa, ok := record.(*dns.TLSA); ok {
			records = append(records, tlsa)
		}
	}
	switch {
	case len(records) == 0:
		e.add(check, Info, "no TLSA record", "Senders cannot know the certificate beforehand.", "With DNSSEC, publish TLSA records, as in 3 1 1.")
	case !a.secure:
		e.add(check, Warn, "TLSA records without DNSSEC", "They count for nothing: anybody on the way could have written them.", "Sign the zone, or ask a resolver that checks DNSSEC (--dns).")
	case h.chain == nil:
		e.add(check, Bad, "TLSA records, and no TLS to compare them with", "Senders that know DANE do not deliver.", "Turn STARTTLS on, or take the records away.")
	case slices.ContainsFunc(records, func(r *dns.TLSA) bool { return matches(r, h.chain) }):
		e.add(check, Good, "a TLSA record fits the certificate", "Senders that know DANE are sure of the server.", "")
	default:
		e.add(check, Bad, "no TLSA record fits the certificate", "Senders that know DANE do not deliver.", "Publish the new certificate's record before the certificate changes.")
	}
}

// matches tells whether a TLSA record is about a certificate of the chain: usage
// 3 about the server's own, 2 about one above (RFC 7671 section 5).
func matches(r *dns.TLSA, chain []*x509.Certificate) bool {
	switch r.Usage {
	case 3:
		chain = chain[:1]
	case 2:
	default:
		return false // of no use for mail (RFC 7672 section 3.1.3)
	}
	return slices.ContainsFunc(chain, func(c *x509.Certificate) bool { return r.Verify(c) == nil })
}
