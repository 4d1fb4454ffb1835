// Package sasl holds the client side of the authentication exchanges that mail
// servers offer (RFC 4422): SCRAM-SHA-256 (RFC 7677), SCRAM-SHA-1 (RFC
// 5802), CRAM-MD5 (RFC 2195), PLAIN (RFC 4616), LOGIN, OAUTHBEARER (RFC 7628)
// and XOAUTH2.
//
// It knows neither SMTP nor POP3: challenges and responses are plain bytes, the
// protocols encode them in base64.
package sasl

import (
	"crypto/hmac"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/xdg-go/scram"
)

// A Mechanism is one authentication exchange; it serves once.
type Mechanism interface {
	// Name is the mechanism's registered name.
	Name() string
	// Start returns the initial response; ok is false if the server speaks first.
	Start() (response []byte, ok bool, err error)
	// Next answers a challenge.
	Next(challenge []byte) ([]byte, error)
	// Done is asked after the server said yes, and objects if the server has
	// not proved what the mechanism makes it prove.
	Done() error
}

// passwordNames are the mechanisms for a password, strongest first; those of
// tokenNames, whose secret is a token, are used only when named.
var (
	passwordNames = []string{"SCRAM-SHA-256", "SCRAM-SHA-1", "CRAM-MD5", "PLAIN", "LOGIN"}
	tokenNames    = []string{"OAUTHBEARER", "XOAUTH2"}
)

// Names returns the known mechanisms, strongest first.
func Names() []string { return slices.Concat(passwordNames, tokenNames) }

// Choose returns the strongest mechanism for a password among those offered;
// ok is false if there is none.
func Choose(offered []string) (name string, ok bool) {
	for _, name := range passwordNames {
		if slices.ContainsFunc(offered, func(o string) bool { return strings.EqualFold(o, name) }) {
			return name, true
		}
	}
	return "", false
}

// New returns the named mechanism for a user and a password (for OAUTHBEARER
// and XOAUTH2: an access token) at a server, which OAUTHBEARER names.
func New(name, user, password, host, port string) (Mechanism, error) {
	if strings.ContainsAny(user+password, "\x00\x01") {
		return nil, errors.New("user name and password must not contain the bytes 0 and 1")
	}
	name = strings.ToUpper(name)
	switch name {
	case "SCRAM-SHA-256", "SCRAM-SHA-1":
		hash := scram.SHA256
		if strings.HasSuffix(name, "-1") {
			hash = scram.SHA1
		}
		client, err := hash.NewClient(user, password, "")
		if err != nil {
			return nil, fmt.Errorf("user name or password cannot be used with %s: %w", name, err)
		}
		return &scrammed{name, client.NewConversation()}, nil
	case "CRAM-MD5":
		return &cramMD5{user, password}, nil
	case "PLAIN":
		return &recited{name: name, first: "\x00" + user + "\x00" + password}, nil
	case "LOGIN": // it has no RFC: the server asks twice, whatever its questions say
		return &recited{name: name, answers: []string{user, password}}, nil
	case "XOAUTH2": // a challenge describes an error; an empty answer asks for the final reply
		return &recited{name: name, first: "user=" + user + "\x01auth=Bearer " + password + "\x01\x01", answers: []string{""}}, nil
	case "OAUTHBEARER": // the same, asked for by byte 1 (RFC 7628 section 3.2.3)
		first := "n,a=" + strings.NewReplacer("=", "=3D", ",", "=2C").Replace(user) + ",\x01" // RFC 5801 section 4
		if host != "" {
			first += "host=" + host + "\x01port=" + port + "\x01"
		}
		return &recited{name: name, first: first + "auth=Bearer " + password + "\x01\x01", answers: []string{"\x01"}}, nil
	}
	return nil, fmt.Errorf("authentication mechanism %q is unknown: use one of %s", name, strings.Join(Names(), ", "))
}

var errExtra = errors.New("the server asks for more than the mechanism has to say")

// recited is a mechanism that says the same whatever the challenges are.
type recited struct {
	name    string
	first   string   // empty: the server speaks first
	answers []string // not yet given
}

func (m *recited) Name() string                 { return m.name }
func (m *recited) Start() ([]byte, bool, error) { return []byte(m.first), m.first != "", nil }

func (m *recited) Next([]byte) ([]byte, error) {
	if len(m.answers) == 0 {
		return nil, errExtra
	}
	answer := m.answers[0]
	m.answers = m.answers[1:]
	return []byte(answer), nil
}
func (*recited) Done() error { return nil }

type cramMD5 struct{ user, password string }

func (*cramMD5) Name() string                 { return "CRAM-MD5" }
func (*cramMD5) Start() ([]byte, bool, error) { return nil, false, nil }

func (m *cramMD5) Next(challenge []byte) ([]byte, error) {
	if len(challenge) == 0 {
		return nil, errors.New("the server sent an empty CRAM-MD5 challenge")
	}
	mac := hmac.New(md5.New, []byte(m.password))
	mac.Write(challenge)
	return []byte(m.user + " " + hex.EncodeToString(mac.Sum(nil))), nil
}
func (*cramMD5) Done() error { return nil }

// scrammed is SCRAM with either hash.
type scrammed struct {
	name string
	talk *scram.ClientConversation
}

func (m *scrammed) Name() string { return m.name }

func (m *scrammed) Start() ([]byte, bool, error) {
	first, err := m.talk.Step("")
	return []byte(first), true, err
}

// maxIterations bounds the work that a server can ask for: a few seconds' worth.
const maxIterations = 5_000_000

func (m *scrammed) Next(challenge []byte) ([]byte, error) {
	if m.talk.Done() {
		return nil, errExtra
	}
	for field := range strings.SplitSeq(string(challenge), ",") {
		count, ok := strings.CutPrefix(field, "i=")
		if n, err := strconv.Atoi(count); ok && (err != nil || n > maxIterations) {
			return nil, fmt.Errorf("the server asks for %.20q iterations of the hash, %d are the most", count, maxIterations)
		}
	}
	answer, err := m.talk.Step(string(challenge))
	return []byte(answer), err
}

func (m *scrammed) Done() error {
	if !m.talk.Valid() {
		return errors.New("the server said yes without proving that it knows the password")
	}
	return nil
}
