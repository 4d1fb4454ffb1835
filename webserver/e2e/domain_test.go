//go:build unix

package e2e_test

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestDomain: with --domain the built program, in its sandbox, gets certificates
// for a name and an address from a real authority (pebble), says before what it is
// about to do, serves https, and leads plain requests there.
func TestDomain(t *testing.T) {
	t.Parallel()
	pebble, names := realPeer(t, "pebble"), realPeer(t, "pebble-challtestsrv")
	dir := t.TempDir()
	cert, key, _ := certificate(t, dir)
	_, tlsPort, _ := net.SplitHostPort(freeAddr(t))
	_, httpPort, _ := net.SplitHostPort(freeAddr(t))
	listen, dns := freeAddr(t), freeAddr(t)
	config, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": listen, "managementListenAddress": freeAddr(t), "certificate": cert, "privateKey": key,
		"httpPort": json.Number(httpPort), "tlsPort": json.Number(tlsPort),
	}})
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "config.json"), string(config))
	for _, args := range [][]string{
		{names, "-dns01", dns, "-defaultIPv6", "", "-http01", "", "-https01", "", "-tlsalpn01", "", "-management", freeAddr(t)},
		{pebble, "-config", filepath.Join(dir, "config.json"), "-dnsserver", dns},
	} {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			cmd.Process.Kill()
			cmd.Wait()
		})
	}
	insecure := &http.Client{
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	eventually(t, "the authority", func() bool {
		resp, err := insecure.Get("https://" + listen + "/dir")
		if err == nil {
			resp.Body.Close()
		}
		return err == nil
	})
	s := start(t, "--addr", "127.0.0.1:"+tlsPort, "--redirect-http", "127.0.0.1:"+httpPort, "--root", writeTree(t, nil),
		"--domain", "one.example,127.0.0.1", "--cert-dir", filepath.Join(dir, "state"), "--acme-directory", "https://"+listen+"/dir", "--acme-ca", cert)
	for _, want := range []string{
		"for a certificate for one.example, 127.0.0.1", "must lead to this machine", "ports " + tlsPort + " and " + httpPort,
	} {
		s.stdout.await(t, want, func(text string) bool { return strings.Contains(text, want) })
	}
	for _, name := range []string{"one.example", ""} {
		eventually(t, fmt.Sprintf("https for %q; stderr: %s", name, s.stderr), func() bool {
			conn, err := tls.Dial("tcp", s.addr, &tls.Config{ServerName: name, InsecureSkipVerify: true})
			if err != nil {
				return false
			}
			defer conn.Close()
			want := name
			if name == "" {
				want = "127.0.0.1"
			}
			return conn.ConnectionState().PeerCertificates[0].VerifyHostname(want) == nil
		})
	}
	if resp, err := insecure.Get("https://" + s.addr + "/alive.txt"); err != nil || resp.StatusCode != 200 {
		t.Errorf("over https: %v, %v", resp, err)
	} else {
		resp.Body.Close()
	}
	if resp, err := insecure.Get("http://127.0.0.1:" + httpPort + "/alive.txt"); err != nil || resp.StatusCode != 308 {
		t.Errorf("over http: %v, %v", resp, err)
	} else {
		resp.Body.Close()
	}
	if files, err := filepath.Glob(filepath.Join(dir, "state", "*.pem")); err != nil || len(files) != 3 {
		t.Errorf("kept: %v, %v", files, err)
	}
}
