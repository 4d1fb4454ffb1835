package access

import (
	"bufio"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// Users checks user names and passwords against a password file.
type Users struct {
	hashes map[string][]byte
	dummy  []byte        // compared with for a name that is not there
	key    [32]byte      // of the remembered credentials
	slots  chan struct{} // comparisons under way: each is meant to be costly

	mu       sync.Mutex
	verified map[[32]byte]string    // credentials that were right, to user names
	failures map[netip.Addr]failure // by Network
}

type failure struct {
	count int
	until time.Time
}

// A client (see Network) that has failed maxFailures times within failureWindow is
// not heard until the window is over.
const (
	maxFailures   = 20
	failureWindow = time.Minute
	maxRemembered = 4096
)

// ParseUsers reads a password file as htpasswd -B writes it: "name:hash" a
// line, bcrypt only.
func ParseUsers(r io.Reader) (*Users, error) {
	u := &Users{
		hashes:   make(map[string][]byte),
		slots:    make(chan struct{}, 2),
		verified: make(map[[32]byte]string),
		failures: make(map[netip.Addr]failure),
	}
	rand.Read(u.key[:])
	cost := bcrypt.MinCost
	scanner := bufio.NewScanner(r)
	for number := 1; scanner.Scan(); number++ {
		line := strings.TrimSpace(scanner.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		name, hash, ok := strings.Cut(line, ":")
		if !ok || name == "" {
			return nil, fmt.Errorf("line %d: not of the form name:hash", number)
		}
		c, err := bcrypt.Cost([]byte(hash))
		if err != nil {
			return nil, fmt.Errorf("line %d: the hash of user %q is not bcrypt: make it with htpasswd -B", number, name)
		}
		cost = max(cost, c)
		u.hashes[name] = []byte(hash)
	}
	if err := scanner.Err(); err != nil {
		return nil, fmt.Errorf("read the password file: %w", err)
	}
	if len(u.hashes) == 0 {
		return nil, errors.New("the password file has no users")
	}
	dummy, err := bcrypt.GenerateFromPassword(u.key[:16], cost)
	if err != nil {
		return nil, fmt.Errorf("prepare the comparison: %w", err)
	}
	u.dummy = dummy
	return u, nil
}

// ErrTooManyFailures is what Check returns for a client that has failed too
// often.
var ErrTooManyFailures = errors.New("too many wrong passwords from this address: wait a minute")

// ErrCredentials is what Check returns for missing or wrong credentials.
var ErrCredentials = errors.New("a user name and password are needed")

// Check returns the user whose credentials a (Proxy-)Authorization value holds
// (Basic, RFC 7617).
func (u *Users) Check(authorization string, from netip.Addr, now time.Time) (user string, err error) {
	scheme, encoded, _ := strings.Cut(authorization, " ")
	if authorization == "" || !strings.EqualFold(scheme, "Basic") {
		return "", ErrCredentials
	}
	mac := hmac.New(sha256.New, u.key[:])
	mac.Write([]byte(authorization))
	digest := [32]byte(mac.Sum(nil))
	u.mu.Lock()
	user, ok := u.verified[digest]
	u.mu.Unlock()
	if ok {
		return user, nil
	}
	if u.blocked(from, now) {
		return "", ErrTooManyFailures
	}
	decoded, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
	if err != nil {
		return "", ErrCredentials
	}
	name, password, ok := strings.Cut(string(decoded), ":")
	if !ok {
		return "", ErrCredentials
	}
	u.slots <- struct{}{}
	defer func() { <-u.slots }()
	// Others may have failed while this one waited for its turn.
	if u.blocked(from, now) {
		return "", ErrTooManyFailures
	}
	if !u.compare(name, password) {
		u.fail(from, now)
		return "", ErrCredentials
	}
	u.mu.Lock()
	if len(u.verified) >= maxRemembered {
		clear(u.verified)
	}
	u.verified[digest] = name
	u.mu.Unlock()
	return name, nil
}

// blocked reports whether an address has failed too often.
func (u *Users) blocked(from netip.Addr, now time.Time) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	f := u.failures[Network(from)]
	return f.count >= maxFailures && now.Before(f.until)
}

func (u *Users) compare(name, password string) bool {
	hash, known := u.hashes[name]
	if !known {
		hash = u.dummy
	}
	return bcrypt.CompareHashAndPassword(hash, []byte(password)) == nil && known
}

func (u *Users) fail(from netip.Addr, now time.Time) {
	from = Network(from)
	u.mu.Lock()
	defer u.mu.Unlock()
	f, known := u.failures[from]
	if !known && len(u.failures) >= maxRemembered {
		u.evictFailure(now)
	}
	if now.After(f.until) {
		f = failure{until: now.Add(failureWindow)}
	}
	f.count++
	u.failures[from] = f
}

// evictFailure makes room for one more: of what is over, or else of the network
// that has failed least, so that filling the table sets nobody free who is
// locked out.
func (u *Users) evictFailure(now time.Time) {
	var least netip.Addr
	fewest := failure{count: 1 << 30}
	for addr, f := range u.failures {
		if now.After(f.until) {
			delete(u.failures, addr)
			continue
		}
		if f.count < fewest.count || f.count == fewest.count && f.until.Before(fewest.until) {
			least, fewest = addr, f
		}
	}
	if len(u.failures) >= maxRemembered {
		delete(u.failures, least)
	}
}

// Network returns what counts as one client: an IPv4 address, or the /64 that
// one subscriber gets of IPv6.
func Network(addr netip.Addr) netip.Addr {
	addr = addr.Unmap().WithZone("")
	if !addr.Is6() {
		return addr
	}
	prefix, err := addr.Prefix(64)
	if err != nil {
		return addr
	}
	return prefix.Addr()
}
