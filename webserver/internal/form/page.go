package form

import (
	"bytes"
	_ "embed"
	"encoding/json"

	"topdown/webserver/www"
)

//go:embed result.html
var pageText string

var page = www.NewPage(pageText)

// AppendHTML appends a page in UTF-8 that shows the result: fields and files as
// they were received, with everything that came from the client escaped.
func AppendHTML(dst []byte, r *Result) []byte {
	out := bytes.NewBuffer(dst)
	if err := page.Execute(out, r); err != nil {
		panic(err) // the template and a result belong together, and memory takes all
	}
	return out.Bytes()
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
