package httpmsg

import "slices"

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
	named := slices.Collect(f.List("Connection"))
	f.DeleteFunc(func(field Field) bool {
		return IsHopByHop(field.Name) ||
			slices.ContainsFunc(named, func(name string) bool { return equalFold(name, field.Name) })
	})
}
