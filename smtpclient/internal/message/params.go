package message

import (
	"slices"
	"strconv"
	"strings"
)

// parseParameters reads a structured value such as
//
//	multipart/mixed; boundary="B" (a comment); name*0*=utf-8''gr%C3%B6; name*1=ss
//
// as RFC 2045 section 5.1 and RFC 2231 have it, and goes on where they have
// nothing: an empty parameter, ";;", a value without quotes that needs them, a
// quote that does not close, raw bytes beyond ASCII. The first of two parameters
// of one name counts; one in the way of RFC 2231 goes before.
func parseParameters(value string) (kind string, parameters map[string]string) {
	s := &scanner{rest: value}
	kind = strings.TrimSpace(s.until(";"))
	if i := strings.IndexAny(kind, " \t,"); i >= 0 && strings.Contains(kind[i:], "=") {
		s.rest = kind[i:] + s.rest // there should be a semicolon
		kind = kind[:i]
	}
	kind = strings.ToLower(kind)
	parameters = make(map[string]string)
	pieces := make(map[string][]piece)
	for s.skip("; \t\r\n,"); s.rest != ""; s.skip("; \t\r\n,") {
		name := strings.ToLower(strings.TrimSpace(s.until("=;")))
		if !strings.HasPrefix(s.rest, "=") {
			continue // a name without a value
		}
		s.rest = s.rest[1:]
		text := s.value()
		base, section, extended := strings.Cut(name, "*")
		if !extended {
			if _, twice := parameters[name]; !twice {
				parameters[name] = toText([]byte(text), "")
			}
			continue
		}
		p := piece{text: text}
		section, p.encoded = strings.CutSuffix(section, "*")
		if section == "" {
			p.encoded = true // "name*="
		} else if n, err := strconv.Atoi(section); err == nil {
			p.n = n
		} else {
			continue
		}
		pieces[base] = append(pieces[base], p)
	}
	for base, list := range pieces {
		parameters[base] = join(list)
	}
	return kind, parameters
}

// A piece is part of a value that RFC 2231 cuts up: name*0, name*1*.
type piece struct {
	n       int
	encoded bool
	text    string
}

// join puts the pieces together in the order of their numbers.
func join(list []piece) string {
	slices.SortStableFunc(list, func(a, b piece) int { return a.n - b.n })
	charset := ""
	var content []byte
	for i, p := range list {
		if i > 0 && p.n == list[i-1].n {
			continue // said twice
		}
		if p.encoded {
			if i == 0 {
				if set, rest, ok := strings.Cut(p.text, "'"); ok {
					if _, text, ok := strings.Cut(rest, "'"); ok {
						charset, p.text = set, text
					}
				}
			}
			content = append(content, decodeHex(p.text, '%')...)
			continue
		}
		content = append(content, p.text...)
	}
	return toText(content, charset)
}

// decodeHex decodes bytes that are written as a mark and two hexadecimal digits.
func decodeHex(s string, mark byte) []byte {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == mark && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]) {
			b = append(b, unhex(s[i+1])<<4|unhex(s[i+2]))
			i += 2
			continue
		}
		b = append(b, s[i])
	}
	return b
}

// scanner takes a value apart from left to right.
type scanner struct {
	rest string
	open bool // a comment without an end was met: no bracket counts any more
}

// skip takes away leading bytes and comments.
func (s *scanner) skip(set string) {
	for {
		s.rest = strings.TrimLeft(s.rest, set)
		if !strings.HasPrefix(s.rest, "(") || !s.comment() {
			return
		}
	}
}

// comment takes away a comment, which may have others inside; false means that
// it does not end.
func (s *scanner) comment() bool {
	depth := 0
	for i := 0; i < len(s.rest) && !s.open; i++ {
		switch s.rest[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				s.rest = s.rest[i+1:]
				return true
			}
		}
	}
	s.open = true
	return false
}

// until takes the text before the first byte of the set, without comments.
func (s *scanner) until(set string) string {
	var b strings.Builder
	for s.rest != "" && strings.IndexByte(set, s.rest[0]) < 0 {
		if s.rest[0] == '(' && s.comment() {
			b.WriteByte(' ')
			continue
		}
		b.WriteByte(s.rest[0])
		s.rest = s.rest[1:]
	}
	return b.String()
}

// value takes a parameter's value and what stands behind it up to a semicolon.
func (s *scanner) value() string {
	s.skip(" \t\r\n")
	if !strings.HasPrefix(s.rest, `"`) {
		text, rest, _ := strings.Cut(s.rest, ";")
		s.rest = rest
		if i := strings.Index(text, " ("); i >= 0 {
			text = text[:i] // a comment: within a word, as in "copy(2).pdf", it is none
		}
		return strings.TrimSpace(text)
	}
	var b strings.Builder
	i := 1
	for ; i < len(s.rest) && s.rest[i] != '"'; i++ {
		if s.rest[i] == '\\' && i+1 < len(s.rest) && (s.rest[i+1] == '"' || s.rest[i+1] == '\\') {
			i++ // other backslashes are those of Windows' paths
		}
		b.WriteByte(s.rest[i])
	}
	s.rest = s.rest[min(i+1, len(s.rest)):]
	s.until(";")
	return b.String()
}
