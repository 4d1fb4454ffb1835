package origin

import (
	"net/netip"
	"testing"
)

func TestLiteral(t *testing.T) {
	for host, want := range map[string]string{
		"127.0.0.1": "127.0.0.1", "127.1": "127.0.0.1", "2130706433": "127.0.0.1", "0x7f000001": "127.0.0.1", "0X7F.1": "127.0.0.1",
		"0177.0.0.1": "127.0.0.1", "127.0.0.1.": "127.0.0.1", "10.1.256": "10.1.1.0", "0": "0.0.0.0",
		"localhost": "127.0.0.1", "a.LOCALHOST.": "127.0.0.1", "::1": "::1", "::ffff:127.0.0.1": "127.0.0.1",
		"a.example": "", "127.0.0.1.example": "", "1.2.3.4.5": "", "256.0.0.1": "", "4294967296": "", "1_0.0.0.1": "", "": "", "1..1": "",
	} {
		var addr netip.Addr
		if want != "" {
			addr = netip.MustParseAddr(want)
		}
		if got := literal(host); got != addr {
			t.Errorf("literal(%q) = %v, want %v", host, got, addr)
		}
	}
}

func TestParentRules(t *testing.T) {
	d := &Dialer{Parent: &Parent{Host: "192.0.2.1:3128"}, Check: func(_ string, addr netip.AddrPort) error {
		if addr.Addr().IsLoopback() || addr.Port() == 25 {
			return errDied
		}
		return nil
	}}
	for host, allowed := range map[string]bool{
		"a.example": true, "a.example:8080": true, "192.0.2.7": true,
		"127.1": false, "localhost:81": false, "[::1]": false, "mail.example:25": false, "%31%32%37.0.0.1": false, "a.example:99999": false,
	} {
		if err := d.checkLiteral(host, "80"); (err == nil) != allowed {
			t.Errorf("%s: %v", host, err)
		}
	}
}
