package httpmsg

import (
	"strings"
	"time"
)

// The first is the form of HTTP-date that is written, the second an obsolete
// one (RFC 9110, section 5.6.7); time.ANSIC is the third.
const (
	dateLayout   = "Mon, 02 Jan 2006 15:04:05 GMT"
	rfc850Layout = "Monday, 02-Jan-06 15:04:05 GMT"
)

// AppendDate appends t as an HTTP-date, always 29 bytes.
func AppendDate(dst []byte, t time.Time) []byte {
	return t.UTC().AppendFormat(dst, dateLayout)
}

// ParseDate reads an HTTP-date in any of its three forms (RFC 9110, section
// 5.6.7) and nothing else: names have their case, numbers their full width, the
// zone is GMT and the day of the week is the date's. now decides the century of
// the two-digit year of the RFC 850 form: a date that would be more than 50
// years ahead is in the past. ok is false for anything else.
func ParseDate(s string, now time.Time) (t time.Time, ok bool) {
	t, canonical := parseDate(s, now)
	return t, canonical == s && s != ""
}

// ParseDateLoosely is ParseDate for a cache that calculates freshness: names
// may have any case (RFC 9111, section 4.2), and the day of the week any name.
func ParseDateLoosely(s string, now time.Time) (t time.Time, ok bool) {
	t, canonical := parseDate(strings.ToUpper(s), now)
	// The day of the week is all letters, up to a comma or space.
	_, date, _ := strings.Cut(s, " ")
	_, want, _ := strings.Cut(canonical, " ")
	return t, strings.EqualFold(date, want) && date != ""
}

// parseDate reads a date, and writes it in the same form; "" if it is none.
func parseDate(s string, now time.Time) (t time.Time, canonical string) {
	for _, layout := range []string{dateLayout, time.ANSIC, rfc850Layout} {
		t, err := time.Parse(layout, s)
		if err != nil {
			continue
		}
		if layout == rfc850Layout {
			century := now.Year() - now.Year()%100
			t = t.AddDate(century-t.Year()+t.Year()%100, 0, 0)
			if t.After(now.AddDate(50, 0, 0)) {
				t = t.AddDate(-100, 0, 0)
			}
		}
		return t, t.Format(layout)
	}
	return time.Time{}, ""
}
