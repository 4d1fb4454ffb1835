package metrics

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"topdown/udppingserver/internal/echo"
)

func TestCountersAreServedAndNothingElse(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		Serve(ctx, ln, func(w io.Writer) { Write(w, echo.Counters{Received: 7, Answered: 5}) })
		close(ended)
	}()
	for _, tt := range []struct {
		method, path string
		status       int
		want         string
	}{
		{"GET", "/metrics", 200, "udppingserver_packets_received_total 7\n"},
		{"GET", "/metrics?x=1", 200, `udppingserver_packets_total{verdict="answered"} 5` + "\n"},
		{"HEAD", "/metrics", 200, ""},
		{"POST", "/metrics", 405, ""},
		{"GET", "/", 404, ""},
	} {
		req, err := http.NewRequestWithContext(t.Context(), tt.method, "http://"+ln.Addr().String()+tt.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != tt.status || !strings.Contains(string(body), tt.want) {
			t.Errorf("%s %s: %s\n%s", tt.method, tt.path, resp.Status, body)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	cancel()
	<-ended
}
