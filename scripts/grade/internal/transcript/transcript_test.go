package transcript

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var times = regexp.MustCompile(`(?m)^ +\d+ ms`)

func TestLogShowsEveryByte(t *testing.T) {
	l := New()
	l.Add(Sent, "", []byte("GET / HTTP/1.1\r\n\r\n"))
	l.Add(Received, "client A", []byte("\x1b[2Jgr\xc3\xbc\xdf\x00\\"))
	l.AddPacket(Received, "", []byte("one"))
	l.AddPacket(Received, "", nil)
	l.Notef("it ended")
	want := "> GET / HTTP/1.1\\r\\n\n> \\r\\n\n< client A: \\x1b[2Jgr\\xc3\\xbc\\xdf\\x00\\\\\n< one\n< (a datagram of 0 bytes): \n* it ended\n"
	if diff := cmp.Diff(want, strings.ReplaceAll(times.ReplaceAllString(l.String(), ""), "\n ", "\n")[1:]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestLogIsBounded(t *testing.T) {
	l := New()
	for range 10_000 {
		l.AddPacket(Received, "", []byte(strings.Repeat("x", 2000)))
	}
	if n := len(l.String()); n > 64<<10 {
		t.Errorf("%d bytes", n)
	}
}
