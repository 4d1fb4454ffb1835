package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"topdown/smtpclient/internal/testserver"
)

// TestTraceOfSTARTTLS: a mail is sent and fetched inside TLS, and the trace file says
// where that begins. TOPDOWN_TRACE names a file that the trace is to stay in.
func TestTraceOfSTARTTLS(t *testing.T) {
	config, ca := certificate(t, "127.0.0.1", time.Now().Add(time.Hour))
	smtp, pop3, stop, err := start(&testserver.Server{Password: "lab-password", TLS: config})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stop() })
	file := os.Getenv("TOPDOWN_TRACE")
	if file == "" {
		file = filepath.Join(t.TempDir(), "run.ndjson")
	}
	cmd := exec.Command(binary, "roundtrip", "--server", smtp, "--pop3", pop3, "--user", "ada", "--pop3-user", "ada@lab.test", "--to", "ada@lab.test",
		"--tls", "starttls", "--pop3-tls", "starttls", "--ca", ca, "--trace-file", file, "--quiet")
	cmd.Env = append(os.Environ(), "SMTP_PASSWORD=lab-password")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm()&0o077 != 0 && runtime.GOOS != "windows" && os.Getenv("TOPDOWN_TRACE") == "" {
		t.Errorf("others can read the mail in the trace: %v %v", info.Mode(), err)
	}
	trace := string(text)
	for _, secret := range []string{"lab-password", "bGFiLXBhc3N3b3Jk"} {
		if strings.Contains(trace, secret) {
			t.Errorf("the trace holds %q", secret)
		}
	}
	// In this order: both sessions begin in the clear and go on inside TLS.
	rest := trace
	for _, want := range []string{
		`"text":"STARTTLS\\r\\n"`, `"what":"state","text":"tls","why":"TLS 1.3`, `"text":"AUTH `, `"what":"bytes"`, `"text":"close"`,
		`"text":"STLS\\r\\n"`, `"what":"state","text":"tls"`, `"text":"RETR 1\\r\\n"`, `"from":"server","to":"client","what":"bytes"`, `"text":"close"`,
	} {
		_, after, found := strings.Cut(rest, want)
		if !found {
			t.Fatalf("no %s where it should be in\n%s", want, trace)
		}
		rest = after
	}
}
