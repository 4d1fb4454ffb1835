package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Bounds on what one examination asks.
const (
	maxQueries   = 150
	queryTimeout = 4 * time.Second
)

// Errors of the resolver.
var (
	ErrNoDomain = errors.New("there is no such domain")
	ErrDNS      = errors.New("DNS gives no answer")
)

const typeSOA = dns.TypeSOA

// resolver asks one DNS server, with DNSSEC's flags, and counts.
type resolver struct {
	server  string
	queries int
}

type answer struct {
	records []dns.RR
	missing bool // there is no such name
	secure  bool // the server has checked DNSSEC
}

// ask asks for the records of a type; over TCP if the answer is too long.
func (r *resolver) ask(ctx context.Context, name string, kind uint16) (*answer, error) {
	if r.queries++; r.queries > maxQueries {
		return nil, fmt.Errorf("%w: more than %d questions", ErrDNS, maxQueries)
	}
	question := new(dns.Msg)
	question.SetQuestion(dns.Fqdn(name), kind)
	question.SetEdns0(1232, true)
	question.AuthenticatedData = true
	var reply *dns.Msg
	var err error
	for _, network := range []string{"udp", "udp", "tcp"} {
		client := &dns.Client{Net: network, Timeout: queryTimeout}
		reply, _, err = client.ExchangeContext(ctx, question, r.server)
		if err == nil && !reply.Truncated {
			break
		}
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w to %s %s: %w", ErrDNS, dns.TypeToString[kind], name, plain(err))
	case reply.Rcode == dns.RcodeNameError:
		return &answer{missing: true, secure: reply.AuthenticatedData}, nil
	case reply.Rcode != dns.RcodeSuccess:
		return nil, fmt.Errorf("%w to %s %s: %s", ErrDNS, dns.TypeToString[kind], name, dns.RcodeToString[reply.Rcode])
	}
	return &answer{records: reply.Answer, secure: reply.AuthenticatedData}, nil
}

// plain is an error without the resolver's address.
func plain(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		if op.Timeout() {
			return errors.New("timed out")
		}
		return cmp.Or(errors.Unwrap(op.Err), op.Err) // without the system call's name
	}
	return err
}

func (r *resolver) texts(ctx context.Context, name string) ([]string, error) {
	a, err := r.ask(ctx, name, dns.TypeTXT)
	if err != nil {
		return nil, err
	}
	var list []string
	for _, record := range a.records {
		if txt, ok := record.(*dns.TXT); ok {
			list = append(list, strings.Join(txt.Txt, ""))
		}
	}
	return list, nil
}

func (r *resolver) addresses(ctx context.Context, name string) ([]netip.Addr, error) {
	var list []netip.Addr
	var failure error
	for _, kind := range []uint16{dns.TypeAAAA, dns.TypeA} {
		a, err := r.ask(ctx, name, kind)
		if err != nil {
			failure = err
			continue
		}
		for _, record := range a.records {
			var ip net.IP
			switch record := record.(type) {
			case *dns.A:
				ip = record.A
			case *dns.AAAA:
				ip = record.AAAA
			}
			if addr, ok := netip.AddrFromSlice(ip); ok {
				list = append(list, addr.Unmap())
			}
		}
	}
	if len(list) > 0 {
		failure = nil
	}
	return list, failure
}

// names returns the reverse names of an address.
func (r *resolver) names(ctx context.Context, addr netip.Addr) ([]string, error) {
	name, err := dns.ReverseAddr(addr.String())
	if err != nil {
		return nil, err
	}
	a, err := r.ask(ctx, name, dns.TypePTR)
	if err != nil {
		return nil, err
	}
	var list []string
	for _, record := range a.records {
		if ptr, ok := record.(*dns.PTR); ok {
			list = append(list, strings.TrimSuffix(ptr.Ptr, "."))
		}
	}
	return list, nil
}
