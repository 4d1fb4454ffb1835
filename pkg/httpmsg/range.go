package httpmsg

import (
	"strconv"
	"strings"
)

// ByteRange is a run of bytes of a representation, both ends included. As a
// client asks for it an open end is -1; of a suffix ("the last 500") First is -1
// and Last its length (RFC 9110, section 14.1.2).
type ByteRange struct{ First, Last int64 }

// Size returns the number of bytes of a range with both ends.
func (r ByteRange) Size() int64 { return r.Last - r.First + 1 }

// ParseRange reads the value of a Range field (RFC 9110, section 14.2). ok is
// false if the field is to be ignored: another unit than bytes, broken syntax, or
// more than limit ranges, which is how an attacker multiplies work (section
// 17.15).
func ParseRange(value string, limit int) (ranges []ByteRange, ok bool) {
	unit, set, found := strings.Cut(value, "=")
	if !found || !equalFold(unit, "bytes") {
		return nil, false
	}
	for spec := range Members(set) {
		first, last, found := strings.Cut(spec, "-")
		if !found || first == "" && last == "" || len(ranges) == limit {
			return nil, false
		}
		r, firstOK, lastOK := ByteRange{-1, -1}, true, true
		if first != "" {
			r.First, firstOK = parsePosition(first)
		}
		if last != "" {
			r.Last, lastOK = parsePosition(last)
		}
		if !firstOK || !lastOK || first != "" && last != "" && r.Last < r.First {
			return nil, false
		}
		ranges = append(ranges, r)
	}
	return ranges, len(ranges) > 0
}

// Resolve gives a range both ends in a representation of size bytes. ok is false
// if none of it lies within.
func (r ByteRange) Resolve(size int64) (resolved ByteRange, ok bool) {
	switch {
	case r.First < 0: // a suffix
		return ByteRange{max(size-r.Last, 0), size - 1}, r.Last > 0 && size > 0
	case r.First >= size:
		return r, false
	case r.Last < 0 || r.Last >= size:
		return ByteRange{r.First, size - 1}, true
	}
	return r, true
}

// AppendContentRange appends the value of Content-Range for a range with both
// ends, of a representation of size bytes, -1 if that is unknown. With a nil range
// it is the value for a 416 (RFC 9110, section 14.4).
func AppendContentRange(dst []byte, r *ByteRange, size int64) []byte {
	dst = append(dst, "bytes "...)
	if r == nil {
		dst = append(dst, '*')
	} else {
		dst = append(strconv.AppendInt(dst, r.First, 10), '-')
		dst = strconv.AppendInt(dst, r.Last, 10)
	}
	if dst = append(dst, '/'); size < 0 {
		return append(dst, '*')
	}
	return strconv.AppendInt(dst, size, 10)
}

// ParseContentRange reads the value of the Content-Range of a 206 (RFC 9110,
// section 14.4). size is -1 if it is unknown.
func ParseContentRange(value string) (r ByteRange, size int64, ok bool) {
	unit, rest, ok := strings.Cut(value, " ")
	if !ok || !equalFold(unit, "bytes") {
		return r, 0, false
	}
	set, whole, _ := strings.Cut(rest, "/")
	first, last, _ := strings.Cut(set, "-")
	firstOK, lastOK, sizeOK := false, false, true
	r.First, firstOK = parsePosition(first)
	r.Last, lastOK = parsePosition(last)
	if size = -1; whole != "*" {
		size, sizeOK = parsePosition(whole)
	}
	ok = firstOK && lastOK && sizeOK && r.First <= r.Last && (size < 0 || r.Last < size)
	if !ok {
		return ByteRange{}, 0, false
	}
	return r, size, true
}

// parsePosition reads digits. A number too large for any representation counts
// as a very large one, so that sums of two never overflow.
func parsePosition(s string) (n int64, ok bool) {
	const most = 1 << 58 // ten times that still fits
	for i := range len(s) {
		if !isDigit(s[i]) {
			return 0, false
		}
		n = min(n*10+int64(s[i]-'0'), most)
	}
	return n, s != ""
}
