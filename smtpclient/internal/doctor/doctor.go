// Package doctor looks at what a domain says about its mail in DNS and at the
// servers that take it, and tells for each finding what it means and what to
// change: MX, SPF (RFC 7208), DKIM (RFC 6376), DMARC (RFC 7489), the reverse name
// of a sender, MTA-STS (RFC 8461), TLS reporting (RFC 8460) and DANE (RFC 7672).
//
// It sends no mail: a session with a mail server ends before MAIL. It is bounded
// in time and in queries, whatever a domain's records point to.
package doctor

import (
	"cmp"
	"context"
	"crypto/x509"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"topdown/smtpclient/internal/session"
)

// Level is how much a finding matters.
type Level string

// The levels, worst first.
const (
	Bad  Level = "bad"  // mail is lost or refused
	Warn Level = "warn" // mail may be lost, refused or read on the way
	Info Level = "info" // nothing is wrong, something could be better
	Good Level = "good"
)

var order = []Level{Bad, Warn, Info, Good}

// A Finding is one thing that was looked at.
type Finding struct {
	Check   string `json:"check"` // "MX", "SPF"
	Level   Level  `json:"level"`
	Found   string `json:"found"`            // what is there
	Meaning string `json:"meaning"`          // for mail from or to the domain
	Advice  string `json:"advice,omitempty"` // what to change
}

// Options say what to look at.
type Options struct {
	Domain    string
	FromIP    netip.Addr // the address that sends the domain's mail; the zero Addr: not known
	Selectors []string   // of DKIM keys
	// DNS answers the questions: "host:port".
	DNS string
	// Roots are the authorities that may sign a server's certificate; nil means
	// the system's.
	Roots *x509.CertPool
	// Timeout is for each server; 0 means 10 seconds.
	Timeout time.Duration
	// Limit is for everything; 0 means a minute.
	Limit time.Duration
	// MailPort and PolicyPort are 25 and 443 if empty; tests have others.
	MailPort, PolicyPort string
	// Dial opens connections; nil means the network.
	Dial session.DialFunc
}

// examination is one run.
type examination struct {
	*Options
	dns      *resolver
	findings []Finding
	hosts    []*host
	enforced bool // MTA-STS forbids delivery without a right certificate
}

// Examine looks at a domain. It returns the findings, worst first, and an error
// if DNS cannot be asked at all.
func Examine(ctx context.Context, o Options) ([]Finding, error) {
	o.Timeout = cmp.Or(o.Timeout, 10*time.Second)
	o.MailPort, o.PolicyPort = cmp.Or(o.MailPort, "25"), cmp.Or(o.PolicyPort, "443")
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(o.Limit, time.Minute))
	defer cancel()
	e := &examination{Options: &o, dns: &resolver{server: o.DNS}}
	if err := e.exists(ctx); err != nil {
		return nil, err
	}
	e.strictTransport(ctx)
	e.mailExchangers(ctx)
	e.sender(ctx)
	e.keys(ctx)
	e.policy(ctx)
	e.reverse(ctx)
	e.reporting(ctx)
	slices.SortStableFunc(e.findings, func(a, b Finding) int { return slices.Index(order, a.Level) - slices.Index(order, b.Level) })
	return e.findings, nil
}

func (e *examination) add(check string, level Level, found, meaning, advice string) {
	e.findings = append(e.findings, Finding{check, level, found, meaning, advice})
}

// trouble tells that DNS did not answer a question.
func (e *examination) trouble(check string, err error) {
	e.add(check, Warn, err.Error(), "Others may not get an answer either.", "Ask again later; if it stays so, look at the domain's name servers.")
}

// exists makes sure that the domain is there and DNS answers.
func (e *examination) exists(ctx context.Context) error {
	answer, err := e.dns.ask(ctx, e.Domain, typeSOA)
	if err != nil {
		return err
	}
	if answer.missing {
		return fmt.Errorf("%w: %s", ErrNoDomain, e.Domain)
	}
	return nil
}

// texts returns the TXT records at a name that begin with a word.
func (e *examination) texts(ctx context.Context, name, begin string) ([]string, error) {
	all, err := e.dns.texts(ctx, name)
	return slices.DeleteFunc(all, func(s string) bool {
		rest, ok := strings.CutPrefix(strings.ToLower(strings.TrimSpace(s)), strings.ToLower(begin))
		return !ok || rest != "" && rest[0] != ' ' && rest[0] != ';'
	}), err
}

// record returns the only TXT record at a name that begins with a word; not ok tells
// that there is none, or more than one, or no answer, which is a finding then.
func (e *examination) record(ctx context.Context, name, begin string, none, many Finding) (record string, ok bool) {
	records, err := e.texts(ctx, name, begin)
	switch {
	case err != nil:
		e.trouble(none.Check, err)
	case len(records) == 0:
		e.findings = append(e.findings, none)
	case len(records) > 1:
		many.Check, many.Found = none.Check, fmt.Sprintf("%d %s records", len(records), none.Check)
		e.findings = append(e.findings, many)
	default:
		return records[0], true
	}
	return "", false
}

// tags reads "name=value; name=value".
func tags(record string) map[string]string {
	list := make(map[string]string)
	for pair := range strings.SplitSeq(record, ";") {
		name, value, _ := strings.Cut(pair, "=")
		if name = strings.ToLower(strings.TrimSpace(name)); name != "" {
			if _, twice := list[name]; !twice {
				list[name] = strings.TrimSpace(value)
			}
		}
	}
	return list
}

// clip shortens what a stranger wrote.
func clip(s string) string {
	if len(s) > 200 {
		s = strings.ToValidUTF8(s[:200], "") + "…"
	}
	return session.Printable(s)
}
