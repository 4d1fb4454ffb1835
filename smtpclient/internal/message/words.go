package message

import (
	"encoding/base64"
	"mime"
	"strings"
)

// wordDecoder lets net/mail decode the names beside addresses.
var wordDecoder = &mime.WordDecoder{CharsetReader: charsetReader}

// DecodeWords decodes the encoded words in a header value (RFC 2047, with the
// language of RFC 2231 section 5). Words of one character set are put together
// before they are decoded, for some senders cut a character in two. What is no
// encoded word stays; bytes that are no UTF-8 are taken for Windows-1252.
func DecodeWords(s string) string {
	if !strings.Contains(s, "=?") {
		return toText([]byte(s), "")
	}
	var out strings.Builder
	var charset string
	var content []byte // of words not yet written
	flush := func() {
		out.WriteString(toText(content, charset))
		content = nil
	}
	for s != "" {
		start := strings.Index(s, "=?")
		if start < 0 {
			break
		}
		name, decoded, size := encodedWord(s[start:])
		if _, err := Charset(name); size == 0 || err != nil {
			flush()
			out.WriteString(toText([]byte(s[:start+2]), ""))
			s = s[start+2:]
			continue
		}
		between := s[:start]
		s = s[start+size:]
		if content == nil || strings.Trim(between, " \t\r\n") != "" {
			flush()
			out.WriteString(toText([]byte(between), ""))
		} else if !strings.EqualFold(name, charset) || strings.HasPrefix(strings.ToLower(name), "iso-2022-") {
			flush() // ISO 2022 begins each word anew
		}
		charset = name
		content = append(content, decoded...)
		if content == nil {
			content = []byte{}
		}
	}
	flush()
	out.WriteString(toText([]byte(s), ""))
	return out.String()
}

// maxWord bounds an encoded word, in bytes; RFC 2047 section 2 allows 75.
const maxWord = 2 << 10

// encodedWord decodes the word at the start of s; size is 0 if there is none.
func encodedWord(s string) (charset string, content []byte, size int) {
	rest := s[len("=?"):]
	charset, rest, ok := strings.Cut(rest, "?")
	if !ok || charset == "" || len(charset) > 60 || strings.ContainsAny(charset, " \t\"<>()") || len(rest) < 2 || rest[1] != '?' {
		return "", nil, 0
	}
	charset, _, _ = strings.Cut(charset, "*")
	encoding := rest[0] | 0x20
	text, after, ok := strings.Cut(rest[2:min(len(rest), maxWord)], "?=")
	if !ok {
		return "", nil, 0
	}
	size = len(s) - len(rest) + min(len(rest), maxWord) - len(after)
	switch encoding {
	case 'q':
		return charset, decodeHex(strings.ReplaceAll(text, "_", " "), '='), size
	case 'b':
		return charset, decodeB(text), size
	}
	return "", nil, 0
}

func decodeB(text string) []byte {
	clean := make([]byte, 0, len(text))
	for i := range len(text) {
		if text[i] == '=' {
			break
		}
		if isBase64(text[i]) {
			clean = append(clean, text[i])
		}
	}
	if len(clean)%4 == 1 {
		clean = clean[:len(clean)-1]
	}
	b, _ := base64.RawStdEncoding.DecodeString(string(clean)) // trailing bits are padding
	return b
}

func isHex(b byte) bool {
	return b >= '0' && b <= '9' || b >= 'A' && b <= 'F' || b >= 'a' && b <= 'f'
}

func unhex(b byte) byte {
	if b <= '9' {
		return b - '0'
	}
	return b&^0x20 - 'A' + 10
}
