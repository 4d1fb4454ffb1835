package rules

import "topdown/pkg/httpmsg"

// Span is a run of bytes of a representation, both ends included.
type Span = httpmsg.ByteRange

// maxRanges is how many ranges of one request are answered; a request with more
// gets the whole (RFC 9110, section 14.2).
const maxRanges = 16

// parseRange reads Range; ok is false for one that is to be ignored.
func parseRange(f httpmsg.Fields) (spans []Span, ok bool) {
	if f.Count("Range") != 1 {
		return nil, false
	}
	return httpmsg.ParseRange(f.Get("Range"), maxRanges)
}

// ContentRange reads the one Content-Range of a 206; total is -1 if unknown.
func ContentRange(f httpmsg.Fields) (s Span, total int64, ok bool) {
	if f.Count("Content-Range") != 1 {
		return s, 0, false
	}
	return httpmsg.ParseContentRange(f.Get("Content-Range"))
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
			gaps = append(gaps, Span{First: next, Last: p.First - 1})
		}
		next = max(next, p.Last+1)
	}
	if next <= want.Last {
		gaps = append(gaps, Span{First: next, Last: want.Last})
	}
	return gaps
}

// Whole reports whether all of the content is there.
func (e *Extent) Whole() bool {
	return e.Parts == nil || e.Total > 0 && len(e.Gaps(Span{First: 0, Last: e.Total - 1})) == 0
}

// Missing returns the one part that is lacking of the whole; ok is false if
// that is not one part, or nobody knows.
func (e *Extent) Missing() (gap Span, ok bool) {
	if e.Total < 0 {
		return gap, false
	}
	gaps := e.Gaps(Span{First: 0, Last: e.Total - 1})
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
		r, ok := s.Resolve(e.Total)
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
