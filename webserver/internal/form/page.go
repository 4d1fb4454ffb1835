package form

import (
	"encoding/json"
	"strconv"

	"topdown/webserver/www"
)

// layout is what the page needs beyond the common style.
const layout = `
dl { margin: 0; }
dt { font-weight: 600; }
dd { margin: 0 0 1rem; }
dd:last-child { margin-bottom: 0; }
dd pre { margin: .25rem 0 0; white-space: pre-wrap; }
.hash { font-size: .8125rem; color: var(--soft); }
`

// AppendHTML appends a page in UTF-8 that shows the result: fields and files as
// they were received, with everything that came from the client escaped.
func AppendHTML(dst []byte, r *Result) []byte {
	dst = append(dst, `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Received</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<style>
`...)
	dst = append(dst, www.Style...)
	dst = append(dst, layout+"</style>\n</head>\n<body>\n<h1>Received</h1>\n"...)
	dst = appendSummary(dst, r)
	if len(r.Fields) > 0 {
		dst = append(dst, "<h2>Fields</h2>\n<dl class=\"card\">\n"...)
		for i := range r.Fields {
			dst = appendField(dst, &r.Fields[i])
		}
		dst = append(dst, "</dl>\n"...)
	}
	if len(r.Files) > 0 {
		dst = append(dst, "<h2>Files</h2>\n<dl class=\"card\">\n"...)
		for i := range r.Files {
			dst = appendFile(dst, &r.Files[i])
		}
		dst = append(dst, "</dl>\n"...)
	}
	return append(dst, "<p><a href=\"\">Back to the page</a></p>\n</body>\n</html>\n"...)
}

// AppendJSON appends the result as one JSON object and a line end. Bytes that
// are not UTF-8 become U+FFFD.
func AppendJSON(dst []byte, r *Result) []byte {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		panic(err) // strings and numbers always marshal
	}
	return append(append(dst, text...), '\n')
}

// appendSummary appends what kind of body came.
func appendSummary(dst []byte, r *Result) []byte {
	dst = append(dst, "<p>The request body has "...)
	dst = appendBytes(dst, r.Size)
	if r.ContentType == "" {
		dst = append(dst, " and no <code>Content-Type</code>.</p>\n"...)
	} else {
		dst = append(dst, " of type <code>"...)
		dst = append(www.AppendName(dst, r.ContentType), "</code>.</p>\n"...)
	}
	switch {
	case r.Kind == Other:
		dst = append(dst, "<dl class=\"card\"><dt>SHA-256</dt><dd><code>"...)
		dst = append(www.AppendName(dst, r.SHA256), "</code></dd></dl>\n"+
			"<p class=\"soft\">Only <code>application/x-www-form-urlencoded</code> and <code>multipart/form-data</code> are taken apart into fields.</p>\n"...)
	case len(r.Fields)+len(r.Files) == 0:
		dst = append(dst, "<p>The form is empty.</p>\n"...)
	}
	return dst
}

func appendField(dst []byte, f *Field) []byte {
	dst = appendTerm(dst, f.Name)
	if f.Size == 0 {
		return append(dst, "<dd class=\"soft\">empty</dd>\n"...)
	}
	// The line end after <pre> is not part of its text, so that a line end at
	// the start of the value is.
	dst = append(dst, "<dd><pre>\n"...)
	dst = append(www.AppendText(dst, f.Value), "</pre>"...)
	if f.Truncated {
		dst = append(dst, "<span class=\"soft\">the first "...)
		dst = strconv.AppendInt(dst, int64(len(f.Value)), 10)
		dst = append(dst, " of "...)
		dst = append(appendBytes(dst, f.Size), "</span>"...)
	}
	return append(dst, "</dd>\n"...)
}

func appendFile(dst []byte, f *File) []byte {
	dst = appendTerm(dst, f.Field)
	if f.Name == "" && f.Size == 0 {
		return append(dst, "<dd class=\"soft\">no file chosen</dd>\n"...)
	}
	dst = append(dst, "<dd><bdi>"...)
	dst = append(www.AppendName(dst, f.Name), "</bdi><br><span class=\"soft\">"...)
	dst = appendBytes(dst, f.Size)
	if f.ContentType != "" {
		dst = append(www.AppendName(append(dst, ", "...), f.ContentType), ""...)
	}
	if f.StoredAs != "" {
		dst = append(www.AppendName(append(dst, ", stored as <bdi>"...), f.StoredAs), "</bdi>"...)
	}
	dst = append(dst, "</span><br><code class=\"hash\">SHA-256 "...)
	return append(www.AppendName(dst, f.SHA256), "</code></dd>\n"...)
}

func appendTerm(dst []byte, name string) []byte {
	if name == "" {
		return append(dst, "<dt class=\"soft\">(no name)</dt>"...)
	}
	return append(www.AppendName(append(dst, "<dt><bdi>"...), name), "</bdi></dt>"...)
}

func appendBytes(dst []byte, n int64) []byte {
	dst = strconv.AppendInt(dst, n, 10)
	if n == 1 {
		return append(dst, " byte"...)
	}
	return append(dst, " bytes"...)
}
