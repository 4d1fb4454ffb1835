package rules

import (
	"testing"

	"topdown/pkg/httpmsg"

	"github.com/google/go-cmp/cmp"
)

// Spellings of one URI are one key (RFC 3986, section 6.2.2 and 6.2.3), and what
// may be two resources is two keys.
func TestParseKey(t *testing.T) {
	for _, test := range []struct{ uri, want string }{
		{"http://example.org", "http://example.org/"},
		{"HTTP://EXAMPLE.org:80/", "http://example.org/"},
		{"http://example.org:/a", "http://example.org/a"},
		{"http://example.org:0080/a", "http://example.org/a"},
		{"https://example.org:443", "https://example.org/"},
		{"https://example.org:80", "https://example.org:80/"},
		{"ftp://example.org:21/a", "ftp://example.org/a"},
		{"http://[2001:DB8::1]:80/", "http://[2001:db8::1]/"},
		{"http://a/%7euser?%7e", "http://a/%7Euser?%7e"},
		{"http://a/%2F%2f/b", "http://a/%2F%2F/b"},
		{"http://a/%zz%4", "http://a/%zz%4"},
		{"http://a?b", "http://a/?b"},
		{"http://a/b#c", "http://a/b"},
		{"http://a/B/../c", "http://a/B/../c"}, // dot segments are the origin's to read
		{"/a", ""},
		{"http://", ""},
		{"http://:80/", ""},
		{"http://a b/", ""},
	} {
		if got, ok := ParseKey(test.uri); got != test.want || ok != (test.want != "") {
			t.Errorf("%s: %q, %v, want %q", test.uri, got, ok, test.want)
		}
	}
}

// What an unsafe request makes invalid besides its own URI lies on the same
// origin (RFC 9111, section 4.4).
func TestRelated(t *testing.T) {
	for _, test := range []struct {
		location string
		want     []string
	}{
		{"/b", []string{"http://a/b"}},
		{"c?d", []string{"http://a/x/c?d"}},
		{"../c", []string{"http://a/c"}},
		{"http://A:80/b", []string{"http://a/b"}},
		{"//a/b", []string{"http://a/b"}},
		{"http://a/x/y", nil}, // its own
		{"http://other/b", nil},
		{"https://a/b", nil},
		{"http://a:8080/b", nil},
		{"http://[", nil},
	} {
		for _, name := range []string{"Location", "Content-Location"} {
			got := Related("http://a/x/y", httpmsg.Fields{{Name: name, Value: test.location}})
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("%s: %s (-want +got)\n%s", name, test.location, diff)
			}
		}
	}
}
