package form

import (
	"path"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// maxName is the longest name of a stored file in bytes. File systems take
	// 255; the rest is left for what makes a name unique.
	maxName = 200

	// maxExt is the longest ending that survives when a name is cut, in bytes.
	maxExt = 20
)

// SafeName turns the name that a client gave to a file into one that is safe to
// create in a directory of any common system: one path segment without
// separators, control or invisible characters; no dotfile, no option, no device
// name of Windows; UTF-8 of at most 200 bytes that keeps its ending. If nothing
// is left it is "upload".
func SafeName(name string) string {
	if i := strings.LastIndexAny(name, `/\`); i >= 0 {
		name = name[i+1:]
	}
	name = strings.Map(safeRune, strings.ToValidUTF8(name, "_"))
	name = notSpecial(trimName(name))
	if len(name) > maxName {
		ext := path.Ext(name)
		if len(ext) > maxExt {
			ext = ""
		}
		// What is cut can leave a device name, but then a short one.
		name = notSpecial(trimName(wholeRunes(name[:maxName-len(ext)])) + ext)
	}
	if name == "" {
		return "upload"
	}
	return name
}

// notSpecial changes a name that commands would take for an option, or Windows
// for a device.
func notSpecial(name string) string {
	if strings.HasPrefix(name, "-") || isDevice(name) {
		return "_" + name
	}
	return name
}

// safeRune maps a character to itself, to a harmless one, or away (-1).
func safeRune(r rune) rune {
	switch {
	case strings.ContainsRune(`<>:"|?*`, r): // not allowed on Windows
		return '_'
	case unicode.IsSpace(r) && !unicode.IsControl(r):
		return ' '
	case !unicode.IsPrint(r): // control, format (such as right-to-left override), unassigned
		return -1
	}
	return r
}

// trimName removes what may stand inside a name but not at its ends: Windows
// ignores spaces and dots at the end, and a dot at the start hides the file.
func trimName(name string) string {
	return strings.TrimRight(strings.TrimLeft(name, ". "), ". ")
}

// isDevice reports whether Windows would open a device under this name, with
// any ending.
func isDevice(name string) bool {
	stem, _, _ := strings.Cut(name, ".")
	stem = strings.ToUpper(strings.TrimRight(stem, " "))
	switch stem {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$":
		return true
	}
	prefix, number := "", ""
	if len(stem) > 3 {
		prefix, number = stem[:3], stem[3:]
	}
	if prefix != "COM" && prefix != "LPT" {
		return false
	}
	r, size := utf8.DecodeRuneInString(number)
	return size == len(number) && strings.ContainsRune("0123456789¹²³", r)
}

// wholeRunes cuts the remains of a character that was split at the end of s.
func wholeRunes(s string) string {
	for i := 1; i <= min(utf8.UTFMax-1, len(s)); i++ {
		c := s[len(s)-i]
		if utf8.RuneStart(c) {
			if c >= utf8.RuneSelf && !utf8.FullRuneInString(s[len(s)-i:]) {
				return s[:len(s)-i]
			}
			break
		}
	}
	return s
}

// numbered returns the name with a number before its ending: a-1.txt.
func numbered(name, number string) string {
	ext := path.Ext(name)
	if len(ext) > maxExt {
		ext = ""
	}
	return strings.TrimSuffix(name, ext) + "-" + number + ext
}
