package www

import (
	"html/template"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Text returns s without what would not show on a page, or would make other text
// show wrongly: control characters but line ends and tabs, bytes that are not
// UTF-8, and overrides of the writing direction become U+FFFD. It leaves markup
// alone, which the templates escape.
func Text(s string) string { return replace(s, true) }

// Name is Text for a name that belongs on one line: its line ends and tabs become
// U+FFFD as well.
func Name(s string) string { return replace(s, false) }

func replace(s string, lines bool) string {
	return strings.Map(func(r rune) rune { // a bad byte arrives as U+FFFD
		switch {
		case lines && (r == '\n' || r == '\r' || r == '\t'):
			return r
		case r < 0x20, r >= 0x7f && r < 0xa0, // control characters
			r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069, // direction
			r == 0x2028, r == 0x2029: // line and paragraph separators
			return utf8.RuneError
		}
		return r
	}, s)
}

// NewPage returns the template of a page that the server makes by itself. Besides
// the usual functions it may call style, text, name and bytes. It panics if the template
// is broken: its text is part of the program.
func NewPage(text string) *template.Template {
	return template.Must(template.New("").Funcs(template.FuncMap{
		"style": func() template.CSS { return template.CSS(Style) },
		"text":  Text,
		"name":  Name,
		"bytes": func(n int64) string {
			if n == 1 {
				return "1 byte"
			}
			return strconv.FormatInt(n, 10) + " bytes"
		},
	}).Parse(text))
}
