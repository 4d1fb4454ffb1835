package logging

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"
)

// AccessFormat is the form of a line.
type AccessFormat int

// The formats.
const (
	Combined  AccessFormat = iota // the "combined log format" of Apache httpd and nginx
	JSONLines                     // an object per line
)

// AccessFormats names the formats, for a flag's usage text.
const AccessFormats = "combined, json"

// ParseAccessFormat returns the format of that name; "" is the combined one.
func ParseAccessFormat(name string) (AccessFormat, error) {
	switch name {
	case "", "combined":
		return Combined, nil
	case "json":
		return JSONLines, nil
	}
	return 0, fmt.Errorf("access log format %q is unknown: use one of %s", name, AccessFormats)
}

// AccessEntry is what a line tells of a request. An empty string is written as
// "-" in the combined format.
type AccessEntry struct {
	Remote string    // the client's address, as text
	User   string    // who authenticated
	Time   time.Time // in the zone to print
	// Method, Target and Minor are the request line, as received. An empty
	// Method is a request that could not be understood.
	Method, Target     string
	Minor              int // the digit after "HTTP/1."
	Status             int
	Bytes              int64 // bytes of the response's body that were sent
	Referer, UserAgent string
	// Result is what else became of the request, one word, such as a cache's hit;
	// "" adds nothing to the line.
	Result   string
	Duration time.Duration // from the first byte of the request to the last of the response; JSON only
}

// A peer does not decide how long a line gets: of a string that is longer than
// these, only the beginning is logged. A combined line stays below 4,096 bytes,
// which is all that some analysers read.
const (
	maxText   = 8 << 10 // bytes of a string in JSON, before escaping
	maxWord   = 64      // bytes of a word in a combined line, escaped
	maxTarget = 1500    // bytes of the request target, escaped
	maxQuoted = 1000    // bytes of another field, escaped
)

// stamp renders times, each second once.
type stamp struct {
	second int64
	format AccessFormat
	text   []byte
}

func (s *stamp) append(dst []byte, t time.Time, f AccessFormat) []byte {
	if sec := t.Unix(); sec != s.second || f != s.format || len(s.text) == 0 {
		layout := "02/Jan/2006:15:04:05 -0700"
		if f == JSONLines {
			layout = time.RFC3339
		}
		s.second, s.format, s.text = sec, f, t.AppendFormat(s.text[:0], layout)
	}
	return append(dst, s.text...)
}

// appendCombined appends
//
//	ADDR - USER [02/Jan/2006:15:04:05 -0700] "REQUEST LINE" STATUS BYTES "REFERER" "USER-AGENT"
//
// and after a space the result, if there is one.
func appendCombined(b []byte, e *AccessEntry, s *stamp) []byte {
	b = appendWord(b, e.Remote)
	b = append(b, " - "...)
	b = appendWord(b, e.User)
	b = append(b, " ["...)
	b = s.append(b, e.Time, Combined)
	b = append(b, `] "`...)
	if e.Method == "" {
		b = append(b, '-')
	} else {
		b = appendText(b, e.Method, maxWord)
		b = append(b, ' ')
		b = appendText(b, e.Target, maxTarget)
		b = append(b, " HTTP/1."...)
		b = strconv.AppendInt(b, int64(e.Minor), 10)
	}
	b = append(b, `" `...)
	b = strconv.AppendInt(b, int64(e.Status), 10)
	b = append(b, ' ')
	b = strconv.AppendInt(b, e.Bytes, 10)
	b = append(b, ` "`...)
	b = appendOr(b, e.Referer)
	b = append(b, `" "`...)
	b = appendOr(b, e.UserAgent)
	b = append(b, '"')
	if e.Result != "" {
		b = appendWord(append(b, ' '), e.Result)
	}
	return append(b, '\n')
}

func appendOr(b []byte, s string) []byte {
	if s == "" {
		return append(b, '-')
	}
	return appendText(b, s, maxQuoted)
}

// appendWord appends a string that a space would end.
func appendWord(b []byte, s string) []byte {
	if s == "" {
		return append(b, '-')
	}
	start := len(b)
	b = appendText(b, s, maxWord)
	for i := start; i < len(b); i++ {
		if b[i] == ' ' {
			b = append(b, "   "...)
			copy(b[i+4:], b[i+1:len(b)-3])
			copy(b[i:], `\x20`)
		}
	}
	return b
}

// plain are the bytes that stand for themselves between quotes: printable
// ASCII but the quote and the backslash.
var plain = func() (t [256]bool) {
	for c := ' '; c < 0x7f; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

const upperHex = "0123456789ABCDEF"

// isPlain reports whether all bytes of b are plain, eight at a time: the usual
// string has no other.
func isPlain(b []byte) bool {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	// zero has a bit set exactly if a byte of x is 0.
	zero := func(x uint64) uint64 { return (x - ones) &^ x & highs }
	for ; len(b) >= 8; b = b[8:] {
		x := binary.LittleEndian.Uint64(b)
		control := (x - ones*' ') &^ x
		if (x|control)&highs|zero(x^ones*'"')|zero(x^ones*'\\')|zero(x^ones*0x7f) != 0 {
			return false
		}
	}
	for _, c := range b {
		if !plain[c] {
			return false
		}
	}
	return true
}

// appendText appends s with every byte that is not plain as \xHH, but no more
// than limit bytes.
func appendText(b []byte, s string, limit int) []byte {
	s = s[:min(len(s), limit)]
	end := len(b)
	if b = append(b, s...); isPlain(b[end:]) {
		return b
	}
	b = b[:end]
	for i := 0; i < len(s); i++ {
		if c := s[i]; plain[c] {
			b = append(b, c)
		} else {
			b = append(b, '\\', 'x', upperHex[c>>4], upperHex[c&15])
		}
		if len(b)-end > limit-len(`\xHH`) {
			break
		}
	}
	return b
}

// appendJSON appends the entry as an object. The duration is in seconds.
func appendJSON(b []byte, e *AccessEntry, s *stamp) []byte {
	b = append(b, `{"time":"`...)
	b = s.append(b, e.Time, JSONLines)
	b = appendMember(append(b, '"'), "remote", e.Remote)
	b = appendMember(b, "user", e.User)
	b = appendMember(b, "method", e.Method)
	b = appendMember(b, "target", e.Target)
	if e.Method != "" {
		b = append(b, `,"proto":"HTTP/1.`...)
		b = append(strconv.AppendInt(b, int64(e.Minor), 10), '"')
	}
	b = append(b, `,"status":`...)
	b = strconv.AppendInt(b, int64(e.Status), 10)
	b = append(b, `,"bytes":`...)
	b = strconv.AppendInt(b, e.Bytes, 10)
	b = append(b, `,"duration":`...)
	b = strconv.AppendFloat(b, e.Duration.Seconds(), 'f', 6, 64)
	b = appendMember(b, "referer", e.Referer)
	b = appendMember(b, "user_agent", e.UserAgent)
	b = appendMember(b, "result", e.Result)
	return append(b, "}\n"...)
}

// appendMember appends a string member, unless it is empty.
func appendMember(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	b = append(b, `,"`...)
	b = append(append(b, name...), `":"`...)
	b = appendString(b, value)
	return append(b, '"')
}

// appendString appends the inside of a JSON string (RFC 8259, section 7). UTF-8
// that can be printed stays as it is; a byte that is not UTF-8 becomes \xHH,
// with the backslash doubled as JSON wants it.
func appendString(b []byte, s string) []byte {
	s = s[:min(len(s), maxText)]
	end := len(b)
	if b = append(b, s...); isPlain(b[end:]) {
		return b
	}
	b = b[:end]
	start := 0
	for i := 0; i < len(s); {
		if plain[s[i]] {
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r >= utf8.RuneSelf && unicode.IsPrint(r) && (r != utf8.RuneError || size > 1) {
			i += size
			continue
		}
		b = append(b, s[start:i]...)
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case r == utf8.RuneError && size == 1:
			b = append(b, '\\', '\\', 'x', upperHex[c>>4], upperHex[c&15])
		case r > 0xffff:
			hi, lo := 0xd800+(r-0x10000)>>10, 0xdc00+(r-0x10000)&0x3ff
			b = appendU(appendU(b, hi), lo)
		default:
			b = appendU(b, r)
		}
		i += size
		start = i
	}
	return append(b, s[start:]...)
}

func appendU(b []byte, r rune) []byte {
	return append(b, '\\', 'u', upperHex[r>>12&15], upperHex[r>>8&15], upperHex[r>>4&15], upperHex[r&15])
}
