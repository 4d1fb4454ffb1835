package message

import (
	"html"
	"io"
	"regexp"
	"strings"
)

// maxHTML is how much HTML PlainText looks at, in bytes.
const maxHTML = 1 << 20

var (
	invisible = regexp.MustCompile(`(?is)<(script|style|head|title)\b.*?</(script|style|head|title)\s*>|<!--.*?-->`)
	lineBreak = regexp.MustCompile(`(?i)<(br|/p|/div|/tr|/li|/h[1-6]|/table|/blockquote)\b[^>]*>`)
	tag       = regexp.MustCompile(`(?s)<[^>]*>`)
	blankRun  = regexp.MustCompile(`[ \t\r\f]+`)
	emptyRun  = regexp.MustCompile(`\n\s*\n\s*\n+`)
)

// PlainText reduces HTML to the text in it, for a mail that has no other.
func PlainText(r io.Reader) (string, error) {
	source, err := io.ReadAll(io.LimitReader(r, maxHTML))
	if err != nil {
		return "", err
	}
	text := invisible.ReplaceAllString(string(source), "")
	text = blankRun.ReplaceAllString(strings.ReplaceAll(text, "\n", " "), " ")
	text = lineBreak.ReplaceAllString(text, "\n")
	text = html.UnescapeString(tag.ReplaceAllString(text, ""))
	text = strings.ReplaceAll(text, "\n ", "\n")
	return strings.TrimSpace(emptyRun.ReplaceAllString(text, "\n\n")) + "\n", nil
}
