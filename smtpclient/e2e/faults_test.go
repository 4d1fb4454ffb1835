package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// certificate makes a self-signed certificate and its PEM file.
func certificate(t *testing.T, host string, until time.Time) (*tls.Config, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: host},
		NotBefore: until.Add(-48 * time.Hour), NotAfter: until, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, path
}

// pairFile writes a certificate and its key to one file.
func pairFile(t *testing.T, config *tls.Config, cert string) string {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(config.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "client.pem")
	text := readFile(t, cert) + string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Beginnings of a dialogue that goes well so far.
const (
	greeted = "S 220 hi\n"
	helloed = greeted + "C EHLO\nS 250 hello\n"
	mailed  = helloed + "C MAIL\nS 250 ok\n"
	rcpted  = mailed + "C RCPT\nS 250 ok\n"
	granted = rcpted + "C DATA\nS 354 go\n"
	dotted  = granted + "DATA\n"
	oauth   = greeted + "C EHLO\nS 250-hello\nS 250 AUTH XOAUTH2\n"
	authing = greeted + "C EHLO\nS 250-hello\nS 250 AUTH PLAIN LOGIN CRAM-MD5 SCRAM-SHA-256\n"
)

// TestFaults is a server that fails at every step in every way: what the exit
// code is, what the user reads, what the server was told, and whether it has
// the message.
func TestFaults(t *testing.T) {
	t.Parallel()
	good, goodCA := certificate(t, "127.0.0.1", time.Now().Add(24*time.Hour))
	expired, expiredCA := certificate(t, "127.0.0.1", time.Now().Add(-24*time.Hour))
	other, otherCA := certificate(t, "elsewhere.test", time.Now().Add(24*time.Hour))
	painting, paintingCA := certificate(t, "\x1b[2J\n.test", time.Now().Add(24*time.Hour))
	demanding := good.Clone()
	demanding.ClientAuth = tls.RequireAnyClientCert
	clientPEM := pairFile(t, other, otherCA)
	type fault struct {
		name    string
		config  *tls.Config
		script  string
		args    []string
		waits   string // the flag that ends the wait for a server that says nothing
		code    int
		errs    string // part of the error
		said    string // what the server saw
		message bool   // the server has all of it
	}
	auth := []string{"--user", "u", "--password-file", filepath.Join(t.TempDir(), "password")}
	if err := os.WriteFile(auth[3], []byte("geheim-xyz\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	with := func(args ...string) []string { return append(append([]string{}, auth...), args...) }
	tests := []fault{
		{name: "all goes well", script: dotted + "S 250 ok\n", code: 0, said: "EHLO MAIL RCPT DATA QUIT", message: true},
		{name: "EHLO unknown, HELO", script: greeted + "C EHLO\nS 502 what?\nC HELO\nS 250 hi\nC MAIL\nS 250 ok\nC RCPT\nS 250 ok\nC DATA\nS 354 go\nDATA\nS 250 ok\n", code: 0, said: "EHLO HELO MAIL RCPT DATA QUIT", message: true},
		{name: "replies end in LF", script: "RAW \"220 hi\\n\"\nC EHLO\nRAW \"250-a\\n250 b\\n\"\nC MAIL\nRAW \"250 ok\\n\"\nC RCPT\nRAW \"250 ok\\n\"\nC DATA\nRAW \"354 go\\n\"\nDATA\nRAW \"250 ok\\n\"\n", code: 0, said: "EHLO MAIL RCPT DATA QUIT", message: true},
		{name: "8-bit in replies", script: "RAW \"220 gr\\xfc\\xdf \\x1b[31m\\r\\n\"\nC EHLO\nS 550 n\xc3\xa4\nC HELO\nS 250 ok\nC MAIL\nS 550 \x1b[2J no\n", code: 69, errs: `"550 \x1b[2J no"`, said: "EHLO HELO MAIL QUIT"},

		{name: "greeting mixes codes", script: "RAW \"220-a\\r\\n250 b\\r\\n\"\n", code: 76, errs: "the codes 220 and 250", said: ""},
		{name: "RCPT mixes codes", script: mailed + "C RCPT\nRAW \"250-x\\r\\n550 y\\r\\n\"\n", code: 76, errs: "the codes 250 and 550", said: "EHLO MAIL RCPT"},
		{name: "greeting is no SMTP", script: "S HTTP/1.1 400 Bad Request\n", code: 76, errs: "no reply line", said: ""},
		{name: "NUL in a reply", script: greeted + "C EHLO\nRAW \"250 a\\x00b\\r\\n\"\n", code: 76, errs: "NUL", said: "EHLO"},
		{name: "endless line", script: "FLOOD \"220 x\"\n", code: 76, errs: "more than 2048 bytes", said: ""},
		{name: "endless lines", script: greeted + "C EHLO\nFLOOD \"250-XAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\\r\\n\"\n", code: 76, errs: "more than 100 lines", said: "EHLO"},
		{name: "one byte at a time", script: "DRIP 220 this is a very slow server, slower than anybody wants to wait for it, however patient, and it goes on and on\n", waits: "--timeout", code: 75, errs: "timed out", said: ""},
		{name: "silence instead of a greeting", script: "HANG\n", waits: "--timeout", code: 75, errs: "if port", said: ""},
		{name: "session limit", script: greeted + "C EHLO\nHANG\n", waits: "--session-limit", code: 75, errs: "the time limit for the whole session", said: "EHLO"},

		{name: "early 552 during the content", script: granted + "BLOCK 70000\nS 552 5.3.4 too big\nHANG\n", args: []string{"--attach", bigFile(t)}, code: 69, errs: "552 5.3.4 too big", said: "EHLO MAIL RCPT DATA"},
		{name: "close during the content", script: granted + "BLOCK 70000\nRESET\n", args: []string{"--attach", bigFile(t)}, code: 75, errs: "message content: after", said: "EHLO MAIL RCPT DATA"},
		{name: "the server stops reading", script: granted + "BLOCK 10\nSTALL\n", args: []string{"--attach", hugeFile(t)}, waits: "--timeout", code: 75, errs: "timed out", said: "EHLO MAIL RCPT DATA"},

		{name: "close after the dot", script: dotted + "CLOSE\n", code: 80, errs: "may have been delivered", said: "EHLO MAIL RCPT DATA", message: true},
		{name: "reset after the dot", script: dotted + "RESET\n", code: 80, errs: "may have been delivered", said: "EHLO MAIL RCPT DATA", message: true},
		{name: "silence after the dot", script: dotted + "HANG\n", waits: "--timeout", code: 80, errs: "may have been delivered", said: "EHLO MAIL RCPT DATA", message: true},
		{name: "close within the last reply", script: dotted + "RAW \"250 2.0.\"\nCLOSE\n", code: 80, errs: "in the middle of a line", said: "EHLO MAIL RCPT DATA", message: true},
		{name: "close between the lines of the last reply", script: dotted + "RAW \"250-ok\\r\\n\"\nCLOSE\n", code: 80, errs: "in the middle of a reply", said: "EHLO MAIL RCPT DATA", message: true},
		{name: "nonsense after the dot", script: dotted + "S okay\n", code: 80, errs: "may have been delivered", said: "EHLO MAIL RCPT DATA", message: true},
		{name: "354 to a lone dot", script: helloedPipelining + "C MAIL\nC RCPT\nC DATA\nS 250 ok\nS 550 no\nS 354 go\nC .\nS 554 nobody\n", code: 69, errs: "550 no", said: "EHLO MAIL RCPT DATA . QUIT"},
		{name: "pipelined MAIL refused", script: helloedPipelining + "C MAIL\nC RCPT\nC DATA\nS 451 later\nS 503 no\nS 503 no\n", code: 75, errs: "451 later", said: "EHLO MAIL RCPT DATA QUIT"},
		{name: "close instead of 221", script: dotted + "S 250 ok\nC QUIT\nCLOSE\n", code: 0, said: "EHLO MAIL RCPT DATA QUIT", message: true},

		{name: "message larger than SIZE", script: greeted + "C EHLO\nS 250-hi\nS 250 SIZE 100\n", code: 69, errs: "takes 100 at most", said: "EHLO QUIT"},
		{name: "no SMTPUTF8", script: helloed, args: []string{"--cc", "jürgen@lab.test"}, code: 69, errs: "does not offer SMTPUTF8, which the address jürgen@lab.test needs", said: "EHLO QUIT"},

		{name: "STARTTLS required, not offered", script: helloed, args: []string{"--tls", "starttls"}, code: 76, errs: "does not offer STARTTLS", said: "EHLO QUIT"},
		{name: "STARTTLS refused", script: starttls + "S 454 not now\n", code: 75, errs: "454 not now", said: "EHLO STARTTLS QUIT"},
		{name: "data injected behind the 220", config: good, script: starttls + "RAW \"220 go\\r\\n250 you are logged in\\r\\n\"\nHANG\n", args: []string{"--ca", goodCA}, code: 76, errs: "between its consent to TLS and the TLS handshake", said: "EHLO STARTTLS"},
		{name: "TLS garbage", script: starttls + "S 220 go\nC \nS 250 what is this?\nHANG\n", code: 76, errs: "is not TLS", said: "EHLO STARTTLS *"},
		{name: "certificate of a stranger", config: good, script: starttls + "S 220 go\nTLS\n", code: 76, errs: "--ca FILE", said: "EHLO STARTTLS"},
		{name: "certificate for a terminal", config: painting, script: starttls + "S 220 go\nTLS\n", args: []string{"--ca", paintingCA}, code: 76, errs: `for another host: x509: certificate is valid for \x1b[2J; .test`, said: "EHLO STARTTLS"},
		{name: "certificate for another host", config: other, script: starttls + "S 220 go\nTLS\n", args: []string{"--ca", otherCA}, code: 76, errs: "for another host", said: "EHLO STARTTLS"},
		{name: "certificate expired", config: expired, script: starttls + "S 220 go\nTLS\n", args: []string{"--ca", expiredCA}, code: 76, errs: "expired", said: "EHLO STARTTLS"},
		{name: "EHLO changes under TLS", config: good, script: greeted + "C EHLO\nS 250-hi\nS 250-AUTH PLAIN\nS 250-SIZE 10\nS 250 STARTTLS\nC STARTTLS\nS 220 go\nTLS\nC EHLO\nS 250 nothing more\n", args: with("--ca", goodCA), code: 77, errs: "offers no AUTH", said: "EHLO STARTTLS EHLO QUIT"},
		{name: "implicit TLS on a plain port", script: greeted + "HANG\n", args: []string{"--tls", "implicit"}, code: 76, errs: "use --tls starttls", said: ""},

		{name: "XOAUTH2", script: oauth + "C AUTH XOAUTH2 " + base64.StdEncoding.EncodeToString([]byte("user=u\x01auth=Bearer geheim-xyz\x01\x01")) + "\nS 235 ok\nC MAIL\nS 250 ok\nC RCPT\nS 250 ok\nC DATA\nS 354 go\nDATA\nS 250 ok\n", args: with("--auth", "xoauth2"), code: 0, said: "EHLO AUTH MAIL RCPT DATA QUIT", message: true},
		{name: "XOAUTH2 refused", script: oauth + "C AUTH XOAUTH2\nS 334 eyJzdGF0dXMiOiI0MDEifQ==\nC \nS 535 5.7.8 no\n", args: with("--auth", "xoauth2"), code: 77, errs: "535 5.7.8 no", said: "EHLO AUTH QUIT"},
		{name: "a token too long for the command line", script: oauth + "C AUTH XOAUTH2\nS 334 \nC " + base64.StdEncoding.EncodeToString([]byte("user=u\x01auth=Bearer "+strings.Repeat("x", 2000)+"\x01\x01")) + "\nS 535 no\n", args: []string{"--user", "u", "--auth", "xoauth2", "--password-command", "printf '%2000s' | tr ' ' x"}, code: 77, errs: "535 no", said: "EHLO AUTH " + base64.StdEncoding.EncodeToString([]byte("user=u\x01auth=Bearer "+strings.Repeat("x", 2000)+"\x01\x01")) + " QUIT"},
		{name: "OAUTHBEARER", script: greeted + "C EHLO\nS 250-hi\nS 250 AUTH OAUTHBEARER\nC AUTH OAUTHBEARER bixhPXUs\nS 235 ok\nC MAIL\nS 250 ok\nC RCPT\nS 250 ok\nC DATA\nS 354 go\nDATA\nS 250 ok\n", args: with("--auth", "oauthbearer"), code: 0, said: "EHLO AUTH MAIL RCPT DATA QUIT", message: true},
		{name: "OAUTHBEARER refused", script: greeted + "C EHLO\nS 250-hi\nS 250 AUTH OAUTHBEARER\nC AUTH OAUTHBEARER\nS 334 e30=\nC AQ==\nS 535 5.7.8 no\n", args: with("--auth", "oauthbearer"), code: 77, errs: "535 5.7.8 no", said: "EHLO AUTH AQ== QUIT"},
		{name: "greeting of 250", script: "S 250 hello\n", code: 76, errs: "250 hello", said: "QUIT"},
		{name: "client certificate", config: demanding, script: starttls + "S 220 go\nTLS\nC EHLO\nS 250 hi\nC MAIL\nS 250 ok\nC RCPT\nS 250 ok\nC DATA\nS 354 go\nDATA\nS 250 ok\n", args: []string{"--ca", goodCA, "--client-cert", clientPEM}, code: 0, said: "EHLO STARTTLS EHLO MAIL RCPT DATA QUIT", message: true},
		{name: "client certificate missing", config: demanding, script: starttls + "S 220 go\nTLS\n", args: []string{"--ca", goodCA}, code: 76, errs: "give it with --client-cert", said: "EHLO STARTTLS"},
		{name: "client certificate that is none", script: helloed, args: []string{"--client-cert", goodCA}, code: 78, errs: "--client-cert", said: ""},
		{name: "IPv6 alone", script: helloed, args: []string{"-6"}, code: 75, errs: "connect to 127.0.0.1", said: ""},
		{name: "no AUTH offered", script: helloed, args: auth, code: 77, errs: "offers no AUTH", said: "EHLO QUIT"},
		{name: "mechanism not offered", script: authing, args: with("--auth", "XOAUTH2"), code: 77, errs: "XOAUTH2", said: "EHLO QUIT"},
		{name: "password wrong", script: authing + "C AUTH PLAIN\nS 535 5.7.8 no\n", args: with("--auth", "plain"), code: 77, errs: "535 5.7.8 no", said: "EHLO AUTH QUIT"},
		{name: "authentication busy", script: authing + "C AUTH PLAIN\nS 454 4.7.0 later\n", args: with("--auth", "plain"), code: 75, errs: "454", said: "EHLO AUTH QUIT"},
		{name: "challenge is no base64", script: authing + "C AUTH CRAM-MD5\nS 334 !!!\nC *\nS 501 cancelled\n", args: with("--auth", "cram-md5"), code: 77, errs: "not base64", said: "EHLO AUTH * QUIT"},
		{name: "SCRAM server that knows nothing", script: authing + "C AUTH SCRAM-SHA-256\nS 235 welcome\n", args: auth, code: 77, errs: "without proving", said: "EHLO AUTH"},
		{name: "SCRAM challenge of another client", script: authing + "C AUTH SCRAM-SHA-256\nS 334 cj1mb28scz1iYXIsaT00MDk2\nC *\nS 501 cancelled\n", args: auth, code: 77, errs: "SCRAM-SHA-256 failed", said: "EHLO AUTH * QUIT"},
		{name: "close during AUTH", script: authing + "C AUTH\nCLOSE\n", args: with("--auth", "plain"), code: 75, errs: "AUTH: the server closed", said: "EHLO AUTH"},
	}
	// 421, another 4xx, a 5xx, a close and a reset at every step.
	steps := []struct {
		name, before, said string
		args               []string
	}{
		{"greeting", "", "", nil},
		{"EHLO", greeted + "C EHLO\n", "EHLO", nil},
		{"STARTTLS", starttls, "EHLO STARTTLS", nil},
		{"AUTH", authing + "C AUTH PLAIN\n", "EHLO AUTH", with("--auth", "plain")},
		{"AUTH challenge", authing + "C AUTH LOGIN\nS 334 VXNlcm5hbWU6\nC dQ==\n", "EHLO AUTH dQ==", with("--auth", "login")},
		{"MAIL", helloed + "C MAIL\n", "EHLO MAIL", nil},
		{"RCPT", mailed + "C RCPT\n", "EHLO MAIL RCPT", nil},
		{"second RCPT", mailed + "C RCPT\nS 550 5.7.1 never, 451 4.3.0 later\nC RCPT\n", "EHLO MAIL RCPT RCPT", []string{"--cc", "second@lab.test"}},
		{"DATA", rcpted + "C DATA\n", "EHLO MAIL RCPT DATA", nil},
		{"dot", dotted, "EHLO MAIL RCPT DATA", nil},
	}
	for _, step := range steps {
		delivered := step.name == "dot"
		closed := 75
		if delivered {
			closed = 80
		}
		quit := strings.TrimSpace(step.said + " QUIT")
		reset := quit
		permanent := fault{name: step.name + " 5xx", script: step.before + "S 550 5.7.1 never\n", code: 69, errs: "550 5.7.1 never", said: reset, message: delivered}
		if step.name == "EHLO" { // HELO is tried
			permanent.script += "C HELO\nS 550 5.7.1 never\n"
			permanent.said = "EHLO HELO QUIT"
		}
		if strings.HasPrefix(step.name, "AUTH") {
			permanent.code = 77
		}
		permanent.args = step.args
		tests = append(tests, permanent,
			fault{name: step.name + " 421", script: step.before + "S 421 4.3.2 closing\nCLOSE\n", code: 75, errs: "421 4.3.2 closing", said: step.said, message: delivered, args: step.args},
			fault{name: step.name + " 4xx", script: step.before + "S 451 4.3.0 later\n", args: step.args, code: 75, errs: "451 4.3.0 later", said: quit, message: delivered},
			fault{name: step.name + " close", script: step.before + "CLOSE\n", args: step.args, code: closed, errs: "closed the connection", said: step.said, message: delivered},
			fault{name: step.name + " reset", script: step.before + "RESET\n", args: step.args, code: closed, errs: "", said: step.said, message: delivered},
			fault{name: step.name + " silence", script: step.before + "HANG\n", args: step.args, waits: "--timeout", code: closed, errs: "timed out", said: step.said, message: delivered},
		)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var server *scripted
			code, out, errOut := patiently(t, tt.waits, tt.errs, func(limit ...string) []string {
				server = play(t, tt.config, tt.script)
				addr := server.addr
				if tt.config == painting { // what it draws with stands in a name, and shows beside one only
					addr = strings.Replace(addr, "127.0.0.1", "localhost", 1)
				}
				return append([]string{"send", "--server", addr, "--from", "me@lab.test", "--to", "you@lab.test", "--subject", "s", "--text", "the body"}, slices.Concat(tt.args, limit)...)
			}, func() bool { return server.said() == tt.said })
			if code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			if !strings.Contains(errOut, tt.errs) {
				t.Errorf("the error does not say %q", tt.errs)
			}
			if got := server.said(); got != tt.said && (!strings.HasSuffix(tt.said, " *") || !strings.HasPrefix(got, strings.TrimSuffix(tt.said, "*"))) {
				t.Errorf("the server heard %.200q, want %q", got, tt.said)
			}
			server.mu.Lock()
			defer server.mu.Unlock()
			if server.failure != "" {
				t.Error(server.failure)
			}
			if has := strings.Contains(server.message, "the body"); has != tt.message {
				t.Errorf("the server has the message: %v, want %v", has, tt.message)
			}
			if strings.Contains(out+errOut, "\x1b") {
				t.Error("an escape sequence reached the terminal")
			}
			if t.Failed() {
				t.Logf("output:\n%s\nerrors:\n%s", out, errOut)
			}
		})
	}
}

// patiently runs the program, with one second for the flag waits where it is to wait
// for a server that says nothing, and then with longer ones, if the machine was too
// busy to get there in that time.
func patiently(t *testing.T, waits, errs string, args func(limit ...string) []string, there func() bool) (code int, out, errOut string) {
	t.Helper()
	limits := [][]string{{waits, "1s"}, {waits, "4s"}, {waits, "16s"}}
	if waits == "" {
		limits = [][]string{nil}
	}
	for _, limit := range limits {
		start := time.Now()
		code, out, errOut = program(t, args(limit...)...)
		if took := time.Since(start); took > 30*time.Second {
			t.Errorf("it took %v", took)
		}
		if there() && strings.Contains(errOut, errs) {
			break
		}
	}
	return code, out, errOut
}

const (
	starttls          = greeted + "C EHLO\nS 250-hi\nS 250 STARTTLS\nC STARTTLS\n"
	helloedPipelining = greeted + "C EHLO\nS 250-hi\nS 250 PIPELINING\n"
)

// bigFile is larger than the socket buffers on the way are likely to be small.
func bigFile(t *testing.T) string {
	t.Helper()
	return sparse(t, 8<<20)
}

// hugeFile is larger than socket buffers may grow.
func hugeFile(t *testing.T) string {
	t.Helper()
	return sparse(t, 64<<20)
}

// sparse makes a file of zeros that takes no room on disk.
func sparse(t *testing.T, size int64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "zeros.bin")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestPOP3Faults is the same for the mailbox.
func TestPOP3Faults(t *testing.T) {
	t.Parallel()
	const (
		open   = "S +OK hi\nC CAPA\nS -ERR what?\nC USER\nS +OK\nC PASS\nS +OK\n"
		listed = open + "C LIST\nS +OK\nS 1 40\nS .\nC UIDL\nS +OK\nS 1 u1\nS .\n"
		mail   = `RAW "Subject: hi\r\n\r\n..dots\r\nbody\r\n.\r\n"` + "\n"
	)
	tests := []struct {
		name, script string
		args         []string
		waits        string // the flag that ends the wait for a server that says nothing
		code         int
		out, errs    string
	}{
		{name: "all goes well", script: listed + "C RETR\nS +OK\n" + mail + "C QUIT\nS +OK\n", args: []string{"show", "1"}, code: 0, out: "Subject: hi\n\n.dots\nbody\n", errs: "the server announced 40"},
		{name: "no UIDL", script: open + "C LIST\nS +OK\nS 1 40\nS .\nC UIDL\nS -ERR no\nC RETR\nS +OK\n" + mail + "C QUIT\nS +OK\n", args: []string{"show", "1"}, code: 0, out: ".dots"},
		{name: "no TOP", script: strings.Replace(listed, "C LIST", "C STAT\nS +OK 1 40\nC LIST", 1) + "C TOP\nS -ERR no\nC RETR\nS +OK\n" + mail + "C QUIT\nS +OK\n", args: []string{"list"}, code: 0, out: "hi"},
		{
			name: "one message hides no other", script: open + "C STAT\nS +OK 3 120\nC LIST\nS +OK\nS 1 40\nS 2 40\nS 3 40\nS .\nC UIDL\nS -ERR no\n" +
				"C TOP 1\nS +OK\n" + mail + "C TOP 2\nS -ERR no\nC RETR 2\nS -ERR [SYS/PERM] the file is damaged\nC TOP 3\nS +OK\nRAW " + strconv.Quote(strings.Repeat("X: y\r\n", 1001)+"\r\n.\r\n") + "\nC QUIT\nS +OK\n",
			args: []string{"list"}, code: 65, out: "(unreadable: RETR 2: the server answered \"-ERR [SYS/PERM] the file is damaged\")\n   3        40 B  (unreadable: the message is too complex: a header of more than 262144 bytes or 1000 fields)\n3 messages", errs: "2 of 3 messages cannot be listed",
		},
		{
			name: "save --raw of a message beyond the bounds", script: strings.Replace(listed, "S 1 40", "S 1 6100", 1) + "C RETR\nS +OK\nRAW " + strconv.Quote(strings.Repeat("X: y\r\n", 1001)+"\r\nbody\r\n.\r\n") + "\nC QUIT\nS +OK\n",
			args: []string{"save", "1", filepath.Join(t.TempDir(), "saved"), "--raw"}, code: 0, out: "message-1.eml", errs: "the rest of it is left out",
		},
		{name: "missing dot", script: listed + "C RETR\nS +OK\n" + `RAW "Subject: hi\r\n\r\nbody\r\n"` + "\nCLOSE\n", args: []string{"show", "1"}, code: 75, errs: "closed the connection"},
		{name: "missing dot, silence", script: listed + "C RETR\nS +OK\n" + `RAW "Subject: hi\r\n\r\nbody\r\n"` + "\nHANG\n", args: []string{"show", "1"}, waits: "--timeout", code: 75, errs: "timed out"},
		{name: "endless RETR", script: listed + "C RETR\nS +OK\nFLOOD \"body body body\\r\\n\"\n", args: []string{"show", "1"}, code: 76, errs: "twice the announced size"},
		{name: "endless line in RETR", script: listed + "C RETR\nS +OK\nFLOOD \"x\"\n", args: []string{"show", "1"}, code: 76, errs: "twice the announced size"},
		{name: "endless LIST", script: open + "C STAT\nS +OK 1 40\nC LIST\nS +OK\nFLOOD \"1 1\\r\\n\"\n", args: []string{"list"}, code: 76, errs: "more than 200000 lines"},
		{name: "endless CAPA", script: "S +OK\nC CAPA\nS +OK\nFLOOD \"X\\r\\n\"\n", args: []string{"list"}, code: 76, errs: "more than 100 lines"},
		{name: "mailbox locked", script: "S +OK hi\nC CAPA\nS -ERR what?\nC USER\nS +OK\nC PASS\nS -ERR [IN-USE] locked\n", args: []string{"list"}, code: 75, errs: "locked"},
		{name: "password wrong", script: "S +OK hi\nC CAPA\nS -ERR what?\nC USER\nS +OK\nC PASS\nS -ERR [AUTH] no\n", args: []string{"list"}, code: 77, errs: "USER and PASS failed"},
		{name: "no such message", script: listed, args: []string{"show", "2"}, code: 66, errs: "no message 2"},
		{name: "deletion not confirmed", script: listed + "C DELE\nS +OK\nC QUIT\nCLOSE\n", args: []string{"delete", "1"}, code: 75, errs: "was not confirmed"},
		{name: "deletion refused at the end", script: listed + "C DELE\nS +OK\nC QUIT\nS -ERR some were not removed\n", args: []string{"delete", "1"}, code: 75, errs: "some were not removed"},
		{name: "no POP3", script: "S 220 smtp\n", args: []string{"list"}, code: 76, errs: "does not speak POP3"},
		{name: "STLS required", script: "S +OK hi\nC CAPA\nS -ERR what?\n", args: []string{"list", "--pop3-tls", "starttls"}, code: 76, errs: "does not offer STARTTLS (STLS in POP3)"},
		{name: "numbers that are none", script: open + "C STAT\nS +OK 1 40\nC LIST\nS +OK\nS one two\nS .\n", args: []string{"list"}, code: 76, errs: "LIST"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var server *scripted
			password := filepath.Join(t.TempDir(), "password")
			if err := os.WriteFile(password, []byte("geheim-xyz\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			code, out, errOut := patiently(t, tt.waits, tt.errs, func(limit ...string) []string {
				server = play(t, nil, tt.script)
				return slices.Concat([]string{"inbox"}, tt.args, []string{"--pop3", server.addr, "--user", "me", "--password-file", password}, limit)
			}, func() bool { return strings.Contains(server.said(), "RETR") })
			if code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			if !strings.Contains(errOut, tt.errs) {
				t.Errorf("the error does not say %q", tt.errs)
			}
			if !strings.Contains(out, tt.out) {
				t.Errorf("the output does not say %q", tt.out)
			}
			server.mu.Lock()
			defer server.mu.Unlock()
			if server.failure != "" {
				t.Error(server.failure)
			}
			if t.Failed() {
				t.Logf("output:\n%s\nerrors:\n%s", out, errOut)
			}
		})
	}
}
