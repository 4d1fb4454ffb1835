package listen

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// greet has a client connect to ln and reads what it sends.
func greet(t *testing.T, ln net.Listener, network, addr string) {
	t.Helper()
	go func() {
		conn, err := net.Dial(network, addr)
		if err == nil {
			io.WriteString(conn, "hello")
			conn.Close()
		} else {
			ln.Close()
		}
	}()
	conn, err := ln.Accept()
	if err != nil {
		t.Errorf("nobody came over %s %s: %v", network, addr, err)
		return
	}
	defer conn.Close()
	if data, err := io.ReadAll(conn); err != nil || string(data) != "hello" {
		t.Errorf("over %s %s: %q, %v", network, addr, data, err)
	}
}

func mustListen(t *testing.T, addr string) net.Listener {
	t.Helper()
	ln, err := Listen(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}

func portOf(ln net.Listener) string {
	return strconv.Itoa(ln.Addr().(*net.TCPAddr).Port)
}

func hasIPv6(t *testing.T) bool {
	t.Helper()
	ln, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Log("no IPv6 on this machine: IPv4 alone is tried")
		return false
	}
	ln.Close()
	return true
}

func TestListenTCP(t *testing.T) {
	six := hasIPv6(t)
	t.Run("every address", func(t *testing.T) {
		ln := mustListen(t, ":0")
		greet(t, ln, "tcp4", "127.0.0.1:"+portOf(ln))
		if six {
			greet(t, ln, "tcp6", "[::1]:"+portOf(ln))
		}
	})
	t.Run("every IPv4 address", func(t *testing.T) {
		ln := mustListen(t, "0.0.0.0:0")
		greet(t, ln, "tcp4", "127.0.0.1:"+portOf(ln))
		if conn, err := net.Dial("tcp6", "[::1]:"+portOf(ln)); err == nil {
			conn.Close()
			t.Error("0.0.0.0 took a connection over IPv6")
		}
	})
	t.Run("loopback", func(t *testing.T) {
		ln := mustListen(t, "127.0.0.1:0")
		greet(t, ln, "tcp", ln.Addr().String())
	})
	t.Run("name", func(t *testing.T) {
		ln := mustListen(t, "localhost:0")
		greet(t, ln, "tcp", ln.Addr().String())
	})
	t.Run("IPv6", func(t *testing.T) {
		if !six {
			t.Skip("no IPv6 on this machine")
		}
		ln := mustListen(t, "[::1]:0")
		greet(t, ln, "tcp", ln.Addr().String())
	})
}

func TestAddressErrors(t *testing.T) {
	tests := map[string]struct{ addr, want, hint string }{
		"empty":             {"", "not an address", "host:port"},
		"port alone":        {"8080", "no colon", "write :8080"},
		"host alone":        {"example", "not an address", "host:port"},
		"IPv6 without []":   {"::1:80:", "not an address", `"[::1]:8080"`},
		"no port":           {"localhost:", `"" is not a port`, "1 to 65535"},
		"port too high":     {":65536", `"65536" is not a port`, "1 to 65535"},
		"port negative":     {":-1", `"-1" is not a port`, "1 to 65535"},
		"port by name":      {":http", `"http" is not a port`, "1 to 65535"},
		"not of this host":  {"192.0.2.1:0", "this machine has no such address", ""},
		"unix without path": {"unix:", "no path", "unix:/path"},
		"unix path long":    {"unix:/" + strings.Repeat("x", 200), "201 bytes", "shorter"},
		"unix no folder":    {"unix:/nonexistent/dir/sock", "cannot listen on unix:/nonexistent", "folder"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			ln, err := Listen(t.Context(), test.addr)
			if err == nil {
				ln.Close()
				t.Fatal("no error")
			}
			e, ok := errors.AsType[*Error](err)
			if !ok {
				t.Fatalf("%T, want *Error", err)
			}
			if !strings.Contains(err.Error(), test.want) || !strings.Contains(e.Hint, test.hint) {
				t.Errorf("%v\nwant %q with a hint of %q", err, test.want, test.hint)
			}
		})
	}
}

func TestPortInUse(t *testing.T) {
	ln := mustListen(t, "127.0.0.1:0")
	_, err := Listen(t.Context(), "127.0.0.1:"+portOf(ln))
	if err == nil {
		t.Fatal("listened twice on a port")
	}
	port, _ := strconv.Atoi(portOf(ln))
	want := []string{"cannot listen on 127.0.0.1:" + portOf(ln) + ": the port is in use by ", "webserver " + strconv.Itoa(otherPort(port))}
	if runtime.GOOS == "linux" {
		want = append(want, "(pid "+strconv.Itoa(os.Getpid())+")")
	}
	for _, part := range want {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%v\nwant %q in it", err, part)
		}
	}
}

func TestExplainPermission(t *testing.T) {
	err := explain(":80", &net.OpError{Op: "listen", Err: os.NewSyscallError("bind", errDenied)})
	for _, want := range []string{"cannot listen on :80: ports below 1024 are for root", "webserver 8080"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nwant %q in it", err, want)
		}
	}
	if runtime.GOOS == "linux" {
		for _, want := range []string{"sudo setcap cap_net_bind_service=+ep webserver"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%v\nwant %q in it", err, want)
			}
		}
	}
}

// socketPath returns a path that is short enough for a socket.
func socketPath(t *testing.T) string {
	t.Helper()
	t.Chdir(t.TempDir())
	return "socket"
}

func TestUnix(t *testing.T) {
	path := socketPath(t)
	ln := mustListen(t, "unix:"+path)
	greet(t, ln, "unix", path)
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o666 {
		t.Errorf("the socket: %v, %v", info, err)
	}
	if _, err := Listen(t.Context(), "unix:"+path); err == nil || !strings.Contains(err.Error(), "another server") {
		t.Errorf("while another listens: %v", err)
	}
	if conn, err := ln.Accept(); err != nil { // it has tried whether anybody answers
		t.Fatal(err)
	} else {
		conn.Close()
	}
	greet(t, ln, "unix", path)
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after Close, the socket is there: %v", err)
	}
}

func TestUnixStale(t *testing.T) {
	path := socketPath(t)
	old, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	old.(*net.UnixListener).SetUnlinkOnClose(false)
	old.Close() // as if killed
	ln := mustListen(t, "unix:"+path)
	greet(t, ln, "unix", path)
}

func TestUnixKeepsWhatIsNoSocket(t *testing.T) {
	path := socketPath(t)
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(t.Context(), "unix:"+path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a file in the way: %v", err)
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "precious" {
		t.Errorf("the file: %q, %v", data, err)
	}
}

func TestActivatedIsNotForUs(t *testing.T) {
	for name, test := range map[string]struct{ pid, fds string }{
		"nothing set":   {"", ""},
		"no fds":        {strconv.Itoa(os.Getpid()), ""},
		"other process": {strconv.Itoa(os.Getpid() + 1), "1"},
		"garbage":       {"x", "1"},
	} {
		if lns, err := Activated(test.pid, test.fds); lns != nil || err != nil {
			t.Errorf("%s: %v, %v", name, lns, err)
		}
	}
	for _, fds := range []string{"0", "-1", "x", "65", "99999999999999999999"} {
		if _, err := Activated(strconv.Itoa(os.Getpid()), fds); err == nil {
			t.Errorf("LISTEN_FDS=%s: no error", fds)
		}
	}
}

// TestActivated starts this test again with listeners as file descriptors 3 and
// on, as systemd does.
func TestActivated(t *testing.T) {
	if os.Getenv("LISTEN_TEST_CHILD") == "1" {
		lns, err := Activated(strconv.Itoa(os.Getpid()), os.Getenv("LISTEN_FDS"))
		if err != nil {
			t.Fatal(err)
		}
		for _, ln := range lns {
			conn, err := ln.Accept()
			if err != nil {
				t.Fatal(err)
			}
			io.WriteString(conn, "activated")
			conn.Close()
		}
		return
	}
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no socket activation")
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	unix, err := net.Listen("unix", socketPath(t))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestActivated$")
	cmd.Env = append(os.Environ(), "LISTEN_TEST_CHILD=1", "LISTEN_FDS=2")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	for _, ln := range []net.Listener{tcp, unix} {
		file, err := ln.(interface{ File() (*os.File, error) }).File()
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		cmd.ExtraFiles = append(cmd.ExtraFiles, file)
	}
	if err = cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for _, ln := range []net.Listener{tcp, unix} {
		conn, err := net.Dial(ln.Addr().Network(), ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(conn)
		conn.Close()
		if err != nil || string(data) != "activated" {
			t.Errorf("over %s: %q, %v", ln.Addr().Network(), data, err)
		}
	}
	if err = cmd.Wait(); err != nil {
		t.Errorf("child: %v\n%s", err, &out)
	}
}

func TestActivatedNeedsListeners(t *testing.T) {
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	// fromFiles closes the descriptor: give it away for good.
	fd := int(file.Fd())
	defer runtime.KeepAlive(file)
	if lns, err := fromFiles(fd, 1); err == nil {
		t.Errorf("/dev/null is a listener: %v", lns)
	}
}

func TestURLs(t *testing.T) {
	machine := func() []netip.Addr {
		var list []netip.Addr
		for _, s := range []string{"fe80::1%eth0", "2001:db8::7", "192.0.2.7", "169.254.1.1", "127.0.0.1", "10.0.0.7", "ff02::1"} {
			list = append(list, netip.MustParseAddr(s))
		}
		return list
	}
	tests := map[string]struct {
		addr   net.Addr
		scheme string
		want   []string
	}{
		"every address": {
			&net.TCPAddr{IP: net.IPv6unspecified, Port: 8080}, "http",
			[]string{"http://localhost:8080/", "http://192.0.2.7:8080/", "http://10.0.0.7:8080/", "http://[2001:db8::7]:8080/"},
		},
		"every IPv4 address": {
			&net.TCPAddr{IP: net.IPv4zero, Port: 8080}, "http",
			[]string{"http://localhost:8080/", "http://192.0.2.7:8080/", "http://10.0.0.7:8080/"},
		},
		"loopback":       {&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 81}, "http", []string{"http://localhost:81/"}},
		"other loopback": {&net.TCPAddr{IP: net.IPv4(127, 0, 0, 9), Port: 81}, "http", []string{"http://127.0.0.9:81/"}},
		"one IPv6":       {&net.TCPAddr{IP: net.ParseIP("2001:db8::1"), Port: 443}, "https", []string{"https://[2001:db8::1]/"}},
		"http on 443":    {&net.TCPAddr{IP: net.ParseIP("192.0.2.1"), Port: 443}, "http", []string{"http://192.0.2.1:443/"}},
		"http on 80":     {&net.TCPAddr{IP: net.ParseIP("::1"), Port: 80}, "http", []string{"http://localhost/"}},
		"unix":           {&net.UnixAddr{Net: "unix", Name: "/run/s"}, "http", []string{"unix:/run/s"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, urls(test.addr, test.scheme, machine)); diff != "" {
				t.Error(diff)
			}
		})
	}
	if got := URLs(&net.TCPAddr{Port: 8080}, "http"); len(got) == 0 || got[0] != "http://localhost:8080/" {
		t.Errorf("on this machine: %q", got)
	}
}
