package rules

import "topdown/pkg/httpmsg"

// Storable decides whether a response to req, whose stored form s would be, may
// be stored (RFC 9111, section 3).
func Storable(req *Request, s *Stored) Ruling {
	const s3 = "RFC 9111, 3"
	method := req.Method
	switch {
	case method != "GET" && method != "POST":
		return no(s3, "method", "responses to "+method+" are not stored")
	case s.Status < 200 || s.Status == 304:
		return no(s3, "status", "not a final response of its own")
	case s.Status == 412 || s.Status == 416 || s.Status == 417:
		return no(s3, "status", "the answer to a precondition, range or expectation of this request alone")
	case s.Status == 206 && !s.Partial:
		return no("RFC 9111, 3.3", "partial", "a partial response without one valid Content-Range")
	case s.mustUnderstand && !understood(s.Status):
		return no("RFC 9111, 5.2.2.3", "must-understand", "must-understand with a status that is not understood")
	case forbidden(&s.policy).Why != "":
		return forbidden(&s.policy)
	case req.directives.noStore:
		return no("RFC 9111, 5.2.1.5", "request-no-store", "the request says no-store")
	case req.Fields.Has("Authorization") && !s.public && !s.mustRevalidate && s.sMaxAge < 0:
		return no("RFC 9111, 3.5", "authorization",
			"the request has Authorization, the response none of public, must-revalidate, s-maxage")
	case !s.lifetime.explicit && !s.public && !heuristic(s.Status):
		return no(s3, "status", "the status needs explicit freshness to be stored")
	case s.noCache && !s.hasValidator():
		return no(s3, "no-validator", "no-cache and no validator: it could never be used")
	case !s.hasValidator() && (!s.lifetime.known || s.lifetime.d == 0 && s.staleWhileRevalidate <= 0 && s.staleIfError <= 0):
		return no(s3, "no-validator", "neither a lifetime nor a validator: it could never be used")
	case s.Fields.HasMember("Vary", "*"):
		return no("RFC 9111, 4.1", "vary-any", "Vary: * never matches a later request")
	case method == "POST" && (s.Status != 200 || !s.lifetime.explicit || s.lifetime.d <= 0):
		return no("RFC 9110, 9.3.3", "method", "a response to POST needs status 200 and explicit freshness to be stored")
	}
	return Ruling{OK: true, Section: s3, Why: "it may be stored: " + s.lifetime.why()}
}

// Allowed decides whether a response with those fields may be stored at all, as
// far as its own directives say it.
func Allowed(f httpmsg.Fields, c Config) Ruling {
	p := policyOf(f, c)
	if r := forbidden(&p); r.Why != "" {
		return r
	}
	return Ruling{OK: true}
}

// forbidden tells whether a policy alone keeps a response out.
func forbidden(p *policy) Ruling {
	switch {
	case p.noStore && !p.mustUnderstand:
		return no("RFC 9111, 5.2.2.5", "no-store", "the response says no-store")
	case p.private:
		return no("RFC 9111, 5.2.2.7", "private", "the response is private, this cache is shared")
	}
	return Ruling{}
}
