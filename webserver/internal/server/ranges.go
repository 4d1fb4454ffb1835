package server

import (
	"math"
	"slices"
	"strings"

	"topdown/pkg/httpmsg"
)

// span is a run of octets of a representation.
type span struct{ start, length int64 }

// maxRanges is how many ranges one request may ask for; more are answered with
// the whole (RFC 9110, section 14.2, leaves that open, and section 17.15 warns
// of requests for many).
const maxRanges = 64

// parseRange reads a Range field for a representation of size octets (RFC 9110,
// section 14.1.2). ok is false if the field is to be ignored: another unit,
// broken syntax, too many ranges. An empty result with ok true means that no
// range can be satisfied. Overlapping ranges are joined.
func parseRange(field string, size int64) (spans []span, ok bool) {
	unit, set, found := strings.Cut(field, "=")
	if !found || !strings.EqualFold(unit, "bytes") {
		return nil, false
	}
	count := 0
	for spec := range httpmsg.Members(set) {
		if count++; count > maxRanges {
			return nil, false
		}
		first, last, found := strings.Cut(spec, "-")
		if !found {
			return nil, false
		}
		var s span
		if first == "" {
			n, valid := parsePosition(last)
			if !valid {
				return nil, false
			}
			s.length = min(n, size)
			s.start = size - s.length
		} else {
			from, valid := parsePosition(first)
			to := int64(math.MaxInt64)
			if valid && last != "" {
				to, valid = parsePosition(last)
			}
			if !valid || to < from {
				return nil, false
			}
			if from < size {
				s = span{from, min(to, size-1) - from + 1}
			}
		}
		if s.length > 0 {
			spans = append(spans, s)
		}
	}
	return join(spans), count > 0
}

// parsePosition reads digits; a number too large for any file is the largest.
func parsePosition(s string) (n int64, ok bool) {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		if n > (math.MaxInt64-9)/10 {
			n = math.MaxInt64
			continue
		}
		n = n*10 + int64(s[i]-'0')
	}
	return n, s != ""
}

// join merges ranges that overlap; without any, the order stays as asked for.
func join(spans []span) []span {
	sorted := slices.Clone(spans)
	slices.SortFunc(sorted, func(a, b span) int {
		switch {
		case a.start < b.start:
			return -1
		case a.start > b.start:
			return 1
		}
		return 0
	})
	joined := sorted[:0]
	for _, s := range sorted {
		if n := len(joined); n > 0 && s.start < joined[n-1].start+joined[n-1].length {
			end := max(joined[n-1].start+joined[n-1].length, s.start+s.length)
			joined[n-1].length = end - joined[n-1].start
			continue
		}
		joined = append(joined, s)
	}
	if len(joined) == len(spans) {
		return spans
	}
	return joined
}
