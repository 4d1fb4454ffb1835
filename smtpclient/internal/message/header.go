package message

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
	"unicode/utf8"
)

// lineRoom is how long a header line may get: RFC 2047 section 2 allows 76
// characters where an encoded word stands.
const lineRoom = 76

// longestLine is the limit of RFC 5322 section 2.1.1, without CRLF.
const longestLine = 998

// maxFieldName leaves room for a value on a field's first line.
const maxFieldName = 500

// A Field is one header field.
type Field struct{ Name, Value string }

// Check tells whether the field can be written.
func (f Field) Check() error {
	if f.Name == "" || len(f.Name) > maxFieldName || strings.ContainsFunc(f.Name, func(r rune) bool { return r <= ' ' || r > '~' || r == ':' }) {
		return fmt.Errorf("%.100q is no header field name", f.Name)
	}
	if err := checkLine(f.Value); err != nil {
		return fmt.Errorf("header field %s: %w", f.Name, err)
	}
	return nil
}

// writeUnstructured writes a field of free text such as Subject.
func writeUnstructured(b *bytes.Buffer, name, value string) {
	value = strings.TrimSpace(value)
	plain := isASCII(value) && !strings.Contains(value, "=?")
	pieces := splitAtSpace(value)
	for _, piece := range pieces {
		plain = plain && len(piece) < longestLine-len(name)-2
	}
	if plain {
		writeFolded(b, name, pieces)
		return
	}
	writeFolded(b, name, spaced(encodedWords(value, lineRoom-len(name)-2, false)))
}

// writeRaw writes a structured value that is ASCII, folding at its spaces.
func writeRaw(b *bytes.Buffer, name, value string) {
	writeFolded(b, name, splitAtSpace(value))
}

// writeAddresses writes a list of addresses.
func writeAddresses(b *bytes.Buffer, name string, list []Address) {
	if len(list) == 0 {
		return
	}
	var words []string
	for i, a := range list {
		w := a.words(lineRoom - len(name) - 2)
		if i < len(list)-1 {
			w[len(w)-1] += ","
		}
		words = append(words, w...)
	}
	writeFolded(b, name, spaced(words))
}

// writeFolded writes name, colon and pieces, of which all but the first start
// with white space, and starts a new line before a piece that would not fit.
func writeFolded(b *bytes.Buffer, name string, pieces []string) {
	b.WriteString(name)
	b.WriteByte(':')
	column := len(name) + 1
	for i, piece := range pieces {
		if i == 0 {
			piece = " " + piece
		} else if column+len(piece) > lineRoom {
			b.WriteString("\r\n")
			column = 0
		}
		b.WriteString(piece)
		column += len(piece)
	}
	b.WriteString("\r\n")
}

// splitAtSpace cuts s before each run of white space.
func splitAtSpace(s string) []string {
	var pieces []string
	start := 0
	for i := 1; i < len(s); i++ {
		if isSpace(s[i]) && !isSpace(s[i-1]) {
			pieces = append(pieces, s[start:i])
			start = i
		}
	}
	return append(pieces, s[start:])
}

func isSpace(b byte) bool { return b == ' ' || b == '\t' }

func spaced(words []string) []string {
	for i := 1; i < len(words); i++ {
		words[i] = " " + words[i]
	}
	return words
}

// encodedWords writes s as encoded words of UTF-8 (RFC 2047), in the Q or the B
// encoding, whichever is shorter. The first has room characters, the others 75
// less a space; no character is cut in two.
func encodedWords(s string, room int, phrase bool) []string {
	quoted := 0
	for i := range len(s) {
		quoted += len(q(s[i], phrase))
	}
	useQ := quoted <= base64.StdEncoding.EncodedLen(len(s))
	mark := "=?utf-8?b?"
	if useQ {
		mark = "=?utf-8?q?"
	}
	overhead := len(mark) + len("?=")
	room = max(room, overhead+12)
	var words []string
	for s != "" {
		var text strings.Builder
		used, end := 0, 0
		for end < len(s) {
			_, size := utf8.DecodeRuneInString(s[end:])
			grown := base64.StdEncoding.EncodedLen(end + size)
			if useQ {
				grown = used
				for i := range size {
					grown += len(q(s[end+i], phrase))
				}
			}
			if overhead+grown > min(room, 75) {
				break
			}
			used, end = grown, end+size
		}
		if useQ {
			for i := range end {
				text.WriteString(q(s[i], phrase))
			}
		} else {
			text.WriteString(base64.StdEncoding.EncodeToString([]byte(s[:end])))
		}
		words = append(words, mark+text.String()+"?=")
		s = s[end:]
		room = lineRoom - 1
	}
	return words
}

// q encodes one byte in the Q encoding. In a phrase (a name beside an address)
// fewer characters may stand for themselves (RFC 2047 section 5).
func q(b byte, phrase bool) string {
	switch {
	case b == ' ':
		return "_"
	case b >= 'a' && b <= 'z', b >= 'A' && b <= 'Z', b >= '0' && b <= '9':
		return string(b)
	case !phrase && b > ' ' && b <= '~' && b != '=' && b != '?' && b != '_':
		return string(b)
	}
	return fmt.Sprintf("=%02X", b)
}
