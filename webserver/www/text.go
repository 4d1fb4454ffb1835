package www

import "unicode/utf8"

// AppendText appends s to dst as HTML text that is safe between tags and in a
// quoted attribute. Line ends and tabs stay as they are; other control
// characters become their pictures (U+2400 and on), and bytes that are not
// UTF-8 become U+FFFD.
func AppendText(dst []byte, s string) []byte { return appendText(dst, s, true) }

// AppendName is AppendText for a name that belongs on one line: its line ends
// and tabs become pictures as well.
func AppendName(dst []byte, s string) []byte { return appendText(dst, s, false) }

func appendText(dst []byte, s string, lines bool) []byte {
	for _, r := range s { // a bad byte arrives as U+FFFD
		switch {
		case r == '&':
			dst = append(dst, "&amp;"...)
		case r == '<':
			dst = append(dst, "&lt;"...)
		case r == '>':
			dst = append(dst, "&gt;"...)
		case r == '"':
			dst = append(dst, "&#34;"...)
		case r == '\'':
			dst = append(dst, "&#39;"...)
		case lines && (r == '\n' || r == '\r' || r == '\t'):
			dst = append(dst, byte(r))
		case r < 0x20:
			dst = utf8.AppendRune(dst, 0x2400+r)
		case r == 0x7f:
			dst = utf8.AppendRune(dst, 0x2421)
		case r >= 0x80 && r < 0xa0:
			dst = utf8.AppendRune(dst, utf8.RuneError)
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return dst
}
