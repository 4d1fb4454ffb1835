package auth

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/bcrypt"
)

const (
	maxFile = 16 << 20 // bytes of a user file
	// maxCost is the most work that a hash may ask for: 2^17 rounds are several
	// seconds, and htpasswd makes no more.
	maxCost = 17
)

// howTo tells how to make a line of the file.
const howTo = "make it with: htpasswd -B FILE NAME"

// parse reads lines of the form "name:hash", with bcrypt hashes. Empty lines
// and lines that begin with "#" are passed over.
func parse(r io.Reader) (map[string][]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("the file is larger than %d bytes", maxFile)
	}
	users, number := map[string][]byte{}, 0
	for line := range strings.Lines(string(data)) {
		number++
		line = strings.TrimRight(line, " \t\r\n")
		if line == "" || line[0] == '#' {
			continue
		}
		name, hash, ok := strings.Cut(line, ":")
		switch {
		case !ok || name == "":
			return nil, fmt.Errorf("line %d: this is not of the form name:hash; %s", number, howTo)
		case !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }):
			return nil, fmt.Errorf("line %d: the name has bytes that no name may have", number)
		case users[name] != nil:
			return nil, fmt.Errorf("line %d: the user %q is there twice; remove one", number, name)
		}
		if err := checkHash(hash); err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		users[name] = []byte(hash)
	}
	if len(users) == 0 {
		return nil, errors.New("there are no users in it; add one with: htpasswd -B FILE NAME")
	}
	return users, nil
}

// checkHash says what is wrong with a hash, which does not appear in the error.
func checkHash(hash string) error {
	kind := "unknown (perhaps crypt, or a password that is not hashed at all)"
	switch {
	case strings.HasPrefix(hash, "$2a$"), strings.HasPrefix(hash, "$2b$"), strings.HasPrefix(hash, "$2y$"):
		// "$2b$", two digits, "$", 22 characters of salt and 31 of hash
		cost, err := bcrypt.Cost([]byte(hash))
		if err != nil || len(hash) != 60 || !isBase64(hash[7:]) {
			return fmt.Errorf("the bcrypt hash is damaged; %s", howTo)
		}
		if cost > maxCost {
			return fmt.Errorf("the bcrypt cost is %d, which takes many seconds; at most %d is accepted, 10 to 12 is usual", cost, maxCost)
		}
		return nil
	case strings.HasPrefix(hash, "$apr1$"), strings.HasPrefix(hash, "$1$"):
		kind = "MD5"
	case strings.HasPrefix(hash, "{SHA}"):
		kind = "SHA-1"
	case strings.HasPrefix(hash, "$5$"), strings.HasPrefix(hash, "$6$"):
		kind = "SHA-crypt"
	}
	return fmt.Errorf("the kind of hash is %s, but only bcrypt is accepted; %s", kind, howTo)
}

// isBase64 reports whether s is written in the alphabet of bcrypt.
func isBase64(s string) bool {
	for _, c := range []byte(s) {
		alnum := '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
		if !alnum && c != '.' && c != '/' {
			return false
		}
	}
	return true
}
