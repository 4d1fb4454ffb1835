package ftp

import (
	"bytes"
	"html/template"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Entry is one line of a directory listing.
type Entry struct {
	Name string
	Dir  bool
	Link bool
	Size int64  // -1 if unknown
	Time string // as the server wrote it
}

// ParseList takes apart one line of LIST, whose form no standard fixes: that of
// ls -l, or that of DOS. ok is false for any other line.
func ParseList(line string) (e Entry, ok bool) {
	line = strings.TrimRight(line, "\r\n")
	if e, ok = parseUnix(line); !ok {
		e, ok = parseDOS(line)
	}
	if e.Name == "" || e.Name == "." || e.Name == ".." || strings.ContainsAny(e.Name, "/\x00\r\n") {
		return Entry{}, false
	}
	return e, ok
}

// parseUnix reads "drwxr-xr-x 2 user group 4096 Nov 20 12:00 name".
func parseUnix(line string) (Entry, bool) {
	if len(line) < 10 || !strings.ContainsRune("-dlbcps", rune(line[0])) || !strings.ContainsRune("-r", rune(line[1])) {
		return Entry{}, false
	}
	words, rest := cutWords(line, 8)
	if len(words) < 7 {
		return Entry{}, false
	}
	// Some servers leave out the group.
	if isMonth(words[4]) {
		words, rest = cutWords(line, 7)
		words = append(words[:3:3], append([]string{""}, words[3:]...)...)
	}
	if len(words) != 8 || !isMonth(words[5]) {
		return Entry{}, false
	}
	size, err := strconv.ParseInt(words[4], 10, 64)
	if err != nil || size < 0 {
		return Entry{}, false
	}
	e := Entry{Name: rest, Dir: line[0] == 'd', Link: line[0] == 'l', Size: size, Time: strings.Join(words[5:8], " ")}
	if e.Link {
		e.Name, _, _ = strings.Cut(e.Name, " -> ")
	}
	if line[0] != '-' {
		e.Size = -1
	}
	return e, true
}

// parseDOS reads "11-20-26 12:00PM <DIR> name" and "11-20-26 12:00PM 123 name".
func parseDOS(line string) (Entry, bool) {
	words, rest := cutWords(line, 3)
	if len(words) != 3 {
		return Entry{}, false
	}
	when := words[0] + " " + words[1]
	known := false
	for _, layout := range []string{"01-02-06 03:04PM", "01-02-2006 03:04PM", "01-02-06 15:04", "01-02-2006 15:04"} {
		if _, err := time.Parse(layout, when); err == nil {
			known = true
		}
	}
	if !known {
		return Entry{}, false
	}
	e := Entry{Name: strings.TrimLeft(rest, " "), Time: when, Size: -1}
	if words[2] == "<DIR>" {
		e.Dir = true
		return e, true
	}
	size, err := strconv.ParseInt(words[2], 10, 64)
	if err != nil || size < 0 {
		return Entry{}, false
	}
	e.Size = size
	return e, true
}

// cutWords cuts n words off the front of s; one space after the last of them
// does not belong to the rest.
func cutWords(s string, n int) (words []string, rest string) {
	for len(words) < n {
		s = strings.TrimLeft(s, " ")
		end := strings.IndexByte(s, ' ')
		if end < 0 {
			return words, ""
		}
		words = append(words, s[:end])
		s = s[end:]
	}
	return words, s[1:]
}

func isMonth(s string) bool {
	_, err := time.Parse("Jan", s)
	return err == nil
}

// maxEntries is how many entries of a directory are shown.
const maxEntries = 10_000

// listing is what the page of a directory shows.
type listing struct {
	Title string
	Up    bool // there is a directory above
	Rows  []row
	Cut   bool // there are more entries
}

// row is a line of the listing; one that cannot be taken apart has its Text
// alone.
type row struct {
	Text, Href, Name, Size, Time string
}

var listTemplate = template.Must(template.New("list").Parse(`<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>{{.Title}}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root{color-scheme:light dark}
body{font-family:system-ui,sans-serif;margin:2em auto;max-width:50em;padding:0 1em}
td{padding:.1em 1.5em .1em 0}
td+td{text-align:right}
</style></head>
<body>
<h1>{{.Title}}</h1>
<table>
{{if .Up}}<tr><td><a href="../">../</a>
{{end}}{{range .Rows}}{{if .Text}}<tr><td colspan="3">{{.Text}}
{{else}}<tr><td><a href="{{.Href}}">{{.Name}}</a><td>{{.Size}}<td>{{.Time}}
{{end}}{{end}}{{if .Cut}}<tr><td colspan="3">The directory has more entries than are shown here.
{{end}}</table>
</body>
</html>
`))

// page renders a listing; base is the directory's URL with a "/" at its end.
// Lines that cannot be taken apart are shown as they are. cut says that the
// listing goes on.
func page(base, lines string, cut bool) []byte {
	l := listing{Title: "Index of " + base, Up: strings.Count(base, "/") > 3, Cut: cut}
	for line := range strings.Lines(lines) {
		line = strings.TrimRight(line, "\r\n")
		if line == "" || strings.HasPrefix(line, "total ") {
			continue
		}
		if len(l.Rows) == maxEntries {
			l.Cut = true
			break
		}
		e, ok := ParseList(line)
		if !ok {
			l.Rows = append(l.Rows, row{Text: line})
			continue
		}
		slash := ""
		if e.Dir {
			slash = "/"
		}
		// "./" keeps a name with a colon from being read as a scheme.
		r := row{Href: "./" + url.PathEscape(e.Name) + slash, Name: e.Name + slash, Time: e.Time}
		if e.Size >= 0 {
			r.Size = strconv.FormatInt(e.Size, 10)
		}
		l.Rows = append(l.Rows, r)
	}
	var b bytes.Buffer
	if err := listTemplate.Execute(&b, l); err != nil {
		return []byte(l.Title + "\n") // the template is tested
	}
	return b.Bytes()
}
