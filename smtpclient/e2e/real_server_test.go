//go:build linux

package e2e

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const realPassword = "correct-horse-42"

// mailHost is a Postfix and a Dovecot on loopback, run from a scratch directory.
type mailHost struct {
	dir                             string
	ca                              string
	smtp, submission, smtps         string // addresses
	pop3, pop3s                     string
	uid, gid                        int
	smtpPort, submitPort, smtpsPort int
}

var realUsers = []string{"alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan", "judy", "jürgen", "mallory"}

// missing skips the test if a program is not installed, or fails it where the
// real servers have to be there.
func missing(t *testing.T, programs ...string) {
	t.Helper()
	var reasons []string
	if os.Getuid() != 0 {
		reasons = append(reasons, "not running as root")
	}
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			reasons = append(reasons, program+" is not installed")
		}
	}
	if len(reasons) == 0 {
		return
	}
	lacking(t, strings.Join(reasons, ", "))
}

// freePort returns a port of 127.0.0.1 that is left to the test until it ends. The
// system gives it to nobody, as it is below those for ":0" and for outgoing
// connections; and a test of another process that calls this gets another.
func freePort(t *testing.T) int {
	t.Helper()
	at := func(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
	for range 1000 {
		port := 20000 + rand.IntN(6000)
		// The sign for other processes that it is taken: the UDP port 6000 above.
		sign, err := net.ListenPacket("udp4", at(port+6000))
		if err != nil {
			continue
		}
		if ln, err := net.Listen("tcp4", at(port)); err == nil {
			ln.Close()
			t.Cleanup(func() { sign.Close() })
			return port
		}
		sign.Close()
	}
	t.Fatal("no port of 20000 to 25999 is free")
	return 0
}

func write(t *testing.T, path, text string, mode os.FileMode) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// await waits for a condition, at most half a minute.
func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func answers(addr string) bool {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err == nil {
		c.Close()
	}
	return err == nil
}

// endProcess ends a process by its id and waits until it is gone.
func endProcess(t *testing.T, pid int) {
	t.Helper()
	_ = syscall.Kill(pid, syscall.SIGTERM)
	for range 500 {
		if syscall.Kill(pid, 0) != nil {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	_ = syscall.Kill(pid, syscall.SIGKILL)
}

func startMailHost(t *testing.T) *mailHost {
	t.Helper()
	missing(t, "postfix", "dovecot", "postmap")
	dir, err := os.MkdirTemp("", "topdown-mail-") //nolint:usetesting // the daemons' users must be able to enter it, t.TempDir is for us alone
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	h := &mailHost{dir: dir}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	h.uid, _ = strconv.Atoi(nobody.Uid)
	h.gid, _ = strconv.Atoi(nobody.Gid)
	config, ca := certificate(t, "127.0.0.1", time.Now().Add(24*time.Hour))
	h.ca = ca
	keyDER, err := x509.MarshalPKCS8PrivateKey(config.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	key := write(t, filepath.Join(dir, "key.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})), 0o600)
	cert := write(t, filepath.Join(dir, "cert.pem"), readFile(t, ca), 0o644)
	if err := os.Mkdir(filepath.Join(dir, "mail"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(filepath.Join(dir, "mail"), h.uid, h.gid); err != nil {
		t.Fatal(err)
	}
	h.smtpPort, h.submitPort, h.smtpsPort = freePort(t), freePort(t), freePort(t)
	local := func(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
	h.smtp, h.submission, h.smtps = local(h.smtpPort), local(h.submitPort), local(h.smtpsPort)
	h.dovecot(t, key, cert)
	h.postfix(t, key, cert)
	return h
}

// daemon starts a program that goes to the background. It writes to a file: a
// pipe would stay open as long as the daemon lives.
func (h *mailHost) daemon(t *testing.T, name string, args ...string) {
	t.Helper()
	path := filepath.Join(h.dir, name+".out")
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		log, _ := os.ReadFile(filepath.Join(h.dir, "mail.log"))
		t.Fatalf("%s: %v\n%s%s", name, err, readFile(t, path), log)
	}
}

func (h *mailHost) postfix(t *testing.T, key, cert string) {
	t.Helper()
	conf, queue, data := filepath.Join(h.dir, "pf"), filepath.Join(h.dir, "queue"), filepath.Join(h.dir, "data")
	for _, dir := range []string{conf, queue, data} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	postfixUser, err := user.Lookup("postfix")
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(postfixUser.Uid)
	gid, _ := strconv.Atoi(postfixUser.Gid)
	for _, dir := range []string{data, filepath.Join(queue, "private")} {
		if err := os.Chown(dir, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	var boxes strings.Builder
	for _, name := range realUsers {
		fmt.Fprintf(&boxes, "%s@lab.test %s/Maildir/\n", name, name)
	}
	mailboxes := write(t, filepath.Join(conf, "mailboxes"), boxes.String(), 0o644)
	policy := write(t, filepath.Join(conf, "policy"), "/^tempfail@/ 450 4.2.0 try again later\n/^reject@/ 550 5.1.1 no such mailbox\n", 0o644)
	write(t, filepath.Join(conf, "main.cf"), fmt.Sprintf(`compatibility_level = 3.6
queue_directory = %[1]s
data_directory = %[2]s
maillog_file = %[3]s/mail.log
maillog_file_prefixes = %[3]s
myhostname = mail.lab.test
mydestination =
mynetworks =
inet_interfaces = loopback-only
inet_protocols = ipv4
alias_maps =
alias_database =
virtual_mailbox_domains = lab.test
virtual_mailbox_base = %[3]s/mail
virtual_mailbox_maps = texthash:%[4]s
virtual_uid_maps = static:%[5]d
virtual_gid_maps = static:%[6]d
virtual_minimum_uid = 100
virtual_mailbox_limit = 0
default_transport = error:5.7.1 this server sends nothing away
relay_transport = error:5.7.1 this server sends nothing away
smtpd_tls_chain_files = %[7]s, %[8]s
smtpd_tls_security_level = may
smtpd_tls_auth_only = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = private/auth
smtpd_sasl_security_options = noanonymous
smtpd_relay_restrictions = permit_sasl_authenticated, reject_unauth_destination
smtpd_recipient_restrictions = check_recipient_access regexp:%[9]s
smtpd_forbid_bare_newline = reject
smtpd_forbid_bare_newline_exclusions =
smtpd_forbid_unauth_pipelining = yes
smtputf8_enable = yes
message_size_limit = 52428800
`, queue, data, h.dir, mailboxes, h.uid, h.gid, key, cert, policy), 0o644)
	write(t, filepath.Join(conf, "master.cf"), fmt.Sprintf(`127.0.0.1:%d inet n - n - - smtpd
127.0.0.1:%d inet n - n - - smtpd
  -o smtpd_tls_security_level=encrypt -o smtpd_sasl_auth_enable=yes
127.0.0.1:%d inet n - n - - smtpd
  -o smtpd_tls_wrappermode=yes -o smtpd_sasl_auth_enable=yes
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
`, h.smtpPort, h.submitPort, h.smtpsPort), 0o644)
	h.daemon(t, "postfix", "-c", conf, "start")
	t.Cleanup(func() {
		pid, err := strconv.Atoi(strings.TrimSpace(readFile(t, filepath.Join(queue, "pid", "master.pid"))))
		if err != nil {
			t.Error(err)
			return
		}
		endProcess(t, pid)
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(h.dir, "mail.log"))
			t.Logf("%s", log[max(0, len(log)-3000):])
		}
	})
	await(t, "Postfix", func() bool { return answers(h.smtp) && answers(h.submission) && answers(h.smtps) })
}

func (h *mailHost) dovecot(t *testing.T, key, cert string) {
	t.Helper()
	pop3, pop3s := freePort(t), freePort(t)
	h.pop3, h.pop3s = net.JoinHostPort("127.0.0.1", strconv.Itoa(pop3)), net.JoinHostPort("127.0.0.1", strconv.Itoa(pop3s))
	var users strings.Builder
	for _, name := range realUsers {
		fmt.Fprintf(&users, "%s:{PLAIN}%s\n", name, realPassword)
	}
	passwords := write(t, filepath.Join(h.dir, "passwords"), users.String(), 0o644)
	if err := os.MkdirAll(filepath.Join(h.dir, "queue", "private"), 0o755); err != nil {
		t.Fatal(err)
	}
	conf := write(t, filepath.Join(h.dir, "dovecot.conf"), fmt.Sprintf(`base_dir = %[1]s/dovecot
state_dir = %[1]s/dovecot-state
log_path = %[1]s/dovecot.log
protocols = pop3
listen = 127.0.0.1
ssl = yes
ssl_cert = <%[2]s
ssl_key = <%[3]s
disable_plaintext_auth = yes
auth_mechanisms = plain login cram-md5 scram-sha-1 scram-sha-256
auth_username_chars =
mail_location = maildir:%[1]s/mail/%%n/Maildir
first_valid_uid = 100
passdb {
  driver = passwd-file
  args = scheme=PLAIN username_format=%%n %[4]s
}
userdb {
  driver = static
  args = uid=%[5]d gid=%[6]d home=%[1]s/mail/%%n
}
service pop3-login {
  inet_listener pop3 {
    port = %[7]d
  }
  inet_listener pop3s {
    port = %[8]d
    ssl = yes
  }
}
service auth {
  unix_listener %[1]s/queue/private/auth {
    mode = 0666
  }
}
`, h.dir, cert, key, passwords, h.uid, h.gid, pop3, pop3s), 0o644)
	h.daemon(t, "dovecot", "-c", conf)
	t.Cleanup(func() {
		pid, err := strconv.Atoi(strings.TrimSpace(readFile(t, filepath.Join(h.dir, "dovecot", "master.pid"))))
		if err != nil {
			t.Error(err)
			return
		}
		endProcess(t, pid)
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(h.dir, "dovecot.log"))
			t.Logf("%s", log[max(0, len(log)-2000):])
		}
	})
	await(t, "Dovecot", func() bool { return answers(h.pop3) && answers(h.pop3s) })
}

// stored waits for a message of the given Message-ID in a user's Maildir and
// returns its file.
func (h *mailHost) stored(t *testing.T, name, id string) string {
	t.Helper()
	var found string
	await(t, "mail "+id+" in the mailbox of "+name, func() bool {
		for _, sub := range []string{"new", "cur"} {
			paths, _ := filepath.Glob(filepath.Join(h.dir, "mail", name, "Maildir", sub, "*"))
			for _, path := range paths {
				if data, err := os.ReadFile(path); err == nil && strings.Contains(string(data), "<"+id+">") {
					found = path
					return true
				}
			}
		}
		return false
	})
	return found
}

func (h *mailHost) count(name string) int {
	paths, _ := filepath.Glob(filepath.Join(h.dir, "mail", name, "Maildir", "*", "*"))
	return len(paths)
}
