package cache

import (
	"strings"
	"testing"
	"time"

	"topdown/pkg/httpmsg"
	"topdown/proxyserver/internal/exchange"
	"topdown/proxyserver/internal/store"
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

// FuzzDictionary: nothing makes the parser of structured fields panic.
func FuzzDictionary(f *testing.F) {
	for _, s := range []string{
		"max-age=60", "a=1.5, b;c=?0, d=(1 \"x\";y), e=:AA==:", "a=\"b\\\"\"", "max-age=-1, no-store", "&&", "a,", "a=(", "*=tok/en",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		dict, ok := parseDictionary(value)
		if !ok && len(dict) > 0 {
			t.Fatalf("%q: members of something invalid", value)
		}
		if d, ok := targetedDirectives(value); ok && (d.maxAge < invalid || d.maxAge > maxSeconds) {
			t.Fatalf("%q: max-age %d", value, d.maxAge)
		}
	})
}

// FuzzRange: a resolved range lies within what there is, and a Content-Range
// that was read is written the same.
func FuzzRange(f *testing.F) {
	for _, s := range []string{"bytes=0-1", "bytes=-5", "bytes=3-", "bytes=0-0,-1", "bytes=9999999999999999999999-", "bytes 0-4/10", "bytes 1-2/*", "x"} {
		f.Add(s, int64(10))
	}
	f.Fuzz(func(t *testing.T, value string, total int64) {
		if total < 0 || total > 1<<50 {
			return
		}
		spans, ok := parseRange(httpmsg.Fields{{Name: "Range", Value: value}})
		if ok != (len(spans) > 0) || len(spans) > maxRanges {
			t.Fatalf("%q: %v, %v", value, spans, ok)
		}
		for _, s := range spans {
			if r, ok := s.resolve(total); ok && (r.first < 0 || r.last < r.first || r.last >= total) {
				t.Fatalf("%q of %d: %v", value, total, r)
			}
		}
		if s, size, ok := parseContentRange(httpmsg.Fields{{Name: "Content-Range", Value: value}}); ok {
			again, sizeAgain, ok := parseContentRange(httpmsg.Fields{{Name: "Content-Range", Value: s.contentRange(size)}})
			if !ok || again != s || sizeAgain != size || s.size() < 1 {
				t.Fatalf("%q: %v/%d becomes %v/%d", value, s, size, again, sizeAgain)
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
		req := &exchange.Request{Method: "GET", Scheme: "http", Host: "example.org", Path: "/", Fields: reqFields}
		x := &exchangeState{c: &Cache{Targeted: []string{"CDN-Cache-Control"}}, req: req, key: "http://example.org/", now: start}
		x.shape, x.rd = shapeOf(reqFields), requestDirectives(reqFields)
		h, m := x.newHead(&exchange.Response{Status: status, Fields: respFields, Framing: 5}, start)
		stored := storable("GET", reqFields, &x.rd, h, m)
		now := start.Add(time.Duration(wait%1e9) * time.Second)
		v := reuse(&x.rd, m, now)
		onError(&x.rd, m, 503, now)
		notModified(reqFields, status, m)
		ifRangeHolds(reqFields, m)
		related(x.key, respFields)
		varyMatches(h.Fields, h.Vary, reqFields)
		explainFresh(m, v, now)
		update, _ := x.freshen(h, respFields, start)
		rangePlan(&selection{entry: &store.Entry{Head: h, Size: 5}, total: 5, whole: true}, []span{{0, 1}, {-1, 3}})
		switch {
		case stored.ok && m.noStore && !m.mustUnderstand:
			t.Fatal("no-store is stored")
		case stored.ok && m.private:
			t.Fatal("private is stored")
		case v.use == useFresh && m.noCache:
			t.Fatal("no-cache is fresh")
		case v.use == useFresh && m.age(now) >= m.lifetime.d:
			t.Fatal("older than its lifetime, and fresh")
		case v.use == useStale && (m.mustRevalidate || m.proxyRevalidate):
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
	for _, s := range []string{"http://a/", "HTTP://A:80/%7e?%7e", "https://a:443", "x", "http://[::1]:80/a#b", "http://a?b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		key, ok := Key(uri)
		if !ok {
			return
		}
		again, ok := Key(key)
		if !ok || again != key {
			t.Fatalf("%q: %q, again %q", uri, key, again)
		}
	})
}
