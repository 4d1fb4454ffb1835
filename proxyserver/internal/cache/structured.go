package cache

import "strings"

// sfItem is the value of a member of a structured field's dictionary as far as
// cache directives need it (RFC 8941, section 3.2).
type sfItem struct {
	kind byte // 'i'nteger, 's'tring, 't'oken, 'b'oolean, or '?' for the rest
	n    int64
	s    string
	b    bool
}

// parseDictionary reads a dictionary (RFC 8941, section 4.2.2). ok is false
// where the field is not one, and then all of it must be ignored. Of a key
// given twice the last counts.
func parseDictionary(s string) (dict map[string]sfItem, ok bool) {
	p := sfParser{s: strings.Trim(s, " ")}
	dict = map[string]sfItem{}
	for p.s != "" {
		key, valid := p.key()
		if !valid {
			return nil, false
		}
		item := sfItem{kind: 'b', b: true}
		if p.eat('=') {
			if item, valid = p.member(); !valid {
				return nil, false
			}
		}
		if !p.parameters() {
			return nil, false
		}
		dict[key] = item
		p.ows()
		if p.s == "" {
			break
		}
		if !p.eat(',') {
			return nil, false
		}
		if p.ows(); p.s == "" {
			return nil, false // a trailing comma
		}
	}
	return dict, true
}

type sfParser struct{ s string }

func (p *sfParser) eat(c byte) bool {
	if p.s == "" || p.s[0] != c {
		return false
	}
	p.s = p.s[1:]
	return true
}

func (p *sfParser) ows() { p.s = strings.TrimLeft(p.s, " \t") }
func (p *sfParser) sp()  { p.s = strings.TrimLeft(p.s, " ") }

// take returns the longest prefix of octets for which is holds.
func (p *sfParser) take(is func(byte) bool) string {
	i := 0
	for i < len(p.s) && is(p.s[i]) {
		i++
	}
	taken := p.s[:i]
	p.s = p.s[i:]
	return taken
}

func isLower(c byte) bool { return 'a' <= c && c <= 'z' }
func isDigit(c byte) bool { return '0' <= c && c <= '9' }
func isAlpha(c byte) bool { return isLower(c | 0x20) }

func (p *sfParser) key() (string, bool) {
	if p.s == "" || !isLower(p.s[0]) && p.s[0] != '*' {
		return "", false
	}
	return p.take(func(c byte) bool {
		return isLower(c) || isDigit(c) || c == '_' || c == '-' || c == '.' || c == '*'
	}), true
}

// member reads an item without its parameters, or an inner list.
func (p *sfParser) member() (sfItem, bool) {
	if !p.eat('(') {
		return p.item()
	}
	for {
		p.sp()
		if p.eat(')') {
			return sfItem{kind: '?'}, true
		}
		if _, ok := p.item(); !ok || !p.parameters() {
			return sfItem{}, false
		}
		if p.s == "" || p.s[0] != ' ' && p.s[0] != ')' {
			return sfItem{}, false
		}
	}
}

func (p *sfParser) parameters() bool {
	for p.eat(';') {
		p.sp()
		if _, ok := p.key(); !ok {
			return false
		}
		if p.eat('=') {
			if _, ok := p.item(); !ok {
				return false
			}
		}
	}
	return true
}

func (p *sfParser) item() (sfItem, bool) {
	if p.s == "" {
		return sfItem{}, false
	}
	switch c := p.s[0]; {
	case c == '-' || isDigit(c):
		return p.number()
	case c == '"':
		return p.str()
	case c == '*' || isAlpha(c):
		return sfItem{kind: 't', s: p.take(isSFToken)}, true
	case c == '?':
		if len(p.s) < 2 || p.s[1] != '0' && p.s[1] != '1' {
			return sfItem{}, false
		}
		item := sfItem{kind: 'b', b: p.s[1] == '1'}
		p.s = p.s[2:]
		return item, true
	case c == ':':
		end := strings.IndexByte(p.s[1:], ':')
		if end < 0 || strings.Trim(p.s[1:1+end],
			"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=") != "" {
			return sfItem{}, false
		}
		p.s = p.s[end+2:]
		return sfItem{kind: '?'}, true
	}
	return sfItem{}, false
}

func isSFToken(c byte) bool {
	return isAlpha(c) || isDigit(c) || strings.IndexByte("!#$%&'*+-.^_`|~:/", c) >= 0
}

func (p *sfParser) number() (sfItem, bool) {
	negative := p.eat('-')
	digits := p.take(isDigit)
	if digits == "" || len(digits) > 15 {
		return sfItem{}, false
	}
	item := sfItem{kind: 'i'}
	for i := range len(digits) {
		item.n = item.n*10 + int64(digits[i]-'0')
	}
	if negative {
		item.n = -item.n
	}
	if p.eat('.') {
		fraction := p.take(isDigit)
		item.kind = '?'
		if fraction == "" || len(fraction) > 3 || len(digits) > 12 {
			return sfItem{}, false
		}
	}
	return item, true
}

func (p *sfParser) str() (sfItem, bool) {
	var b strings.Builder
	for i := 1; i < len(p.s); i++ {
		switch c := p.s[i]; {
		case c == '"':
			p.s = p.s[i+1:]
			return sfItem{kind: 's', s: b.String()}, true
		case c == '\\':
			if i++; i == len(p.s) || p.s[i] != '"' && p.s[i] != '\\' {
				return sfItem{}, false
			}
			b.WriteByte(p.s[i])
		case c < 0x20 || c > 0x7e:
			return sfItem{}, false
		default:
			b.WriteByte(c)
		}
	}
	return sfItem{}, false
}

// targetedDirectives reads a targeted cache control field (RFC 9213, section
// 2.1). A directive whose value is of the wrong type is ignored.
func targetedDirectives(value string) (d directives, ok bool) {
	dict, ok := parseDictionary(value)
	if !ok || len(dict) == 0 {
		return d, false
	}
	d = noDirectives()
	d.present = true
	for name, item := range dict {
		if seconds := d.seconds(name); seconds != nil {
			switch {
			case item.kind == 'i' && item.n >= 0:
				*seconds = min(item.n, maxSeconds)
			case item.kind == 'i':
				*seconds = invalid
			}
			continue
		}
		qualified := item.kind == 's' || item.kind == 't'
		switch name {
		case "no-cache":
			if qualified || item.b {
				d.restrict(&d.noCache, &d.noCacheFields, item.s, qualified)
			}
		case "private":
			if qualified || item.b {
				d.restrict(&d.private, &d.privateFields, item.s, qualified)
			}
		default:
			if flag := d.flag(name); flag != nil && item.kind == 'b' {
				*flag = item.b
			}
		}
	}
	return d, true
}
