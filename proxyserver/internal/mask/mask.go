// Package mask hides what is secret in what a person gets to see: logs, traces
// and the live page.
package mask

import "strings"

// Line hides what is secret in a line of a head.
func Line(line string) string {
	if name, _, ok := strings.Cut(line, ":"); ok && Secret(name) {
		line = name + ": (hidden)"
	}
	return Login(line)
}

// Secret reports whether a field of that name holds credentials.
func Secret(name string) bool {
	switch strings.ToLower(name) {
	case "authorization", "proxy-authorization", "cookie", "set-cookie":
		return true
	}
	return false
}

// Login hides the passwords in a URL, in whichever way it is written: what
// stands between a colon and an "@" in one segment.
func Login(s string) string {
	if strings.IndexByte(s, '@') < 0 {
		return s
	}
	url, query, asked := strings.Cut(s, "?")
	segments := strings.Split(url, "/")
	for i, segment := range segments {
		at := strings.LastIndexByte(segment, '@')
		if colon := strings.IndexByte(segment, ':'); colon >= 0 && colon < at {
			segments[i] = segment[:colon] + ":(hidden)" + segment[at:]
		}
	}
	s = strings.Join(segments, "/")
	if asked {
		s += "?" + query
	}
	return s
}
