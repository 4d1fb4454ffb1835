package www

import (
	"html/template"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/html"
)

func TestText(t *testing.T) {
	tests := []struct{ name, in, text, line string }{
		{"plain", "abc", "abc", "abc"},
		{"markup is left to the template", `<a href="x">&'`, `<a href="x">&'`, `<a href="x">&'`},
		{"line ends", "a\r\nb\tc", "a\r\nb\tc", "a\ufffd\ufffdb\ufffdc"},
		{"controls", "\x00\x1b\x7f\u0085", "\ufffd\ufffd\ufffd\ufffd", "\ufffd\ufffd\ufffd\ufffd"},
		{"not UTF-8", "a\xff\xc3(", "a\ufffd\ufffd(", "a\ufffd\ufffd("},
		{"direction", "\u202egpj\u2069", "\ufffdgpj\ufffd", "\ufffdgpj\ufffd"},
		{"separators", "a\u2028b\u2029", "a\ufffdb\ufffd", "a\ufffdb\ufffd"},
		{"other scripts", "Č网שלום😀", "Č网שלום😀", "Č网שלום😀"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Text(tt.in); got != tt.text {
				t.Errorf("Text = %q, want %q", got, tt.text)
			}
			if got := Name(tt.in); got != tt.line {
				t.Errorf("Name = %q, want %q", got, tt.line)
			}
		})
	}
}

// FuzzPage: whatever comes in, a browser reads it back as text alone, with each
// character the same or replaced, between tags and in an attribute.
func FuzzPage(f *testing.F) {
	for _, s := range []string{"", "a", "<script>", `"'>`, "&amp;", "&#x3c", "\x00", "\xff", "\r\n", "\u202e", "]]>", "<!--"} {
		f.Add(s)
	}
	templates := map[string]*template.Template{
		"text": NewPage("<p>{{name .}}</p>"), "attribute": NewPage(`<p title="{{name .}}"></p>`),
	}
	f.Fuzz(func(t *testing.T, in string) {
		for what, page := range templates {
			var text strings.Builder
			if err := page.Execute(&text, in); err != nil {
				t.Fatal(err)
			}
			z := html.NewTokenizer(strings.NewReader(text.String()))
			var got string
			for z.Next() != html.ErrorToken {
				switch token := z.Token(); {
				case token.Type == html.TextToken:
					got += token.Data
				case token.Data != "p":
					t.Fatalf("%s %q became <%s>", what, in, token.Data)
				case len(token.Attr) > 1:
					t.Fatalf("%s %q became attributes %v", what, in, token.Attr)
				case len(token.Attr) == 1:
					got += token.Attr[0].Val
				}
			}
			want, have := []rune(in), []rune(got)
			if len(want) != len(have) {
				t.Fatalf("%s %q reads back as %q", what, in, got)
			}
			for i, r := range have {
				if r != want[i] && r != utf8.RuneError || unicode.IsControl(r) {
					t.Fatalf("%s %q reads back as %q", what, in, got)
				}
			}
		}
	})
}
