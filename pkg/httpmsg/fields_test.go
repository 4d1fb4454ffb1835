package httpmsg

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestFields(t *testing.T) {
	f := Fields{{"A", "1"}, {"B", "2"}, {"a", "3"}}
	if f.Get("a") != "1" || f.Get("C") != "" || !f.Has("b") || f.Has("C") || f.Count("A") != 2 {
		t.Errorf("look-ups in %v are wrong", f)
	}
	clone := slices.Clone(f)
	f.Set("A", "4")
	f.Add("C", "5")
	f.Set("D", "6")
	f.Del("b")
	if diff := cmp.Diff(Fields{{"A", "4"}, {"C", "5"}, {"D", "6"}}, f); diff != "" {
		t.Errorf("after changes (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(Fields{{"A", "1"}, {"B", "2"}, {"a", "3"}}, clone); diff != "" {
		t.Errorf("the clone changed (-want +got):\n%s", diff)
	}
}

func TestList(t *testing.T) {
	for _, tt := range []struct {
		fields Fields
		want   []string
	}{
		{nil, nil},
		{Fields{{"L", ""}}, nil},
		{Fields{{"L", "a"}}, []string{"a"}},
		{Fields{{"L", "a, b ,,c"}, {"X", "y"}, {"l", "\td"}}, []string{"a", "b", "c", "d"}},
		{Fields{{"L", `"a,b", "c\",d",e`}}, []string{`"a,b"`, `"c\",d"`, "e"}},
		{Fields{{"L", `"open, a`}}, []string{`"open, a`}},
		{Fields{{"L", `a\`}}, []string{`a\`}},
	} {
		if diff := cmp.Diff(tt.want, slices.Collect(tt.fields.List("L"))); diff != "" {
			t.Errorf("%v (-want +got):\n%s", tt.fields, diff)
		}
	}
	f := Fields{{"Connection", "a, Close"}}
	if !f.HasMember("connection", "close") || f.HasMember("Connection", "clos") {
		t.Error("HasMember is wrong")
	}
}

func TestParseTarget(t *testing.T) {
	for _, tt := range []struct {
		method, target string
		want           Target
		ok             bool
	}{
		{"GET", "/", Target{Path: "/"}, true},
		{"GET", "/a?b?c", Target{Path: "/a", Query: "b?c", HasQuery: true}, true},
		{"GET", "/a?", Target{Path: "/a", HasQuery: true}, true},
		{"GET", "//a/b", Target{Path: "//a/b"}, true},
		{"GET", "HTTP://A:80/b?c", Target{AbsoluteForm, "http", "A:80", "/b", "c", true}, true},
		{"GET", "http://a", Target{AbsoluteForm, "http", "a", "", "", false}, true},
		{"GET", "http://a?b", Target{AbsoluteForm, "http", "a", "", "b", true}, true},
		{"GET", "http://[::1]:8/", Target{AbsoluteForm, "http", "[::1]:8", "/", "", false}, true},
		{"GET", "ftp://u:p@a/b", Target{AbsoluteForm, "ftp", "u:p@a", "/b", "", false}, true},
		{"OPTIONS", "*", Target{Form: AsteriskForm}, true},
		{"CONNECT", "a:443", Target{Form: AuthorityForm, Host: "a:443"}, true},
		{"CONNECT", "[::1]:443", Target{Form: AuthorityForm, Host: "[::1]:443"}, true},
		{"GET", "*", Target{}, false},
		{"GET", "a", Target{}, false},
		{"GET", "a:443", Target{}, false},
		{"GET", "?a", Target{}, false},
		{"GET", "http:///a", Target{}, false},
		{"GET", "http://u@a/", Target{}, false},
		{"GET", "http://a:x/", Target{}, false},
		{"GET", "1http://a/", Target{}, false},
		{"GET", "://a/", Target{}, false},
		{"CONNECT", "a", Target{}, false},
		{"CONNECT", "a:", Target{}, false},
		{"CONNECT", ":443", Target{}, false},
		{"CONNECT", "/", Target{}, false},
		{"CONNECT", "http://a:443/", Target{}, false},
		{"CONNECT", "a:443/b", Target{}, false},
		{"CONNECT", "a:65536", Target{}, false},
	} {
		got, err := ParseTarget(tt.method, tt.target)
		if (err == nil) != tt.ok || !tt.ok && status(err) != 400 {
			t.Errorf("%s %s: error %v", tt.method, tt.target, err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s %s (-want +got):\n%s", tt.method, tt.target, diff)
		}
	}
}

func TestParseDate(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	want := time.Date(1994, 11, 6, 8, 49, 37, 0, time.UTC)
	for _, s := range []string{
		"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994",
	} {
		if got, ok := ParseDate(s, now); !ok || !got.Equal(want) {
			t.Errorf("%q is %v, %v", s, got, ok)
		}
	}
	if got, ok := ParseDate("Thursday, 01-Jan-70 00:00:00 GMT", now); ok {
		t.Errorf("the year 70 is %v: in 2070, which is meant, that day is a Wednesday", got)
	}
	if got, ok := ParseDate("Wednesday, 01-Jan-76 00:00:00 GMT", now); !ok || got.Year() != 2076 {
		t.Errorf("the year 76 is %v, %v, want 2076: not more than 50 years ahead", got, ok)
	}
	if got, ok := ParseDate("Saturday, 01-Jan-77 00:00:00 GMT", now); !ok || got.Year() != 1977 {
		t.Errorf("the year 77 is %v, %v, want 1977: 2077 is more than 50 years ahead", got, ok)
	}
	for _, s := range []string{
		"", "0", "yesterday",
		"Mon, 06 Nov 1994 08:49:37 GMT",  // it was a Sunday
		"Sun, 06 Nov 1994 08:49:37 UTC",  // another zone
		"Sun, 06 Nov 1994 08:49:37 AEST", //
		"Sun, 06 Nov 1994 08:49:37 +0000",
		"Sun, 06 Nov 1994 8:49:37 GMT", // one digit
		"Sun, 6 Nov 1994 08:49:37 GMT",
		"Sun 06 Nov 1994 08:49:37 GMT",  // no comma
		"Sun, 06-Nov-1994 08:49:37 GMT", // dashes
		"Sun, 06 Nov 94 08:49:37 GMT",   // two-digit year
		"sun, 06 nov 1994 08:49:37 GMT", // case
		"Sun, 31 Feb 1994 08:49:37 GMT",
		"Sun, 06 Nov 1994 08:49:37 GMT ",
	} {
		if got, ok := ParseDate(s, now); ok {
			t.Errorf("%q was read as %v", s, got)
		}
	}
	for s, wantOK := range map[string]bool{
		"sun, 06 nov 1994 08:49:37 gmt":  true,
		"MON, 06 NOV 1994 08:49:37 GMT":  true, // it was a Sunday
		"Sunday, 06-NOV-94 08:49:37 GMT": true,
		"fri Nov  6 08:49:37 1994":       true,
		"":                               false,
		"0":                              false,
		"Xxx, 06 Nov 1994 08:49:37 GMT":  false,
		"Sun, 06 Nov 1994 08:49:37 UTC":  false,
		"Sun, 6 Nov 1994 08:49:37 GMT":   false,
		"Sun,  06 Nov 1994 08:49:37 GMT": false,
		"Sun, 06 Nov 1994 8:49:37 GMT":   false,
		"Sun, 06 Nov 1994 08:49:37 GMT ": false,
	} {
		if got, ok := ParseDateLoosely(s, now); ok != wantOK || ok && !got.Equal(want) {
			t.Errorf("loosely, %q is %v, %v", s, got, ok)
		}
	}
	if got := string(AppendDate(nil, want)); got != "Sun, 06 Nov 1994 08:49:37 GMT" {
		t.Errorf("written as %q", got)
	}
}

func TestIsHost(t *testing.T) {
	for host, want := range map[string]bool{
		"": true, "a": true, "a.b-c_d~": true, "a:80": true, "a:": true, "127.0.0.1:8080": true,
		"[::1]": true, "[::1]:80": true, "[2001:db8::1]:": true, "%41": true, "a,b": true,
		":80": false, "a:b": false, "a:99999": false, "[::1": false, "::1": false, "[::1]x": false,
		"[fe80::1%25eth0]": false, "[v1.x]": false, "a b": false, "a/b": false, "a@b": false,
		"%4": false, "%zz": false, "a\"": false, "é": false,
	} {
		if got := IsHost(host); got != want {
			t.Errorf("IsHost(%q) is %v", host, got)
		}
	}
}
