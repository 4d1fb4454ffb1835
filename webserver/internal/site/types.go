package site

import (
	"path"
	"strings"
)

// mediaType is a media type, and whether its content is worth compressing.
type mediaType struct {
	name     string
	compress bool
}

// defaultType is for every extension that types does not know, and for names
// without one: the client is not made to guess (RFC 9110, section 8.3).
var defaultType = mediaType{"application/octet-stream", false}

// types are the registered media types by extension. The system's own table is
// left alone, so that a site is served alike on every machine.
var types = map[string]mediaType{
	".html": {"text/html; charset=utf-8", true}, ".htm": {"text/html; charset=utf-8", true},
	".xhtml": {"application/xhtml+xml", true},
	".css":   {"text/css; charset=utf-8", true},
	".js":    {"text/javascript; charset=utf-8", true}, ".mjs": {"text/javascript; charset=utf-8", true},
	".json": {"application/json", true}, ".map": {"application/json", true},
	".jsonld": {"application/ld+json", true}, ".geojson": {"application/geo+json", true},
	".webmanifest": {"application/manifest+json", true},
	".txt":         {"text/plain; charset=utf-8", true}, ".log": {"text/plain; charset=utf-8", true},
	".md":  {"text/markdown; charset=utf-8", true},
	".csv": {"text/csv; charset=utf-8", true}, ".tsv": {"text/tab-separated-values; charset=utf-8", true},
	".ics": {"text/calendar; charset=utf-8", true}, ".vcf": {"text/vcard; charset=utf-8", true},
	".vtt": {"text/vtt; charset=utf-8", true},
	".xml": {"application/xml", true}, ".xsl": {"application/xml", true},
	".atom": {"application/atom+xml", true}, ".rss": {"application/rss+xml", true},
	".yaml": {"application/yaml", true}, ".yml": {"application/yaml", true},
	".toml": {"application/toml", true}, ".wasm": {"application/wasm", true},
	".rtf": {"application/rtf", true}, ".pdf": {"application/pdf", false},
	".epub": {"application/epub+zip", false},

	".png": {"image/png", false}, ".apng": {"image/apng", false},
	".jpg": {"image/jpeg", false}, ".jpeg": {"image/jpeg", false}, ".jpe": {"image/jpeg", false},
	".gif": {"image/gif", false}, ".webp": {"image/webp", false}, ".avif": {"image/avif", false},
	".heic": {"image/heic", false}, ".jxl": {"image/jxl", false},
	".svg": {"image/svg+xml", true}, ".ico": {"image/vnd.microsoft.icon", true},
	".bmp": {"image/bmp", true}, ".tif": {"image/tiff", false}, ".tiff": {"image/tiff", false},

	".mp3": {"audio/mpeg", false}, ".m4a": {"audio/mp4", false}, ".aac": {"audio/aac", false},
	".ogg": {"audio/ogg", false}, ".oga": {"audio/ogg", false}, ".opus": {"audio/ogg", false},
	".flac": {"audio/flac", false}, ".wav": {"audio/wav", false}, ".mid": {"audio/midi", false},
	".mp4": {"video/mp4", false}, ".m4v": {"video/mp4", false}, ".webm": {"video/webm", false},
	".ogv": {"video/ogg", false}, ".mov": {"video/quicktime", false}, ".mpeg": {"video/mpeg", false},
	".mkv": {"video/matroska", false}, ".avi": {"video/x-msvideo", false}, ".ts": {"video/mp2t", false},
	".m3u8": {"application/vnd.apple.mpegurl", true}, ".mpd": {"application/dash+xml", true},

	".woff": {"font/woff", false}, ".woff2": {"font/woff2", false},
	".ttf": {"font/ttf", true}, ".otf": {"font/otf", true}, ".ttc": {"font/collection", true},
	".eot": {"application/vnd.ms-fontobject", true},

	".zip": {"application/zip", false}, ".gz": {"application/gzip", false}, ".tgz": {"application/gzip", false},
	".bz2": {"application/x-bzip2", false}, ".xz": {"application/x-xz", false},
	".zst": {"application/zstd", false}, ".tar": {"application/x-tar", false},
	".7z": {"application/x-7z-compressed", false}, ".rar": {"application/vnd.rar", false},
	".jar": {"application/java-archive", false}, ".deb": {"application/vnd.debian.binary-package", false},
	".doc": {"application/msword", false}, ".xls": {"application/vnd.ms-excel", false},
	".ppt":  {"application/vnd.ms-powerpoint", false},
	".docx": {"application/vnd.openxmlformats-officedocument.wordprocessingml.document", false},
	".xlsx": {"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", false},
	".pptx": {"application/vnd.openxmlformats-officedocument.presentationml.presentation", false},
	".odt":  {"application/vnd.oasis.opendocument.text", false},
	".ods":  {"application/vnd.oasis.opendocument.spreadsheet", false},
	".odp":  {"application/vnd.oasis.opendocument.presentation", false},
	".go":   {"text/plain; charset=utf-8", true}, ".py": {"text/plain; charset=utf-8", true},
	".c": {"text/plain; charset=utf-8", true}, ".h": {"text/plain; charset=utf-8", true},
	".sh": {"text/plain; charset=utf-8", true},
}

func typeOf(name string) mediaType {
	if t, ok := types[strings.ToLower(path.Ext(name))]; ok {
		return t
	}
	return defaultType
}

const (
	revalidate = "no-cache"
	forever    = "public, max-age=31536000, immutable"
)

// cacheControl is the default Cache-Control of a file: a copy may be kept and
// must be checked before use (RFC 9111, section 5.2.2.4), so that nobody sees an
// old page for an hour; only a name that changes with its content lasts.
func cacheControl(name string) string {
	if typeOf(name).name != types[".html"].name && fingerprinted(path.Base(name)) {
		return forever
	}
	return revalidate
}

// fingerprinted reports whether a name carries a hash of its content, as build
// tools make them: app.3f2a9c1b.js, index-BfX3k2a9.css. The part before the
// extension and after "." or "-" must look like one: eight or more hexadecimal
// digits of both kinds, or letters of both cases and digits.
func fingerprinted(base string) bool {
	stem := strings.TrimSuffix(base, path.Ext(base))
	i := strings.LastIndexAny(stem, ".-")
	if i <= 0 || len(stem)-i-1 < 8 {
		return false
	}
	hexadecimal, digit, lower, upper := true, false, false, false
	for _, c := range []byte(stem[i+1:]) {
		switch {
		case '0' <= c && c <= '9':
			digit = true
		case 'a' <= c && c <= 'z':
			lower = true
			hexadecimal = hexadecimal && c <= 'f'
		case 'A' <= c && c <= 'Z':
			upper = true
			hexadecimal = hexadecimal && c <= 'F'
		case c == '_':
			hexadecimal = false
		default:
			return false
		}
	}
	return digit && (hexadecimal && lower != upper || lower && upper)
}
