package exposure

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFind(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("modes and links are others there")
	}
	root := t.TempDir()
	for name, text := range map[string]string{
		"index.html": "", "sub/page.html": "", ".git/config": "", ".env": "", ".well-known/security.txt": "", "sub/.htpasswd": "",
		"tls/cert.pem": "-----BEGIN CERTIFICATE-----", "tls/key.pem": "-----BEGIN PRIVATE KEY-----", "tls/own.pem": "-----BEGIN PRIVATE KEY-----",
		"index.html~": "", "page.html.bak": "", "data.sql": "", "open.txt": "", "a\nb.old": "", ".harmless": "",
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, mode := range map[string]os.FileMode{"tls": 0o700, "tls/own.pem": 0o600, "open.txt": 0o666, "sub": 0o777} {
		if err := os.Chmod(filepath.Join(root, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{"in": "index.html", "out": "/etc/passwd", "nowhere": "gone"} {
		if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	const but = " (this server does not serve it, but it should not stand here)"
	want := []Finding{
		{".env", "settings, which are often secret" + but},
		{".git", "the history of all versions" + but},
		{`"a\nb.old"`, "a leftover of an editor or a backup"},
		{"data.sql", "a database"},
		{"index.html~", "a leftover of an editor or a backup"},
		{"nowhere", "a link that leads nowhere"},
		{"open.txt", "every user of this machine may write it"},
		{"out", "a link that leads out, to /etc/passwd (it is not followed)"},
		{"page.html.bak", "a leftover of an editor or a backup"},
		{"sub", "every user of this machine may write it"},
		{"sub/.htpasswd", "passwords or keys" + but},
		{"tls", "others may not enter this directory, but what they may read in it is served"},
		{"tls/key.pem", "a private key"},
	}
	got, err := Find(root)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := Find(filepath.Join(root, "missing")); err == nil {
		t.Error("a missing directory was looked through")
	}
}
