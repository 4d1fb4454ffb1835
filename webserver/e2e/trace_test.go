//go:build unix

package e2e_test

import (
	"regexp"
	"strings"
	"testing"
)

// TestTrace: the transcript names the RFC section of what the server decided,
// shows what came with escapes, and no secrets.
func TestTrace(t *testing.T) {
	t.Parallel()
	s := start(t, "--root", writeTree(t, nil), "--trace", "--head-timeout", "500ms")
	etag := s.get(t, "/alive.txt").field("ETag")
	steps := []struct {
		wire  string
		shows []string // regular expressions, in the lines that the step adds
	}{
		{request("GET", "/alive.txt", "X-Seen: by-the-student"), []string{`GET /alive\.txt HTTP/1\.1`, `X-Seen: by-the-student`, `200 OK`, `RFC 911\d`}},
		{request("GET", "/alive.txt", "If-None-Match: "+etag), []string{`304`, `(RFC 9110|§).*13\.|13\.1\.2|15\.4\.5`}},
		{request("GET", "/alive.txt", "Range: bytes=99999-"), []string{`416`, `15\.5\.17|14\.`}},
		{request("GET", "/alive.txt", "Range: bytes=0-1"), []string{`206`, `15\.3\.7|14\.`}},
		{request("GET", "/alive.txt", "Connection: close"), []string{`[Cc]lose`, `9\.[36]|9112`}},
		{request("POST", "/alive.txt", "Content-Length: 1", "Transfer-Encoding: chunked"), []string{`400`, `RFC 9112.*6\.|6\.[13]`}},
		{"GET /alive.txt HTTP/1.1\r\nHost: too-slow.localhost\r\n", []string{`408`, `15\.5\.9`}},
		{request("DELETE", "/alive.txt"), []string{`405`, `15\.5\.6|9\.1`}},
		{request("GET", "/missing"), []string{`404`, `15\.5\.5`}},
		{"GET /\x1b[31mred HTTP/1.1\r\nHost: x\r\nX: \x07\r\n\r\n", []string{`400`, `\\x1b|\\e|\\033|\\u001b`}},
		{request("GET", "/alive.txt", "Authorization: Basic c2VjcmV0OnNlY3JldA==", "Cookie: session=0123secret", "Proxy-Authorization: Bearer t0ken-secret", "X-Last: line"), []string{`Authorization: `, `Cookie: `, `X-Last: line`}},
		{request("GET", "/alive.txt", "Authorization: Basic", " c2VjcmV0OmZvbGRlZA==", "X-Last: line1"), []string{`400`}},
		{request("GET", "/alive.txt", "cookie: a=small-secret", "AUTHORIZATION: Bearer big-secret", "X-Last: line2"), []string{`X-Last: line2`}},
	}
	for _, step := range steps {
		before := len(s.stderr.String())
		s.exchange(t, step.wire)
		for _, show := range step.shows {
			re := regexp.MustCompile(show)
			s.stderr.await(t, show+" in the trace", func(text string) bool { return re.MatchString(text[before:]) })
		}
	}
	trace := s.stderr.String()
	// Every section is one that a student can look up.
	label := regexp.MustCompile(`\[RFC 91\d\d[^\]]*\]`)
	whole := regexp.MustCompile(`^\[RFC 91(10|11|12) section \d+(\.\d+)*\]$`)
	labels := label.FindAllString(trace, -1)
	for _, l := range labels {
		if !whole.MatchString(l) {
			t.Errorf("section %s", l)
		}
	}
	if len(labels) < len(steps) {
		t.Errorf("%d sections named for %d requests", len(labels), len(steps))
	}
	for _, secret := range []string{"c2VjcmV0", "0123secret", "t0ken-secret", "small-secret", "big-secret", "\x1b[31m", "\x07"} {
		if strings.Contains(trace, secret) {
			t.Errorf("the trace holds %q", secret)
		}
	}
}
