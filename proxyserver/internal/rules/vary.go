package rules

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"topdown/pkg/httpmsg"
)

// varyNames returns the field names that Vary lists and those of c.Selecting, in
// lower case and in order, each once. any is true when Vary has a "*" anywhere.
func varyNames(f httpmsg.Fields, c Config) (names []string, any bool) {
	if !f.Has("Vary") {
		return c.Selecting, false
	}
	names = slices.Clone(c.Selecting)
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
		if value, ok := selectingValue(name, req); ok {
			sel.Add(name, value)
		}
	}
	return sel
}

// selectingValue is a field's value over all its lines with one way of
// writing a list; ok is false if there is none. In the fields of content
// negotiation neither case nor order matters (RFC 9110, section 12.5).
func selectingValue(name string, req httpmsg.Fields) (value string, ok bool) {
	var buf [8]string
	members := buf[:0]
	for line := range req.Values(name) {
		members = append(members, line)
	}
	if len(members) == 0 {
		return "", false
	}
	switch name {
	case "authorization", "cookie":
		// Secrets are not written to disk; their hash tells them apart as well.
		sum := sha256.Sum256([]byte(strings.Join(members, "\n")))
		return hex.EncodeToString(sum[:]), true
	case "accept", "accept-encoding", "accept-language", "accept-charset":
		list := strings.ToLower(withoutSpace.Replace(strings.Join(members, ",")))
		members = strings.Split(list, ",")
		slices.Sort(members)
	default:
		if len(members) == 1 && strings.IndexByte(members[0], ',') < 0 {
			return httpmsg.TrimOWS(members[0]), true
		}
		// Empty members stay: nobody knows whether the field is a list.
		members = strings.Split(strings.Join(members, ","), ",")
		for i, member := range members {
			members[i] = httpmsg.TrimOWS(member)
		}
	}
	return strings.Join(members, ", "), true
}

// withoutSpace is made once: it has tables of 6 KiB.
var withoutSpace = strings.NewReplacer(" ", "", "\t", "")

// Selects reports whether req selects the stored response: each field that its
// Vary or Config.Selecting lists is absent from both requests or equal in both
// (RFC 9111, section 4.1).
func (s *Stored) Selects(req *Request) bool {
	if s.varyAny {
		return false
	}
	rest := s.Vary // in the order of the names
	for _, name := range s.varyNames {
		value, ok := selectingValue(name, req.Fields)
		if has := len(rest) > 0 && rest[0].Name == name; has != ok || ok && rest[0].Value != value {
			return false
		}
		if ok {
			rest = rest[1:]
		}
	}
	return true
}

// SameVariant reports whether two requests agree in the fields of those names,
// so that one response may do for both.
func SameVariant(names []string, a, b *Request) bool {
	return slices.Equal(selecting(names, a.Fields), selecting(names, b.Fields))
}
