package message

import (
	"fmt"
	"net/mail"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// An Address is a mailbox: a name for people and the address itself, in any
// script (RFC 5322 section 3.4, RFC 6532).
type Address struct {
	Name   string
	Local  string // before the @, without quotes
	Domain string // after it; in ASCII form if Local is ASCII
}

// ParseAddress reads one address, as "bob@example.com" or "Bob <bob@example.com>".
func ParseAddress(s string) (Address, error) {
	if local, domain, ok := strings.Cut(s, "@"); ok && plainAtoms(local, isAtext) && len(local) <= 64 && plainAtoms(domain, isLetterOrDigit) && len(domain) <= 255 {
		return Address{Local: local, Domain: domain}, nil // the usual case, without a parser
	}
	list, err := ParseAddressList(s)
	if err != nil {
		return Address{}, err
	}
	if len(list) != 1 {
		return Address{}, fmt.Errorf("%q holds %d addresses instead of one", s, len(list))
	}
	return list[0], nil
}

// ParseAddressList reads addresses separated by commas.
func ParseAddressList(s string) ([]Address, error) {
	if err := checkLine(s); err != nil {
		return nil, fmt.Errorf("address %q: %w", s, err)
	}
	parser := mail.AddressParser{WordDecoder: wordDecoder}
	parsed, err := parser.ParseList(s)
	if err != nil {
		return nil, fmt.Errorf("%q is no mail address: ann@example.com or \"Ann <ann@example.com>\" is expected", s)
	}
	list := make([]Address, len(parsed))
	for i, p := range parsed {
		if list[i], err = newAddress(p.Name, p.Address); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// newAddress checks an address that is already free of comments and quotes.
func newAddress(name, spec string) (Address, error) {
	at := strings.LastIndexByte(spec, '@')
	if at < 1 {
		return Address{}, fmt.Errorf("%q is no mail address", spec)
	}
	a := Address{Name: name, Local: spec[:at], Domain: spec[at+1:]}
	for _, text := range []string{a.Name, a.Local, a.Domain} {
		if err := checkLine(text); err != nil {
			return Address{}, fmt.Errorf("address %q: %w", spec, err)
		}
	}
	if strings.HasPrefix(a.Domain, "[") {
		if strings.Trim(a.Domain, "[]0123456789abcdefABCDEF.:IPvip") != "" {
			return Address{}, fmt.Errorf("address %q: %q is no address literal", spec, a.Domain)
		}
		return a, nil
	}
	domain, err := idna.Lookup.ToASCII(a.Domain)
	if err != nil {
		// Lookup is strict; names such as my_host exist on local networks.
		if !isASCII(a.Domain) || strings.Trim(strings.ToLower(a.Domain), "abcdefghijklmnopqrstuvwxyz0123456789.-_") != "" {
			return Address{}, fmt.Errorf("address %q: %q is no domain name", spec, a.Domain)
		}
		domain = a.Domain
	}
	if isASCII(a.Local) {
		a.Domain = domain
	}
	if len(a.Local) > 64 || len(domain) > 255 {
		return Address{}, fmt.Errorf("address %q is longer than RFC 5321 section 4.5.3.1 allows", spec)
	}
	return a, nil
}

// Spec is the address alone, quoted where it must be: what goes between < and >.
func (a Address) Spec() string {
	for atom := range strings.SplitSeq(a.Local, ".") {
		if atom == "" || strings.ContainsFunc(atom, func(r rune) bool { return r < utf8.RuneSelf && !isAtext(byte(r)) }) {
			return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(a.Local) + `"@` + a.Domain
		}
	}
	return a.Local + "@" + a.Domain
}

// ASCII tells whether the address needs no SMTPUTF8.
func (a Address) ASCII() bool { return isASCII(a.Local) && isASCII(a.Domain) }

// words are the pieces between which a header line may be folded.
func (a Address) words(room int) []string {
	if a.Name == "" {
		return []string{a.Spec()}
	}
	spec := "<" + a.Spec() + ">"
	switch {
	case !isASCII(a.Name) || strings.Contains(a.Name, "=?") || len(a.Name) > 60:
		return append(encodedWords(a.Name, room, true), spec)
	case strings.ContainsFunc(a.Name, func(r rune) bool { return r != ' ' && !isAtext(byte(r)) }) || strings.Contains(a.Name, "  ") || strings.TrimSpace(a.Name) != a.Name:
		return []string{`"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(a.Name) + `"`, spec}
	}
	return append(strings.Split(a.Name, " "), spec)
}

// plainAtoms tells whether s is made of allowed bytes and single dots between
// them.
func plainAtoms(s string, allowed func(byte) bool) bool {
	dot := true // none before the first
	for i := range len(s) {
		if s[i] == '.' && dot || s[i] != '.' && !allowed(s[i]) {
			return false
		}
		dot = s[i] == '.'
	}
	return !dot
}

func isLetterOrDigit(b byte) bool {
	return b >= 'a' && b <= 'z' || b >= '0' && b <= '9'
}

// isAtext tells whether b may stand in an atom (RFC 5322 section 3.2.3).
func isAtext(b byte) bool {
	return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || strings.IndexByte("!#$%&'*+-/=?^_`{|}~", b) >= 0
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// checkLine refuses what must not stand in a header field or a command: line
// ends and NUL, which could start a field or a command of someone else's, other
// control characters, and bytes that are not UTF-8.
func checkLine(s string) error {
	if !utf8.ValidString(s) {
		return fmt.Errorf("it is not valid UTF-8")
	}
	for _, r := range s {
		switch {
		case r == '\r' || r == '\n':
			return fmt.Errorf("it contains a line end")
		case r == 0:
			return fmt.Errorf("it contains a NUL")
		case r != '\t' && unicode.IsControl(r):
			return fmt.Errorf("it contains the control character %U", r)
		}
	}
	return nil
}
