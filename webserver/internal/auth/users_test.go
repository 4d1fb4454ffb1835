package auth

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/bcrypt"

	"topdown/webserver/internal/watch"
)

// hash returns a cheap bcrypt hash of that kind.
func hash(tb testing.TB, kind, password string) string {
	tb.Helper()
	h, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		tb.Fatal(err)
	}
	return kind + strings.TrimPrefix(string(h), "$2a$")
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// setup is a user file with a clock that the test moves.
type setup struct {
	*Users
	path string

	clockMu sync.Mutex
	clock   time.Time
	reports []string
}

func newSetup(t *testing.T, text string) *setup {
	t.Helper()
	s := &setup{path: filepath.Join(t.TempDir(), "users")}
	write(t, s.path, text)
	var err error
	if s.Users, err = Open(s.path, func(err error) { s.reports = append(s.reports, err.Error()) }); err != nil {
		t.Fatal(err)
	}
	s.clock = time.Now()
	s.now = func() time.Time {
		s.clockMu.Lock()
		defer s.clockMu.Unlock()
		return s.clock
	}
	return s
}

// later lets as much time pass as it takes until the file is looked at again.
func (s *setup) later() {
	s.clockMu.Lock()
	defer s.clockMu.Unlock()
	s.clock = s.clock.Add(2 * watch.Every)
}

func (s *setup) check(t *testing.T, user, password string, want bool) {
	t.Helper()
	got, verdict := s.Check(t.Context(), netip.Addr{}, basic(user, password), stays)
	ok := verdict == Admitted
	if ok != want || ok && got != user || !ok && got != "" {
		t.Errorf("%s with %q: %q, %v", user, password, got, ok)
	}
}

func TestCheck(t *testing.T) {
	s := newSetup(t, "# users\n\nada:"+hash(t, "$2a$", "one:two")+"\r\nbob:"+hash(t, "$2b$", "b")+"\nöre:"+hash(t, "$2y$", "")+"\n")
	for range 2 { // the second time from memory
		s.check(t, "ada", "one:two", true)
		s.check(t, "bob", "b", true)
		s.check(t, "öre", "", true)
		s.check(t, "ada", "b", false)
		s.check(t, "ADA", "one:two", false)
		s.check(t, "eve", "", false)
		s.check(t, "", "", false)
		s.check(t, "bob", strings.Repeat("b", 100), false)
	}
	for _, authorization := range []string{"", "Basic", "Bearer x", "Basic !!!", "Basic YWRh"} {
		if user, verdict := s.Check(t.Context(), netip.Addr{}, authorization, stays); verdict != Refused {
			t.Errorf("%q let %q in", authorization, user)
		}
	}
	if len(s.remembered) != 3 {
		t.Errorf("%d credentials remembered, want 3", len(s.remembered))
	}
	if len(s.reports) != 0 {
		t.Errorf("reports: %q", s.reports)
	}
}

func TestReload(t *testing.T) {
	s := newSetup(t, "ada:"+hash(t, "$2y$", "old")+"\n")
	s.check(t, "ada", "old", true)
	write(t, s.path, "ada:"+hash(t, "$2y$", "new")+"\n")
	s.check(t, "ada", "old", true) // within a second
	s.later()
	s.check(t, "ada", "old", false)
	s.check(t, "ada", "new", true)

	write(t, s.path, "ada:plain\n")
	for range 3 {
		s.later()
		s.check(t, "ada", "new", true)
	}
	if len(s.reports) != 1 || !strings.Contains(s.reports[0], "line 1") || !strings.Contains(s.reports[0], "stay") || strings.Contains(s.reports[0], "plain") {
		t.Errorf("reports about a broken file: %q", s.reports)
	}
	if err := os.Remove(s.path); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		s.later()
		s.check(t, "ada", "new", true)
	}
	if len(s.reports) != 2 {
		t.Errorf("reports about a missing file: %q", s.reports)
	}
	write(t, s.path, "bob:"+hash(t, "$2y$", "b")+"\n")
	s.later()
	s.check(t, "bob", "b", true)
	s.check(t, "ada", "new", false)
	if len(s.reports) != 2 {
		t.Errorf("reports: %q", s.reports)
	}
}

// TestWhileTheFileIsRead: whose password is known comes in while the file is being
// read anew, however long that takes.
func TestWhileTheFileIsRead(t *testing.T) {
	s := newSetup(t, "ada:"+hash(t, "$2y$", "x")+"\n")
	s.check(t, "ada", "x", true)
	reading, done := make(chan bool), make(chan bool)
	slow := false
	var err error
	s.file, err = watch.New(s.now(), "", func() error {
		if slow {
			reading <- true
			<-done
		}
		return nil
	}, s.path)
	if err != nil {
		t.Fatal(err)
	}
	slow = true
	write(t, s.path, "")
	s.later()
	var reader sync.WaitGroup
	reader.Go(func() { s.check(t, "ada", "x", true) })
	<-reading
	s.check(t, "ada", "x", true)
	close(done)
	reader.Wait()
}

func TestRememberedIsBounded(t *testing.T) {
	s := newSetup(t, "ada:"+hash(t, "$2y$", "x")+"\n")
	for i := range maxRemembered {
		s.remembered[keyed(s.key, fmt.Sprint(i))] = "x"
	}
	s.check(t, "ada", "x", true)
	if len(s.remembered) != maxRemembered {
		t.Errorf("%d remembered, want %d", len(s.remembered), maxRemembered)
	}
	if _, ok := s.remembered[keyed(s.key, "ada:x")]; !ok {
		t.Error("the newest is not remembered")
	}
}

// stays is a client that waits for its answer.
func stays() bool { return false }

var (
	attacker = netip.MustParseAddr("192.0.2.1")
	visitor  = netip.MustParseAddr("192.0.2.2")
)

// TestAFloodHoldsNobodyUp: 256 wrong passwords from one client; a remembered user
// does not wait, and a fresh one, even behind the same address, waits for a few
// checks at most. What nobody waits for any more is not computed.
func TestAFloodHoldsNobodyUp(t *testing.T) {
	slow, err := bcrypt.GenerateFromPassword([]byte("x"), 8)
	if err != nil {
		t.Fatal(err)
	}
	s := newSetup(t, "ada:"+string(slow)+"\nbob:"+string(slow)+"\n")
	s.check(t, "ada", "x", true)
	var left atomic.Bool
	var wg sync.WaitGroup
	var computed atomic.Int64
	for i := range 256 {
		wg.Go(func() {
			if _, verdict := s.Check(t.Context(), attacker, basic("ada", fmt.Sprint(i)), left.Load); verdict == Refused {
				computed.Add(1)
			}
		})
	}
	for _, client := range []netip.Addr{visitor, attacker} {
		// Counted rather than timed: a check takes 15 ms, or a second under the race
		// detector on a busy machine.
		before := computed.Load()
		if _, verdict := s.Check(t.Context(), client, basic("bob", "x"), stays); verdict != Admitted {
			t.Errorf("a fresh user: %v", verdict)
		}
		if n := computed.Load() - before; n > int64(2*runtime.GOMAXPROCS(0)) {
			t.Errorf("a fresh user waited for %d checks of others", n)
		}
		s.lockForget("bob")
	}
	s.check(t, "ada", "x", true)
	left.Store(true)
	wg.Wait()
	if n := computed.Load(); n > 3*maxWaiting+maxFailures {
		t.Errorf("%d of 256 guesses were computed", n)
	}
}

// lockForget makes a remembered user a fresh one again.
func (s *setup) lockForget(user string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for credentials, known := range s.remembered {
		if known == user {
			delete(s.remembered, credentials)
		}
	}
}

// TestGuessesAreLimited: ten wrong passwords for a name, and then none is looked
// at for a minute, the right one neither; another name and another client are not
// concerned.
func TestGuessesAreLimited(t *testing.T) {
	s := newSetup(t, "ada:"+hash(t, "$2y$", "x")+"\nbob:"+hash(t, "$2y$", "y")+"\n")
	check := func(client netip.Addr, user, password string, want Verdict) {
		t.Helper()
		if _, got := s.Check(t.Context(), client, basic(user, password), stays); got != want {
			t.Errorf("%s with %q from %v: %v, want %v", user, password, client, got, want)
		}
	}
	for range maxFailures {
		check(attacker, "ada", "wrong", Refused)
		check(attacker, "nobody", "wrong", Refused)
	}
	check(attacker, "ada", "wrong", TooMany)
	check(attacker, "somebody", "wrong", TooMany) // another unknown name
	check(attacker, "ada", "x", TooMany)
	check(attacker, "bob", "y", Admitted)
	check(visitor, "ada", "x", Admitted)
	check(attacker, "ada", "x", Admitted) // remembered now
	s.clockMu.Lock()
	s.clock = s.clock.Add(failureTime)
	s.clockMu.Unlock()
	check(attacker, "ada", "still wrong", Refused)
}

// TestQueue: the right goes round between claimants, a canceled check keeps no
// place, and nothing of it leaks.
func TestQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1)
		one, two := claimant{attacker, "a"}, claimant{visitor, "b"}
		if !q.enter(t.Context(), one, stays) {
			t.Fatal("the first waits")
		}
		var mu sync.Mutex
		var order []string
		var wg sync.WaitGroup
		enter := func(ctx context.Context, who claimant, gone func() bool, name string) {
			wg.Go(func() {
				entered := q.enter(ctx, who, gone)
				if !entered {
					name += " dropped"
				}
				mu.Lock()
				order = append(order, name)
				mu.Unlock()
				if entered {
					q.leave()
				}
			})
			synctest.Wait()
		}
		for i := range maxWaiting + 1 {
			enter(t.Context(), one, stays, fmt.Sprint("one ", i))
		}
		ctx, cancel := context.WithCancel(t.Context())
		enter(ctx, two, stays, "two 0")
		enter(t.Context(), two, func() bool { return true }, "two 1")
		enter(t.Context(), two, stays, "two 2")
		cancel()
		time.Sleep(2 * lookEvery)
		synctest.Wait()
		q.leave()
		wg.Wait()
		want := []string{"one 0 dropped", "two 0 dropped", "two 1 dropped", "one 1", "two 2", "one 2", "one 3", "one 4"}
		if diff := cmp.Diff(want, order); diff != "" {
			t.Errorf("order (-want +got):\n%s", diff)
		}
		if len(q.waiting) != 0 || len(q.turn) != 0 || q.free != 1 {
			t.Errorf("left: %d waiting, %d in turn, %d free", len(q.waiting), len(q.turn), q.free)
		}
	})
}

// TestNoTurnIsLeftBehind: who comes and goes a hundred times while others compute
// has one turn, not a hundred before the next client.
func TestNoTurnIsLeftBehind(t *testing.T) {
	q := newQueue(1)
	one, two := claimant{attacker, "a"}, claimant{visitor, "b"}
	if !q.enter(t.Context(), two, stays) {
		t.Fatal("the first waits")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for range 100 {
		if q.enter(ended, one, stays) {
			t.Fatal("entered while another computes")
		}
	}
	if len(q.waiting) != 0 || len(q.turn) != 0 {
		t.Errorf("left: %d waiting, %d in turn", len(q.waiting), len(q.turn))
	}
}

// TestUnknownUsersCostTheSame counts rather than times: what an unknown user is
// compared with must ask for the same work as a known user's hash.
func TestUnknownUsersCostTheSame(t *testing.T) {
	expensive, err := bcrypt.GenerateFromPassword([]byte("x"), bcrypt.MinCost+2)
	if err != nil {
		t.Fatal(err)
	}
	s := newSetup(t, "ada:"+hash(t, "$2y$", "x")+"\nbob:"+string(expensive)+"\n")
	if cost, err := bcrypt.Cost(s.decoy); err != nil || cost != bcrypt.MinCost+2 {
		t.Errorf("cost %d, %v", cost, err)
	}
	if err := bcrypt.CompareHashAndPassword(s.decoy, []byte("x")); !errors.Is(err, bcrypt.ErrMismatchedHashAndPassword) {
		t.Errorf("the comparison ended early: %v", err)
	}
	if len(s.decoy) != 60 {
		t.Errorf("%d bytes: %s", len(s.decoy), s.decoy)
	}
}

func TestOpenErrors(t *testing.T) {
	good := hash(t, "$2y$", "x")
	tests := map[string]struct{ text, want string }{
		"MD5":              {"a:" + good + "\nb:$apr1$abc$xyz\n", "line 2: the kind of hash is MD5"},
		"SHA-1":            {"b:{SHA}xyz=\n", "SHA-1"},
		"SHA-crypt":        {"b:$6$abc$xyz\n", "SHA-crypt"},
		"crypt":            {"b:rqXexS6ZhobKA\n", "unknown"},
		"plain":            {"b:secret\n", "only bcrypt is accepted; make it with: htpasswd -B"},
		"no colon":         {"ada\n", "line 1: this is not of the form name:hash"},
		"no name":          {":" + good, "name:hash"},
		"twice":            {"a:" + good + "\na:" + good, `line 2: the user "a" is there twice`},
		"control in name":  {"a\x1b:" + good, "no name may have"},
		"not UTF-8":        {"a\xff:" + good, "no name may have"},
		"damaged":          {"a:" + good[:59], "damaged"},
		"damaged salt":     {"a:" + good[:10] + "!" + good[11:], "damaged"},
		"cost not digits":  {"a:$2y$x0" + good[6:], "damaged"},
		"cost too high":    {"a:$2y$30" + good[6:], "the bcrypt cost is 30"},
		"empty":            {"", "no users"},
		"comments only":    {"# a\n\n", "no users"},
		"more than a hash": {"a:" + good + ":x", "damaged"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "users")
			write(t, path, test.text)
			_, err := Open(path, nil)
			if err == nil {
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("%v, want %q and the file's name", err, test.want)
			}
			if strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), good) {
				t.Errorf("%v shows a secret", err)
			}
		})
	}
	if _, err := Open(filepath.Join(t.TempDir(), "missing"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
}

// TestHtpasswd has the usual tool make the file.
func TestHtpasswd(t *testing.T) {
	htpasswd, err := exec.LookPath("htpasswd")
	if err != nil {
		if os.Getenv("TOPDOWN_REQUIRE_REAL") == "1" {
			t.Fatal("htpasswd is not installed: apt-get install apache2-utils")
		}
		t.Skip("htpasswd is not installed")
	}
	path := filepath.Join(t.TempDir(), "users")
	if out, err := exec.CommandContext(t.Context(), htpasswd, "-cbB", "-C", "5", path, "ada", "l0velace").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	users, err := Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if user, verdict := users.Check(t.Context(), netip.Addr{}, basic("ada", "l0velace"), stays); verdict != Admitted || user != "ada" {
		t.Errorf("%q, %v", user, verdict)
	}
	if _, verdict := users.Check(t.Context(), netip.Addr{}, basic("ada", "lovelace"), stays); verdict != Refused {
		t.Error("a wrong password was right")
	}
	if out, err := exec.CommandContext(t.Context(), htpasswd, "-bm", path, "bob", "x").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if _, err := Open(path, nil); err == nil || !strings.Contains(err.Error(), "line 2: the kind of hash is MD5") {
		t.Errorf("MD5: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("a:" + hash(f, "$2y$", "x") + "\n# b\n\n")
	f.Add("a:$apr1$x")
	f.Fuzz(func(t *testing.T, text string) {
		users, err := parse(strings.NewReader(text))
		if (err == nil) != (len(users) > 0) {
			t.Fatalf("%d users, error %v", len(users), err)
		}
		for name, hash := range users {
			if cost, err := bcrypt.Cost(hash); name == "" || err != nil || cost > maxCost {
				t.Errorf("user %q: cost %d, %v", name, cost, err)
			}
		}
	})
}

func BenchmarkCheckRemembered(b *testing.B) {
	path := filepath.Join(b.TempDir(), "users")
	if err := os.WriteFile(path, []byte("ada:"+hash(b, "$2y$", "x")), 0o600); err != nil {
		b.Fatal(err)
	}
	users, err := Open(path, nil)
	if err != nil {
		b.Fatal(err)
	}
	authorization := basic("ada", "x")
	for b.Loop() {
		if _, verdict := users.Check(b.Context(), netip.Addr{}, authorization, stays); verdict != Admitted {
			b.Fatal("refused")
		}
	}
}
