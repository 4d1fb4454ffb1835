package access

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

func TestPublic(t *testing.T) {
	for addr, want := range map[string]bool{
		"8.8.8.8": true, "1.1.1.1": true, "2001:4860:4860::8888": true, "::ffff:8.8.8.8": true, "64:ff9b::808:808": true, "2002:808:808::1": true,
		"127.0.0.1": false, "127.255.255.254": false, "0.0.0.0": false, "0.1.2.3": false, "10.0.0.1": false, "172.16.0.1": false,
		"172.31.255.255": false, "172.32.0.1": true, "192.168.1.1": false, "169.254.169.254": false, "100.64.0.1": false, "192.0.0.1": false,
		"192.0.2.1": false, "198.18.0.1": false, "198.51.100.1": false, "203.0.113.1": false, "224.0.0.1": false, "240.0.0.1": false, "255.255.255.255": false,
		"::": false, "::1": false, "::ffff:127.0.0.1": false, "::ffff:169.254.169.254": false, "::127.0.0.1": false, "64:ff9b::7f00:1": false,
		"64:ff9b::a9fe:a9fe": false, "64:ff9b:1::1": false, "2002:7f00:1::1": false, "2002:c0a8:101::": false, "2001::1": false, "2001:db8::1": false,
		"fc00::1": false, "fd12::1": false, "fe80::1": false, "fe80::1%eth0": false, "fec0::1": false, "ff02::1": false,
		"::ffff:0:127.0.0.1": false, "4000::1": false,
	} {
		if got := Public(netip.MustParseAddr(addr)); got != want {
			t.Errorf("Public(%s) = %v", addr, got)
		}
	}
}

func TestRules(t *testing.T) {
	network := func(s string) netip.Prefix {
		p, err := ParsePrefix(s)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	r := Rules{
		Allow: []netip.Prefix{network("10.1.0.0/16")}, Deny: []netip.Prefix{network("8.8.8.8")},
		Clients: []netip.Prefix{network("192.0.2.0/24")}, ConnectPorts: []uint16{8443, 25},
	}
	for target, allowed := range map[string]bool{
		"1.1.1.1:80": true, "8.8.8.8:80": false, "10.1.2.3:80": true, "10.2.0.1:80": false, "1.1.1.1:25": false, "10.1.2.3:25": false,
	} {
		if err := r.Target(netip.MustParseAddrPort(target)); (err == nil) != allowed {
			t.Errorf("Target(%s): %v", target, err)
		} else if ip, _, _ := strings.Cut(target, ":"); err != nil && strings.Contains(err.Error(), ip) {
			t.Errorf("Target(%s) tells what the name stands for: %v", target, err)
		}
	}
	r.Private, r.Deny = true, append(r.Deny, network("169.254.169.254"), network("::ffff:10.9.0.0/112"), network("fe80::/10"))
	for target, allowed := range map[string]bool{
		"10.8.0.1:80": true, "10.9.0.1:80": false, "[fe80::1]:80": false, "[fe80::1%eth0]:80": false, "[64:ff9b::a9fe:a9fe]:80": false, "[2002:a9fe:a9fe::1]:80": false,
	} {
		if err := r.Target(netip.MustParseAddrPort(target)); (err == nil) != allowed {
			t.Errorf("Target(%s): %v", target, err)
		}
	}
	if err := r.Target(netip.AddrPortFrom(netip.Addr{}, 25)); err == nil {
		t.Error("port 25 of a name that the parent looks up is allowed")
	}
	if _, err := ParsePrefix("::ffff:10.0.0.0/90"); err == nil {
		t.Error("a network wider than all of IPv4 is accepted")
	}
	for port, allowed := range map[uint16]bool{443: true, 8443: true, 80: false, 25: false} {
		if err := r.Connect("a.example", port); (err == nil) != allowed {
			t.Errorf("Connect(%d): %v", port, err)
		}
	}
	for client, allowed := range map[string]bool{"192.0.2.7": true, "::ffff:192.0.2.7": true, "192.0.3.1": false, "127.0.0.1": false} {
		if err := r.Client(netip.MustParseAddr(client)); (err == nil) != allowed {
			t.Errorf("Client(%s): %v", client, err)
		}
	}
}

func TestHosts(t *testing.T) {
	list, err := ParseHosts(strings.NewReader("# ads\nAds.example.\n0.0.0.0 tracker.example # hosts form\n*.wild.example\n\n::1\n192.0.2.1\n"))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{
		"ads.example": true, "ADS.example.": true, "a.b.ads.example": true, "bads.example": false, "example": false,
		"tracker.example": true, "wild.example": true, "x.wild.example": true, "": false,
		"[::1]": true, "[0:0:0:0:0:0:0:1]": true, "[::ffff:192.0.2.1]": true, "192.0.2.1": true, "192.0.2.10": false,
	} {
		if got := list.Has(name); got != want {
			t.Errorf("Has(%q) = %v", name, got)
		}
	}
	if _, err = ParseHosts(strings.NewReader("http://x/\n")); err == nil {
		t.Error("a URL is accepted as a host name")
	}
}

func TestUsers(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte("pa:ss"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"", "ann\n", "ann:{SHA}x\n", "ann:$apr1$x$y\n", ":" + string(hash)} {
		if _, err = ParseUsers(strings.NewReader(bad)); err == nil {
			t.Errorf("%q is accepted as a password file", bad)
		}
	}
	users, err := ParseUsers(strings.NewReader("ann:" + string(hash) + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	here, now := netip.MustParseAddr("192.0.2.1"), time.Unix(1e9, 0)
	const right = "basic YW5uOnBhOnNz" // ann:pa:ss
	for range 2 {                      // compared, then remembered
		if user, err := users.Check(right, here, now); user != "ann" || err != nil {
			t.Errorf("the right password: %q %v", user, err)
		}
	}
	for _, wrong := range []string{"", "Basic", "Basic !!", "Basic YW5u", "Bearer x", "Basic Ym9iOnBhOnNz"} {
		if _, err := users.Check(wrong, here, now); !errors.Is(err, ErrCredentials) {
			t.Errorf("%q: %v", wrong, err)
		}
	}
	for range maxFailures {
		users.Check("Basic YW5uOng=", here, now)
	}
	if _, err = users.Check("Basic YW5uOnk=", here, now); !errors.Is(err, ErrTooManyFailures) {
		t.Errorf("after many failures: %v", err)
	}
	if _, err = users.Check("Basic YW5uOnk=", netip.MustParseAddr("192.0.2.2"), now); !errors.Is(err, ErrCredentials) {
		t.Errorf("from elsewhere: %v", err)
	}
	if _, err = users.Check("Basic YW5uOnk=", here, now.Add(2*failureWindow)); !errors.Is(err, ErrCredentials) {
		t.Errorf("later: %v", err)
	}
}

func TestQuota(t *testing.T) {
	q := Quota{Limit: 100}
	now := time.Date(2026, 1, 1, 23, 0, 0, 0, time.UTC)
	q.Add("ann", 60, now)
	q.Add("ann", 60, now)
	if left, rest := q.Left("ann", now); left != 0 || rest != time.Hour {
		t.Errorf("ann: %d for %v", left, rest)
	}
	if left, _ := q.Left("bob", now); left != 100 {
		t.Errorf("bob: %d", left)
	}
	if left, _ := q.Left("ann", now.Add(time.Hour)); left != 100 {
		t.Errorf("the next day: %d", left)
	}
}

func FuzzParseHosts(f *testing.F) {
	for _, seed := range []string{"a.example\n", "0.0.0.0 b.example # x\n", "*.c\n.\n", "::1 d\n"} {
		f.Add(seed, "a.b")
	}
	f.Fuzz(func(_ *testing.T, text, name string) {
		if list, err := ParseHosts(strings.NewReader(text)); err == nil {
			list.Has(name)
		}
	})
}

func FuzzParseUsers(f *testing.F) {
	f.Add("ann:$2y$04$abcdefghijklmnopqrstuuu")
	f.Add("# x\n:\n")
	f.Fuzz(func(_ *testing.T, text string) {
		if strings.Contains(text, "$") {
			return // costly by design
		}
		ParseUsers(strings.NewReader(text))
	})
}

// One client is an IPv4 address or an IPv6 /64: who has one has all of its
// addresses.
func TestNetwork(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "192.0.2.1", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::", "fe80::1%eth0": "fe80::", "::1": "::",
	} {
		if got := Network(netip.MustParseAddr(addr)); got.String() != want {
			t.Errorf("Network(%s) = %s, want %s", addr, got, want)
		}
	}
}

func TestLockOut(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte("x"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	users, err := ParseUsers(strings.NewReader("ann:" + string(hash) + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1e9, 0)
	compared := 0
	for i := range 300 {
		addr := netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 14: byte(i >> 8), 15: byte(i)})
		if _, err := users.Check("Basic YW5uOnk=", addr, now); errors.Is(err, ErrCredentials) {
			compared++
		}
	}
	if compared != maxFailures {
		t.Errorf("of 300 wrong passwords from one /64 %d were compared, want %d", compared, maxFailures)
	}
	locked := netip.MustParseAddr("2001:db8::1:1")
	for i := range maxRemembered + 100 {
		users.fail(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), now)
	}
	if len(users.failures) > maxRemembered {
		t.Errorf("%d networks are remembered", len(users.failures))
	}
	if _, err := users.Check("Basic YW5uOnk=", locked, now); !errors.Is(err, ErrTooManyFailures) {
		t.Errorf("after many others have failed, who was locked out is free: %v", err)
	}
}

func TestPorts(t *testing.T) {
	public := Rules{WebPorts: true, TargetPorts: []uint16{631}}
	local := Rules{ThisMachine: true}
	for _, tt := range []struct {
		scheme string
		port   uint16
		public bool
		local  bool
	}{
		{"http", 80, true, true},
		{"https", 443, true, true},
		{"http", 443, true, true},
		{"http", 8080, true, true},
		{"http", 1024, true, true},
		{"http", 631, true, true},
		{"http", 587, false, true},
		{"http", 22, false, true},
		{"http", 1023, false, true},
		{"http", 21, false, true},
		{"ftp", 21, true, true},
		{"ftp", 22, false, true},
		{"http", 25, false, false},
	} {
		if err := public.Port(tt.scheme, tt.port); (err == nil) != tt.public {
			t.Errorf("public: %s port %d: %v", tt.scheme, tt.port, err)
		}
		if err := local.Port(tt.scheme, tt.port); (err == nil) != tt.local {
			t.Errorf("local: %s port %d: %v", tt.scheme, tt.port, err)
		}
	}
	for name, allowed := range map[string]bool{"localhost": true, "LOCALHOST.": true, "127.0.0.1": true, "[::1]": true, "a.example": false, "10.0.0.1": false} {
		if err := local.Connect(name, 8443); (err == nil) != allowed {
			t.Errorf("local: CONNECT %s:8443: %v", name, err)
		}
		err := public.Connect(name, 8443)
		if err == nil || !strings.Contains(err.Error(), "--connect-port 8443") {
			t.Errorf("public: CONNECT %s:8443: %v", name, err)
		}
	}
	if local.Connect("localhost", 25) == nil {
		t.Error("CONNECT localhost:25 is allowed")
	}
}
