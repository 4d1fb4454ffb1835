package origin

import (
	"strings"

	"topdown/pkg/httpmsg"
)

// stripHop removes the fields that are meant for one connection only: those
// that Connection names and the well-known ones (RFC 9110, section 7.6.1).
func stripHop(f *httpmsg.Fields) {
	if f.Has("Connection") {
		var named []string
		for name := range f.List("Connection") {
			named = append(named, name)
		}
		f.DeleteFunc(func(field httpmsg.Field) bool {
			for _, name := range named {
				if strings.EqualFold(field.Name, name) {
					return true
				}
			}
			return false
		})
	}
	f.DeleteFunc(func(field httpmsg.Field) bool { return hop(field.Name) })
}

func hop(name string) bool {
	switch len(name) {
	case len("TE"):
		return strings.EqualFold(name, "TE")
	case len("Upgrade"): // and Trailer
		return strings.EqualFold(name, "Upgrade") || strings.EqualFold(name, "Trailer")
	case len("Connection"): // and Keep-Alive
		return strings.EqualFold(name, "Connection") || strings.EqualFold(name, "Keep-Alive")
	case len("Proxy-Connection"):
		return strings.EqualFold(name, "Proxy-Connection")
	case len("Transfer-Encoding"):
		return strings.EqualFold(name, "Transfer-Encoding")
	case len("Proxy-Authenticate"):
		return strings.EqualFold(name, "Proxy-Authenticate")
	case len("Proxy-Authentication-Info"):
		return strings.EqualFold(name, "Proxy-Authentication-Info")
	}
	return false
}

// safeTrailers leaves out trailer fields that have no business there: framing,
// routing, authentication and what Connection governs (RFC 9110, section 6.5.1).
func safeTrailers(f httpmsg.Fields) httpmsg.Fields {
	var kept httpmsg.Fields
	for _, field := range f {
		switch strings.ToLower(field.Name) {
		case "content-length", "host", "authorization", "proxy-authorization", "set-cookie", "cookie",
			"content-encoding", "content-type", "content-range", "cache-control", "expires", "age", "vary",
			"location", "expect", "max-forwards", "range", "www-authenticate", "via":
			continue
		}
		if !hop(field.Name) {
			kept = append(kept, field)
		}
	}
	return kept
}
