package httpmsg

import (
	"slices"
	"strings"
)

// hopByHop are the fields that are meant for the next recipient only (RFC 9110,
// section 7.6.1; those of proxy authentication: RFC 9111, section 3.1).
var hopByHop = [...]string{
	"Connection", "Keep-Alive", "Proxy-Connection", "TE", "Trailer", "Transfer-Encoding", "Upgrade",
	"Proxy-Authenticate", "Proxy-Authorization", "Proxy-Authentication-Info",
}

// IsHopByHop reports whether a field of that name belongs to one connection and
// is never passed on or stored, whether the Connection field names it or not.
func IsHopByHop(name string) bool {
	for _, known := range hopByHop {
		if equalFold(known, name) {
			return true
		}
	}
	return false
}

// RemoveHopByHop removes the fields for which IsHopByHop holds, and those that
// the Connection field names.
func (f *Fields) RemoveHopByHop() {
	named := AnyOf(slices.Collect(f.List("Connection")))
	f.DeleteFunc(func(field Field) bool { return IsHopByHop(field.Name) || named(field.Name) })
}

// AnyOf returns a function that tells whether a field name is among names, in any
// case. A message may list thousands beside its many fields, so many are looked up.
func AnyOf(names []string) func(name string) bool {
	if len(names) <= 16 {
		return func(name string) bool {
			return slices.ContainsFunc(names, func(n string) bool { return equalFold(n, name) })
		}
	}
	set := make(map[string]bool, len(names))
	for _, n := range names {
		set[strings.ToLower(n)] = true
	}
	return func(name string) bool { return set[strings.ToLower(name)] }
}
