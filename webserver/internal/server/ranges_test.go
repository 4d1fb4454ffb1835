package server

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"topdown/pkg/httpmsg"
)

// span is a run of bytes by its start and its length.
type span struct{ start, length int64 }

func spansOf(ranges []httpmsg.ByteRange) (spans []span) {
	for _, r := range ranges {
		spans = append(spans, span{r.First, r.Size()})
	}
	return spans
}

func TestRanges(t *testing.T) {
	ignored := []span{{-1, -1}}
	for _, tt := range []struct {
		field string
		size  int64
		want  []span
	}{
		{"bytes=0-0", 10, []span{{0, 1}}},
		{"bytes=0-", 10, []span{{0, 10}}},
		{"bytes=2-5", 10, []span{{2, 4}}},
		{"bytes=2-50", 10, []span{{2, 8}}},
		{"bytes=-3", 10, []span{{7, 3}}},
		{"bytes=-30", 10, []span{{0, 10}}},
		{"BYTES=0-0", 10, []span{{0, 1}}},
		{"bytes=0-0, 9-9 ,,\t5-5", 10, []span{{0, 1}, {9, 1}, {5, 1}}},
		{"bytes=5-9,0-5", 10, []span{{0, 10}}},
		{"bytes=0-4,5-9", 10, []span{{0, 5}, {5, 5}}},
		{"bytes=8-9,0-1,0-3", 10, []span{{0, 4}, {8, 2}}},
		{"bytes=0-0,10-", 10, []span{{0, 1}}},
		{"bytes=0-99999999999999999999", 10, []span{{0, 10}}},

		{"bytes=10-", 10, nil},
		{"bytes=-0", 10, nil},
		{"bytes=99999999999999999999-", 10, nil},
		{"bytes=0-", 0, nil},
		{"bytes=-5", 0, nil},

		{"bytes=", 10, ignored},
		{"bytes=,", 10, ignored},
		{"bytes=a-b", 10, ignored},
		{"bytes=5", 10, ignored},
		{"bytes=-", 10, ignored},
		{"bytes=5-2", 10, ignored},
		{"bytes=0-0,x", 10, ignored},
		{"bytes=0-0-0", 10, ignored},
		{"bytes=0 - 0", 10, ignored},
		{"bytes=+1-2", 10, ignored},
		{"bytes 0-0", 10, ignored},
		{"lines=0-0", 10, ignored},
	} {
		found, ok := ranges(tt.field, tt.size)
		got := spansOf(found)
		if !ok {
			got = ignored
		}
		if len(got) == 0 {
			got = nil
		}
		if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(span{})); diff != "" {
			t.Errorf("%q of %d bytes (-want +got):\n%s", tt.field, tt.size, diff)
		}
	}
}

func FuzzRanges(f *testing.F) {
	f.Add("bytes=0-1,5-,-3", int64(10))
	f.Add("bytes=9223372036854775807-", int64(1))
	f.Fuzz(func(t *testing.T, field string, size int64) {
		if size < 0 {
			return
		}
		found, _ := ranges(field, size)
		spans := spansOf(found)
		if len(spans) > maxRanges {
			t.Fatalf("%d ranges", len(spans))
		}
		var total int64
		for _, s := range spans {
			if s.start < 0 || s.length <= 0 || s.start > size-s.length {
				t.Fatalf("%+v of %d bytes", s, size)
			}
			total += s.length
		}
		if total > size {
			t.Fatalf("the ranges have %d bytes, the whole has %d", total, size)
		}
	})
}

func TestEvaluate(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	mod := now.Add(-time.Hour)
	date := func(d time.Duration) string { return string(httpmsg.AppendDate(nil, mod.Add(d))) }
	v := validators{`"a"`, mod.Add(300 * time.Millisecond)}
	none := validators{}
	for _, tt := range []struct {
		fields httpmsg.Fields
		v      validators
		get    int // status for GET
		post   int
	}{
		{nil, v, 200, 200},
		{httpmsg.Fields{{Name: "If-Match", Value: `"a"`}}, v, 200, 200},
		{httpmsg.Fields{{Name: "If-Match", Value: `"b", "a"`}}, v, 200, 200},
		{httpmsg.Fields{{Name: "If-Match", Value: `"b"`}, {Name: "If-Match", Value: `"a"`}}, v, 200, 200},
		{httpmsg.Fields{{Name: "If-Match", Value: `"b"`}}, v, 412, 412},
		{httpmsg.Fields{{Name: "If-Match", Value: `W/"a"`}}, v, 412, 412},
		{httpmsg.Fields{{Name: "If-Match", Value: `a`}}, v, 412, 412},
		{httpmsg.Fields{{Name: "If-Match", Value: ``}}, v, 412, 412},
		{httpmsg.Fields{{Name: "If-Match", Value: `*`}}, v, 200, 200},
		{httpmsg.Fields{{Name: "If-Match", Value: `*`}}, none, 200, 200},
		{httpmsg.Fields{{Name: "If-Match", Value: `"a"`}}, none, 412, 412},

		{httpmsg.Fields{{Name: "If-Unmodified-Since", Value: date(0)}}, v, 200, 200},
		{httpmsg.Fields{{Name: "If-Unmodified-Since", Value: date(-time.Second)}}, v, 412, 412},
		{httpmsg.Fields{{Name: "If-Unmodified-Since", Value: "nonsense"}}, v, 200, 200},
		{httpmsg.Fields{{Name: "If-Unmodified-Since", Value: date(-time.Second)}}, none, 200, 200},
		{httpmsg.Fields{{Name: "If-Match", Value: `"a"`}, {Name: "If-Unmodified-Since", Value: date(-time.Second)}}, v, 200, 200},

		{httpmsg.Fields{{Name: "If-None-Match", Value: `"a"`}}, v, 304, 412},
		{httpmsg.Fields{{Name: "If-None-Match", Value: `W/"a"`}}, v, 304, 412},
		{httpmsg.Fields{{Name: "If-None-Match", Value: `"x,y", "a"`}}, v, 304, 412},
		{httpmsg.Fields{{Name: "If-None-Match", Value: `*`}}, v, 304, 412},
		{httpmsg.Fields{{Name: "If-None-Match", Value: `"b"`}}, v, 200, 200},
		{httpmsg.Fields{{Name: "If-None-Match", Value: `"a"`}}, none, 200, 200},
		{httpmsg.Fields{{Name: "If-None-Match", Value: `"b"`}, {Name: "If-Modified-Since", Value: date(0)}}, v, 200, 200},

		{httpmsg.Fields{{Name: "If-Modified-Since", Value: date(0)}}, v, 304, 200},
		{httpmsg.Fields{{Name: "If-Modified-Since", Value: date(time.Minute)}}, v, 304, 200},
		{httpmsg.Fields{{Name: "If-Modified-Since", Value: date(-time.Second)}}, v, 200, 200},
		{httpmsg.Fields{{Name: "If-Modified-Since", Value: "Fri, 20 Nov 2026 11:00:00 UTC"}}, v, 200, 200},
		{httpmsg.Fields{{Name: "If-Modified-Since", Value: date(0)}}, none, 200, 200},

		{httpmsg.Fields{{Name: "If-Match", Value: `"b"`}, {Name: "If-None-Match", Value: `"a"`}}, v, 412, 412},
		{httpmsg.Fields{{Name: "If-Match", Value: `"a"`}, {Name: "If-None-Match", Value: `"a"`}}, v, 304, 412},
	} {
		t.Run(fmt.Sprint(tt.fields, tt.v.etag), func(t *testing.T) {
			var x exchange
			x.scan(&httpmsg.Request{Minor: 1, Fields: tt.fields})
			if got := x.conditions.evaluate(true, tt.v, now); got.status != tt.get {
				t.Errorf("GET: %+v, want %d", got, tt.get)
			}
			if got := x.conditions.evaluate(false, tt.v, now); got.status != tt.post {
				t.Errorf("POST: %+v, want %d", got, tt.post)
			}
		})
	}
}

func TestIfRange(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	date := func(at time.Time) string { return string(httpmsg.AppendDate(nil, at)) }
	old, young := now.Add(-time.Hour), now.Add(-500*time.Millisecond)
	for _, tt := range []struct {
		field string
		v     validators
		want  bool
	}{
		{`"a"`, validators{`"a"`, old}, true},
		{`"b"`, validators{`"a"`, old}, false},
		{`W/"a"`, validators{`"a"`, old}, false},
		{`"a"`, validators{"", old}, false},
		{date(old), validators{`"a"`, old}, true},
		{date(old.Add(time.Second)), validators{`"a"`, old}, false},
		{date(young), validators{`"a"`, young}, false}, // its second is not over
		{date(old), validators{`"a"`, time.Time{}}, false},
		{"nonsense", validators{`"a"`, old}, false},
	} {
		p := conditions{hasRange: true, ifRange: tt.field}
		if got := p.rangeHolds(tt.v, now); got != tt.want {
			t.Errorf("If-Range: %s with %v: %v", tt.field, tt.v, got)
		}
	}
	if p := (conditions{}); !p.rangeHolds(validators{}, now) {
		t.Error("without If-Range the range does not hold")
	}
}
