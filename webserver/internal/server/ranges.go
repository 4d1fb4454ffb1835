package server

import (
	"cmp"
	"slices"

	"topdown/pkg/httpmsg"
)

// maxRanges is how many ranges one request may ask for; more are answered with
// the whole (RFC 9110, section 14.2, leaves that open, and section 17.15 warns
// of requests for many).
const maxRanges = 64

// ranges reads a Range field for a representation of size bytes. ok is false if
// the field is to be ignored. An empty result with ok true means that no range
// can be satisfied. Ranges that overlap are joined; without any, the order stays
// as asked for.
func ranges(field string, size int64) (found []httpmsg.ByteRange, ok bool) {
	asked, ok := httpmsg.ParseRange(field, maxRanges)
	for _, r := range asked {
		if resolved, within := r.Resolve(size); within {
			found = append(found, resolved)
		}
	}
	sorted := slices.Clone(found)
	slices.SortFunc(sorted, func(a, b httpmsg.ByteRange) int { return cmp.Compare(a.First, b.First) })
	joined := sorted[:0]
	for _, r := range sorted {
		if n := len(joined); n > 0 && r.First <= joined[n-1].Last {
			joined[n-1].Last = max(joined[n-1].Last, r.Last)
			continue
		}
		joined = append(joined, r)
	}
	if len(joined) < len(found) {
		return joined, ok
	}
	return found, ok
}
