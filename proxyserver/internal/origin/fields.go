package origin

import (
	"strings"

	"topdown/pkg/httpmsg"
)

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
		if !httpmsg.IsHopByHop(field.Name) {
			kept = append(kept, field)
		}
	}
	return kept
}
