package listen

import "testing"

func FuzzCheckAddr(f *testing.F) {
	for _, addr := range []string{":8080", "127.0.0.1:0", "[::1]:80", "unix:/x", "", "8080", "a:b:c", ":99999", "[fe80::1%eth0]:1", ":+1"} {
		f.Add(addr)
	}
	f.Fuzz(func(t *testing.T, addr string) {
		network, err := checkAddr(addr)
		if (err == nil) != (network == "tcp" || network == "tcp4") {
			t.Errorf("%q: network %q, error %v", addr, network, err)
		}
	})
}
