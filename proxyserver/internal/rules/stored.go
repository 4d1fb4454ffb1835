package rules

import (
	"slices"
	"strings"
	"time"

	"topdown/pkg/httpmsg"
)

// Head is what is kept of a response besides its URI and its content.
type Head struct {
	Status int
	Reason string
	Fields httpmsg.Fields
	Vary   httpmsg.Fields // what the request had in the fields that Vary names, normalised

	// RequestTime and ResponseTime are when the request was sent and the
	// response came, by the clock on the wall (RFC 9111, section 4.2.3).
	RequestTime, ResponseTime time.Time

	// Partial tells a part of a representation (206) from a whole one. First is
	// the position of its first byte in the whole; Total is the length of the
	// whole in bytes, -1 if it is not known.
	Partial      bool
	First, Total int64
}

// Stored is a stored response: its head, and what follows from that, worked
// out once. It is made by NewStored and never changes, so it may be shared.
type Stored struct {
	Head

	policy
	lifetime  lifetime
	date      time.Time     // Date, or when the response came
	initial   time.Duration // corrected_initial_age
	etag      string
	modified  time.Time // zero where there is no Last-Modified
	varyNames []string  // in lower case, in order
	varyAny   bool      // Vary: *
	groups    []string
}

// NewStored works out what follows from a head, which must not be changed any
// more. The age is that of RFC 9111, section 4.2.3.
func NewStored(h Head, c Config) *Stored {
	// What comes from a disk has no monotonic clock, so ages go by the wall's.
	h.RequestTime, h.ResponseTime = h.RequestTime.Round(0), h.ResponseTime.Round(0)
	s := &Stored{Head: h, policy: policyOf(h.Fields, c), etag: h.Fields.Get("ETag")}
	date, ok := httpmsg.ParseDateLoosely(h.Fields.Get("Date"), h.ResponseTime)
	if !ok {
		date = h.ResponseTime
	}
	s.date = date
	s.lifetime = lifetimeOf(h.Status, h.Fields, &s.policy, date, c)
	if value := h.Fields.Get("Last-Modified"); value != "" {
		if modified, ok := httpmsg.ParseDateLoosely(value, h.ResponseTime); ok {
			s.modified = modified
		}
	}
	// Date has whole seconds, so response_time is taken down to them as well.
	apparent := max(h.ResponseTime.Truncate(time.Second).Sub(date), 0)
	apparent = min(apparent, maxSeconds*time.Second)
	delay := max(h.ResponseTime.Sub(h.RequestTime), 0)
	s.initial = max(apparent, parseAge(h.Fields)+delay)
	s.varyNames, s.varyAny = varyNames(h.Fields, c)
	if c.Groups {
		s.groups = groupsOf(h.Fields, "Cache-Groups")
	}
	return s
}

// parseAge reads Age: of several members the first counts, one that is no
// number of seconds is ignored (RFC 9111, section 5.1).
func parseAge(f httpmsg.Fields) time.Duration {
	for member := range f.List("Age") {
		if n, ok := parseDelta(member); ok {
			return time.Duration(n) * time.Second
		}
		break
	}
	return 0
}

// MaxAge is the largest value of an Age field (RFC 9111, section 1.2.2).
const MaxAge = maxSeconds * time.Second

// Age is current_age (RFC 9111, section 4.2.3).
func (s *Stored) Age(now time.Time) time.Duration {
	return s.initial + max(now.Sub(s.ResponseTime), 0)
}

// TTL is how much longer the response is fresh; negative when it is stale.
func (s *Stored) TTL(now time.Time) time.Duration { return s.lifetime.d - s.Age(now) }

// Lifetime tells in words where the freshness lifetime comes from:
// "max-age 60".
func (s *Stored) Lifetime() string { return s.lifetime.why() }

// ETag returns the entity tag, "" if there is none.
func (s *Stored) ETag() string { return s.etag }

// Modified returns Last-Modified, zero if there is no valid one.
func (s *Stored) Modified() time.Time { return s.modified }

// VaryNames returns the names of the fields that select the response, in lower
// case and in order.
func (s *Stored) VaryNames() []string { return s.varyNames }

// hasValidator reports whether the response can be validated.
func (s *Stored) hasValidator() bool { return s.etag != "" || !s.modified.IsZero() }

// StrongETag returns the entity tag if it is a strong one, or "".
func (s *Stored) StrongETag() string {
	if len(s.etag) >= 2 && s.etag[0] == '"' && s.etag[len(s.etag)-1] == '"' {
		return s.etag
	}
	return ""
}

// StrongValidator returns a strong validator as text, "" if there is none: what
// partial responses must share to be combined (RFC 9110, section 15.3.7.3).
func (s *Stored) StrongValidator() string {
	if tag := s.StrongETag(); tag != "" {
		return tag
	}
	if s.etag == "" && s.strongModified() {
		return s.modified.String()
	}
	return ""
}

// strongModified reports whether Last-Modified can be relied on as a strong
// validator: the origin's clock has moved on since (RFC 9110, section 8.8.2.2).
func (s *Stored) strongModified() bool {
	return !s.modified.IsZero() && s.date.Sub(s.modified) >= time.Minute
}

// Received makes the stored form of a response as it came from the origin, in
// answer to req. size is the length of its content, -1 if unknown. Whether it
// may be stored is Storable's to say.
func Received(req *Request, status int, reason string, f httpmsg.Fields, size int64, requestTime, now time.Time, c Config) *Stored {
	h := Head{Status: status, Reason: reason, Fields: f, RequestTime: requestTime, ResponseTime: now, Total: size}
	if !f.Has("Date") {
		h.Fields = append(slices.Clip(f), dateField(now))
	}
	if status == 206 && req.HasRange() && !req.Fields.Has("If-Range") {
		if s, total, ok := ContentRange(f); ok && (size < 0 || size == s.Size()) {
			h.Partial, h.First, h.Total = true, s.First, total
		}
	}
	s := NewStored(h, c)
	s.Vary = selecting(s.varyNames, req.Fields)
	s.Fields = storedFields(h.Fields, &s.policy, h.Partial)
	return s
}

// Freshen makes the stored form of old after a 304, or a response to HEAD, that
// came in answer to req (RFC 9111, sections 3.2, 4.3.4 and 4.3.5).
func Freshen(old *Stored, req *Request, update httpmsg.Fields, requestTime, now time.Time, c Config) *Stored {
	h := old.Head
	h.RequestTime, h.ResponseTime = requestTime, now
	p := policyOf(update, c)
	if !p.present {
		p = policyOf(old.Fields, c)
	}
	h.Fields = merged(old.Fields, update, &p, old.Partial)
	if !h.Fields.Has("Date") {
		h.Fields.Add("Date", dateField(now).Value)
	}
	if update.Has("Vary") {
		names, _ := varyNames(h.Fields, c)
		h.Vary = selecting(names, req.Fields)
	}
	return NewStored(h, c)
}

// Completed returns the fields of a whole representation of which s was stored
// and a response with the fields update was the rest (RFC 9111, section 3.4).
func Completed(s *Stored, update httpmsg.Fields, c Config) httpmsg.Fields {
	p := policyOf(update, c)
	f := merged(s.Fields, update, &p, true)
	f.Del("Content-Range")
	f.Del("Content-Length")
	return f
}

func dateField(t time.Time) httpmsg.Field {
	return httpmsg.Field{Name: "Date", Value: string(httpmsg.AppendDate(nil, t))}
}

// ForVariant returns s as the response to another request that selects it: a
// 304 has said that they share it.
func (s *Stored) ForVariant(req *Request, c Config) *Stored {
	h := s.Head
	h.Vary = selecting(s.varyNames, req.Fields)
	return NewStored(h, c)
}

// IsOlderThan reports whether old, which is stored, is for the same requests and
// newer than s, which is not to take its place.
func (s *Stored) IsOlderThan(old *Stored, now time.Time) bool {
	return old.Partial == s.Partial && old.First == s.First && slices.Equal(old.Vary, s.Vary) &&
		old.ResponseTime.After(s.ResponseTime) && !old.ResponseTime.After(now)
}

// Outdates reports whether old, which is stored, is to be removed now that s is
// stored beside it: parts of the same variant when s is whole, and what is of
// another version.
func (s *Stored) Outdates(old *Stored) bool {
	switch {
	case !slices.Equal(old.Vary, s.Vary), old.Partial == s.Partial && old.First == s.First:
		return false
	case s.Partial && s.StrongValidator() != "" && s.StrongValidator() == old.StrongValidator():
		return false
	}
	return !s.Partial || !old.ResponseTime.After(s.ResponseTime)
}

// storedFields returns what is kept of a response's fields (RFC 9111, section
// 3.1): not those of the connection, not those that no-cache or private name,
// not the framing, which is the store's own, as is the place of a part.
func storedFields(f httpmsg.Fields, p *policy, partial bool) httpmsg.Fields {
	named := httpmsg.AnyOf(slices.Concat(slices.Collect(f.List("Connection")), p.noCacheFields, p.privateFields))
	kept := make(httpmsg.Fields, 0, len(f))
	for _, field := range f {
		if httpmsg.IsHopByHop(field.Name) || strings.EqualFold(field.Name, "Content-Length") ||
			partial && strings.EqualFold(field.Name, "Content-Range") ||
			named(field.Name) {
			continue
		}
		kept = append(kept, field)
	}
	return kept
}

// merged returns stored with the fields of a 304, or of a response to HEAD,
// put in the place of its own (RFC 9111, section 3.2). What describes the
// stored content stays.
func merged(stored, update httpmsg.Fields, p *policy, partial bool) httpmsg.Fields {
	out := make(httpmsg.Fields, 0, len(stored)+len(update))
	for _, field := range stored {
		coding := strings.EqualFold(field.Name, "Content-Encoding")
		// An Age that the update does not have was that of the old message.
		if coding || !update.Has(field.Name) && !strings.EqualFold(field.Name, "Age") && !strings.EqualFold(field.Name, "Date") {
			out = append(out, field)
		}
	}
	for _, field := range update {
		if !strings.EqualFold(field.Name, "Content-Encoding") {
			out = append(out, field)
		}
	}
	return storedFields(out, p, partial)
}
