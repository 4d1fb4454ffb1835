package site

import (
	"strings"

	"topdown/pkg/httpmsg"
)

// Select picks the representation to send for an Accept-Encoding field, present
// or not (RFC 9110, section 12.5.3): the one with the highest quality value and,
// among equals, the smallest as a rule: br, zstd, gzip, identity. It returns nil
// when the client refuses every one, identity included (406).
func (r *Resource) Select(acceptEncoding string, present bool) *Representation {
	if !present || !r.Negotiable() && !strings.Contains(acceptEncoding, "0") {
		return r.reps[0]
	}
	accept := parseAccept(acceptEncoding)
	best, bestQ := (*Representation)(nil), 0
	for i, sidecar := range sidecars {
		rep := r.reps[1+i]
		q := accept.quality(sidecar.coding)
		if q <= bestQ {
			continue
		}
		if rep == nil && r.compress && sidecar.coding == "gzip" {
			rep = r.gzip()
		}
		if rep != nil {
			best, bestQ = rep, q
		}
	}
	if accept.identity() > bestQ {
		return r.reps[0]
	}
	return best
}

// Negotiable reports whether there is anything but the identity to choose.
func (r *Resource) Negotiable() bool {
	for _, rep := range r.reps[1:] {
		if rep != nil {
			return true
		}
	}
	return r.compress
}

// acceptEncoding holds quality values in thousandths; -1 where a coding is not
// named.
type acceptEncoding struct{ br, zstd, gzip, ident, any int }

func parseAccept(value string) acceptEncoding {
	a := acceptEncoding{-1, -1, -1, -1, -1}
	for member := range httpmsg.Members(value) {
		coding, params, _ := strings.Cut(member, ";")
		q := httpmsg.Weight(params)
		switch strings.ToLower(httpmsg.TrimOWS(coding)) {
		case "br":
			a.br = q
		case "zstd":
			a.zstd = q
		case "gzip", "x-gzip":
			a.gzip = q
		case "identity":
			a.ident = q
		case "*":
			a.any = q
		}
	}
	return a
}

func (a acceptEncoding) quality(coding string) int {
	q := a.any
	switch {
	case coding == "br" && a.br >= 0:
		q = a.br
	case coding == "zstd" && a.zstd >= 0:
		q = a.zstd
	case coding == "gzip" && a.gzip >= 0:
		q = a.gzip
	}
	return max(q, 0)
}

// identity returns the quality of sending the content as it is: allowed unless
// refused by name or by "*", but after every coding that was asked for.
func (a acceptEncoding) identity() int {
	switch {
	case a.ident >= 0:
		return a.ident
	case a.any >= 0:
		return a.any
	}
	return 1
}
