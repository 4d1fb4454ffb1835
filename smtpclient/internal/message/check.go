package message

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// cidReference finds what HTML and its styles show as cid:NAME: in quotes a name
// may have spaces.
var cidReference = regexp.MustCompile(`(?i)(["(=]\s*cid:|'\s*cid:)((?:[^"'()\s>]|\b[ ]\b)+)`)

// referredID is the Content-ID that a reference means, which is a URL: "my%20cat.png".
func referredID(reference string) string {
	name, err := url.PathUnescape(reference)
	if err != nil {
		name = reference
	}
	return ContentID(name)
}

// withContentIDs writes references to inline files as their Content-IDs, so that
// a reader's program finds "cid:my cat.png".
func (m *Mail) withContentIDs() string {
	if len(m.Inline) == 0 {
		return m.HTML
	}
	return cidReference.ReplaceAllStringFunc(m.HTML, func(match string) string {
		parts := cidReference.FindStringSubmatch(match)
		id := referredID(parts[2])
		if !slices.ContainsFunc(m.Inline, func(f File) bool { return ContentID(f.Name) == id }) {
			return match
		}
		return parts[1] + id
	})
}

// Check returns what is odd about a mail that can be sent all the same, one
// sentence each.
func (m *Mail) Check() []string {
	var problems []string
	add := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	have := make(map[string]bool)
	for _, f := range m.Inline {
		id := ContentID(f.Name)
		if have[id] {
			add("two inline files have the name %s: only one can be shown", id)
		}
		have[id] = true
	}
	wanted := make(map[string]bool)
	for _, match := range cidReference.FindAllStringSubmatch(m.HTML, -1) {
		id := referredID(match[2])
		if !wanted[id] && !have[id] {
			add("the HTML shows cid:%s, but there is no inline file of that name", id)
		}
		wanted[id] = true
	}
	for _, f := range m.Inline {
		switch id := ContentID(f.Name); {
		case m.HTML == "":
			add("the inline file %s is sent as an attachment: there is no HTML to show it", f.Name)
		case !wanted[id]:
			add("the HTML does not show the inline file %s: refer to it as cid:%s", f.Name, id)
		}
	}
	for _, body := range []struct{ what, text string }{{"text", m.Text}, {"HTML", m.HTML}} {
		n := 0
		for line := range strings.Lines(body.text) {
			if n++; len(strings.TrimRight(line, "\r\n")) > longestLine {
				add("line %d of the %s has %d bytes, more than the %d that mail allows: it is sent as quoted-printable or base64", n, body.what, len(strings.TrimRight(line, "\r\n")), longestLine)
				break
			}
		}
		if strings.ContainsRune(body.text, 0) {
			add("the %s contains NUL bytes", body.what)
		}
	}
	if strings.TrimSpace(m.Subject) == "" {
		add("there is no subject")
	}
	if m.Text == "" && m.HTML == "" && len(m.Attach)+len(m.Inline) == 0 {
		add("the mail is empty")
	}
	if m.HTML != "" && m.Text == "" {
		add("there is HTML without a text version: give one with --text")
	}
	return problems
}
