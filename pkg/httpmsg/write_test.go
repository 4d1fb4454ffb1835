package httpmsg

import (
	"errors"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAppend(t *testing.T) {
	request := Request{Method: "GET", Target: "/a?b", Minor: 1, Fields: Fields{{"Host", "a"}, {"A", ""}}}
	got, err := AppendRequest([]byte("x"), &request)
	if want := "xGET /a?b HTTP/1.1\r\nHost: a\r\nA: \r\n\r\n"; err != nil || string(got) != want {
		t.Errorf("request %q, error %v; want %q", got, err, want)
	}
	response := Response{Minor: 1, Status: 404, Reason: "Not Found", Fields: Fields{{"A", "b"}}}
	got, err = AppendResponse(nil, &response)
	if want := "HTTP/1.1 404 Not Found\r\nA: b\r\n\r\n"; err != nil || string(got) != want {
		t.Errorf("response %q, error %v; want %q", got, err, want)
	}
}

func TestUnsafeIsNotWritten(t *testing.T) {
	before := []byte("before")
	for _, tt := range []struct {
		name  string
		write func() ([]byte, error)
	}{
		{"CR in a value", func() ([]byte, error) { return AppendField(before, "A", "b\rc") }},
		{"LF in a value", func() ([]byte, error) { return AppendField(before, "A", "b\nc") }},
		{"CRLF in a value", func() ([]byte, error) { return AppendField(before, "A", "b\r\nSet-Cookie: c") }},
		{"NUL in a value", func() ([]byte, error) { return AppendField(before, "A", "\x00") }},
		{"CR in a name", func() ([]byte, error) { return AppendField(before, "A\r", "b") }},
		{"colon in a name", func() ([]byte, error) { return AppendField(before, "A:", "b") }},
		{"empty name", func() ([]byte, error) { return AppendField(before, "", "b") }},
		{"space in the target", func() ([]byte, error) {
			return AppendRequest(before, &Request{Method: "GET", Target: "/ HTTP/1.1"})
		}},
		{"LF in the target", func() ([]byte, error) { return AppendRequest(before, &Request{Method: "GET", Target: "/\n"}) }},
		{"empty target", func() ([]byte, error) { return AppendRequest(before, &Request{Method: "GET"}) }},
		{"space in the method", func() ([]byte, error) { return AppendRequest(before, &Request{Method: "G T", Target: "/"}) }},
		{"LF in the reason", func() ([]byte, error) { return AppendResponse(before, &Response{Status: 200, Reason: "O\nK"}) }},
		{"status of two digits", func() ([]byte, error) { return AppendResponse(before, &Response{Status: 99}) }},
		{"LF in a second field", func() ([]byte, error) {
			return AppendFields(before, Fields{{"A", "b"}, {"C", "\n"}})
		}},
		{"LF in a trailer", func() ([]byte, error) { return AppendLastChunk(before, Fields{{"A", "\n"}}) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.write()
			if !errors.Is(err, ErrUnsafe) || string(got) != "before" {
				t.Errorf("wrote %q, error %v; want nothing and ErrUnsafe", got, err)
			}
		})
	}
}

func TestChunksComeBack(t *testing.T) {
	var out []byte
	for _, piece := range []string{"hello", "", ", ", "world"} {
		out = AppendChunk(out, []byte(piece))
	}
	trailers := Fields{{"Digest", "x"}}
	out, err := AppendLastChunk(out, trailers)
	if err != nil {
		t.Fatal(err)
	}
	body := NewBody(source(string(out), false), Chunked, BodyLimits{})
	got, err := io.ReadAll(body)
	if err != nil || string(got) != "hello, world" {
		t.Errorf("came back as %q, error %v", got, err)
	}
	if diff := cmp.Diff(trailers, body.Trailers); diff != "" {
		t.Errorf("trailers (-want +got):\n%s", diff)
	}
}
