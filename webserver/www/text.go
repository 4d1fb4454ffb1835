package www

import "unicode/utf8"

// AppendText appends s to dst as HTML text that is safe between tags and in a
// quoted attribute. Line ends and tabs stay as they are. What would not show,
// or would make other text show wrongly, becomes U+FFFD: other control
// characters, bytes that are not UTF-8, and overrides of the writing direction.
func AppendText(dst []byte, s string) []byte { return appendText(dst, s, true) }

// AppendName is AppendText for a name that belongs on one line: its line ends
// and tabs become U+FFFD as well.
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
		case r < 0x20, r >= 0x7f && r < 0xa0, // control characters
			r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069, // direction
			r == 0x2028, r == 0x2029: // line and paragraph separators
			dst = utf8.AppendRune(dst, utf8.RuneError)
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return dst
}
