// Package www is the web server's built-in sample site and the look of every
// page that the server makes by itself.
//
// The pages are ordinary HTML files, meant to be read: open them beside the
// browser. They need nothing from another host, and only trace.html, which draws
// the traces that the labs write, needs a script.
package www

import "embed"

// Files holds the sample site: index.html, HelloWorld.html, image.html with its
// picture, MyForm.html, trace.html with a recorded trace of each lab, 403.html,
// 404.html, style.css and favicon.svg, all
// at the top level. 403.html and 404.html stand alone, so they also serve a
// root that has none of its own.
//
//go:embed *.html *.png *.ndjson style.css favicon.svg
var Files embed.FS

// Style is the text of style.css. Pages that the server makes by itself carry
// it inside a style element, since the root they belong to may have no such
// file. It contains neither "</" nor "<!--".
//
//go:embed style.css
var Style string
