package auth

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"time"

	"golang.org/x/crypto/bcrypt"

	"topdown/webserver/internal/watch"
)

// maxRemembered bounds the credentials that need no bcrypt any more.
const maxRemembered = 1024

// Users are the users of an htpasswd file. The methods may be called
// concurrently.
type Users struct {
	path   string
	report func(error)
	now    func() time.Time
	key    [sha256.Size]byte // of the process: what is remembered is of no use elsewhere
	queue  *queue            // for the bcrypts that may run at a time
	wrong  failures
	file   *watch.Files

	mu         sync.Mutex
	hashes     map[string][]byte
	decoy      []byte // what unknown users are compared with
	remembered map[[sha256.Size]byte]string
}

// Open reads the users of an htpasswd file, which must all have bcrypt hashes.
// When the file changes, it is read again; if the new one cannot be used, the
// old users stay and report, which may be nil, is told why, once.
func Open(path string, report func(error)) (*Users, error) {
	u := &Users{
		path: path, report: report, now: time.Now,
		// A flood of wrong passwords leaves half of the machine to others.
		queue: newQueue(max(1, runtime.GOMAXPROCS(0)/2)),
		wrong: failures{counts: map[claimant]failed{}},
	}
	rand.Read(u.key[:])
	var err error
	if u.file, err = watch.New(u.now(), "the users read before stay", u.load, path); err != nil {
		return nil, err
	}
	return u, nil
}

// Verdict is what Check finds.
type Verdict int

// The verdicts.
const (
	Refused  Verdict = iota // no credentials, or wrong ones
	Admitted                // they prove the user
	TooMany                 // they were not looked at: there were too many before
)

// Check returns the user that an Authorization value proves. It takes one bcrypt
// the first time that it sees a password, for unknown users as well as for known
// ones, and waits for its turn when many come at a time, until ctx is done or gone
// says that nobody waits for the answer. Credentials that were right are remembered
// until the file changes, and never wait.
//
// client is the network that the request comes from. After ten wrong passwords for
// a name from there within a minute, others for that name are not looked at for the
// rest of the minute; nor are those that too many others wait behind.
func (u *Users) Check(ctx context.Context, client netip.Addr, authorization string, gone func() bool) (user string, verdict Verdict) {
	user, password, ok := parseBasic(authorization)
	if !ok {
		return "", Refused
	}
	credentials := keyed(u.key, user+":"+password)

	if fault := u.file.Refresh(u.now()); fault != nil && u.report != nil {
		u.report(fault)
	}
	u.mu.Lock()
	_, known := u.remembered[credentials]
	remembered := u.remembered
	hash, exists := u.hashes[user]
	if !exists {
		hash = u.decoy
	}
	u.mu.Unlock()
	if known {
		return user, Admitted
	}

	who := claimant{client, user}
	if !exists {
		who.user = ""
	}
	if u.wrong.tooMany(who, u.now()) || !u.queue.enter(ctx, who, gone) {
		return "", TooMany
	}
	err := bcrypt.CompareHashAndPassword(hash, []byte(password))
	u.queue.leave()
	if err != nil || !exists {
		u.wrong.add(who, u.now())
		return "", Refused
	}

	u.mu.Lock()
	defer u.mu.Unlock()
	if len(remembered) >= maxRemembered {
		for old := range remembered {
			delete(remembered, old)
			break
		}
	}
	// If the file was read anew in the meantime, this map is no longer used.
	remembered[credentials] = user
	return user, Admitted
}

// load reads the file.
func (u *Users) load() error {
	hashes, err := readFile(u.path)
	if err != nil {
		return err
	}
	cost := bcrypt.MinCost
	for _, hash := range hashes {
		if c, err := bcrypt.Cost(hash); err == nil {
			cost = max(cost, c)
		}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.hashes, u.remembered = hashes, map[[sha256.Size]byte]string{}
	// Any salt and hash will do: nobody is let in by it.
	u.decoy = fmt.Appendf(nil, "$2b$%02d$%.53s", cost, "topdownwebserverdecoy.topdownwebserverdecoy.topdownwebserver")
	return nil
}

func readFile(path string) (map[string][]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("user file: %w", err)
	}
	defer file.Close()
	users, err := parse(file)
	if err != nil {
		return nil, fmt.Errorf("user file %s: %w", path, err)
	}
	return users, nil
}

// keyed returns a hash that only this process can make.
func keyed(key [sha256.Size]byte, text string) (sum [sha256.Size]byte) {
	mac := hmac.New(sha256.New, key[:])
	mac.Write([]byte(text))
	mac.Sum(sum[:0])
	return sum
}
