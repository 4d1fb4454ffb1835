package sasl

import (
	"errors"
	"strings"
)

var errToken = errors.New("user name and token must not contain byte 1")

// tokenFits tells whether user and token can stand between bytes 1.
func tokenFits(user, token string) bool {
	return !strings.ContainsRune(user, 1) && !strings.ContainsRune(token, 1)
}

type xoauth2 struct{ user, token string }

func (*xoauth2) Name() string { return "XOAUTH2" }

func (m *xoauth2) Start() ([]byte, bool, error) {
	return []byte("user=" + m.user + "\x01auth=Bearer " + m.token + "\x01\x01"), true, nil
}

// A challenge is the server's description of an error; an empty answer asks
// for the final reply.
func (*xoauth2) Next([]byte) ([]byte, error) { return nil, nil }
func (*xoauth2) Done() error                 { return nil }

// oauthBearer is XOAUTH2's standard (RFC 7628).
type oauthBearer struct {
	user, token string
	server      Server
}

func (*oauthBearer) Name() string { return "OAUTHBEARER" }

func (m *oauthBearer) Start() ([]byte, bool, error) {
	user := strings.NewReplacer("=", "=3D", ",", "=2C").Replace(m.user) // RFC 5801 section 4
	response := "n,a=" + user + ",\x01"
	if m.server.Host != "" {
		response += "host=" + m.server.Host + "\x01port=" + m.server.Port + "\x01"
	}
	return []byte(response + "auth=Bearer " + m.token + "\x01\x01"), true, nil
}

// A challenge describes an error; byte 1 asks for the final reply (RFC 7628
// section 3.2.3).
func (*oauthBearer) Next([]byte) ([]byte, error) { return []byte{1}, nil }
func (*oauthBearer) Done() error                 { return nil }
