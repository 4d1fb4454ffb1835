// Package auth decides whether the Authorization field of a request lets it in:
// by a file of users (HTTP Basic, RFC 7617) or by one token (Bearer, RFC 6750).
//
// It neither sends nor logs anything, and what is in a password or a token
// never appears in an error.
package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"strings"
)

// maxCredentials is the longest Authorization value that is looked at.
const maxCredentials = 4096

// parseBasic takes user and password out of an Authorization value.
func parseBasic(authorization string) (user, password string, ok bool) {
	credentials, ok := cutScheme(authorization, "Basic")
	if !ok {
		return "", "", false
	}
	text, err := base64.StdEncoding.DecodeString(credentials)
	if err != nil {
		return "", "", false
	}
	return strings.Cut(string(text), ":")
}

// cutScheme returns what follows the authentication scheme, which is compared
// without regard to case (RFC 9110, section 11.1).
func cutScheme(authorization, scheme string) (credentials string, ok bool) {
	if len(authorization) > maxCredentials || len(authorization) <= len(scheme) ||
		authorization[len(scheme)] != ' ' || !strings.EqualFold(authorization[:len(scheme)], scheme) {
		return "", false
	}
	credentials = strings.Trim(authorization[len(scheme):], " ")
	return credentials, credentials != ""
}

// Token is a secret that lets a request in.
type Token struct {
	key, sum [sha256.Size]byte
}

// NewToken returns the token of that text, without white space around it, as a
// file may have. An empty one is an error: everybody would know it.
func NewToken(secret string) (*Token, error) {
	secret = strings.TrimSpace(secret)
	if secret == "" {
		return nil, errors.New("the token is empty: make one with, for example, openssl rand -hex 16")
	}
	t := new(Token)
	rand.Read(t.key[:])
	t.sum = t.hash(secret)
	return t, nil
}

// Check reports whether an Authorization value holds the token: as
// "Bearer TOKEN", or as the password of Basic, with any user name. The time
// that it takes tells nothing of the token.
func (t *Token) Check(authorization string) bool {
	given, ok := cutScheme(authorization, "Bearer")
	if !ok {
		if _, given, ok = parseBasic(authorization); !ok {
			return false
		}
	}
	sum := t.hash(given)
	return subtle.ConstantTimeCompare(sum[:], t.sum[:]) == 1
}

func (t *Token) hash(secret string) [sha256.Size]byte {
	return keyed(t.key, secret)
}
