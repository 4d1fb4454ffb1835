package httpmsg

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseRange(t *testing.T) {
	for _, tt := range []struct {
		value string
		want  []ByteRange // nil: to be ignored
	}{
		{"bytes=0-0", []ByteRange{{0, 0}}},
		{"BYTES=0-", []ByteRange{{0, -1}}},
		{"bytes=-3", []ByteRange{{-1, 3}}},
		{"bytes=0-0, 9-9 ,,\t5-5", []ByteRange{{0, 0}, {9, 9}, {5, 5}}},
		{"bytes=0-99999999999999999999", []ByteRange{{0, 1 << 58}}},
		{"bytes=", nil},
		{"bytes=,", nil},
		{"bytes=a-b", nil},
		{"bytes=5", nil},
		{"bytes=-", nil},
		{"bytes=5-2", nil},
		{"bytes=0-0,x", nil},
		{"bytes=0-0-0", nil},
		{"bytes=0 - 0", nil},
		{"bytes=+1-2", nil},
		{"bytes 0-0", nil},
		{"lines=0-0", nil},
		{"bytes=0-0,1-1,2-2,3-3", nil}, // over the limit of 3
	} {
		got, ok := ParseRange(tt.value, 3)
		if diff := cmp.Diff(tt.want, got); diff != "" || ok != (tt.want != nil) {
			t.Errorf("%q: ok %v (-want +got):\n%s", tt.value, ok, diff)
		}
	}
}

func TestResolveRange(t *testing.T) {
	for _, tt := range []struct {
		r    ByteRange
		size int64
		want ByteRange
		ok   bool
	}{
		{ByteRange{2, 5}, 10, ByteRange{2, 5}, true},
		{ByteRange{2, 50}, 10, ByteRange{2, 9}, true},
		{ByteRange{0, -1}, 10, ByteRange{0, 9}, true},
		{ByteRange{-1, 3}, 10, ByteRange{7, 9}, true},
		{ByteRange{-1, 30}, 10, ByteRange{0, 9}, true},
		{ByteRange{10, -1}, 10, ByteRange{}, false},
		{ByteRange{-1, 0}, 10, ByteRange{}, false},
		{ByteRange{0, -1}, 0, ByteRange{}, false},
		{ByteRange{-1, 5}, 0, ByteRange{}, false},
	} {
		got, ok := tt.r.Resolve(tt.size)
		if ok != tt.ok || ok && got != tt.want {
			t.Errorf("%v of %d bytes: %v, %v; want %v, %v", tt.r, tt.size, got, ok, tt.want, tt.ok)
		}
	}
}

func TestContentRange(t *testing.T) {
	for _, tt := range []struct {
		value string
		r     ByteRange
		size  int64
		ok    bool
	}{
		{"bytes 0-0/1", ByteRange{0, 0}, 1, true},
		{"bytes 5-9/*", ByteRange{5, 9}, -1, true},
		{"bytes */10", ByteRange{}, 0, false},
		{"bytes 5-9/9", ByteRange{}, 0, false},
		{"bytes 5-4/9", ByteRange{}, 0, false},
		{"bytes 5-/9", ByteRange{}, 0, false},
		{"bytes=0-0/1", ByteRange{}, 0, false},
		{"lines 0-0/1", ByteRange{}, 0, false},
		{"bytes 0-0", ByteRange{}, 0, false},
		{"", ByteRange{}, 0, false},
	} {
		r, size, ok := ParseContentRange(tt.value)
		if r != tt.r || size != tt.size || ok != tt.ok {
			t.Errorf("%q: %v of %d, %v", tt.value, r, size, ok)
		}
		if ok && string(AppendContentRange(nil, &r, size)) != tt.value {
			t.Errorf("%q is written as %q", tt.value, AppendContentRange(nil, &r, size))
		}
	}
	if got := string(AppendContentRange(nil, nil, 10)); got != "bytes */10" {
		t.Errorf("for a 416: %q", got)
	}
}

func FuzzRange(f *testing.F) {
	f.Add("bytes=0-1,5-,-3", "bytes 0-1/2", int64(10))
	f.Add("bytes=9223372036854775807-", "bytes 9-9/*", int64(1))
	f.Fuzz(func(t *testing.T, value, content string, size int64) {
		if size < 0 {
			return
		}
		ranges, _ := ParseRange(value, 64)
		for _, asked := range ranges {
			if r, ok := asked.Resolve(size); ok && (r.First < 0 || r.Last < r.First || r.Last >= size) {
				t.Fatalf("%v of %d bytes became %v", asked, size, r)
			}
		}
		if r, total, ok := ParseContentRange(content); ok {
			again, totalAgain, _ := ParseContentRange(string(AppendContentRange(nil, &r, total)))
			if again != r || totalAgain != total {
				t.Fatalf("%q: %v of %d came back as %v of %d", content, r, total, again, totalAgain)
			}
		}
	})
}
