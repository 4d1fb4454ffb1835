package message

import (
	"mime"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxName is the longest file name that SafeName returns, in bytes.
const maxName = 120

// SafeName makes a file name from one that a stranger chose: no directory, no
// control character, nothing hidden, nothing that Windows or a shell treats
// specially. The part's path and type give the name if nothing is left.
func SafeName(p *Part) string {
	name := p.Filename
	if i := strings.LastIndexAny(name, `/\`); i >= 0 {
		name = name[i+1:]
	}
	name = strings.Map(func(r rune) rune {
		switch {
		case r == utf8.RuneError, !unicode.IsPrint(r):
			return -1
		case strings.ContainsRune("<>:\"|?*'`$&;", r):
			return '_'
		}
		return r
	}, name)
	name = strings.TrimLeft(strings.TrimSpace(name), ".-~ ")
	name = strings.TrimRight(name, ". ")
	ext := filepath.Ext(name)
	device, _, _ := strings.Cut(name, ".") // Windows takes "NUL.tar.gz" for NUL
	switch strings.ToUpper(strings.TrimSpace(device)) {
	case "CON", "PRN", "AUX", "NUL", "COM1", "COM2", "COM3", "COM4", "COM5", "COM6", "COM7", "COM8", "COM9",
		"LPT1", "LPT2", "LPT3", "LPT4", "LPT5", "LPT6", "LPT7", "LPT8", "LPT9":
		name = "_" + name
	}
	if name == "" {
		name = "part-" + p.Path + extension(p.Type)
	}
	if len(name) > maxName { // shorten the stem, keep the extension
		if len(ext) > 20 {
			ext = ""
		}
		name = strings.ToValidUTF8(name[:maxName-len(ext)], "") + ext
	}
	return name
}

// extension is a file name extension for a media type; the well-known ones do
// not depend on the machine's tables.
func extension(kind string) string {
	switch kind {
	case "text/plain":
		return ".txt"
	case "text/html":
		return ".html"
	case "image/jpeg":
		return ".jpg"
	case "image/png":
		return ".png"
	case "message/rfc822":
		return ".eml"
	}
	if list, err := mime.ExtensionsByType(kind); err == nil && len(list) > 0 {
		return list[0]
	}
	return ".bin"
}
