package cache

import (
	"strconv"
	"strings"

	"topdown/pkg/httpmsg"
)

// span is a range of octets, both ends included. An open end is -1; of a suffix
// first is -1 and last its length.
type span struct{ first, last int64 }

// maxRanges is how many ranges of one request are answered; a request with more
// gets the whole (RFC 9110, section 14.2).
const maxRanges = 16

// parseRange reads Range (RFC 9110, section 14.2). ok is false for one that is
// to be ignored: not octets, malformed, too many.
func parseRange(f httpmsg.Fields) (spans []span, ok bool) {
	if f.Count("Range") != 1 {
		return nil, false
	}
	unit, set, ok := strings.Cut(f.Get("Range"), "=")
	if !ok || !strings.EqualFold(unit, "bytes") {
		return nil, false
	}
	for spec := range httpmsg.Members(set) {
		first, last, ok := strings.Cut(spec, "-")
		if !ok {
			return nil, false
		}
		s := span{-1, -1}
		if first != "" {
			if s.first, ok = parseOctets(first); !ok {
				return nil, false
			}
		}
		if last != "" {
			if s.last, ok = parseOctets(last); !ok {
				return nil, false
			}
		}
		if first == "" && last == "" || first != "" && last != "" && s.last < s.first {
			return nil, false
		}
		if spans = append(spans, s); len(spans) > maxRanges {
			return nil, false
		}
	}
	return spans, len(spans) > 0
}

// parseOctets reads a number of octets; one too large for any representation
// counts as the largest there is.
func parseOctets(s string) (n int64, ok bool) {
	const most = 1 << 58 // ten times it does not overflow
	for i := 0; i < len(s); i++ {
		if !isDigit(s[i]) {
			return 0, false
		}
		if n = n*10 + int64(s[i]-'0'); n > most {
			n = most
		}
	}
	return n, s != ""
}

// resolve makes both ends of a range definite in a representation of total
// octets; ok is false if none of it lies within.
func (s span) resolve(total int64) (r span, ok bool) {
	switch {
	case s.first < 0:
		if s.last == 0 || total == 0 {
			return s, false
		}
		return span{max(total-s.last, 0), total - 1}, true
	case s.first >= total:
		return s, false
	case s.last < 0 || s.last >= total:
		return span{s.first, total - 1}, true
	}
	return s, true
}

func (s span) size() int64 { return s.last - s.first + 1 }

// contentRange writes the field's value; total is -1 if unknown.
func (s span) contentRange(total int64) string {
	b := append([]byte("bytes "), strconv.FormatInt(s.first, 10)...)
	b = append(b, '-')
	b = strconv.AppendInt(b, s.last, 10)
	b = append(b, '/')
	if total < 0 {
		return string(append(b, '*'))
	}
	return string(strconv.AppendInt(b, total, 10))
}

// parseContentRange reads the one Content-Range of a 206 (RFC 9110, section
// 14.4); total is -1 if unknown.
func parseContentRange(f httpmsg.Fields) (s span, total int64, ok bool) {
	if f.Count("Content-Range") != 1 {
		return s, 0, false
	}
	unit, rest, ok := strings.Cut(f.Get("Content-Range"), " ")
	if !ok || !strings.EqualFold(unit, "bytes") {
		return s, 0, false
	}
	set, size, ok := strings.Cut(rest, "/")
	if !ok {
		return s, 0, false
	}
	first, last, ok := strings.Cut(set, "-")
	if !ok {
		return s, 0, false
	}
	firstOK, lastOK, sizeOK := false, false, true
	s.first, firstOK = parseOctets(first)
	s.last, lastOK = parseOctets(last)
	total = -1
	if size != "*" {
		total, sizeOK = parseOctets(size)
	}
	if !firstOK || !lastOK || !sizeOK || s.last < s.first || total >= 0 && s.last >= total {
		return s, 0, false
	}
	return s, total, true
}
