package listing

import (
	"bytes"
	_ "embed"
	"html/template"
	"io"
	"math"
	"net/url"
	"strconv"
	"strings"

	"topdown/webserver/www"
)

//go:embed listing.html
var pageText string

var page = www.NewPage(pageText)

// maxCrumbs bounds the links above the title, whose length grows with the
// square of the depth.
const maxCrumbs = 16

// onScreen is how many entries leave what is below them in sight.
const onScreen = 10

// The types below are what listing.html shows.
type (
	view struct {
		Title, Here string // Here is "" at the top
		Top         string
		Skipped     bool // there are more crumbs than are shown
		Crumbs      []crumb
		Columns     []column
		Rows        []row
		Upload      int64
		UploadSize  string
		ToForm      bool // the form is far below
		Archive     bool
		Note        string
		Summary     string
	}
	crumb  struct{ Href, Name string }
	column struct {
		Label, Href   string
		Order         string // "ascending" or "descending" if the page is sorted by it
		Number, Clock bool
	}
	row struct {
		Href             template.URL
		Name             string
		IsDir            bool
		Bytes            int64
		Size             string
		Time, Day, Clock string
	}
)

// AppendHTML appends the page to dst as an HTML document in UTF-8. All links
// are relative, so it also works behind a proxy that adds a prefix; it assumes
// that its own URL ends with a slash.
func AppendHTML(dst []byte, p Page) []byte {
	out := bytes.NewBuffer(dst)
	p.write(out)
	return out.Bytes()
}

func (p *Page) write(w io.Writer) {
	segments := strings.FieldsFunc(p.Path, func(r rune) bool { return r == '/' })
	v := view{
		Title: "/", Note: p.Note, Upload: p.Upload, UploadSize: formatSize(p.Upload), ToForm: p.Upload > 0 && len(p.Entries) > onScreen, Archive: p.Archive && len(p.Entries) > 0,
		Columns: []column{
			p.column(ByName, column{Label: "Name"}),
			p.column(BySize, column{Label: "Size", Number: true}),
			p.column(ByTime, column{Label: "Modified", Number: true, Clock: true}),
		},
	}
	if n := len(segments); n > 0 {
		var title strings.Builder
		title.WriteByte('/')
		for _, s := range segments {
			title.WriteString(www.Name(s))
			title.WriteByte('/')
		}
		v.Title, v.Here, v.Top = title.String(), segments[n-1], strings.Repeat("../", n)
		first := max(0, n-1-maxCrumbs)
		v.Skipped = first > 0
		for i := first; i < n-1; i++ {
			v.Crumbs = append(v.Crumbs, crumb{strings.Repeat("../", n-1-i), segments[i]})
		}
	}
	entries := p.sorted()
	v.Summary = summary(entries)
	v.Rows = make([]row, 0, len(entries))
	for _, e := range entries {
		r := row{Href: href(e), Name: e.Name, IsDir: e.IsDir, Bytes: e.Size, Size: formatSize(e.Size)}
		if !e.ModTime.IsZero() {
			r.Time = isoTime(e.ModTime)
			var clock string
			r.Day, clock, _ = strings.Cut(r.Time, " ")
			r.Clock = clock[:len("15:04")]
		}
		v.Rows = append(v.Rows, r)
	}
	if err := page.Execute(w, v); err != nil {
		panic(err) // the template and its data belong together, and memory takes all
	}
}

// column returns one column head: a link that sorts by the column, or that turns
// the order round if the page is sorted by it already.
func (p *Page) column(by string, c column) column {
	c.Href = "?sort=" + by
	if p.Sort != by && (by != ByName || p.Sort == BySize || p.Sort == ByTime) {
		return c
	}
	if c.Order = "ascending"; p.Desc {
		c.Order = "descending"
	} else {
		c.Href += "&order=desc"
	}
	return c
}

// href returns a relative reference to the entry, percent-encoded so that it
// needs no other escaping. It starts with "./": a first segment with a colon
// would read as a scheme otherwise (RFC 3986 section 4.2).
func href(e Entry) template.URL {
	ref := "./" + strings.ReplaceAll(url.QueryEscape(e.Name), "+", "%20")
	if e.IsDir {
		ref += "/"
	}
	return template.URL(ref)
}

// formatSize writes a number of bytes in the largest binary unit that leaves at least
// 1, with one decimal below 10.
func formatSize(n int64) string {
	if n < 1024 {
		return strconv.FormatInt(n, 10) + " B"
	}
	value, unit := float64(n)/1024, 0
	for value >= 1023.5 && unit < len("KMGTPE")-1 { // 1023.5 would print as 1024
		value /= 1024
		unit++
	}
	decimals := 0
	if value < 9.95 {
		decimals = 1
	}
	return strconv.FormatFloat(value, 'f', decimals, 64) + " " + "KMGTPE"[unit:unit+1] + "iB"
}

// summary tells how much the page shows.
func summary(entries []Entry) string {
	var dirs, files int
	var bytes int64
	for _, e := range entries {
		if e.IsDir {
			dirs++
		} else {
			files++
			bytes += min(e.Size, math.MaxInt64-bytes) // sparse files can claim any size
		}
	}
	var parts []string
	count := func(n int, one, many string) {
		if n == 1 {
			many = one
		}
		if n > 0 {
			parts = append(parts, strconv.Itoa(n)+" "+many)
		}
	}
	count(dirs, "directory", "directories")
	count(files, "file", "files")
	if files > 0 {
		parts = append(parts, formatSize(bytes))
	}
	if len(parts) == 0 {
		return "This directory is empty."
	}
	return strings.Join(parts, ", ")
}
