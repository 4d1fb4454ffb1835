//go:build linux

package e2e

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// eximPath is where scripts/peers unpacks Exim, whose package conflicts with
// Postfix's.
const eximPath = "/opt/exim4-daemon-light/usr/sbin/exim4"

// eximHost is an Exim on loopback, run from a scratch directory, that delivers
// every mail to one Maildir.
type eximHost struct {
	mailHost
	demanding string // the address that wants a certificate of the client
	client    string // the file with that certificate and its key
}

// startExim runs Exim as nobody altogether. The user that Debian has compiled in
// need not exist: libnss-wrapper says that it is nobody.
func startExim(t *testing.T) *eximHost {
	t.Helper()
	const wrapper = "libnss_wrapper.so"
	missing(t, eximPath, python)
	if found, _ := filepath.Glob("/usr/lib/*/" + wrapper); found == nil {
		missing(t, wrapper)
	}
	dir, err := os.MkdirTemp("", "topdown-exim-") //nolint:usetesting // nobody must be able to enter it, t.TempDir is for us alone
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(nobody.Uid)
	gid, _ := strconv.Atoi(nobody.Gid)
	config, ca := certificate(t, "127.0.0.1", time.Now().Add(24*time.Hour))
	keyDER, err := x509.MarshalPKCS8PrivateKey(config.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "key.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})), 0o600)
	write(t, filepath.Join(dir, "cert.pem"), readFile(t, ca), 0o644)
	client, cert := certificate(t, "127.0.0.1", time.Now().Add(time.Hour))
	write(t, filepath.Join(dir, "client.pem"), readFile(t, cert), 0o644)
	h := &eximHost{mailHost: mailHost{dir: dir, ca: ca}, client: pairFile(t, client, cert)}
	ports := []int{freePort(t), freePort(t), freePort(t)}
	for i, to := range []*string{&h.smtp, &h.smtps, &h.demanding} {
		*to = net.JoinHostPort("127.0.0.1", strconv.Itoa(ports[i]))
	}
	conf := write(t, filepath.Join(dir, "exim.conf"), fmt.Sprintf(`spool_directory = %[1]s/spool
log_file_path = %[1]s/%%slog
exim_path = %[2]s
keep_environment = LD_PRELOAD : ^NSS_WRAPPER
deliver_drop_privilege = true
primary_hostname = mail.lab.test
local_interfaces = 127.0.0.1.%[3]d : 127.0.0.1.%[4]d : 127.0.0.1.%[5]d
daemon_smtp_ports =
tls_on_connect_ports = %[4]d
tls_advertise_hosts = *
tls_certificate = %[1]s/cert.pem
tls_privatekey = %[1]s/key.pem
tls_try_verify_hosts = ${if eq{$received_port}{%[5]d}{*}}
tls_verify_certificates = %[1]s/client.pem
auth_advertise_hosts = ${if def:tls_in_cipher {*}}
smtputf8_advertise_hosts = *
chunking_advertise_hosts = *
message_size_limit = 20M
smtp_accept_queue_per_connection = 0
acl_smtp_rcpt = recipient
acl_smtp_data = accept
acl_smtp_vrfy = deny

begin acl
recipient:
  deny condition = ${if eq{$received_port}{%[5]d}}
       !verify = certificate
       message = show a certificate first
  deny message = no such mailbox
       local_parts = reject
  defer message = try again later
        local_parts = tempfail
  accept domains = lab.test
  deny message = relay not permitted

begin routers
all:
  driver = accept
  transport = maildir

begin transports
maildir:
  driver = appendfile
  maildir_format
  directory = %[1]s/mail/all/Maildir
  user = nobody
  envelope_to_add
  return_path_add

begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${if and{{eq{$auth2}{alice}}{eq{$auth3}{%[6]s}}}}
login:
  driver = plaintext
  public_name = LOGIN
  server_prompts = Username:: : Password::
  server_condition = ${if and{{eq{$auth1}{alice}}{eq{$auth2}{%[6]s}}}}
cram:
  driver = cram_md5
  public_name = CRAM-MD5
  server_secret = ${if eq{$auth1}{alice}{%[6]s}fail}
`, dir, eximPath, ports[0], ports[1], ports[2], realPassword), 0o644)
	passwd := write(t, filepath.Join(dir, "passwd"), fmt.Sprintf("root:x:0:0::/:/bin/false\nnobody:x:%[1]d:%[2]d::/:/bin/false\nDebian-exim:x:%[1]d:%[2]d::/:/bin/false\n", uid, gid), 0o644)
	group := write(t, filepath.Join(dir, "group"), fmt.Sprintf("root:x:0:\nnogroup:x:%[1]d:\nDebian-exim:x:%[1]d:\nmail:x:8:\n", gid), 0o644)
	for _, path := range []string{dir, filepath.Join(dir, "key.pem")} {
		if err := os.Chown(path, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	out, err := os.Create(filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := exec.Command(eximPath, "-C", conf, "-bdf", "-oP", filepath.Join(dir, "pid"))
	cmd.Env = []string{"LD_PRELOAD=" + wrapper, "NSS_WRAPPER_PASSWD=" + passwd, "NSS_WRAPPER_GROUP=" + group, "PATH=/usr/bin:/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait() // it ends by the signal
		if t.Failed() {
			for _, name := range []string{"out", "mainlog", "paniclog", "rejectlog"} {
				text, _ := os.ReadFile(filepath.Join(dir, name))
				t.Logf("%s: %s", name, text[max(0, len(text)-3000):])
			}
		}
	})
	await(t, "Exim", func() bool { return answers(h.smtp) && answers(h.smtps) && answers(h.demanding) })
	return h
}

// TestExim is the program with a real Exim.
func TestExim(t *testing.T) {
	if testing.Short() {
		t.Skip("real servers take a while")
	}
	h := startExim(t)
	t.Setenv("SMTP_PASSWORD", realPassword)
	dir := t.TempDir()
	head := []string{"--ca", h.ca, "--from", "alice@lab.test"}
	send := func(t *testing.T, code int, args ...string) *report {
		t.Helper()
		return sendJSON(t, code, append(append([]string{}, head...), args...)...)
	}
	for _, link := range [][]string{{"--server", h.smtp, "--tls", "starttls"}, {"--server", h.smtps, "--tls", "implicit"}} {
		for _, mechanism := range []string{"PLAIN", "LOGIN", "CRAM-MD5"} {
			t.Run("AUTH "+mechanism+" "+link[3], func(t *testing.T) {
				args := append([]string{"--user", "alice", "--auth", mechanism, "--to", "bob@lab.test", "--subject", "s", "--text", mechanism}, link...)
				h.stored(t, "all", send(t, 0, args...).MessageID)
				t.Setenv("SMTP_PASSWORD", "wrong-password")
				if got := send(t, 77, args...); !strings.Contains(got.Error, "535") {
					t.Error(got.Error)
				}
			})
		}
	}
	t.Run("the strongest mechanism", func(t *testing.T) {
		code, out, errOut := program(t, append(append([]string{"send", "-v"}, head...), "--server", h.smtp, "--user", "alice", "--to", "bob@lab.test", "--text", "x", "--subject", "s")...)
		if code != 0 || !strings.Contains(out, "C: AUTH CRAM-MD5") {
			t.Errorf("%d\n%s\n%s", code, out, errOut)
		}
	})
	t.Run("no login without TLS", func(t *testing.T) {
		if got := send(t, 77, "--server", h.smtp, "--tls", "none", "--user", "alice", "--to", "bob@lab.test"); !strings.Contains(got.Error, "offers no AUTH") {
			t.Error(got.Error)
		}
	})
	t.Run("a certificate of the client", func(t *testing.T) {
		args := []string{"--server", h.demanding, "--to", "bob@lab.test", "--text", "x", "--subject", "s"}
		if got := send(t, 69, args...); !strings.Contains(got.Recipients[0].Status, "refused") {
			t.Errorf("without a certificate: %+v", got)
		}
		h.stored(t, "all", send(t, 0, append(args, "--client-cert", h.client)...).MessageID)
	})
	t.Run("several recipients", func(t *testing.T) {
		got := make(map[string]string)
		sent := send(t, 79, "--server", h.smtp, "--tls", "none", "--to", "bob@lab.test,reject@lab.test,tempfail@lab.test,eve@elsewhere.test", "--text", "x", "--subject", "s")
		for _, to := range sent.Recipients {
			got[to.Address] = to.Status
		}
		want := map[string]string{"bob@lab.test": "accepted", "reject@lab.test": "refused", "tempfail@lab.test": "deferred", "eve@elsewhere.test": "refused"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if text := readFile(t, h.stored(t, "all", sent.MessageID)); !strings.Contains(text, "Return-path: <alice@lab.test>\nEnvelope-to: bob@lab.test\n") {
			t.Errorf("%s", text)
		}
	})
	picture := write(t, filepath.Join(dir, "cat.png"), strings.Repeat("\x89PNG\r\n\x1a\nnot really\x00\r\n.\r\n", 450_000), 0o600) // 10 MB
	text := "Grüße,\n.\n..\nFrom the start\n" + strings.Repeat("long ", 1000) + "\n你好 \n"
	for _, chunking := range []string{"DATA", "BDAT"} {
		t.Run("a big mail with everything by "+chunking, func(t *testing.T) {
			args := append([]string{"send", "-v"}, head...)
			if chunking == "BDAT" {
				args = append(args, "--chunking")
			}
			args = append(args, "--server", h.smtp, "--to", "Jürgen <jürgen@lab.test>", "--envelope-from", "<>", "--subject", "你好，世界", "--text", text, "--html", `<p>Grüße <img src="cid:cat.png">`, "--inline", picture)
			code, out, errOut := program(t, args...)
			if code != 0 || !strings.Contains(out, "C: "+chunking) || !strings.Contains(out, "SMTPUTF8") {
				t.Fatalf("%d\n%s\n%s", code, out, errOut)
			}
			_, id, _ := strings.Cut(strings.TrimSuffix(out, ">\n"), "Message-ID: <")
			p := readWithPython(t, h.stored(t, "all", id))
			// Python's reader has no addresses beyond ASCII (RFC 6532).
			defects := slices.DeleteFunc(p.Defects, func(d string) bool { return strings.HasPrefix(d, "To: ") })
			if len(defects) > 0 || p.Subject != "你好，世界" || len(p.Parts) != 3 || p.Parts[0].Text != text {
				t.Fatalf("%+v", p)
			}
			if diff := cmp.Diff([]string{"Jürgen|jürgen@lab.test"}, p.To); diff != "" {
				t.Error(diff)
			}
			// As Python's reader does: a Maildir's lines end in LF.
			sum := sha256.Sum256([]byte(strings.ReplaceAll(readFile(t, picture), "\r\n", "\n")))
			if p.Parts[2].SHA256 != hex.EncodeToString(sum[:]) {
				t.Error("the picture did not arrive as it was sent")
			}
		})
	}
	t.Run("larger than the server takes", func(t *testing.T) {
		if got := send(t, 69, "--server", h.smtp, "--to", "bob@lab.test", "--attach", picture, "--attach", picture); !strings.Contains(got.Error, "at most") {
			t.Error(got.Error)
		}
	})
	t.Run("a list", func(t *testing.T) {
		before := h.count("all")
		list := writeList(t, 30, func(n int) string { return fmt.Sprintf("u%d@lab.test", n) })
		code, out, errOut := program(t, append(append([]string{"send"}, head...), "--server", h.smtp, "--each", list, "--connections", "3", "--subject", "{{name}}", "--text", "x")...)
		if code != 0 || !strings.Contains(out, "30 rows: 30 sent") {
			t.Errorf("%d\n%s\n%s", code, out, errOut)
		}
		await(t, "the whole list", func() bool { return h.count("all") == before+30 })
	})
}
