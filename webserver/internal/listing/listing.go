// Package listing makes the page that shows what is in a directory: as HTML for
// people, as JSON for programs.
//
// It knows neither files nor sockets: the caller reads the directory, decides
// which names may be seen and how many at most, and hands over a Page. The HTML
// needs no script (the upload form only gets better by it); its column heads are
// plain links with a query (RFC 3986 section 3.4) that ParseQuery reads back.
package listing

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Entry is one name in a directory.
type Entry struct {
	Name    string    // as the file system has it, perhaps not UTF-8; never with a slash
	IsDir   bool      // shown first, linked with a final slash
	Size    int64     // bytes; not shown for a directory
	ModTime time.Time // zero means unknown
}

// Values of Page.Sort. Anything else means ByName.
const (
	ByName = "name"
	BySize = "size"
	ByTime = "time"
)

// Page is one directory listing.
type Page struct {
	Path    string  // decoded URL path, from "/" on
	Entries []Entry // in any order; rendering does not change it
	Sort    string  // ByName, BySize or ByTime
	Desc    bool    // largest, newest or last name first

	// Upload shows a form that sends files to the directory's own address, up to so
	// many bytes at a time; 0: none.
	Upload int64

	// Archive shows links to the directory as one file (see package archive).
	Archive bool

	// Note, if set, is shown below the table, for example that the directory
	// holds more than is shown.
	Note string
}

// ParseQuery reads the order out of a URL's query ("sort=size&order=desc"),
// undecoded, without the question mark. It never fails: what it does not know
// it leaves at the default, by name and ascending. The last of several wins.
func ParseQuery(rawQuery string) (sort string, desc bool) {
	sort = ByName
	for pair := range strings.SplitSeq(rawQuery, "&") {
		name, value, _ := strings.Cut(pair, "=")
		switch name {
		case "sort":
			switch value {
			case ByName, BySize, ByTime:
				sort = value
			}
		case "order":
			desc = value == "desc"
		}
	}
	return sort, desc
}

// sorted returns the entries in the page's order: directories first, equal
// ones by name.
func (p *Page) sorted() []Entry {
	entries := slices.Clone(p.Entries)
	slices.SortFunc(entries, func(a, b Entry) int {
		if a.IsDir != b.IsDir {
			if a.IsDir {
				return -1
			}
			return 1
		}
		order := 0
		switch p.Sort {
		case BySize:
			if !a.IsDir {
				order = cmp.Compare(a.Size, b.Size)
			}
		case ByTime:
			order = a.ModTime.Compare(b.ModTime)
		default:
			order = strings.Compare(a.Name, b.Name)
		}
		if p.Desc {
			order = -order
		}
		if order == 0 {
			order = strings.Compare(a.Name, b.Name)
		}
		return order
	})
	return entries
}
