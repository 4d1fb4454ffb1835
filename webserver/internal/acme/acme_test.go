package acme

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"topdown/webserver/internal/freeport"
)

const patience = 60 * time.Second

// authority is a pebble, the test authority of Let's Encrypt, and a name server
// that knows every name to be on this machine.
type authority struct {
	t         *testing.T
	directory string
	roots     *x509.CertPool
	httpPort  int // where it looks for HTTP-01
	tlsPort   int // and for TLS-ALPN-01
	process   *exec.Cmd
	config    string
	dns       string
}

// newAuthority starts an authority that issues certificates of that lifetime.
func newAuthority(t *testing.T, lifetime time.Duration) *authority {
	t.Helper()
	for _, program := range []string{"pebble", "pebble-challtestsrv"} {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv("TOPDOWN_REQUIRE_REAL") == "1" {
				t.Fatal(program + " is not installed: apt-get install pebble")
			}
			t.Skip(program + " is not installed")
		}
	}
	dir := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	a := &authority{t: t, roots: x509.NewCertPool(), httpPort: freeport.Take(t), tlsPort: freeport.Take(t), config: filepath.Join(dir, "config.json")}
	a.roots.AppendCertsFromPEM(certPEM)
	listen := fmt.Sprintf("127.0.0.1:%d", freeport.Take(t))
	a.directory = "https://" + listen + "/dir"
	config, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": listen, "managementListenAddress": fmt.Sprintf("127.0.0.1:%d", freeport.Take(t)),
		"certificate": filepath.Join(dir, "cert.pem"), "privateKey": filepath.Join(dir, "key.pem"),
		"httpPort": a.httpPort, "tlsPort": a.tlsPort, "certificateValidityPeriod": int(lifetime.Seconds()),
		"domainBlocklist": []string{"refused.example"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{"config.json": config, "cert.pem": certPEM, "key.pem": keyPEM} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	a.dns = fmt.Sprintf("127.0.0.1:%d", freeport.Take(t))
	names := exec.Command("pebble-challtestsrv", "-dns01", a.dns, "-defaultIPv6", "", "-http01", "", "-https01", "", "-tlsalpn01", "",
		"-management", fmt.Sprintf("127.0.0.1:%d", freeport.Take(t)))
	if err := names.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		names.Process.Kill()
		names.Wait()
	})
	return a
}

// start starts the authority, which can be stopped and started again; what it knew
// is gone then.
func (a *authority) start() {
	a.t.Helper()
	a.process = exec.Command("pebble", "-config", a.config, "-dnsserver", a.dns)
	a.process.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1", "PEBBLE_AUTHZREUSE=0")
	var out bytes.Buffer
	a.process.Stdout, a.process.Stderr = &out, &out
	if err := a.process.Start(); err != nil {
		a.t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: a.roots}}}
	eventually(a.t, "the authority", func() bool {
		resp, err := client.Get(a.directory)
		if err == nil {
			resp.Body.Close()
		}
		return err == nil
	})
	a.t.Cleanup(a.stop)
}

func (a *authority) stop() {
	if a.process != nil {
		a.process.Process.Kill()
		a.process.Wait()
		a.process = nil
	}
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !done(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for %s", patience, what)
		}
	}
}

// site is a server with a Manager: https with its certificates, and plain http
// with its responses.
type site struct {
	*Manager
	addr string
	logs *logs
	stop func()
}

type logs struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// serve runs a Manager on the authority's ports.
func (a *authority) serve(dir string, tlsPort int, names ...string) *site {
	t := a.t
	t.Helper()
	s := &site{addr: fmt.Sprintf("127.0.0.1:%d", tlsPort), logs: new(logs)}
	log := zap.New(zapcore.NewCore(zapcore.NewConsoleEncoder(zapcore.EncoderConfig{MessageKey: "msg"}), zapcore.AddSync(s.logs), zap.DebugLevel))
	var err error
	s.Manager, err = New(Options{Names: names, Dir: dir, Directory: a.directory, Roots: a.roots, HTTP01: true, Pause: 200 * time.Millisecond, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	secure, err := tls.Listen("tcp", s.addr, s.Config())
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			conn, err := secure.Accept()
			if err != nil {
				return
			}
			go func() { io.Copy(conn, conn) }()
		}
	}()
	plain, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", a.httpPort))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if text, ok := s.Response(r.URL.Path); ok {
			io.WriteString(w, text)
			return
		}
		http.NotFound(w, r)
	})}
	go server.Serve(plain)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { s.Run(ctx) })
	s.stop = sync.OnceFunc(func() {
		cancel()
		wg.Wait()
		secure.Close()
		server.Close()
	})
	t.Cleanup(s.stop)
	return s
}

// leaf returns the certificate that a client of that name is shown.
func (s *site) leaf(t *testing.T, name string) *x509.Certificate {
	t.Helper()
	conn, err := tls.Dial("tcp", s.addr, &tls.Config{ServerName: name, InsecureSkipVerify: true})
	if err != nil {
		return nil
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0]
}

// TestCertificates: the first certificates, for two names and an address, by
// TLS-ALPN-01; what is kept over a restart; and who may read it.
func TestCertificates(t *testing.T) {
	t.Parallel()
	a := newAuthority(t, time.Hour)
	a.start()
	dir := filepath.Join(t.TempDir(), "certs")
	names := []string{"one.example", "two.example", "127.0.0.1"}
	s := a.serve(dir, a.tlsPort, names...)
	if got := s.Missing(); len(got) != 3 {
		t.Errorf("missing at first: %v", got)
	}
	eventually(t, "the certificates", func() bool { return len(s.Missing()) == 0 })
	for _, name := range names {
		server := name
		if isAddress(name) {
			server = "" // browsers name no server for an address
		}
		if leaf := s.leaf(t, server); leaf == nil || leaf.VerifyHostname(name) != nil {
			t.Errorf("%s: %v", name, leaf)
		}
		if left := s.Left(name); left < 50*time.Minute || left > time.Hour {
			t.Errorf("%s is valid for %v", name, left)
		}
	}
	if leaf := s.leaf(t, "other.example"); leaf != nil {
		t.Error("a name that is not served here was shown a certificate")
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 4 {
		t.Errorf("%d files, %v", len(files), err)
	}
	for _, file := range append(files, nil) {
		path, want := dir, os.FileMode(0o700)
		if file != nil {
			path, want = filepath.Join(dir, file.Name()), 0o600
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v; want %o", path, info.Mode(), err, want)
		}
	}
	before := s.leaf(t, "one.example")
	account := s.key
	s.stop()
	// Authority down at start: what is kept serves.
	a.stop()
	s = a.serve(dir, a.tlsPort, names...)
	if leaf := s.leaf(t, "one.example"); leaf == nil || !leaf.Equal(before) {
		t.Error("the certificate was not kept over a restart")
	}
	if !s.key.Equal(account) {
		t.Error("the account was not kept over a restart")
	}
}

// TestHTTP01: the way by port 80, where 443 cannot be reached; the failure before
// says so.
func TestHTTP01(t *testing.T) {
	t.Parallel()
	a := newAuthority(t, time.Hour)
	a.start()
	s := a.serve(t.TempDir(), freeport.Take(t), "one.example", "two.example", "127.0.0.1")
	eventually(t, "the certificates", func() bool { return len(s.Missing()) == 0 })
	for _, want := range []string{"proving control of one.example by TLS-ALPN-01 (the authority must reach port 443 of it): the authority says: ", "next attempt in"} {
		if !strings.Contains(s.logs.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, s.logs)
		}
	}
}

// TestRenewal: a certificate is renewed while a third of its lifetime is left,
// connections stay; while the authority is down the old one serves on.
func TestRenewal(t *testing.T) {
	t.Parallel()
	a := newAuthority(t, 20*time.Second)
	a.start()
	s := a.serve(t.TempDir(), a.tlsPort, "one.example")
	eventually(t, "the certificate", func() bool { return len(s.Missing()) == 0 })
	first := s.leaf(t, "one.example")
	conn, err := tls.Dial("tcp", s.addr, &tls.Config{ServerName: "one.example", InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	a.stop()
	eventually(t, "an attempt that fails", func() bool { return strings.Contains(s.logs.String(), "reading the directory of") })
	if leaf := s.leaf(t, "one.example"); leaf == nil || !leaf.Equal(first) {
		t.Error("the old certificate does not serve on")
	}
	if !strings.Contains(s.logs.String(), "days left") {
		t.Errorf("the log does not tell what is left:\n%s", s.logs)
	}
	a.start() // it knows nobody any more: the account is made again
	eventually(t, "a new certificate", func() bool {
		leaf := s.leaf(t, "one.example")
		return leaf != nil && !leaf.Equal(first)
	})
	if _, err := conn.Write([]byte("still here")); err != nil {
		t.Error(err)
	}
	got := make([]byte, len("still here"))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != "still here" {
		t.Errorf("the connection was dropped: %q, %v", got, err)
	}
}

// TestRefusals: a name that the authority refuses, an authority that is none: each
// is told in words, and a name that is refused does not stand in another's way.
func TestRefusals(t *testing.T) {
	t.Parallel()
	a := newAuthority(t, time.Hour)
	a.start()
	s := a.serve(t.TempDir(), a.tlsPort, "refused.example", "one.example")
	eventually(t, "the certificate", func() bool { return s.Left("one.example") > 0 })
	eventually(t, "the refusal", func() bool {
		return strings.Contains(s.logs.String(), "ordering the certificate: the authority says: ")
	})
	s.stop()
	good := a.directory
	for directory, want := range map[string]string{
		strings.TrimSuffix(good, "dir") + "nothing": "reading the directory of ",
		"https://127.0.0.1:1/dir":                   "connection refused",
	} {
		a.directory = directory
		s := a.serve(t.TempDir(), a.tlsPort, "one.example")
		eventually(t, want, func() bool { return strings.Contains(s.logs.String(), want) })
		s.stop()
	}
}

func TestPause(t *testing.T) {
	m := &Manager{options: Options{Pause: time.Minute}}
	var got []time.Duration
	for failures := 1; failures < 8; failures++ {
		got = append(got, m.pause(failures, io.EOF))
	}
	if fmt.Sprint(got) != "[1m0s 4m0s 16m0s 1h4m0s 4h16m0s 6h0m0s 6h0m0s]" {
		t.Errorf("pauses: %v", got)
	}
}

// TestPatience: an authority that says when to come again is not asked before, and
// what it says is told at once.
func TestPatience(t *testing.T) {
	mux := http.NewServeMux()
	authority := httptest.NewServer(mux)
	defer authority.Close()
	mux.HandleFunc("/directory", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"newNonce": "%[1]s/nonce", "newAccount": "%[1]s/account", "newOrder": "%[1]s/order"}`, authority.URL)
	})
	mux.HandleFunc("/nonce", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Replay-Nonce", "once") })
	asked := 0
	mux.HandleFunc("/account", func(w http.ResponseWriter, _ *http.Request) {
		asked++
		w.Header().Set("Retry-After", "36000")
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusTooManyRequests)
		fmt.Fprint(w, `{"type": "urn:ietf:params:acme:error:rateLimited", "detail": "too many new accounts"}`)
	})
	m, err := New(Options{Names: []string{"one.example"}, Dir: t.TempDir(), Directory: authority.URL + "/directory", Log: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	_, err = m.newAttempt("one.example", 0).obtain(t.Context())
	if err == nil || err.Error() != "registering with the authority: the authority says: too many new accounts" || asked != 1 {
		t.Fatalf("asked %d times, %v", asked, err)
	}
	if wait := m.pause(1, err); wait < 9*time.Hour {
		t.Errorf("%v until the next attempt, and the authority asks for ten hours", wait)
	}
}

// selfSigned returns a certificate for one.example.
func selfSigned(t *testing.T, from, until time.Time) (key *ecdsa.PrivateKey, cert *tls.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"one.example"}, NotBefore: from, NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return key, &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// TestOtherAuthority: after a try with an authority that nobody trusts, its
// certificate does not stand in the way of the real one's.
func TestOtherAuthority(t *testing.T) {
	options := Options{Names: []string{"one.example"}, Dir: t.TempDir(), Directory: "https://try.example/dir", Log: zap.NewNop()}
	missing := func(directory string) int {
		options.Directory = directory
		m, err := New(options)
		if err != nil {
			t.Fatal(err)
		}
		return len(m.Missing())
	}
	m, err := New(options)
	if err != nil {
		t.Fatal(err)
	}
	key, cert := selfSigned(t, time.Now(), time.Now().Add(time.Hour))
	if _, err := keepCertificate(m.path("one.example"), "one.example", key, cert.Certificate); err != nil {
		t.Fatal(err)
	}
	if try, other := missing("https://try.example/dir"), missing("https://real.example/dir"); try != 0 || other != 1 {
		t.Errorf("missing: %d of the authority that it is from, %d of another", try, other)
	}
}

// TestClock: a certificate that is due as soon as it is there, since the clock is
// wrong, is served, and no reason to ask for the next one at once.
func TestClock(t *testing.T) {
	m := &Manager{held: map[string]*tls.Certificate{}}
	const day = 24 * time.Hour
	for name, span := range map[string]struct {
		from, until time.Duration
		useful      bool
	}{
		"90 days": {-time.Hour, 90 * day, true}, "6 days": {-time.Hour, 6 * day, true}, "45 days, most of it over": {-40 * day, 5 * day, false},
		"over": {-90 * day, -day, false}, "ends before it begins": {day, -day, false},
	} {
		_, cert := selfSigned(t, time.Now().Add(span.from), time.Now().Add(span.until))
		err := m.use("one.example", cert)
		if (err == nil) != span.useful || err != nil && !strings.Contains(err.Error(), "clock") || m.held["one.example"] != cert {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCheckName(t *testing.T) {
	for name, want := range map[string]string{
		"example.com": "example.com", "WWW.Example.COM.": "www.example.com", "203.0.113.7": "203.0.113.7",
		"[2001:db8::1]": "2001:db8::1", "2001:DB8::1": "2001:db8::1", "xn--bcher-kva.example": "xn--bcher-kva.example",
		"": "", "localhost": "", "*.example.com": "", "a/b.example": "", "../x.example": "", "example.123": "", "a..b": "", "bücher.example": "",
	} {
		got, err := CheckName(name)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v; want %q", name, got, err, want)
		}
	}
}

func TestServerName(t *testing.T) {
	for name, want := range map[string]string{
		"example.com": "example.com", "203.0.113.7": "7.113.0.203.in-addr.arpa",
		"2001:db8::1": "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa",
	} {
		if got := serverName(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}
