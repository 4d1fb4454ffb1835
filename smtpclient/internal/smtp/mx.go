package smtp

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// A Resolver answers the questions of Route; *net.Resolver does.
type Resolver interface {
	LookupMX(ctx context.Context, name string) ([]*net.MX, error)
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// A Hop is a host that takes mail for a domain, at one of its addresses.
type Hop struct {
	Host string
	Addr netip.Addr
}

// maxHops bounds how many addresses are tried for one domain.
const maxHops = 10

// ErrNullMX says that a domain takes no mail at all (RFC 7505).
var ErrNullMX = errors.New("the domain takes no mail (null MX)")

// Route finds where mail for a domain goes: its mail exchangers by preference,
// equal ones in random order, or the host itself if there are none; of each,
// every IPv6 and IPv4 address (RFC 5321 section 5). An address literal such as
// "[192.0.2.1]" is its own route.
func Route(ctx context.Context, r Resolver, domain string) ([]Hop, error) {
	if text, ok := strings.CutPrefix(domain, "["); ok {
		text = strings.TrimSuffix(text, "]")
		if len(text) > 5 && strings.EqualFold(text[:5], "IPv6:") {
			text = text[5:]
		}
		addr, err := netip.ParseAddr(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", domain, err)
		}
		return []Hop{{Host: text, Addr: addr}}, nil
	}
	exchangers, err := r.LookupMX(ctx, domain)
	if missing, ok := errors.AsType[*net.DNSError](err); ok && missing.IsNotFound {
		exchangers = []*net.MX{{Host: domain}}
	} else if err != nil && len(exchangers) == 0 {
		return nil, fmt.Errorf("look up the mail exchangers of %s: %w", domain, err)
	}
	if len(exchangers) == 1 && (exchangers[0].Host == "." || exchangers[0].Host == "") {
		return nil, fmt.Errorf("%s: %w", domain, ErrNullMX)
	}
	rand.Shuffle(len(exchangers), func(i, j int) { exchangers[i], exchangers[j] = exchangers[j], exchangers[i] })
	slices.SortStableFunc(exchangers, func(a, b *net.MX) int { return int(a.Pref) - int(b.Pref) })
	var hops []Hop
	var failure error
	for _, mx := range exchangers {
		host := strings.TrimSuffix(mx.Host, ".")
		addrs, err := r.LookupNetIP(ctx, "ip", host)
		if err != nil {
			failure = errors.Join(failure, fmt.Errorf("look up the mail exchanger %s: %w", host, err))
			continue
		}
		// IPv6 first, as RFC 6724 would have it for a host with both.
		slices.SortStableFunc(addrs, func(a, b netip.Addr) int { return b.Unmap().BitLen() - a.Unmap().BitLen() })
		for _, addr := range addrs {
			if len(hops) < maxHops {
				hops = append(hops, Hop{Host: host, Addr: addr.Unmap()})
			}
		}
	}
	if len(hops) == 0 {
		return nil, failure
	}
	return hops, nil
}
