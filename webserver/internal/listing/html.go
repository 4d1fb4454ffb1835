package listing

import (
	"math"
	"strconv"
	"strings"

	"topdown/webserver/www"
)

// layout is what a listing needs beyond the common style.
const layout = `
nav { color: var(--soft); font-size: .9375rem; }
nav a { display: inline-block; padding: .3rem 0; }
.card { padding: .35rem 0; }
th a { color: inherit; text-decoration: none; white-space: nowrap; }
th a:hover { text-decoration: underline; }
th[aria-sort] { color: var(--ink); }
tr:last-child td { border-bottom: 0; }
tbody tr:hover { background: var(--glow); }
td a { display: flex; gap: .6rem; text-decoration: none; }
td a:hover { text-decoration: underline; }
svg { flex: none; width: 1.15rem; height: 1.15rem; margin-top: .27rem; }
.icons { display: none; }
.num { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
td.num { color: var(--soft); }
@media (max-width: 36rem) {
  body { padding: 1.5rem .75rem 3rem; }
  th, td { padding: .55rem .4rem; }
  th:first-child, td:first-child { padding-left: .75rem; }
  th:last-child, td:last-child { padding-right: .75rem; }
  .num { font-size: .8125rem; line-height: 1.7rem; }
  .clock { display: none; }
}
`

// icons are drawn once and used by reference in each row.
const icons = `<svg class="icons"><defs>` +
	`<symbol id="d" viewBox="0 0 16 16"><path fill="currentColor" d="M1 3.5A1.5 1.5 0 0 1 2.5 2h3.2l1.8 2h6A1.5 1.5 0 0 1 15 5.5v7a1.5 1.5 0 0 1-1.5 1.5h-11A1.5 1.5 0 0 1 1 12.5z"/></symbol>` +
	`<symbol id="f" viewBox="0 0 16 16"><path fill="none" stroke="currentColor" stroke-width="1.3" stroke-linejoin="round" d="M3.2 1.7h6l3.6 3.6v9H3.2zM9.2 1.7v3.6h3.6"/></symbol>` +
	`<symbol id="u" viewBox="0 0 16 16"><path fill="none" stroke="currentColor" stroke-width="1.6" stroke-linecap="round" stroke-linejoin="round" d="M3.5 7 8 2.5 12.5 7M8 2.5v11"/></symbol>` +
	"</defs></svg>\n"

// maxCrumbs bounds the links above the title, whose length grows with the
// square of the depth.
const maxCrumbs = 16

// AppendHTML appends the page to dst as an HTML document in UTF-8. All links
// are relative, so it also works behind a proxy that adds a prefix; it assumes
// that its own URL ends with a slash.
func AppendHTML(dst []byte, p Page) []byte {
	segments := strings.FieldsFunc(p.Path, func(r rune) bool { return r == '/' })
	dst = append(dst, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>Index of /"...)
	for _, s := range segments {
		dst = append(www.AppendName(dst, s), '/')
	}
	dst = append(dst, "</title>\n"+
		`<meta name="viewport" content="width=device-width, initial-scale=1">`+"\n"+
		`<link rel="icon" href="data:,">`+"\n<style>\n"...)
	dst = append(dst, www.Style...)
	dst = append(dst, layout+"</style>\n</head>\n<body>\n"+icons...)
	dst = appendTitle(dst, segments)

	dst = append(dst, "<div class=\"card\">\n<table>\n<thead>\n<tr>"...)
	dst = p.appendHead(dst, ByName, "Name", "")
	dst = p.appendHead(dst, BySize, "Size", ` class="num"`)
	dst = p.appendHead(dst, ByTime, `Modified<span class="clock"> (UTC)</span>`, ` class="num"`)
	dst = append(dst, "</tr>\n</thead>\n<tbody>\n"...)
	if len(segments) > 0 {
		dst = append(dst, `<tr><td><a href="../"><svg aria-hidden="true"><use href="#u"/></svg><span>Parent directory</span></a></td><td></td><td></td></tr>`+"\n"...)
	}
	entries := p.sorted()
	for _, e := range entries {
		dst = appendRow(dst, e)
	}
	dst = append(dst, "</tbody>\n</table>\n</div>\n"...)
	if p.Note != "" {
		dst = append(dst, "<p>"...)
		dst = append(www.AppendName(dst, p.Note), "</p>\n"...)
	}
	dst = append(dst, "<footer>"...)
	dst = appendSummary(dst, entries)
	return append(dst, "</footer>\n</body>\n</html>\n"...)
}

// appendTitle appends the way from the root to this directory, and its name.
func appendTitle(dst []byte, segments []string) []byte {
	n := len(segments)
	if n == 0 {
		return append(dst, "<h1>Index of /</h1>\n"...)
	}
	dst = append(dst, `<nav aria-label="Breadcrumb"><a href="`...)
	for range n {
		dst = append(dst, "../"...)
	}
	dst = append(dst, `">Top</a> / `...)
	first := max(0, n-1-maxCrumbs)
	if first > 0 {
		dst = append(dst, "… / "...)
	}
	for i := first; i < n-1; i++ {
		dst = append(dst, `<a href="`...)
		for range n - 1 - i {
			dst = append(dst, "../"...)
		}
		dst = append(dst, `"><bdi>`...)
		dst = append(www.AppendName(dst, segments[i]), "</bdi></a> / "...)
	}
	dst = append(dst, "</nav>\n<h1><bdi>"...)
	return append(www.AppendName(dst, segments[n-1]), "</bdi>/</h1>\n"...)
}

// appendHead appends one column head: a link that sorts by the column, or that
// turns the order round if the page is sorted by it already.
func (p *Page) appendHead(dst []byte, column, label, attr string) []byte {
	active := p.Sort == column || column == ByName && p.Sort != BySize && p.Sort != ByTime
	desc := active && !p.Desc
	dst = append(dst, `<th scope="col"`...)
	dst = append(dst, attr...)
	if active {
		if p.Desc {
			dst = append(dst, ` aria-sort="descending"`...)
		} else {
			dst = append(dst, ` aria-sort="ascending"`...)
		}
	}
	dst = append(dst, `><a href="?sort=`...)
	dst = append(dst, column...)
	if desc {
		dst = append(dst, `&amp;order=desc`...)
	}
	dst = append(dst, `">`...)
	dst = append(dst, label...)
	if active {
		if p.Desc {
			dst = append(dst, ` <span aria-hidden="true">↓</span>`...)
		} else {
			dst = append(dst, ` <span aria-hidden="true">↑</span>`...)
		}
	}
	return append(dst, "</a></th>"...)
}

// appendRow appends the table row of one entry.
func appendRow(dst []byte, e Entry) []byte {
	dst = append(dst, `<tr><td><a href="`...)
	dst = appendHref(dst, e)
	if e.IsDir {
		dst = append(dst, `"><svg aria-label="Directory" role="img"><use href="#d"/></svg><bdi>`...)
	} else {
		dst = append(dst, `"><svg aria-hidden="true"><use href="#f"/></svg><bdi>`...)
	}
	dst = www.AppendName(dst, e.Name)
	if e.IsDir {
		dst = append(dst, '/')
	}
	dst = append(dst, `</bdi></a></td><td class="num"`...)
	if e.IsDir {
		dst = append(dst, `>–`...)
	} else {
		dst = append(dst, ` title="`...)
		dst = strconv.AppendInt(dst, e.Size, 10)
		dst = append(dst, ` bytes">`...)
		dst = appendSize(dst, e.Size)
	}
	dst = append(dst, `</td><td class="num">`...)
	if !e.ModTime.IsZero() {
		iso := isoTime(e.ModTime)
		day, clock, _ := strings.Cut(iso, " ")
		dst = append(dst, `<time datetime="`...)
		dst = append(dst, iso...)
		dst = append(dst, `" title="`...)
		dst = append(dst, iso...)
		dst = append(dst, `">`...)
		dst = append(dst, day...)
		dst = append(dst, `<span class="clock"> `...)
		dst = append(dst, clock[:len("15:04")]...)
		dst = append(dst, `</span></time>`...)
	}
	return append(dst, "</td></tr>\n"...)
}

// appendHref appends a relative reference to the entry, percent-encoded so that
// it needs no HTML escaping. It starts with "./": a first segment with a colon
// would read as a scheme otherwise (RFC 3986 section 4.2).
func appendHref(dst []byte, e Entry) []byte {
	const hex = "0123456789ABCDEF"
	dst = append(dst, "./"...)
	for i := range len(e.Name) {
		switch c := e.Name[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9',
			c == '-', c == '.', c == '_', c == '~': // unreserved, RFC 3986 section 2.3
			dst = append(dst, c)
		default:
			dst = append(dst, '%', hex[c>>4], hex[c&15])
		}
	}
	if e.IsDir {
		dst = append(dst, '/')
	}
	return dst
}

// appendSize appends a number of bytes in the largest binary unit that leaves
// at least 1, with one decimal below 10.
func appendSize(dst []byte, size int64) []byte {
	if size < 1024 {
		return append(strconv.AppendInt(dst, size, 10), " B"...)
	}
	value, unit := float64(size)/1024, 0
	for value >= 1023.5 && unit < len("KMGTPE")-1 { // 1023.5 would print as 1024
		value /= 1024
		unit++
	}
	decimals := 0
	if value < 9.95 {
		decimals = 1
	}
	dst = strconv.AppendFloat(dst, value, 'f', decimals, 64)
	return append(dst, ' ', "KMGTPE"[unit], 'i', 'B')
}

// appendSummary appends how much the page shows.
func appendSummary(dst []byte, entries []Entry) []byte {
	var dirs, files int
	var size int64
	for _, e := range entries {
		if e.IsDir {
			dirs++
		} else {
			files++
			size += min(e.Size, math.MaxInt64-size) // sparse files can claim any size
		}
	}
	if dirs+files == 0 {
		return append(dst, "This directory is empty."...)
	}
	count := func(n int, one, many string) {
		dst = append(strconv.AppendInt(dst, int64(n), 10), ' ')
		if n == 1 {
			dst = append(dst, one...)
		} else {
			dst = append(dst, many...)
		}
	}
	if dirs > 0 {
		count(dirs, "directory", "directories")
	}
	if dirs > 0 && files > 0 {
		dst = append(dst, ", "...)
	}
	if files > 0 {
		count(files, "file", "files")
		dst = append(dst, ", "...)
		dst = appendSize(dst, size)
	}
	return dst
}
