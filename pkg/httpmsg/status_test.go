package httpmsg

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestStatusText(t *testing.T) {
	// RFC 9110 has renamed these since net/http wrote them down.
	renamed := map[int]string{413: "Content Too Large", 414: "URI Too Long", 416: "Range Not Satisfiable", 422: "Unprocessable Content"}
	for status := range 600 {
		got, want := StatusText(status), http.StatusText(status)
		if name, ok := renamed[status]; ok {
			want = name
		}
		if got != "" && got != want {
			t.Errorf("%d is %q, want %q", status, got, want)
		}
	}
	for status, want := range map[int]string{404: "HTTP/1.1 404 Not Found\r\n", 599: "HTTP/1.1 599 \r\n"} {
		if got := string(AppendStatusLine(nil, status)); got != want {
			t.Errorf("status line %q, want %q", got, want)
		}
	}
}

func TestRemoveHopByHop(t *testing.T) {
	f := Fields{
		{"A", "1"},
		{"Connection", "close, X-Mine"},
		{"TE", "trailers"},
		{"x-mine", "2"},
		{"Keep-Alive", "timeout=5"},
		{"Proxy-Authentication-Info", "x"},
		{"Te2", "3"},
		{"Content-Length", "4"},
	}
	f.RemoveHopByHop()
	if diff := cmp.Diff(Fields{{"A", "1"}, {"Te2", "3"}, {"Content-Length", "4"}}, f); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, name := range hopByHop {
		if !IsHopByHop(name) {
			t.Errorf("%s is not taken for a field of the connection", name)
		}
	}
}
