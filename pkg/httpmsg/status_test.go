package httpmsg

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

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

// TestRemoveHopByHopCost has many fields, and a Connection field that names many
// others: each may come from a stranger.
func TestRemoveHopByHopCost(t *testing.T) {
	var f Fields
	for i := range 20_000 {
		f.Add(fmt.Sprintf("Name%05d", i), "x")
	}
	f.Add("Connection", strings.Repeat("Other0000,", 200_000)+"nAME00007")
	done := make(chan struct{})
	go func() { defer close(done); f.RemoveHopByHop() }()
	select {
	case <-done:
	case <-time.After(15 * time.Second):
		t.Fatal("it takes too long")
	}
	if len(f) != 19_999 || f.Has("Name00007") {
		t.Errorf("%d fields are left, the named one among them: %v", len(f), f.Has("Name00007"))
	}
}
