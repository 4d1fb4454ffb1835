package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"topdown/smtpclient/internal/session"
)

// strictTransport looks at MTA-STS: whether senders must insist on TLS.
func (e *examination) strictTransport(ctx context.Context) {
	const check = "MTA-STS"
	_, ok := e.record(ctx, "_mta-sts."+e.Domain, "v=STSv1",
		Finding{check, Info, "no MTA-STS record", "Senders need not insist on TLS: who is on the way can turn it off.", "Publish a TXT record at _mta-sts." + e.Domain + " and a policy at https://mta-sts." + e.Domain + "/.well-known/mta-sts.txt."},
		Finding{Level: Warn, Meaning: "None of them counts.", Advice: "Leave one."})
	if !ok {
		return
	}
	text, err := e.fetch(ctx, "mta-sts."+e.Domain)
	if err != nil {
		e.add(check, Warn, "the policy cannot be fetched: "+err.Error(), "Senders take it for missing.", "Serve it with a right certificate for mta-sts."+e.Domain+".")
		return
	}
	policy := make(map[string]string)
	var patterns []string
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		value = strings.TrimSpace(value)
		if name == "mx" {
			patterns = append(patterns, strings.ToLower(value))
			continue
		}
		policy[name] = value
	}
	switch mode := policy["mode"]; {
	case policy["version"] != "STSv1" || mode != "enforce" && mode != "testing" && mode != "none":
		e.add(check, Warn, "the policy is none: "+clip(text), "Senders take it for missing.", "Write version: STSv1 and mode: enforce, testing or none.")
	case mode != "enforce":
		e.add(check, Info, "mode: "+mode, "Senders need not insist on TLS.", "When the reports show no failure: mode: enforce.")
	default:
		e.enforced = true
		e.add(check, Good, "mode: enforce, mx: "+clip(strings.Join(patterns, ", ")), "Senders that know it insist on TLS with a right certificate.", "")
	}
}

// maxPolicy bounds a policy, in bytes (RFC 8461 section 3.3).
const maxPolicy = 64 << 10

// fetch gets the policy of a host over HTTPS, with as much of HTTP/1.0 as that
// needs: redirects must not be followed (RFC 8461 section 3.3).
func (e *examination) fetch(ctx context.Context, name string) (string, error) {
	addrs, err := e.dns.addresses(ctx, name)
	if err != nil {
		return "", err
	}
	if len(addrs) == 0 {
		return "", fmt.Errorf("%s has no address", name)
	}
	conn, err := session.Connect(ctx, &session.Config{
		Host: name, Port: e.PolicyPort, Addr: net.JoinHostPort(addrs[len(addrs)-1].String(), e.PolicyPort), Roots: e.Roots,
		TLS: session.Implicit, Timeout: e.Timeout, Limit: e.Timeout, Dial: e.Dial,
	}, e.PolicyPort)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	conn.Begin("GET", e.Timeout)
	for _, line := range []string{"GET /.well-known/mta-sts.txt HTTP/1.0", "Host: " + name, "Connection: close", ""} {
		if err = conn.Send(line); err != nil {
			return "", err
		}
	}
	if err = conn.Flush(); err != nil {
		return "", err
	}
	status, err := conn.ReadLine()
	if err != nil {
		return "", err
	}
	if words := strings.Fields(status); len(words) < 2 || !strings.HasPrefix(words[0], "HTTP/1.") || words[1] != "200" {
		return "", fmt.Errorf("the server answered %q", clip(status))
	}
	for n, line := 0, status; line != ""; n++ {
		if line, err = conn.ReadLine(); err != nil {
			return "", err
		}
		if n > 100 {
			return "", errors.New("the answer's header has no end")
		}
	}
	data, err := io.ReadAll(io.LimitReader(conn.Raw(), maxPolicy))
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return "", err
	}
	return string(data), nil
}

// reporting looks at TLS-RPT: whether senders tell of failures.
func (e *examination) reporting(ctx context.Context) {
	const check = "TLS reporting"
	record, ok := e.record(ctx, "_smtp._tls."+e.Domain, "v=TLSRPTv1",
		Finding{check, Info, "no TLSRPT record", "Nobody tells you when TLS fails for senders.", "Publish a TXT record at _smtp._tls." + e.Domain + ", as in \"v=TLSRPTv1; rua=mailto:…\"."},
		Finding{Level: Warn, Meaning: "None of them counts.", Advice: "Leave one."})
	switch {
	case !ok:
	case tags(record)["rua"] == "":
		e.add(check, Warn, clip(record), "It names no place for reports: none are sent.", "Write rua=mailto:… into it.")
	default:
		e.add(check, Good, clip(record), "Senders report failures of TLS.", "")
	}
}
