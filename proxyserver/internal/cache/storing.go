package cache

import (
	"slices"
	"strings"

	"topdown/pkg/httpmsg"
	"topdown/proxyserver/internal/store"
)

// ruling is a decision with its reason.
type ruling struct {
	ok      bool
	section string // "RFC 9111, 3.5"
	why     string
	detail  string // a token for Cache-Status
}

func no(section, detail, why string) ruling {
	return ruling{section: section, detail: detail, why: why}
}

// storable decides whether the response h, whose fields are as received, to a
// request with that method and those fields may be stored (RFC 9111, section
// 3). m is metaOf(h).
func storable(method string, req httpmsg.Fields, rd *directives, h *store.Head, m *meta) ruling {
	const s3 = "RFC 9111, 3"
	switch {
	case method != "GET" && method != "POST":
		return no(s3, "method", "responses to "+method+" are not stored")
	case h.Status < 200 || h.Status == 304:
		return no(s3, "status", "not a final response of its own")
	case h.Status == 412 || h.Status == 416 || h.Status == 417:
		return no(s3, "status", "the answer to a precondition, range or expectation of this request alone")
	case h.Status == 206 && !h.Partial:
		return no("RFC 9111, 3.3", "partial", "a partial response without one valid Content-Range")
	case m.mustUnderstand && !understood(h.Status):
		return no("RFC 9111, 5.2.2.3", "must-understand", "must-understand with a status that is not understood")
	case forbidden(&m.policy).why != "":
		return forbidden(&m.policy)
	case rd.noStore:
		return no("RFC 9111, 5.2.1.5", "request-no-store", "the request says no-store")
	case req.Has("Authorization") && !m.public && !m.mustRevalidate && m.sMaxAge < 0:
		return no("RFC 9111, 3.5", "authorization",
			"the request has Authorization, the response none of public, must-revalidate, s-maxage")
	case !m.lifetime.explicit && !m.public && !heuristic(h.Status):
		return no(s3, "status", "the status needs explicit freshness to be stored")
	case m.noCache && !m.hasValidator():
		return no(s3, "no-validator", "no-cache and no validator: it could never be used")
	case !m.hasValidator() && (!m.lifetime.known || m.lifetime.d == 0 && m.staleWhileRevalidate <= 0 && m.staleIfError <= 0):
		return no(s3, "no-validator", "neither a lifetime nor a validator: it could never be used")
	case h.Fields.HasMember("Vary", "*"):
		return no("RFC 9111, 4.1", "vary-any", "Vary: * never matches a later request")
	case method == "POST" && (h.Status != 200 || !m.lifetime.explicit || m.lifetime.d <= 0):
		return no("RFC 9110, 9.3.3", "method", "a response to POST needs status 200 and explicit freshness to be stored")
	}
	return ruling{ok: true, section: s3, why: "it may be stored"}
}

// forbidden tells whether a policy alone keeps a response out.
func forbidden(p *policy) ruling {
	switch {
	case p.noStore && !p.mustUnderstand:
		return no("RFC 9111, 5.2.2.5", "no-store", "the response says no-store")
	case p.private:
		return no("RFC 9111, 5.2.2.7", "private", "the response is private, this cache is shared")
	}
	return ruling{}
}

// storedFields returns what is kept of a response's fields (RFC 9111, section
// 3.1): not those of the connection, not those that no-cache or private name,
// not the framing, which is the store's own, as is the place of a part.
func storedFields(f httpmsg.Fields, p *policy, partial bool) httpmsg.Fields {
	var named []string
	for name := range f.List("Connection") {
		named = append(named, name)
	}
	named = append(named, p.noCacheFields...)
	named = append(named, p.privateFields...)
	kept := make(httpmsg.Fields, 0, len(f))
	for _, field := range f {
		if httpmsg.IsHopByHop(field.Name) || strings.EqualFold(field.Name, "Content-Length") ||
			partial && strings.EqualFold(field.Name, "Content-Range") ||
			len(named) > 0 && slices.ContainsFunc(named, func(n string) bool { return strings.EqualFold(n, field.Name) }) {
			continue
		}
		kept = append(kept, field)
	}
	return kept
}

// freshened returns stored with the fields of a 304, or of a response to HEAD,
// put in the place of its own (RFC 9111, section 3.2). What describes the
// stored octets stays.
func freshened(stored, update httpmsg.Fields, p *policy, partial bool) httpmsg.Fields {
	update = storedFields(update, p, partial)
	update.DeleteFunc(func(field httpmsg.Field) bool { return strings.EqualFold(field.Name, "Content-Encoding") })
	merged := make(httpmsg.Fields, 0, len(stored)+len(update))
	for _, field := range stored {
		// An Age that the update does not have was that of the old message.
		if !update.Has(field.Name) && !strings.EqualFold(field.Name, "Age") && !strings.EqualFold(field.Name, "Date") {
			merged = append(merged, field)
		}
	}
	return append(merged, update...)
}
