package listen

import (
	"os"
	"strings"
	"testing"
)

func TestIsOwnHost(t *testing.T) {
	tests := map[string]bool{
		"127.0.0.1": true, "127.0.0.1:8080": true, "[::1]:8080": true, "[::1]": true, "192.0.2.7:9100": true,
		"localhost": true, "LOCALHOST:80": true, "localhost.:80": true, "a.localhost:80": true, "web1:9100": true, "": true,
		"evil.example": false, "evil.example:8080": false, "localhost.evil.example": false, "127.0.0.1.evil.example": false,
	}
	if own, err := os.Hostname(); err == nil {
		first, _, _ := strings.Cut(own, ".")
		tests[own+":80"], tests[strings.ToUpper(first)+".local:80"] = true, true
		tests[own+".evil.example:80"], tests[own+".local.evil.example"] = false, false
	}
	for host, want := range tests {
		if got := IsOwnHost(host); got != want {
			t.Errorf("%q: %v, want %v", host, got, want)
		}
	}
}
