package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"topdown/smtpclient/internal/draft"
	"topdown/smtpclient/internal/session"
	"topdown/smtpclient/internal/testserver"
)

type zone map[string][]string // domain: MX hosts, host: addresses

func (d zone) LookupMX(_ context.Context, name string) ([]*net.MX, error) {
	var list []*net.MX
	for i, host := range d["mx "+name] {
		list = append(list, &net.MX{Host: host, Pref: uint16(i)})
	}
	if list == nil {
		return nil, &net.DNSError{Name: name, IsNotFound: true}
	}
	return list, nil
}

func (d zone) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	var list []netip.Addr
	for _, text := range d[host] {
		list = append(list, netip.MustParseAddr(text))
	}
	if list == nil {
		return nil, &net.DNSError{Name: host, IsNotFound: true}
	}
	return list, nil
}

// TestDirect delivers to mail exchangers: one over IPv6, one whose first host
// does not answer, one domain that takes no mail.
func TestDirect(t *testing.T) {
	server := &testserver.Server{}
	ln, err := testserver.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	ln6, err := testserver.Listen("[::1]:" + port)
	names := zone{
		"mx six.test": {"six.mx.test."}, "six.mx.test": {"::1", "127.0.0.1"},
		"mx four.test": {"dead.mx.test.", "four.mx.test."}, "dead.mx.test": {"127.0.0.99"}, "four.mx.test": {"127.0.0.1"},
		"mx null.test": {"."},
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 2)
	go func() { done <- server.Serve(ctx, ln, nil) }()
	if err == nil {
		go func() { done <- server.Serve(ctx, ln6, nil) }()
	} else { // a machine without IPv6
		done <- nil
		names["six.mx.test"] = []string{"127.0.0.1"}
	}
	defer func() { cancel(); <-done; <-done }()
	var out, errOut bytes.Buffer
	p := &program{out: &out, err: &errOut, mask: &session.Mask{}, now: time.Now, random: rand.Reader}
	send := func(to, cc []string) error {
		p.cfg = &config{direct: true, verbose: true, resolver: names, directPort: port, timeout: 2 * time.Second}
		p.cfg.draft = draft.Draft{From: "me@lab.test", To: to, Cc: cc, Subject: "s", Text: "x", Now: time.Now, Random: rand.Reader, Warn: p.warn}
		return p.send(ctx)
	}
	err = send([]string{"a@six.test, b@four.test, reject@six.test"}, []string{"c@null.test"})
	if exitCode(err) != exitPartial || !strings.Contains(err.Error(), "2 of 4") {
		t.Errorf("%v\n%s\n%s", err, out.String(), errOut.String())
	}
	for _, box := range []string{"a@six.test", "b@four.test"} {
		if len(server.Mails(box)) != 1 {
			t.Errorf("%s has %d mails", box, len(server.Mails(box)))
		}
	}
	if ln6 != nil && !strings.Contains(out.String(), "connected to [::1]:"+port) {
		t.Errorf("not over IPv6:\n%s", out.String())
	}
	if !strings.Contains(errOut.String(), "null.test: the domain takes no mail") {
		t.Errorf("%s", errOut.String())
	}
	if err = send([]string{"c@null.test"}, nil); exitCode(err) != exitRefused {
		t.Error(err)
	}
}
