package doctor

import (
	"context"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/dns"
	"golang.org/x/net/publicsuffix"
)

// sender looks at SPF: who may send the domain's mail.
func (e *examination) sender(ctx context.Context) {
	record, ok := e.record(ctx, e.Domain, "v=spf1",
		Finding{"SPF", Warn, "no SPF record", "Nobody can tell who may send mail from the domain; forged mail is easier, real mail is trusted less.", "Publish a TXT record, as in \"v=spf1 mx -all\"."},
		Finding{Level: Bad, Meaning: "That counts as an error (RFC 7208 section 4.5): receivers may refuse the domain's mail.", Advice: "Join them into one."})
	if !ok {
		return
	}
	s := &spf{examination: e}
	result, err := s.check(ctx, e.Domain, record)
	switch {
	case errors.Is(err, errSPF):
		e.add("SPF", Bad, clip(record)+": "+err.Error(), "Receivers take the record for an error, and may refuse the domain's mail.", "Mend it.")
		return
	case err != nil:
		e.trouble("SPF", err)
		return
	}
	terms := strings.Fields(strings.ToLower(record))
	switch last := terms[len(terms)-1]; {
	case last == "+all" || last == "all":
		e.add("SPF", Bad, clip(record), "Everybody may send mail from the domain.", "End it with -all or ~all.")
	case last == "?all" || !strings.HasSuffix(last, "all") && !strings.HasPrefix(last, "redirect="):
		e.add("SPF", Warn, clip(record), "It says nothing about hosts that it does not name.", "End it with -all or ~all.")
	default:
		e.add("SPF", Good, clip(record), "Receivers can tell who may send mail from the domain.", "")
	}
	if !e.FromIP.IsValid() {
		return
	}
	switch from := e.FromIP.String(); result {
	case "pass":
		e.add("SPF", Good, from+" passes", "Mail from this address may be the domain's.", "")
	case "unknown":
		e.add("SPF", Info, from+": the record depends on each mail (exists, ptr or a macro)", "It was not followed.", "")
	default:
		e.add("SPF", Bad, from+": "+result, "Receivers see that this address may not send the domain's mail.", "Name it in the record, as in ip4:"+from+".")
	}
}

// maxLookups is how many terms of a record may ask DNS (RFC 7208 section 4.6.4).
const maxLookups = 10

var errSPF = errors.New("it is not right")

// spf evaluates a record, as receivers do (RFC 7208 section 4).
type spf struct {
	*examination
	lookups int
}

var results = map[byte]string{'+': "pass", '-': "fail", '~': "softfail", '?': "neutral"}

// check returns the result for the sender's address: pass, fail, softfail,
// neutral or unknown. Every term is read, so that mistakes behind the one that
// decides are found too.
func (s *spf) check(ctx context.Context, domain, record string) (string, error) {
	result := ""
	decide := func(r string) {
		if result == "" {
			result = r
		}
	}
	redirect := ""
	for _, term := range strings.Fields(record)[1:] {
		if name, value, ok := strings.Cut(term, "="); ok && !strings.ContainsAny(name, ":/") {
			if strings.EqualFold(name, "redirect") {
				redirect = value
			}
			continue
		}
		qualifier := byte('+')
		if strings.IndexByte("+-~?", term[0]) >= 0 {
			qualifier, term = term[0], term[1:]
		}
		matched, known, err := s.mechanism(ctx, domain, term)
		switch {
		case err != nil:
			return "", err
		case !known:
			decide("unknown")
		case matched:
			decide(results[qualifier])
		}
	}
	if redirect != "" && result == "" {
		if strings.Contains(redirect, "%") {
			return "unknown", nil
		}
		return s.follow(ctx, redirect)
	}
	decide("neutral")
	return result, nil
}

// follow evaluates another domain's record.
func (s *spf) follow(ctx context.Context, domain string) (string, error) {
	if err := s.lookup(); err != nil {
		return "", err
	}
	records, err := s.texts(ctx, domain, "v=spf1")
	if err != nil {
		return "", err
	}
	if len(records) != 1 {
		return "", fmt.Errorf("%w: %s has %d SPF records", errSPF, clip(domain), len(records))
	}
	return s.check(ctx, domain, records[0])
}

func (s *spf) lookup() error {
	if s.lookups++; s.lookups > maxLookups {
		return fmt.Errorf("%w: it asks DNS more than %d times (RFC 7208 section 4.6.4)", errSPF, maxLookups)
	}
	return nil
}

// mechanism tells whether a term fits the sender's address; known is false if
// that depends on the mail.
func (s *spf) mechanism(ctx context.Context, domain, term string) (matched, known bool, err error) {
	name, value, _ := strings.Cut(term, ":")
	if n, _, ok := strings.Cut(name, "/"); ok { // "a/24"
		name, value = n, term[len(n):]
	}
	name = strings.ToLower(name)
	switch name {
	case "all":
		return true, true, nil
	case "ip4", "ip6":
		prefix, err := parsePrefix(value)
		if err != nil || prefix.Addr().Is4() != (name == "ip4") {
			return false, false, fmt.Errorf("%w: %s", errSPF, clip(term))
		}
		return s.FromIP.IsValid() && prefix.Contains(s.FromIP), true, nil
	case "include", "a", "mx", "ptr", "exists":
	default:
		return false, false, fmt.Errorf("%w: %s is no mechanism", errSPF, clip(term))
	}
	if name == "include" {
		if strings.Contains(value, "%") {
			return false, false, s.lookup()
		}
		result, err := s.follow(ctx, value)
		return result == "pass", result != "unknown", err
	}
	if err := s.lookup(); err != nil {
		return false, false, err
	}
	if name == "ptr" || name == "exists" || strings.Contains(value, "%") {
		return false, false, nil
	}
	target, bits, _ := strings.Cut(value, "/")
	if target == "" {
		target = domain
	}
	targets := []string{target}
	if name == "mx" {
		a, err := s.dns.ask(ctx, target, dns.TypeMX)
		if err != nil {
			return false, false, err
		}
		targets = nil
		for _, record := range a.records[:min(10, len(a.records))] {
			if mx, ok := record.(*dns.MX); ok {
				targets = append(targets, mx.Mx)
			}
		}
	}
	for _, target := range targets {
		addrs, err := s.dns.addresses(ctx, target)
		if err != nil {
			return false, false, err
		}
		if slices.ContainsFunc(addrs, func(addr netip.Addr) bool { return s.fits(addr, bits) }) {
			return true, true, nil
		}
	}
	return false, true, nil
}

// fits compares the sender's address with one of a term, of which bits says how
// much counts: "24", "/64", "24//64".
func (s *spf) fits(addr netip.Addr, bits string) bool {
	if !s.FromIP.IsValid() || addr.Is4() != s.FromIP.Is4() {
		return false
	}
	four, six, _ := strings.Cut(bits, "/")
	count := four
	if addr.Is6() {
		count = strings.TrimPrefix(six, "/")
	}
	n, err := strconv.Atoi(count)
	if err != nil {
		return addr == s.FromIP
	}
	prefix, err := addr.Prefix(n)
	return err == nil && prefix.Contains(s.FromIP)
}

func parsePrefix(value string) (netip.Prefix, error) {
	if strings.Contains(value, "/") {
		return netip.ParsePrefix(value)
	}
	addr, err := netip.ParseAddr(value)
	if err != nil {
		return netip.Prefix{}, err
	}
	return addr.Prefix(addr.BitLen())
}

// keys looks at the DKIM keys that were named.
func (e *examination) keys(ctx context.Context) {
	if len(e.Selectors) == 0 {
		e.add("DKIM", Info, "no selector was named", "DNS cannot be asked which keys there are.", "Give --dkim-selector: it is the s= of a DKIM-Signature in the domain's mail.")
	}
	for _, selector := range e.Selectors {
		check := "DKIM " + selector
		records, err := e.dns.texts(ctx, selector+"._domainkey."+e.Domain)
		switch {
		case err != nil:
			e.trouble(check, err)
		case len(records) == 0:
			e.add(check, Bad, "no key", "Signatures with this selector count for nothing.", "Publish the key at "+selector+"._domainkey."+e.Domain+".")
		case len(records) > 1:
			e.add(check, Bad, fmt.Sprintf("%d records", len(records)), "Receivers may take any of them (RFC 6376 section 3.6.2.2).", "Leave one.")
		default:
			e.key(check, tags(records[0]))
		}
	}
}

func (e *examination) key(check string, record map[string]string) {
	text := strings.Join(strings.Fields(record["p"]), "")
	data, err := base64.StdEncoding.DecodeString(text)
	kind := strings.ToLower(record["k"])
	switch {
	case text == "":
		e.add(check, Bad, "the key is empty", "It was taken back: signatures with this selector count for nothing.", "Sign with another selector.")
		return
	case err != nil:
		e.add(check, Bad, "the key is no base64", "Signatures with this selector count for nothing.", "Publish it again; quotes and spaces easily get into it.")
		return
	case kind == "ed25519" && len(data) == ed25519.PublicKeySize:
		e.add(check, Good, "an Ed25519 key", "Receivers that know it can check signatures; some know only RSA.", "")
		return
	}
	public, err := x509.ParsePKIXPublicKey(data)
	if err != nil {
		public, err = x509.ParsePKCS1PublicKey(data)
	}
	rsaKey, ok := public.(*rsa.PublicKey)
	switch {
	case err != nil || !ok:
		e.add(check, Bad, "the key cannot be read", "Signatures with this selector count for nothing.", "Publish it again.")
	case rsaKey.N.BitLen() < 1024:
		e.add(check, Bad, fmt.Sprintf("an RSA key of %d bits", rsaKey.N.BitLen()), "Receivers do not take it (RFC 8301 section 3.2).", "Make one of 2048.")
	case rsaKey.N.BitLen() < 2048:
		e.add(check, Warn, fmt.Sprintf("an RSA key of %d bits", rsaKey.N.BitLen()), "Receivers take it, still.", "Make one of 2048.")
	case slices.Contains(strings.Split(record["t"], ":"), "y"):
		e.add(check, Warn, "the key is marked as a test (t=y)", "Receivers may treat the mail as unsigned.", "Take the mark away.")
	default:
		e.add(check, Good, fmt.Sprintf("an RSA key of %d bits", rsaKey.N.BitLen()), "Receivers can check signatures.", "")
	}
}

// policy looks at DMARC: what receivers shall do with mail that proves nothing.
func (e *examination) policy(ctx context.Context) {
	where := e.Domain
	if here, err := e.texts(ctx, "_dmarc."+e.Domain, "v=DMARC1"); err == nil && len(here) == 0 {
		if above, perr := publicsuffix.EffectiveTLDPlusOne(e.Domain); perr == nil {
			where = above
		}
	}
	record, ok := e.record(ctx, "_dmarc."+where, "v=DMARC1",
		Finding{"DMARC", Warn, "no DMARC record", "Forged mail from the domain is easier, and large providers refuse bulk mail from it.", "Publish a TXT record at _dmarc." + e.Domain + ", to begin with \"v=DMARC1; p=none; rua=mailto:…\"."},
		Finding{Level: Bad, Meaning: "None of them counts.", Advice: "Leave one at _dmarc." + where + "."})
	if !ok {
		return
	}
	wanted := tags(record)["p"]
	if below := tags(record)["sp"]; where != e.Domain && below != "" {
		wanted = below
	}
	switch strings.ToLower(wanted) {
	case "none":
		e.add("DMARC", Info, clip(record), "Receivers only report: mail that proves nothing is delivered.", "When the reports show that your own mail passes: p=quarantine, then p=reject.")
	case "quarantine", "reject":
		e.add("DMARC", Good, clip(record), "Receivers keep mail away that does not prove to be the domain's.", "")
	default:
		e.add("DMARC", Bad, clip(record), "It names no policy that there is: it may count for nothing.", "Write p=none, p=quarantine or p=reject.")
	}
}

// reverse looks at the name of the sender's address.
func (e *examination) reverse(ctx context.Context) {
	if !e.FromIP.IsValid() {
		return
	}
	check := "reverse name"
	names, err := e.dns.names(ctx, e.FromIP)
	if err != nil {
		e.trouble(check, err)
		return
	}
	if len(names) == 0 {
		e.add(check, Bad, e.FromIP.String()+" has no name", "Many receivers refuse mail from it.", "Ask the provider of the address to give it a name (PTR).")
		return
	}
	for _, name := range names[:min(3, len(names))] {
		if addrs, err := e.dns.addresses(ctx, name); err == nil && slices.Contains(addrs, e.FromIP) {
			e.add(check, Good, clip(name), "Address and name point to each other.", "")
			return
		}
	}
	e.add(check, Warn, clip(strings.Join(names, ", ")), "The name does not point back to the address: some receivers refuse that.", "Publish an address record of the name.")
}
