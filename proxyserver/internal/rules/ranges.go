package rules

import (
	"strconv"
	"strings"

	"topdown/pkg/httpmsg"
)

// Span is a range of bytes, both ends included. An open end is -1; of a suffix
// First is -1 and Last its length.
type Span struct{ First, Last int64 }

// maxRanges is how many ranges of one request are answered; a request with more
// gets the whole (RFC 9110, section 14.2).
const maxRanges = 16

// parseRange reads Range (RFC 9110, section 14.2). ok is false for one that is
// to be ignored: not bytes, malformed, too many.
func parseRange(f httpmsg.Fields) (spans []Span, ok bool) {
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
		s := Span{-1, -1}
		if first != "" {
			if s.First, ok = parsePosition(first); !ok {
				return nil, false
			}
		}
		if last != "" {
			if s.Last, ok = parsePosition(last); !ok {
				return nil, false
			}
		}
		if first == "" && last == "" || first != "" && last != "" && s.Last < s.First {
			return nil, false
		}
		if spans = append(spans, s); len(spans) > maxRanges {
			return nil, false
		}
	}
	return spans, len(spans) > 0
}

// parsePosition reads a number of bytes; one too large for any representation
// counts as the largest there is.
func parsePosition(s string) (n int64, ok bool) {
	const most = 1 << 58 // ten times it does not overflow
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		if n = n*10 + int64(s[i]-'0'); n > most {
			n = most
		}
	}
	return n, s != ""
}

// resolve makes both ends of a range definite in a representation of total
// bytes; ok is false if none of it lies within.
func (s Span) resolve(total int64) (r Span, ok bool) {
	switch {
	case s.First < 0:
		if s.Last == 0 || total == 0 {
			return s, false
		}
		return Span{max(total-s.Last, 0), total - 1}, true
	case s.First >= total:
		return s, false
	case s.Last < 0 || s.Last >= total:
		return Span{s.First, total - 1}, true
	}
	return s, true
}

// Size returns its length; both ends must be definite.
func (s Span) Size() int64 { return s.Last - s.First + 1 }

// ContentRange writes the field's value; total is -1 if unknown.
func (s Span) ContentRange(total int64) string {
	b := append([]byte("bytes "), strconv.FormatInt(s.First, 10)...)
	b = append(b, '-')
	b = strconv.AppendInt(b, s.Last, 10)
	b = append(b, '/')
	if total < 0 {
		return string(append(b, '*'))
	}
	return string(strconv.AppendInt(b, total, 10))
}

// ParseContentRange reads the one Content-Range of a 206 (RFC 9110, section
// 14.4); total is -1 if unknown.
func ParseContentRange(f httpmsg.Fields) (s Span, total int64, ok bool) {
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
	s.First, firstOK = parsePosition(first)
	s.Last, lastOK = parsePosition(last)
	total = -1
	if size != "*" {
		total, sizeOK = parsePosition(size)
	}
	if !firstOK || !lastOK || !sizeOK || s.Last < s.First || total >= 0 && s.Last >= total {
		return s, 0, false
	}
	return s, total, true
}

// Extent is what is stored of the content of a representation.
type Extent struct {
	Total int64  // length of the whole in bytes, -1 if unknown
	Parts []Span // what is there, in order; nil if it is stored as one whole
}

// Gaps returns what is lacking of a range, in order.
func (e *Extent) Gaps(want Span) (gaps []Span) {
	if e.Parts == nil {
		return nil
	}
	next := want.First
	for _, p := range e.Parts {
		if p.First > want.Last || next > want.Last {
			break
		}
		if p.First > next {
			gaps = append(gaps, Span{next, p.First - 1})
		}
		next = max(next, p.Last+1)
	}
	if next <= want.Last {
		gaps = append(gaps, Span{next, want.Last})
	}
	return gaps
}

// Whole reports whether all of the content is there.
func (e *Extent) Whole() bool {
	return e.Parts == nil || e.Total > 0 && len(e.Gaps(Span{0, e.Total - 1})) == 0
}

// Missing returns the one part that is lacking of the whole; ok is false if
// that is not one part, or nobody knows.
func (e *Extent) Missing() (gap Span, ok bool) {
	if e.Total < 0 {
		return gap, false
	}
	gaps := e.Gaps(Span{0, e.Total - 1})
	if len(gaps) != 1 {
		return gap, false
	}
	return gaps[0], true
}

// Plan is how a stored response answers a request.
type Plan struct {
	Kind  PlanKind
	Spans []Span // of PartialContent, both ends definite
	Ruling
}

// PlanKind is a kind of answer.
type PlanKind int

// The kinds of answer.
const (
	NotCovered     PlanKind = iota // what is stored does not do
	WholeContent                   // as it is stored
	PartialContent                 // 206
	Unsatisfiable                  // 416
	ClientHasIt                    // 304
)

// PlanAnswer decides it for a response of which e is stored: preconditions
// first, then ranges (RFC 9110, section 13.2.2).
func PlanAnswer(req *Request, s *Stored, e *Extent) Plan {
	if r := NotModified(req, s); r.OK {
		return Plan{Kind: ClientHasIt, Ruling: r}
	}
	if req.ForOrigin() {
		return Plan{}
	}
	if req.HasRange() && req.Method == "GET" && (s.Status == 200 || s.Status == 206) && ifRangeHolds(req.Fields, s) {
		if spans, ok := parseRange(req.Fields); ok {
			return planRanges(e, spans)
		}
	}
	if !e.Whole() {
		return Plan{}
	}
	return Plan{Kind: WholeContent}
}

func planRanges(e *Extent, spans []Span) Plan {
	if e.Total < 0 {
		// The length is not known: only ranges with both ends can be answered.
		for _, s := range spans {
			if s.First < 0 || s.Last < 0 || len(e.Gaps(s)) > 0 {
				return Plan{}
			}
		}
		return rangePlan(spans)
	}
	var definite []Span
	size := int64(0)
	for _, s := range spans {
		r, ok := s.resolve(e.Total)
		if !ok {
			continue
		}
		if len(e.Gaps(r)) > 0 {
			return Plan{}
		}
		definite = append(definite, r)
		size += r.Size()
	}
	switch {
	case len(definite) == 0:
		return Plan{Kind: Unsatisfiable}
	case len(definite) > 1 && size > e.Total:
		// Overlapping ranges that ask for more than there is (RFC 9110,
		// section 14.2): the whole is less.
		if e.Whole() {
			return Plan{Kind: WholeContent}
		}
		return Plan{}
	}
	return rangePlan(definite)
}

func rangePlan(spans []Span) Plan {
	return Plan{Kind: PartialContent, Spans: spans, Ruling: Ruling{
		OK: true, Section: "RFC 9111, 3.4", Why: "the range is answered from what is stored",
	}}
}
