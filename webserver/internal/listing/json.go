package listing

import (
	"encoding/json"
	"time"
)

// jsonTime is the date format of HTTP (RFC 9110 section 5.6.7), which nginx
// uses in its listings as well.
const jsonTime = "Mon, 02 Jan 2006 15:04:05 GMT"

// AppendJSON appends the page to dst as JSON: an array of objects with name,
// type ("directory" or "file"), mtime and, for files, size in bytes: the form
// of nginx's autoindex_format json, so its clients can read ours. The order is
// the page's. Bytes of a name that are not UTF-8 become U+FFFD.
func AppendJSON(dst []byte, p Page) []byte {
	type entry struct {
		Name  string `json:"name"`
		Type  string `json:"type"`
		MTime string `json:"mtime,omitempty"`
		Size  *int64 `json:"size,omitempty"`
	}
	dst = append(dst, '[')
	for i, e := range p.sorted() {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, '\n')
		out := entry{Name: e.Name, Type: "directory"}
		if !e.IsDir {
			out.Type, out.Size = "file", &e.Size
		}
		if !e.ModTime.IsZero() {
			out.MTime = e.ModTime.UTC().Format(jsonTime)
		}
		line, err := json.Marshal(out)
		if err != nil {
			panic(err) // strings and numbers always marshal
		}
		dst = append(dst, line...)
	}
	return append(dst, "\n]\n"...)
}

// isoTime is the time of an entry in the HTML page, in UTC (ISO 8601).
func isoTime(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }
