package message

import (
	"io"
	"strconv"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// maxHTML is how much HTML PlainText looks at, in bytes.
const maxHTML = 1 << 20

// maxNesting bounds how deep lists and quotes are shown.
const maxNesting = 12

// PlainText reduces HTML to the text in it, for a mail that has no other: links
// with their addresses, cells and list items apart, preformatted text as it is,
// quotes behind "> ".
func PlainText(r io.Reader) (string, error) {
	t := &htmlText{}
	z := html.NewTokenizer(io.LimitReader(r, maxHTML))
	z.SetMaxBuf(maxHTML)
	for {
		switch z.Next() {
		case html.ErrorToken:
			if err := z.Err(); err != io.EOF && err != html.ErrBufferExceeded { //nolint:errorlint // the tokenizer's own, never wrapped
				return "", err
			}
			if t.out.Len() > 0 {
				t.out.WriteByte('\n')
			}
			return t.out.String(), nil
		case html.TextToken:
			t.text(string(z.Text()))
		case html.StartTagToken:
			t.start(z.Token(), false)
		case html.SelfClosingTagToken:
			t.start(z.Token(), true)
		case html.EndTagToken:
			t.end(z.Token().DataAtom)
		}
	}
}

// htmlText writes text, and before it what the tags so far have asked for.
type htmlText struct {
	out     strings.Builder
	breaks  int       // line ends wanted before the next text: 1 a new line, 2 an empty one
	space   bool      // a space is wanted
	cell    bool      // the text is in another cell of the same row
	mark    string    // of a list item
	row     bool      // the row has text
	quote   int       // how deep in quotes
	quoted  int       // how deep the line before was
	pre     int       // in preformatted text
	lists   []int     // of each open list the number of the next item, -1 for none
	link    *link     // the open one: links do not nest
	hidden  atom.Atom // the element that hides what is in it
	nesting int       // how many of the same name are open in that
}

type link struct {
	href  string
	start int // where its text begins in out
}

// unseen are the elements whose text is none.
func unseen(a atom.Atom) bool {
	switch a {
	case atom.Script, atom.Style, atom.Title, atom.Head, atom.Template, atom.Noscript, atom.Object, atom.Select:
		return true
	}
	return false
}

func void(a atom.Atom) bool {
	switch a {
	case atom.Br, atom.Hr, atom.Img, atom.Input, atom.Meta, atom.Link, atom.Area, atom.Base, atom.Col, atom.Embed, atom.Source, atom.Wbr:
		return true
	}
	return false
}

func attribute(t html.Token, name string) string {
	for _, a := range t.Attr {
		if a.Key == name {
			return strings.TrimSpace(a.Val)
		}
	}
	return ""
}

func (t *htmlText) start(token html.Token, closed bool) {
	a := token.DataAtom
	if t.hidden != 0 {
		if a == atom.Body && t.hidden == atom.Head {
			t.hidden = 0 // the head need not be closed
			return
		}
		if a == t.hidden && !closed {
			t.nesting++
		}
		return
	}
	style := strings.ReplaceAll(strings.ToLower(attribute(token, "style")), " ", "")
	if !closed && !void(a) && (unseen(a) || strings.Contains(style, "display:none")) {
		t.hidden, t.nesting = a, 1
		return
	}
	switch a {
	case atom.Br:
		t.breaks++
		t.cell, t.space = false, false
	case atom.Hr:
		t.want(1)
		t.word(strings.Repeat("-", 40))
		t.want(1)
	case atom.Img:
		if alt := strings.Join(strings.Fields(attribute(token, "alt")), " "); alt != "" {
			t.word("[" + alt + "]")
		}
	case atom.P, atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6, atom.Dl:
		t.want(2)
	case atom.Div, atom.Tr, atom.Table, atom.Section, atom.Article, atom.Header, atom.Footer, atom.Address, atom.Center, atom.Dt, atom.Form, atom.Body, atom.Caption:
		t.want(1)
		t.row = t.row && a != atom.Tr
	case atom.Dd:
		t.want(1)
		t.mark = "  "
	case atom.Pre:
		t.want(2)
		t.pre++
	case atom.Blockquote:
		t.want(2)
		t.quote++
	case atom.Ul, atom.Menu, atom.Dir:
		t.list(-1)
	case atom.Ol:
		first, err := strconv.Atoi(attribute(token, "start"))
		if err != nil {
			first = 1
		}
		t.list(first)
	case atom.Li:
		t.item()
	case atom.Td, atom.Th:
		t.space = false
		t.cell = t.row && t.breaks == 0
	case atom.A:
		t.endLink()
		t.link = &link{attribute(token, "href"), -1}
	}
}

func (t *htmlText) list(first int) {
	if len(t.lists) == 0 {
		t.want(2)
	} else {
		t.want(1)
	}
	t.lists = append(t.lists, first)
}

func (t *htmlText) item() {
	t.want(1)
	t.mark = "* "
	if n := len(t.lists); n > 0 && t.lists[n-1] >= 0 {
		t.mark = strconv.Itoa(t.lists[n-1]) + ". "
		t.lists[n-1]++
	}
}

func (t *htmlText) end(a atom.Atom) {
	if t.hidden != 0 {
		if a == t.hidden {
			if t.nesting--; t.nesting == 0 {
				t.hidden = 0
			}
		}
		return
	}
	switch a {
	case atom.P, atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6, atom.Dl:
		t.want(2)
	case atom.Div, atom.Tr, atom.Table, atom.Section, atom.Article, atom.Header, atom.Footer, atom.Address, atom.Center, atom.Li, atom.Dt, atom.Dd, atom.Caption:
		t.want(1)
		t.mark = ""
	case atom.Pre:
		t.want(2)
		t.pre = max(0, t.pre-1)
	case atom.Blockquote:
		t.want(2)
		t.quote = max(0, t.quote-1)
	case atom.Ul, atom.Ol, atom.Menu, atom.Dir:
		if n := len(t.lists); n > 0 {
			t.lists = t.lists[:n-1]
		}
		if len(t.lists) == 0 {
			t.want(2)
		}
	case atom.A:
		t.endLink()
	}
}

// endLink writes a link's address behind its text, unless that says it.
func (t *htmlText) endLink() {
	l := t.link
	if t.link = nil; l == nil {
		return
	}
	scheme, rest, _ := strings.Cut(l.href, ":")
	switch strings.ToLower(scheme) {
	case "http", "https", "ftp", "mailto":
	default:
		return
	}
	said := ""
	if l.start >= 0 {
		said = strings.ToLower(strings.TrimSpace(t.out.String()[l.start:]))
	}
	plain := func(s string) string { return strings.TrimSuffix(strings.TrimPrefix(strings.ToLower(s), "//"), "/") }
	if said != "" && (strings.TrimSuffix(said, "/") == plain(l.href) || said == plain(rest) || said == "www."+plain(rest)) {
		return
	}
	t.space = l.start >= 0
	t.word("<" + l.href + ">")
}

// want asks for line ends before the next text.
func (t *htmlText) want(n int) {
	t.breaks = max(t.breaks, n)
	t.cell, t.space = false, false
}

// text takes the text between two tags.
func (t *htmlText) text(raw string) {
	if t.hidden != 0 {
		return
	}
	if !strings.ContainsRune(raw, '&') {
		t.plain(raw)
		return
	}
	t.plain(html.UnescapeString(raw))
}

func (t *htmlText) plain(s string) {
	if t.pre > 0 {
		for i, line := range strings.Split(strings.ReplaceAll(s, "\r\n", "\n"), "\n") {
			if i > 0 {
				t.breaks++
			}
			if line != "" {
				t.word(line)
			}
		}
		return
	}
	for i, word := range strings.FieldsFunc(s, isHTMLSpace) {
		if i > 0 || isHTMLSpace(rune(s[0])) {
			t.space = true
		}
		t.word(word)
	}
	if s != "" && isHTMLSpace(rune(s[len(s)-1])) {
		t.space = true
	}
}

// isHTMLSpace tells white space that counts as one space; a no-break space
// does not.
func isHTMLSpace(r rune) bool { return r == ' ' || r == '\t' || r == '\n' || r == '\r' || r == '\f' }

// word writes, after what is wanted before it.
func (t *htmlText) word(s string) {
	s = strings.ReplaceAll(s, "\u200b", "") // and what only newsletters fill their first lines with
	if s = strings.Trim(s, "\u00ad\u034f\u2007\ufeff"); strings.Trim(s, "\u00a0\u200c") == "" {
		return
	}
	switch {
	case t.out.Len() == 0:
		t.newLine(0)
	case t.breaks > 0:
		t.newLine(min(t.breaks, 2))
	case t.cell:
		t.out.WriteString(" | ")
	case t.space:
		t.out.WriteByte(' ')
	}
	t.breaks, t.space, t.cell, t.row = 0, false, false, true
	if t.link != nil && t.link.start < 0 {
		t.link.start = t.out.Len()
	}
	t.out.WriteString(s)
}

// newLine ends the line and begins the next with its marks.
func (t *htmlText) newLine(ends int) {
	quote := strings.Repeat("> ", min(t.quote, maxNesting))
	for i := range ends {
		t.out.WriteByte('\n')
		if i < ends-1 {
			t.out.WriteString(strings.TrimRight(quote[:2*min(t.quote, t.quoted, maxNesting)], " "))
		}
	}
	t.out.WriteString(quote)
	t.quoted = t.quote
	if n := min(len(t.lists), maxNesting); n > 0 {
		t.out.WriteString(strings.Repeat("  ", n-1))
		if t.mark == "" {
			t.out.WriteString("  ")
		}
	}
	t.out.WriteString(t.mark)
	t.mark = ""
}
