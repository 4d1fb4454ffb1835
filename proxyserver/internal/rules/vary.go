package rules

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"topdown/pkg/httpmsg"
)

// varyNames returns the field names that Vary lists, in lower case and in
// order, each once. any is true when it has a "*" anywhere.
func varyNames(f httpmsg.Fields) (names []string, any bool) {
	if !f.Has("Vary") {
		return nil, false
	}
	for name := range f.List("Vary") {
		if name == "*" {
			return nil, true
		}
		names = append(names, strings.ToLower(name))
	}
	if len(names) > 1 {
		slices.Sort(names)
		names = slices.Compact(names)
	}
	return names, false
}

// selecting returns the request's fields of those names, normalised: what the
// response was selected by (RFC 9111, section 4.1). A field that the request
// does not have is left out.
func selecting(names []string, req httpmsg.Fields) httpmsg.Fields {
	var sel httpmsg.Fields
	for _, name := range names {
		if req.Has(name) {
			sel.Add(name, selectingValue(name, req))
		}
	}
	return sel
}

// selectingValue is a field's value over all its lines with one way of
// writing a list. In the fields of content negotiation neither case nor order
// matters (RFC 9110, section 12.5).
func selectingValue(name string, req httpmsg.Fields) string {
	var buf [8]string
	members := buf[:0]
	switch name {
	case "authorization", "cookie":
		// Secrets are not written to disk; their hash tells them apart as well.
		for line := range req.Values(name) {
			members = append(members, line)
		}
		sum := sha256.Sum256([]byte(strings.Join(members, "\n")))
		return hex.EncodeToString(sum[:])
	}
	for line := range req.Values(name) {
		// Empty members stay: nobody knows whether the field is a list.
		for member := range strings.SplitSeq(line, ",") {
			members = append(members, httpmsg.TrimOWS(member))
		}
	}
	switch name {
	case "accept", "accept-encoding", "accept-language", "accept-charset":
		for i, member := range members {
			members[i] = strings.ToLower(strings.NewReplacer(" ", "", "\t", "").Replace(member))
		}
		slices.Sort(members)
	}
	if len(members) == 1 {
		return members[0]
	}
	return strings.Join(members, ", ")
}

// Selects reports whether req selects the stored response: each field that its
// Vary lists is absent from both requests or equal in both (RFC 9111, section
// 4.1).
func (s *Stored) Selects(req *Request) bool {
	if s.varyAny {
		return false
	}
	for _, name := range s.varyNames {
		if s.Vary.Has(name) != req.Fields.Has(name) {
			return false
		}
		if s.Vary.Has(name) && s.Vary.Get(name) != selectingValue(name, req.Fields) {
			return false
		}
	}
	return true
}

// SameVariant reports whether two requests agree in the fields of those names,
// so that one response may do for both.
func SameVariant(names []string, a, b *Request) bool {
	return slices.Equal(selecting(names, a.Fields), selecting(names, b.Fields))
}
