package doctor

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"topdown/smtpclient/internal/testserver"

	"github.com/miekg/dns"
)

// nameServer answers from a zone file's lines. Names with "refuse." in them are
// refused, and everything counts as checked by DNSSEC that has no "unsigned." in it.
func nameServer(t *testing.T, zone string) string {
	t.Helper()
	records := make(map[string][]dns.RR)
	parser := dns.NewZoneParser(strings.NewReader(zone), ".", "")
	for rr, ok := parser.Next(); ok; rr, ok = parser.Next() {
		name := strings.ToLower(rr.Header().Name)
		records[name] = append(records[name], rr)
	}
	if err := parser.Err(); err != nil {
		t.Fatal(err)
	}
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(q)
		name := strings.ToLower(q.Question[0].Name)
		m.AuthenticatedData = !strings.Contains(name, "unsigned.")
		all, known := records[name]
		for _, rr := range all {
			if rr.Header().Rrtype == q.Question[0].Qtype {
				m.Answer = append(m.Answer, rr)
			}
		}
		if !known {
			m.Rcode = dns.RcodeNameError
		}
		if strings.Contains(name, "refuse.") {
			m.Rcode, m.Answer = dns.RcodeServerFailure, nil
		}
		_ = w.WriteMsg(m) // the test fails without it
	})}
	started := make(chan struct{})
	server.NotifyStartedFunc = func() { close(started) }
	done := make(chan error, 1)
	go func() { done <- server.ActivateAndServe() }()
	<-started
	t.Cleanup(func() {
		if err := server.Shutdown(); err != nil {
			t.Error(err)
		}
		<-done
	})
	return pc.LocalAddr().String()
}

// certify makes a certificate for names and the pool that trusts it.
func certify(t *testing.T, names ...string) (*tls.Config, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, DNSNames: names, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key, Leaf: parsed}}}, pool
}

// mailServer runs a mail server and returns its port.
func mailServer(t *testing.T, config *tls.Config) string {
	t.Helper()
	ln, err := testserver.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- (&testserver.Server{TLS: config}).Serve(ctx, ln, nil) }()
	t.Cleanup(func() { cancel(); <-done })
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	return port
}

// webServer answers every request alike and returns its port.
func webServer(t *testing.T, config *tls.Config, answer string) string {
	t.Helper()
	ln, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			r := bufio.NewReader(c)
			for line := ""; line != "\r\n" && err == nil; {
				line, err = r.ReadString('\n')
			}
			_, _ = io.WriteString(c, answer) // the client may have gone
			c.Close()
		}
	}()
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	return port
}

func examine(t *testing.T, o Options) map[string]Finding {
	t.Helper()
	start := time.Now()
	o.Timeout = 2 * time.Second
	findings, err := Examine(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
	byCheck := make(map[string]Finding)
	worst := 0
	for _, f := range findings {
		level := 0
		for order[level] != f.Level {
			level++
		}
		if level < worst {
			t.Errorf("%s comes too late", f.Check)
		}
		worst = level
		if before, twice := byCheck[f.Check]; twice {
			f.Found = before.Found + "; " + f.Found // the worse comes first
			f.Level, f.Meaning, f.Advice = before.Level, before.Meaning, before.Advice
		}
		byCheck[f.Check] = f
	}
	return byCheck
}

func TestExamine(t *testing.T) {
	config, pool := certify(t, "mx.good.test", "mta-sts.good.test", "mx.strict.test", "mta-sts.strict.test", "mx.dane.test")
	spki := sha256.Sum256(config.Certificates[0].Leaf.RawSubjectPublicKeyInfo)
	rsaKey := func(bits int) string {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.MarshalPKIXPublicKey(key.Public())
		if err != nil {
			t.Fatal(err)
		}
		text := base64.StdEncoding.EncodeToString(der)
		return text[:200] + `" "` + text[200:] // strings of a record have 255 bytes at most
	}
	var includes strings.Builder
	for n := range 12 {
		fmt.Fprintf(&includes, "i%d.many.test. TXT \"v=spf1 include:i%d.many.test -all\"\n", n, n+1)
	}
	server := nameServer(t, "$TTL 1\n"+`
good.test. SOA ns. root. 1 1 1 1 1
good.test. MX 10 mx.good.test.
mx.good.test. A 127.0.0.1
good.test. TXT "v=spf1 ip4:192.0.2.0/24 include:spf.good.test" " -all"
spf.good.test. TXT "v=spf1 a:mx.good.test/32 ~all"
s1._domainkey.good.test. TXT "v=DKIM1; k=rsa; p=`+rsaKey(2048)+`"
small._domainkey.good.test. TXT "v=DKIM1; k=rsa; p=`+rsaKey(1024)+`"
gone._domainkey.good.test. TXT "v=DKIM1; p="
odd._domainkey.good.test. TXT "v=DKIM1; p=%%%"
_dmarc.good.test. TXT "v=DMARC1; p=reject; rua=mailto:d@good.test"
_mta-sts.good.test. TXT "v=STSv1; id=1"
mta-sts.good.test. A 127.0.0.1
_smtp._tls.good.test. TXT "v=TLSRPTv1; rua=mailto:t@good.test"
_25._tcp.mx.good.test. TLSA 3 1 1 `+hex.EncodeToString(spki[:])+`
9.2.0.192.in-addr.arpa. PTR out.good.test.
out.good.test. A 192.0.2.9
8.2.0.192.in-addr.arpa. PTR other.good.test.
other.good.test. A 192.0.2.99

null.test. SOA ns. root. 1 1 1 1 1
null.test. MX 0 .
null.test. TXT "v=spf1 -all"
_dmarc.null.test. TXT "v=DMARC1; p=sometimes"

bare.test. SOA ns. root. 1 1 1 1 1
bare.test. A 127.0.0.1
bare.test. TXT "v=spf1 +all"

strict.test. SOA ns. root. 1 1 1 1 1
strict.test. MX 10 wrong.strict.test.
strict.test. MX 20 nowhere.strict.test.
wrong.strict.test. A 127.0.0.1
strict.test. TXT "v=spf1 mx -all"
strict.test. TXT "v=spf1 -all"
_mta-sts.strict.test. TXT "v=STSv1; id=1"
mta-sts.strict.test. A 127.0.0.1
_25._tcp.wrong.strict.test. TLSA 3 1 1 00
_dmarc.strict.test. TXT "v=DMARC1; p=none"
_dmarc.strict.test. TXT "v=DMARC1; p=reject"

dane.test. SOA ns. root. 1 1 1 1 1
dane.test. MX 10 mx.unsigned.test.
mx.unsigned.test. A 127.0.0.1
_25._tcp.mx.unsigned.test. TLSA 3 1 1 00
dane.test. TXT "v=spf1 ip4:nonsense -all"

many.test. SOA ns. root. 1 1 1 1 1
many.test. TXT "v=spf1 include:i0.many.test -all"
sub.many.test. SOA ns. root. 1 1 1 1 1
_dmarc.many.test. TXT "v=DMARC1; p=reject; sp=none"
_mta-sts.refuse.test. TXT "x"
refuse.many.test. SOA ns. root. 1 1 1 1 1
`+includes.String())
	policy := "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nversion: STSv1\r\nmode: enforce\r\nmx: mx.good.test\r\nmax_age: 86400\r\n"
	base := Options{DNS: server, Roots: pool, MailPort: mailServer(t, config), PolicyPort: webServer(t, config, policy)}
	plainPort := mailServer(t, nil)
	for _, tt := range []struct {
		name   string
		change func(*Options)
		want   map[string]string // check: level and part of what was found
	}{
		{"all is well", func(o *Options) {
			o.Domain, o.FromIP, o.Selectors = "good.test", netip.MustParseAddr("192.0.2.9"), []string{"s1"}
		}, map[string]string{
			"MX": "good 10 mx.good.test", "server mx.good.test": "good it answers, with STARTTLS and a right certificate", "SPF": "good v=spf1 ip4:192.0.2.0/24 include:spf.good.test -all; 192.0.2.9 passes",
			"DKIM s1": "good an RSA key of 2048 bits", "DMARC": "good v=DMARC1; p=reject", "reverse name": "good out.good.test", "MTA-STS": "good mode: enforce, mx: mx.good.test",
			"TLS reporting": "good v=TLSRPTv1", "DANE mx.good.test": "good a TLSA record fits",
		}},
		{"keys and names", func(o *Options) {
			o.Domain, o.FromIP, o.Selectors = "good.test", netip.MustParseAddr("192.0.2.8"), []string{"small", "gone", "odd", "none"}
		}, map[string]string{
			"DKIM small": "warn an RSA key of 1024 bits", "DKIM gone": "bad the key is empty", "DKIM odd": "bad the key is no base64", "DKIM none": "bad no key", "reverse name": "warn other.good.test",
		}},
		{"another sender", func(o *Options) { o.Domain, o.FromIP = "good.test", netip.MustParseAddr("198.51.100.1") }, map[string]string{
			"SPF": "bad 198.51.100.1: fail", "reverse name": "bad 198.51.100.1 has no name", "DKIM": "info no selector",
		}},
		{"a sender in an include", func(o *Options) { o.Domain, o.FromIP = "good.test", netip.MustParseAddr("127.0.0.1") }, map[string]string{
			"SPF": "good v=spf1 ip4:192.0.2.0/24 include:spf.good.test -all; 127.0.0.1 passes",
		}},
		{"takes no mail", func(o *Options) { o.Domain = "null.test" }, map[string]string{
			"MX": "info null MX", "SPF": "good v=spf1 -all", "DMARC": "bad v=DMARC1; p=sometimes", "MTA-STS": "info no MTA-STS", "TLS reporting": "info no TLSRPT",
		}},
		{"no MX, no TLS", func(o *Options) { o.Domain, o.MailPort = "bare.test", plainPort }, map[string]string{
			"MX": "warn no MX record", "server bare.test": "warn it answers, and offers no STARTTLS", "SPF": "bad v=spf1 +all", "DMARC": "warn no DMARC",
		}},
		{"wrong certificate", func(o *Options) { o.Domain = "strict.test" }, map[string]string{
			"server wrong.strict.test": "bad TLS with wrong.strict.test failed: the certificate is for another host", "server nowhere.strict.test": "bad the host has no address",
			"DANE wrong.strict.test": "bad no TLSA record fits", "SPF": "bad 2 SPF records", "DMARC": "bad 2 DMARC records",
		}},
		{"no DNSSEC", func(o *Options) { o.Domain = "dane.test" }, map[string]string{
			"DANE mx.unsigned.test": "warn TLSA records without DNSSEC", "SPF": "bad v=spf1 ip4:nonsense -all: it is not right: ip4:nonsense",
		}},
		{"too many lookups", func(o *Options) { o.Domain = "many.test" }, map[string]string{
			"MX": "bad no MX record, no address", "SPF": "bad v=spf1 include:i0.many.test -all: it is not right: it asks DNS more than 10 times", "DMARC": "good v=DMARC1",
		}},
		{"policy of the domain above", func(o *Options) { o.Domain = "sub.many.test" }, map[string]string{"DMARC": "info v=DMARC1; p=reject; sp=none"}},
		{"no server answers", func(o *Options) { o.Domain, o.MailPort = "good.test", "1" }, map[string]string{
			"MX": "bad no mail exchanger answered", "server mx.good.test": "warn connect to 127.0.0.1:1: connection refused", "DANE mx.good.test": "bad TLSA records, and no TLS",
		}},
		{"no policy", func(o *Options) { o.Domain, o.PolicyPort = "good.test", "1" }, map[string]string{"MTA-STS": "warn the policy cannot be fetched: connect to"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := base
			tt.change(&o)
			got := examine(t, o)
			for check, want := range tt.want {
				f := got[check]
				if text := string(f.Level) + " " + f.Found; !strings.HasPrefix(text, want) {
					t.Errorf("%s: %q, want %q", check, text, want)
				}
				if f.Meaning == "" || f.Level != Good && f.Level != Info && f.Advice == "" {
					t.Errorf("%s says too little: %+v", check, f)
				}
			}
		})
	}
	if _, err := Examine(t.Context(), Options{Domain: "none.test", DNS: server}); err == nil || !strings.Contains(err.Error(), "there is no such domain: none.test") {
		t.Error(err)
	}
	if _, err := Examine(t.Context(), Options{Domain: "refuse.test", DNS: server}); err == nil || !strings.Contains(err.Error(), "SERVFAIL") {
		t.Error(err)
	}
}
