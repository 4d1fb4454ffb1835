//go:build unix

package e2e_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// client is one connection to the server, spoken to in raw bytes.
type client struct {
	net.Conn
	r *bufio.Reader
}

// dial opens a connection, through TLS when the server speaks it. A deadline
// of patience stands on it.
func (s *server) dial(t *testing.T) *client {
	t.Helper()
	conn, err := s.connect()
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	t.Cleanup(func() { conn.Close() })
	return newClient(conn)
}

func newClient(conn net.Conn) *client {
	_ = conn.SetDeadline(time.Now().Add(patience))
	return &client{conn, bufio.NewReaderSize(conn, 256<<10)}
}

func (s *server) connect() (net.Conn, error) {
	dialer := &net.Dialer{Timeout: patience}
	if s.tls {
		return tls.DialWithDialer(dialer, s.network, s.addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
	}
	return dialer.Dial(s.network, s.addr)
}

// send writes while the test goes on to read: a server may answer, and stop
// reading, before it has the whole request.
func (c *client) send(wire string) {
	go func() { _, _ = io.WriteString(c, wire) }()
}

// reply is a response and what of it http.Response does not keep.
type reply struct {
	*http.Response
	head string // status line and fields as received
	body []byte // as received, content coding included
}

// field returns the value of a field, the empty string when it is missing.
func (r *reply) field(name string) string { return r.Header.Get(name) }

var errNoReply = errors.New("closed without a reply")

// read reads one response to a request with the method, whatever its status,
// 100 included. net/http is the oracle of the syntax, faults checks the rest.
func (c *client) read(method string) (*reply, error) {
	head, err := c.peekHead()
	if err != nil {
		return nil, err
	}
	resp, err := http.ReadResponse(c.r, &http.Request{Method: method})
	if err != nil {
		return nil, fmt.Errorf("%w in %q", err, head)
	}
	r := &reply{Response: resp, head: head}
	if r.body, err = io.ReadAll(resp.Body); err != nil {
		return r, fmt.Errorf("body of %d after %d bytes: %w", resp.StatusCode, len(r.body), err)
	}
	if faults := r.faults(method); faults != nil {
		return r, fmt.Errorf("bad response: %s in\n%s", strings.Join(faults, "; "), head)
	}
	return r, nil
}

// peekHead returns the next head without taking it from the reader.
func (c *client) peekHead() (string, error) {
	for have := 0; ; {
		b, err := c.r.Peek(have + 1)
		if err != nil {
			if len(b) == 0 && errors.Is(err, io.EOF) {
				return "", errNoReply
			}
			return "", fmt.Errorf("reading a head, have %q: %w", b, err)
		}
		have = c.r.Buffered()
		b, _ = c.r.Peek(have)
		if end := bytes.Index(b, []byte("\r\n\r\n")); end >= 0 {
			return string(b[:end+4]), nil
		}
	}
}

var (
	statusLine = regexp.MustCompile(`^HTTP/1\.1 [1-5]\d\d [\t -~]*$`)
	fieldLine  = regexp.MustCompile("^[!#$%&'*+\\-.^_`|~0-9A-Za-z]+: ?[\t -~]*$")
)

// faults lists what every response has to keep, whatever the request was.
func (r *reply) faults(method string) (faults []string) {
	lines := strings.Split(strings.TrimSuffix(r.head, "\r\n\r\n"), "\r\n")
	if !statusLine.MatchString(lines[0]) {
		faults = append(faults, fmt.Sprintf("status line %q", lines[0]))
	}
	for _, line := range lines[1:] {
		if !fieldLine.MatchString(line) {
			faults = append(faults, fmt.Sprintf("field line %q", line))
		}
	}
	code := r.StatusCode
	if code < 200 {
		return faults
	}
	for name, values := range r.Header {
		if len(values) > 1 && !slices.Contains([]string{"Set-Cookie", "Vary", "Www-Authenticate"}, name) {
			faults = append(faults, name+" twice")
		}
	}
	need := func(name string, when bool) {
		if when && r.field(name) == "" {
			faults = append(faults, fmt.Sprintf("%d without %s", code, name))
		}
	}
	// Section 6.6.1: every response below 500 has a date.
	if _, err := http.ParseTime(r.field("Date")); err != nil && (code < 500 || r.field("Date") != "") {
		faults = append(faults, "Date: "+err.Error())
	}
	cl, chunked := r.field("Content-Length") != "", slices.Contains(r.TransferEncoding, "chunked")
	if cl && chunked {
		faults = append(faults, "both Content-Length and Transfer-Encoding")
	}
	switch code {
	case http.StatusNoContent, http.StatusNotModified:
		if code == http.StatusNoContent && cl {
			faults = append(faults, "204 with Content-Length")
		}
	default:
		if !cl && !chunked && !r.Close {
			faults = append(faults, "body without an end")
		}
	}
	need("Allow", code == http.StatusMethodNotAllowed)
	need("Www-Authenticate", code == http.StatusUnauthorized)
	need("Content-Range", code == http.StatusRequestedRangeNotSatisfiable)
	need("Retry-After", code == http.StatusServiceUnavailable)
	need("Location", code == 301 || code == 302 || code == 307 || code == 308)
	need("X-Content-Type-Options", code == http.StatusOK && r.field("Content-Type") != "")
	need("Content-Type", len(r.body) > 0)
	if code >= 400 && code != 429 && code != 503 && method != http.MethodHead && len(r.body) == 0 {
		faults = append(faults, fmt.Sprintf("%d without a page", code))
	}
	return faults
}

// mustRead reads one response or ends the test.
func (c *client) mustRead(t *testing.T, method string) *reply {
	t.Helper()
	r, err := c.read(method)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// rest reads what is left until the server closes; an error when the close is
// not a clean one.
func (c *client) rest() (string, error) {
	b, err := io.ReadAll(c.r)
	return string(b), err
}

// mustClose checks that the server closes now and sends nothing more.
func (c *client) mustClose(t *testing.T) {
	t.Helper()
	switch text, err := c.rest(); {
	case err != nil:
		t.Errorf("the connection does not close cleanly: %v (read %q)", err, text)
	case text != "":
		t.Errorf("more than one response: %q", text)
	}
}

// request writes a request in HTTP/1.1 with the further field lines.
func request(method, target string, fields ...string) string {
	return method + " " + target + " HTTP/1.1\r\nHost: test.localhost\r\n" + fieldBlock(fields) + "\r\n"
}

// post is a request with a body and its length.
func post(target, contentType, body string, fields ...string) string {
	return request("POST", target, append(fields, "Content-Type: "+contentType, "Content-Length: "+strconv.Itoa(len(body)))...) + body
}

func fieldBlock(fields []string) string {
	if len(fields) == 0 {
		return ""
	}
	return strings.Join(fields, "\r\n") + "\r\n"
}

// exchange sends one request on a connection of its own and returns the reply.
func (s *server) exchange(t *testing.T, wire string) *reply {
	t.Helper()
	c := s.dial(t)
	defer c.Close()
	c.send(wire)
	method, _, _ := strings.Cut(wire, " ")
	return c.mustRead(t, method)
}

// get asks for a target with the further field lines.
func (s *server) get(t *testing.T, target string, fields ...string) *reply {
	t.Helper()
	return s.exchange(t, request("GET", target, fields...))
}

// alive checks that the server goes on to serve others.
func (s *server) alive(t *testing.T) {
	t.Helper()
	if r := s.get(t, "/alive.txt"); r.StatusCode != 200 || string(r.body) != aliveText {
		t.Fatalf("afterwards GET /alive.txt: %s %q", r.Status, r.body)
	}
}

// statuses tells whether a status is among those a row allows, as "400|404".
func statuses(allowed string, code int) bool {
	return slices.Contains(strings.Split(allowed, "|"), strconv.Itoa(code))
}

// unzip decodes a body in gzip.
func unzip(b []byte) (string, error) {
	zr, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return "", fmt.Errorf("gunzip: %w", err)
	}
	text, err := io.ReadAll(zr)
	if err != nil {
		return "", fmt.Errorf("gunzip: %w", err)
	}
	return string(text), nil
}

// gunzip decodes a body or ends the test.
func gunzip(t *testing.T, b []byte) string {
	t.Helper()
	text, err := unzip(b)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// certificate writes a self-signed certificate for loopback and its key to
// dir, over what may be there, and returns the serial number.
func certificate(t *testing.T, dir string) (certFile, keyFile string, serial *big.Int) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err = rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "localhost"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	// The key goes first: a server that looks in between sees a pair that does
	// not match, keeps the old one and looks again.
	writePEM(t, keyFile, "PRIVATE KEY", keyDER)
	writePEM(t, certFile, "CERTIFICATE", der)
	return certFile, keyFile, serial
}

func writePEM(t *testing.T, path, kind string, der []byte) {
	t.Helper()
	temp := path + ".new"
	if err := os.WriteFile(temp, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(temp, path); err != nil {
		t.Fatal(err)
	}
}

// plainAndTLS runs a table against a server of each kind.
func plainAndTLS(t *testing.T, table func(t *testing.T, s *server), args ...string) {
	t.Helper()
	t.Run("plain", func(t *testing.T) {
		t.Parallel()
		table(t, start(t, args...))
	})
	t.Run("TLS", func(t *testing.T) {
		t.Parallel()
		cert, key, _ := certificate(t, t.TempDir())
		s := start(t, append([]string{"--tls-cert", cert, "--tls-key", key}, args...)...)
		if !s.tls {
			t.Fatalf("the server printed no https URL:\n%s", s.stdout)
		}
		table(t, s)
	})
}
