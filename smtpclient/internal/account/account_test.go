package account

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func file(t *testing.T, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "smtpclient.conf")
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoad(t *testing.T) {
	text := "# mine\n[home]\nserver = a.example\nuser=u\n\n; work\n[work]\nServer = b.example:465\npassword = with = and # inside\npop3 = p.example\n"
	got, err := Load(file(t, text, 0o600), "work")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&Account{Server: "b.example:465", Password: "with = and # inside", POP3: "p.example"}, got); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []struct{ text, name, errs string }{
		{text, "school", "it has: home, work"}, {"[a\n", "a", "line 1"}, {"[a]\nhost = x\n", "a", `"host" is no setting`}, {"[a]\nserver\n", "a", "line 2"},
	} {
		if _, err := Load(file(t, bad.text, 0o600), bad.name); err == nil || !strings.Contains(err.Error(), bad.errs) {
			t.Errorf("%q: %v", bad.text, err)
		}
	}
	if runtime.GOOS != "windows" {
		if _, err := Load(file(t, text, 0o640), "work"); !errors.Is(err, ErrMode) {
			t.Error(err)
		}
	}
}

func TestPassword(t *testing.T) {
	path := file(t, "from-file\r\nsecond line\n", 0o600)
	for _, tt := range []struct {
		secret Secret
		want   string
	}{
		{Secret{Value: "v", File: path}, "v"},
		{Secret{File: path}, "from-file"},
		{Secret{Command: "echo from-command"}, "from-command"},
		{Secret{Prompt: func() (string, error) { return "typed", nil }}, "typed"},
	} {
		if got, err := tt.secret.Password(t.Context()); err != nil || got != tt.want {
			t.Errorf("%q, %v; want %q", got, err, tt.want)
		}
	}
	for _, secret := range []Secret{{}, {File: filepath.Join(t.TempDir(), "none")}, {File: file(t, "\nx", 0o600)}, {Command: "exit 3"}} {
		if got, err := secret.Password(t.Context()); err == nil {
			t.Errorf("%+v gave %q", secret, got)
		}
	}
	if _, err := (&Secret{}).Password(t.Context()); !errors.Is(err, ErrNoPassword) {
		t.Error(err)
	}
}
