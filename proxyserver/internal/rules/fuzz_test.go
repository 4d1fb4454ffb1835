package rules

import (
	"strings"
	"testing"
	"time"

	"topdown/pkg/httpmsg"
)

// FuzzCacheControl: no input makes the parser panic, give a number out of range
// or overlook a plain no-store.
func FuzzCacheControl(f *testing.F) {
	for _, s := range []string{
		"", "max-age=60", "max-age=\"60\", no-store", "private=\"a, b\", no-cache=c", "a=\"", "max-age=99999999999999999999",
		"ext=\"a\\\"b\", max-age= 3", ",,=,", "max-stale", "no-cache=\"", "s-maxage=x\tpublic",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		fields := httpmsg.Fields{{Name: "Cache-Control", Value: value}}
		d := parseCacheControl(fields)
		for _, n := range []int64{d.maxAge, d.sMaxAge, d.minFresh, d.maxStale, d.staleWhileRevalidate, d.staleIfError} {
			if n < invalid || n > maxSeconds {
				t.Fatalf("%q: %d seconds", value, n)
			}
		}
		for _, name := range append(d.noCacheFields, d.privateFields...) {
			if !httpmsg.IsToken(name) {
				t.Fatalf("%q: field name %q", value, name)
			}
		}
		if !parseCacheControl(append(fields, httpmsg.Field{Name: "cache-control", Value: "no-store"})).noStore {
			t.Fatalf("%q hides no-store on another line", value)
		}
	})
}

// FuzzTargeted: nothing makes the reading of a targeted field panic, or give
// a number out of range.
func FuzzTargeted(f *testing.F) {
	for _, s := range []string{
		"max-age=60", "a=1.5, b;c=?0, d=(1 \"x\";y), e=:AA==:", "a=\"b\\\"\"", "max-age=-1, no-store", "&&", "a,", "a=(", "*=tok/en",
		"no-cache=\"a\", private=b;c", "max-age=@5", "max-age=1, max-age=2",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if d, ok := parseTargeted([]string{value}); ok && (d.maxAge < invalid || d.maxAge > maxSeconds) {
			t.Fatalf("%q: max-age %d", value, d.maxAge)
		}
	})
}

// FuzzExtent: what is there and the gaps make up a range, without overlap.
func FuzzExtent(f *testing.F) {
	f.Add([]byte{1, 3, 5, 2}, uint8(0), uint8(20))
	f.Add([]byte{0, 20}, uint8(3), uint8(2))
	f.Fuzz(func(t *testing.T, raw []byte, first, length uint8) {
		want := Span{First: int64(first), Last: int64(first) + int64(length)}
		e := Extent{Total: 1 << 20, Parts: []Span{}}
		there := map[int64]bool{}
		at := int64(0)
		for i := 0; i+1 < len(raw); i += 2 {
			at += int64(raw[i])
			part := Span{First: at, Last: at + int64(raw[i+1])}
			e.Parts = append(e.Parts, part)
			for n := part.First; n <= part.Last; n++ {
				there[n] = true
			}
		}
		lacking := map[int64]bool{}
		for _, gap := range e.Gaps(want) {
			for n := gap.First; n <= gap.Last; n++ {
				if lacking[n] || n < want.First || n > want.Last {
					t.Fatalf("%v: %d is twice in the gaps of %v, or not in it", e.Parts, n, want)
				}
				lacking[n] = true
			}
		}
		for n := want.First; n <= want.Last; n++ {
			if there[n] == lacking[n] {
				t.Fatalf("%v: %d of %v: there %v, lacking %v", e.Parts, n, want, there[n], lacking[n])
			}
		}
	})
}

// FuzzDecision puts any response and any request to all rules: none panics, and
// what must not happen does not.
func FuzzDecision(f *testing.F) {
	f.Add("Cache-Control: max-age=60\nVary: Foo\nETag: \"a\"", "Foo: 1\nIf-None-Match: \"a\"", 200, int64(30))
	f.Add("Expires: 0\nLast-Modified: Mon, 02 Mar 2026 00:00:00 GMT", "Cache-Control: max-stale\nRange: bytes=0-4", 206, int64(1))
	f.Add("Cache-Control: private=\"x\", s-maxage=1, must-understand\nAge: 9\nContent-Range: bytes 0-4/10", "Pragma: no-cache\nAuthorization: x", 404, int64(99999))
	f.Add("CDN-Cache-Control: max-age=5\nVary: *", "If-Modified-Since: Mon, 02 Mar 2026 00:00:00 GMT\nIf-Range: \"a\"", 599, int64(-5))
	start := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	f.Fuzz(func(t *testing.T, respText, reqText string, status int, wait int64) {
		respFields, reqFields := parseLines(respText), parseLines(reqText)
		c := Config{Targeted: []string{"CDN-Cache-Control"}}
		req := NewRequest("GET", reqFields)
		s := Received(&req, status, "", respFields, 5, start, start, c)
		stored := Storable(&req, s)
		now := start.Add(time.Duration(wait%1e9) * time.Second)
		v := Reuse(&req, s, now)
		OnError(&req, s, 503, now)
		Related("http://example.org/", respFields)
		s.Selects(&req)
		MayAskAbout(&req, s, c)
		v.Explain(s, now)
		update := Freshen(s, &req, respFields, start, start, c)
		PlanAnswer(&req, s, &Extent{Total: 5})
		PlanAnswer(&req, s, &Extent{Total: -1, Parts: []Span{{First: 1, Last: 3}}})
		if i := Identify(respFields, s, []*Stored{s}); i < -1 || i > 1 {
			t.Fatalf("a 304 for number %d of 2", i)
		}
		switch {
		case stored.OK && s.noStore && !s.mustUnderstand:
			t.Fatal("no-store is stored")
		case stored.OK && s.private:
			t.Fatal("private is stored")
		case v.Use == Fresh && s.noCache:
			t.Fatal("no-cache is fresh")
		case v.Use == Fresh && s.Age(now) >= s.lifetime.d:
			t.Fatal("older than its lifetime, and fresh")
		case v.Use == Stale && (s.mustRevalidate || s.proxyRevalidate):
			t.Fatal("used stale in spite of must-revalidate")
		case update.Fields.Has("Content-Length") || update.Fields.Has("Connection"):
			t.Fatal("framing is stored")
		}
	})
}

func parseLines(text string) httpmsg.Fields {
	var f httpmsg.Fields
	for line := range strings.SplitSeq(text, "\n") {
		name, value, ok := strings.Cut(line, ":")
		value = httpmsg.TrimOWS(value)
		if ok && httpmsg.IsToken(name) && httpmsg.IsValue(value) {
			f.Add(name, value)
		}
	}
	return f
}

// FuzzKey: a key is a key of itself.
func FuzzKey(f *testing.F) {
	for _, s := range []string{"http://a/", "HTTP://A:80/%7e?%7e", "https://a:443", "x", "http://[::1]:80/a#b", "http://a?b", "http://a:080/%%7a", "http://[::1]:/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		key, ok := ParseKey(uri)
		if !ok {
			return
		}
		again, ok := ParseKey(key)
		if !ok || again != key {
			t.Fatalf("%q: %q, again %q", uri, key, again)
		}
	})
}
