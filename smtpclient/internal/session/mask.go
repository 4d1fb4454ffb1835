package session

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Hidden stands in a transcript for what must not be seen.
const Hidden = "****"

// Mask hides secrets in text that is going to be shown. The dialogue already
// shows no part of an authentication exchange; the mask is the second fence,
// against a server that repeats a secret in a reply.
type Mask struct {
	replace *strings.Replacer
	forms   []string
}

// Add makes the mask hide secret, as it is and inside any base64 text. A secret
// of fewer than four bytes is ignored: hiding each "a" would tell more than it
// keeps.
func (m *Mask) Add(secret string) {
	if len(secret) < 4 {
		return
	}
	m.forms = append(m.forms, secret, Hidden)
	for _, form := range Base64Forms(secret) {
		m.forms = append(m.forms, form, Hidden)
	}
	if quoted := strconv.Quote(secret); quoted != `"`+secret+`"` { // as %q writes it in an error
		m.forms = append(m.forms, quoted[1:len(quoted)-1], Hidden)
	}
	m.replace = strings.NewReplacer(m.forms...)
}

// Hide returns s with every secret replaced. A nil mask returns s.
func (m *Mask) Hide(s string) string {
	if m == nil || m.replace == nil {
		return s
	}
	return m.replace.Replace(s)
}

// Base64Forms returns how secret shows within base64 text, at each of the three
// offsets at which it can start, without the characters that also depend on
// its neighbours; the first form is the secret encoded by itself.
func Base64Forms(secret string) []string {
	forms := []string{base64.StdEncoding.EncodeToString([]byte(secret))}
	for offset := range 3 {
		padded := strings.Repeat("\x00", offset) + secret
		whole := len(padded) / 3 * 3
		from := []int{0, 2, 3}[offset]
		std := base64.StdEncoding.EncodeToString([]byte(padded[:whole]))
		if len(std)-from < 4 {
			continue
		}
		forms = append(forms, std[from:])
		if url := base64.URLEncoding.EncodeToString([]byte(padded[:whole])); url != std {
			forms = append(forms, url[from:])
		}
	}
	return forms
}

// Printable makes a string from the network safe for a terminal and a log line:
// control characters, format characters that reorder text, and bytes that are
// not UTF-8 come out as Go escapes; tab stays.
func Printable(s string) string {
	clean := true
	for _, r := range s {
		if r < ' ' || r > '~' {
			clean = false
			break
		}
	}
	if clean {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			b.WriteString(`\x`)
			b.WriteString(strconv.FormatUint(uint64(s[i])|0x100, 16)[1:])
		case r == '\t', unicode.IsGraphic(r), r == '\u200c', r == '\u200d': // the last two join letters and emoji
			b.WriteRune(r)
		default:
			quoted := strconv.QuoteRuneToASCII(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		i += size
	}
	return b.String()
}

// EscapeJSON makes JSON text safe for a terminal: what Printable would escape
// leaves as \u escapes, which mean the same to a program.
func EscapeJSON(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r < utf8.RuneSelf && r != 0x7f || unicode.IsGraphic(r) || r == '\u200c' || r == '\u200d' {
			b.WriteRune(r)
			continue
		}
		for _, unit := range utf16.AppendRune(nil, r) {
			fmt.Fprintf(&b, "\\u%04x", unit)
		}
	}
	return b.String()
}
