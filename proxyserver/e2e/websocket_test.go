//go:build unix

package e2e

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// python returns a Python that has a module.
func python(t *testing.T, module string) string {
	t.Helper()
	for _, path := range []string{"python3", "/usr/bin/python3"} {
		if exec.Command(path, "-c", "import "+module).Run() == nil {
			return path
		}
	}
	if os.Getenv("TOPDOWN_REQUIRE_REAL") == "1" {
		t.Fatalf("no python3 has the module %s, and TOPDOWN_REQUIRE_REAL=1", module)
	}
	t.Skipf("no python3 has the module %s", module)
	return ""
}

// startEcho is a WebSocket server that sends back what it gets.
func startEcho(t *testing.T) (addr string) {
	t.Helper()
	addr = "127.0.0.1:" + freePort(t)
	_, port, _ := strings.Cut(addr, ":")
	startServer(t, addr, python(t, "websockets"), "-c", `
import asyncio, sys, websockets
async def echo(ws, *path):
    async for message in ws:
        await ws.send(message)
async def main():
    async with websockets.serve(echo, "127.0.0.1", int(sys.argv[1]), max_size=None):
        await asyncio.Future()
asyncio.run(main())`, port)
	return addr
}

// Python's websockets, by upgrade through a reverse proxy over TLS, and by CONNECT
// through a proxy with a password.
func TestWebSocket(t *testing.T) {
	t.Parallel()
	python := python(t, "websockets")
	echo := startEcho(t)
	ca := newAuthority(t)
	cert, key, _ := ca.serverFiles(t, "localhost")
	reverse := start(t, nil, "--addr", "127.0.0.1:0", "--no-cache", "--upstream", "http://"+echo, "--tls-cert", cert, "--tls-key", key)
	forward := start(t, nil, "--addr", "127.0.0.1:0", "--no-cache", "--auth-file", usersFile(t))
	client := func(uri, proxy string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		cmd := exec.CommandContext(ctx, python, "-c", `
import asyncio, base64, os, socket, ssl, sys, websockets
uri, proxy, ca = sys.argv[1:]
async def main():
    more = {}
    if uri.startswith("wss:"):
        more["ssl"] = ssl.create_default_context(cafile=ca)
    if proxy:
        host, port = proxy.split(":")
        more["sock"] = sock = socket.create_connection((host, int(port)))
        target = uri.split("/")[2]
        sock.sendall(b"CONNECT %s HTTP/1.1\r\nHost: %s\r\nProxy-Authorization: Basic %s\r\n\r\n" % (target.encode(), target.encode(), base64.b64encode(b"ann:secret")))
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += sock.recv(1)
        assert b" 200 " in head, head
    async with websockets.connect(uri, max_size=None, **more) as ws:
        for message in "hello", os.urandom(10), os.urandom(1 << 20):
            await ws.send(message)
            assert await ws.recv() == message
        await (await ws.ping())
    assert ws.close_code == 1000, ws.close_code
    print("well")
asyncio.run(main())`, uri, proxy, ca.file(t))
		if out, err := cmd.CombinedOutput(); err != nil || string(out) != "well\n" {
			t.Errorf("%s by %q: %v\n%s", uri, proxy, err, out)
		}
	}
	client("wss://"+reverse.addr+"/", "")
	client("ws://"+echo+"/", forward.addr)
}

// startMirror is a proxy that has one origin for every name, so that a browser can
// be given names that do not exist: it sends none to an address of this machine
// through a proxy by PAC.
func startMirror(t *testing.T, origin, tunnels string) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	direct := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: origin})
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect {
			r.URL.Scheme, r.URL.Host = "", ""
			direct.ServeHTTP(w, r)
			return
		}
		up, err := net.Dial("tcp", tunnels)
		if err != nil {
			t.Error(err)
			return
		}
		defer up.Close()
		down, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer down.Close()
		io.WriteString(down, "HTTP/1.1 200 OK\r\n\r\n")
		go io.Copy(up, down)
		io.Copy(down, up)
	})}
	go server.Serve(ln)
	t.Cleanup(func() { server.Close() })
	return ln.Addr().String()
}

// Chromium, told by a PAC file of a proxy over TLS that asks for a password: pages
// and WebSockets; and a WebSocket by upgrade.
func TestChromiumOverTLS(t *testing.T) {
	need(t, "chromium")
	t.Parallel()
	origin := startCounting(t)
	echo := startEcho(t)
	p := startGuarded(t, "--parent", "http://"+startMirror(t, origin.addr, echo), "--connect-port", "80")
	conn, err := tls.Dial("tcp", p.addr, &tls.Config{InsecureSkipVerify: true}) // to know its key
	if err != nil {
		t.Fatal(err)
	}
	spki := sha256.Sum256(conn.ConnectionState().PeerCertificates[0].RawSubjectPublicKeyInfo)
	conn.Close()
	asked := make(chan struct{}, 100)
	pac := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked <- struct{}{}
		w.Header().Set("Content-Type", "application/x-ns-proxy-autoconfig")
		fmt.Fprintf(w, `function FindProxyForURL(url, host) { return "HTTPS %s" }`, p.addr)
	})}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go pac.Serve(ln)
	defer pac.Close()
	b := openBrowser(t, 800, 600, "--proxy-pac-url=http://"+ln.Addr().String()+"/proxy.pac",
		"--ignore-certificate-errors-spki-list="+base64.StdEncoding.EncodeToString(spki[:]))
	b.logIn("ann", "secret")
	b.open("http://site.example/page")
	var got string
	if b.eval(`document.body.innerText`, &got); strings.TrimSpace(got) != "counted" {
		t.Errorf("the page says %q", got)
	}
	for range 2 {
		if b.eval(`fetch("/other").then(r => r.text().then(t => t + r.headers.get("Cache-Status")))`, &got); !strings.HasPrefix(got, "counted\n") {
			t.Errorf("fetch: %q", got)
		}
	}
	if n := origin.requests.Load(); n > 3 { // the page, its icon perhaps, and the other
		t.Errorf("%d requests to the origin", n)
	}
	if len(asked) == 0 {
		t.Error("nobody has asked for the PAC file")
	}
	socket := func(uri string) string {
		return fmt.Sprintf(`new Promise((done) => {
			const socket = new WebSocket(%q)
			socket.onopen = () => socket.send("hello")
			socket.onmessage = (m) => { done(m.data); socket.close() }
			socket.onerror = () => done("an error")
		})`, uri)
	}
	if b.eval(socket("ws://site.example/"), &got); got != "hello" {
		t.Errorf("by CONNECT: %q", got)
	}
	reverse := start(t, nil, "--addr", "127.0.0.1:0", "--no-cache", "--upstream", "http://"+echo)
	if b.eval(socket("ws://"+reverse.addr+"/"), &got); got != "hello" {
		t.Errorf("by upgrade: %q", got)
	}
}
