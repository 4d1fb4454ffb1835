package message

import (
	"encoding/base64"
	"fmt"
	"io"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// Charset returns the named character set: those of the WHATWG under all their
// labels, those that IANA has names for, code page 850 and UTF-7.
func Charset(name string) (encoding.Encoding, error) {
	plain := strings.ToLower(strings.Trim(name, " \t\"'"))
	plain, _, _ = strings.Cut(plain, "*") // a language, as in RFC 2231 section 5
	switch plain {
	case "", "us-ascii", "ascii", "8bit", "7bit", "unknown-8bit", "x-unknown", "unknown", "default":
		return unicode.UTF8, nil
	case "cp850", "ibm850", "850":
		return charmap.CodePage850, nil
	case "cp932", "ms932":
		return japanese.ShiftJIS, nil
	case "utf-16", "utf16": // the byte order mark decides, where there is one
		return unicode.UTF16(unicode.LittleEndian, unicode.UseBOM), nil
	case "utf-7", "utf7", "unicode-1-1-utf-7", "csutf7":
		return utf7Encoding{}, nil
	}
	if enc, err := htmlindex.Get(plain); err == nil {
		return enc, nil
	}
	if enc, err := ianaindex.MIME.Encoding(plain); err == nil && enc != nil {
		return enc, nil
	}
	// "windows1251", "cp-1251", "latin-1", "iso8859_1" and their like
	for _, other := range []string{
		strings.NewReplacer("_", "-").Replace(plain), strings.NewReplacer("-", "", "_", "").Replace(plain),
		strings.Replace(plain, "windows", "windows-", 1), strings.Replace(plain, "cp", "windows-", 1), strings.Replace(plain, "iso", "iso-", 1),
	} {
		if enc, err := htmlindex.Get(other); err == nil {
			return enc, nil
		}
	}
	return nil, fmt.Errorf("the character set %q is unknown", name)
}

// charsetReader is Charset for package mime.
func charsetReader(charset string, r io.Reader) (io.Reader, error) {
	enc, err := Charset(charset)
	if err != nil {
		return nil, err
	}
	return transform.NewReader(r, enc.NewDecoder()), nil
}

// isUTF8 tells whether an encoding is UTF-8.
func isUTF8(enc encoding.Encoding) bool {
	name, err := htmlindex.Name(enc)
	return err == nil && name == "utf-8"
}

// windows1252 is the character that a byte stands for.
func windows1252(b byte) rune { return charmap.Windows1252.DecodeByte(b) }

// decoder makes UTF-8 of a character set; of an unknown one, which is the error,
// as well as can be.
func decoder(name string) (transform.Transformer, error) {
	enc, err := Charset(name)
	if err != nil || enc == encoding.Replacement || isUTF8(enc) {
		return guess{}, err
	}
	return enc.NewDecoder(), nil
}

// toText is bytes of a character set as UTF-8, as well as can be.
func toText(b []byte, name string) string {
	d, _ := decoder(name)
	text, _, err := transform.String(d, string(b))
	if err != nil {
		return strings.ToValidUTF8(string(b), string(utf8.RuneError))
	}
	return text
}

// utf7Encoding is UTF-7 (RFC 2152), which old mail programs write. It is only
// read: nobody should write it.
type utf7Encoding struct{}

// NewDecoder implements encoding.Encoding.
func (utf7Encoding) NewDecoder() *encoding.Decoder { return &encoding.Decoder{Transformer: utf7{}} }

// NewEncoder implements encoding.Encoding.
func (utf7Encoding) NewEncoder() *encoding.Encoder { return encoding.Replacement.NewEncoder() }

type utf7 struct{ transform.NopResetter }

// longestShift bounds the base64 between "+" and its end, in bytes.
const longestShift = 2048

var utf7Alphabet = base64.StdEncoding.WithPadding(base64.NoPadding)

// Transform implements transform.Transformer: a run of base64 is decoded as a
// whole.
func (utf7) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	for nSrc < len(src) {
		text, size := string(src[nSrc:nSrc+1]), 1
		if text == "+" {
			end := 1
			for nSrc+end < len(src) && end < longestShift && isBase64(src[nSrc+end]) {
				end++
			}
			if nSrc+end == len(src) && !atEOF && end < longestShift {
				return nDst, nSrc, transform.ErrShortSrc
			}
			size = end
			if nSrc+end < len(src) && src[nSrc+end] == '-' {
				size++
			}
			if end > 1 {
				text = fromUTF16(src[nSrc+1 : nSrc+end])
			}
		} else if src[nSrc] >= utf8.RuneSelf {
			text = string(windows1252(src[nSrc]))
		}
		if nDst+len(text) > len(dst) {
			return nDst, nSrc, transform.ErrShortDst
		}
		nDst += copy(dst[nDst:], text)
		nSrc += size
	}
	return nDst, nSrc, nil
}

func fromUTF16(run []byte) string {
	if len(run)%4 == 1 {
		run = run[:len(run)-1]
	}
	b, _ := utf7Alphabet.DecodeString(string(run)) // trailing bits are padding
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = uint16(b[2*i])<<8 | uint16(b[2*i+1])
	}
	return string(utf16.Decode(units))
}

func isBase64(b byte) bool {
	return b >= 'A' && b <= 'Z' || b >= 'a' && b <= 'z' || b >= '0' && b <= '9' || b == '+' || b == '/'
}
