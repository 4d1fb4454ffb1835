package httpmsg

import (
	"iter"
	"strings"
)

// Field is one field line (RFC 9110, section 5): a name as received and a value
// without the white space around it.
type Field struct{ Name, Value string }

// Fields are field lines in the order of the message. Names keep their case
// and are compared without it.
type Fields []Field

// Get returns the value of the first field of that name, or "".
func (f Fields) Get(name string) string {
	for i := range f {
		if equalFold(f[i].Name, name) {
			return f[i].Value
		}
	}
	return ""
}

// Has reports whether there is a field of that name.
func (f Fields) Has(name string) bool {
	for i := range f {
		if equalFold(f[i].Name, name) {
			return true
		}
	}
	return false
}

// Count returns the number of field lines of that name.
func (f Fields) Count(name string) int {
	n := 0
	for i := range f {
		if equalFold(f[i].Name, name) {
			n++
		}
	}
	return n
}

// Values returns the value of each field line of that name, in order.
func (f Fields) Values(name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := range f {
			if equalFold(f[i].Name, name) && !yield(f[i].Value) {
				return
			}
		}
	}
}

// List returns the members of a list-based field (RFC 9110, section 5.6.1) over
// all its lines, in order: split at commas outside quoted strings, trimmed,
// empty members left out.
func (f Fields) List(name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for value := range f.Values(name) {
			for member := range Members(value) {
				if !yield(member) {
					return
				}
			}
		}
	}
}

// Members splits one list-based field value as List does.
func Members(value string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for value != "" {
			end := memberEnd(value)
			member := TrimOWS(value[:end])
			if member != "" && !yield(member) {
				return
			}
			value = value[min(end+1, len(value)):]
		}
	}
}

// memberEnd returns the index of the first comma outside a quoted string, or
// the length of s.
func memberEnd(s string) int {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == ',' && !quoted:
			return i
		}
	}
	return len(s)
}

// HasMember reports whether a list-based field has that member, in any case.
func (f Fields) HasMember(name, member string) bool {
	for m := range f.List(name) {
		if equalFold(m, member) {
			return true
		}
	}
	return false
}

// Add appends a field line.
func (f *Fields) Add(name, value string) { *f = append(*f, Field{name, value}) }

// Set replaces the first field of that name in place and removes the others,
// or appends it.
func (f *Fields) Set(name, value string) {
	kept, found := (*f)[:0], false
	for _, field := range *f {
		if equalFold(field.Name, name) {
			if found {
				continue
			}
			found, field = true, Field{name, value}
		}
		kept = append(kept, field)
	}
	*f = kept
	if !found {
		f.Add(name, value)
	}
}

// Del removes every field of that name.
func (f *Fields) Del(name string) {
	f.DeleteFunc(func(field Field) bool { return equalFold(field.Name, name) })
}

// DeleteFunc removes every field for which del is true.
func (f *Fields) DeleteFunc(del func(Field) bool) {
	kept := (*f)[:0]
	for _, field := range *f {
		if !del(field) {
			kept = append(kept, field)
		}
	}
	clear((*f)[len(kept):])
	*f = kept
}

// TrimOWS removes optional white space, spaces and tabs, from both ends
// (RFC 9110, section 5.6.3).
func TrimOWS(s string) string {
	for s != "" && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for s != "" && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}

// Weight reads the quality value among the parameters of a list member, in
// thousandths (RFC 9110, section 12.4.2): 1 where there is none, 0 where it is
// malformed.
func Weight(params string) int {
	for params != "" {
		var param string
		param, params, _ = strings.Cut(params, ";")
		name, value, ok := strings.Cut(TrimOWS(param), "=")
		if !ok || !equalFold(name, "q") {
			continue
		}
		whole, fraction, _ := strings.Cut(value, ".")
		if len(fraction) > 3 || whole != "0" && whole != "1" {
			return 0
		}
		q := int(whole[0]-'0') * 1000
		for i, unit := 0, 100; i < len(fraction); i, unit = i+1, unit/10 {
			if fraction[i] < '0' || fraction[i] > '9' {
				return 0
			}
			q += int(fraction[i]-'0') * unit
		}
		if q > 1000 {
			return 0
		}
		return q
	}
	return 1000
}

// IsToken reports whether s is a token (RFC 9110, section 5.6.2).
func IsToken(s string) bool {
	for i := 0; i < len(s); i++ {
		if class[s[i]]&tokenByte == 0 {
			return false
		}
	}
	return s != ""
}

// IsValue reports whether s may be written as a field value: no CR, LF, NUL or
// other control character but the tab.
func IsValue(s string) bool {
	for i := 0; i < len(s); i++ {
		if class[s[i]]&valueByte == 0 {
			return false
		}
	}
	return true
}

// Byte classes of RFC 9110 (token, field value), RFC 9112 (request target) and
// RFC 3986 (host).
const (
	tokenByte = 1 << iota
	valueByte
	targetByte
	hostByte
)

var class = func() (t [256]uint8) {
	const alnum = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	mark := func(set string, c uint8) {
		for i := range len(set) {
			t[set[i]] |= c
		}
	}
	mark(alnum+"!#$%&'*+-.^_`|~", tokenByte)
	mark(alnum+"-._~%!$&'()*+,;=", hostByte)
	mark("\t ", valueByte)
	for c := 0x21; c <= 0xff; c++ {
		if c != 0x7f {
			t[c] |= valueByte
			if c != '#' {
				t[c] |= targetByte
			}
		}
	}
	return t
}()

// equalFold compares names without regard to the case of ASCII letters.
func equalFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	return a == b || strings.EqualFold(a, b)
}
