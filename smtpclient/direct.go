package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"topdown/smtpclient/internal/session"
	"topdown/smtpclient/internal/smtp"
)

// sendDirect sends a mail to the mail exchangers of each recipient's domain.
func (p *program) sendDirect(ctx context.Context, env *smtp.Envelope, m smtp.Message) (*smtp.Result, error) {
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
		result, err := p.sendToDomain(ctx, domain, &part, m)
		if result == nil {
			result = &smtp.Result{}
			for _, to := range part.To {
				result.Recipients = append(result.Recipients, smtp.Recipient{Address: to, Status: smtp.Unsent})
			}
		}
		all.Recipients = append(all.Recipients, result.Recipients...)
		if err != nil {
			err = fmt.Errorf("%s: %w", domain, err)
			p.warn("%v", err)
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
func (p *program) sendToDomain(ctx context.Context, domain string, env *smtp.Envelope, m smtp.Message) (*smtp.Result, error) {
	var resolver smtp.Resolver = net.DefaultResolver
	if p.cfg.resolver != nil {
		resolver = p.cfg.resolver
	}
	hops, err := smtp.Route(ctx, resolver, domain)
	if err != nil {
		return nil, err
	}
	port := "25"
	if p.cfg.directPort != "" {
		port = p.cfg.directPort
	}
	host := p.cfg.smtp
	for _, hop := range hops {
		if p.cfg.ipv4 && !hop.Addr.Is4() || p.cfg.ipv6 && hop.Addr.Is4() {
			continue
		}
		host.addr = net.JoinHostPort(hop.Host, port)
		var cfg *smtp.Config
		if cfg, err = p.smtpConfig(ctx, &host, p.cfg.detail()); err != nil {
			return nil, err
		}
		cfg.Addr = net.JoinHostPort(hop.Addr.String(), port)
		// Certificates of mail exchangers are seldom for the name in the MX
		// record; encrypting without a check still beats not encrypting.
		cfg.Opportunistic = cfg.TLS == session.Auto
		var s *smtp.Session
		if s, err = smtp.Dial(ctx, cfg); err != nil {
			if ctx.Err() != nil {
				return nil, err
			}
			continue
		}
		var result *smtp.Result
		result, err = s.Send(env, m)
		_ = s.Quit() // the result is known
		if result.Count(smtp.Unsent) == 0 {
			return result, err
		}
	}
	if err == nil {
		err = fail(exitTemporary, "no mail exchanger has an address of the kind that -4 or -6 asks for")
	}
	return nil, err
}
