package httpmsg

import (
	"bufio"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReadResponse(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       Response
		status     int // of the error, 0 for none
	}{
		{"usual", "HTTP/1.1 200 OK\r\nA: b\r\n\r\n", Response{Minor: 1, Status: 200, Reason: "OK", Fields: Fields{{"A", "b"}}, Framing: UntilClose}, 0},
		{"reason of several words", "HTTP/1.0 404 Not Found\r\n\r\n", Response{Minor: 0, Status: 404, Reason: "Not Found", Framing: UntilClose}, 0},
		{"empty reason", "HTTP/1.1 200 \r\n\r\n", Response{Minor: 1, Status: 200, Framing: UntilClose}, 0},
		{"no reason", "HTTP/1.1 200\r\n\r\n", Response{Minor: 1, Status: 200, Framing: UntilClose}, 0},
		{"interim", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", Response{Minor: 1, Status: 103, Reason: "Early Hints", Fields: Fields{{"Link", "</a>"}}}, 0},
		{"space before the status line", " HTTP/1.1 200 OK\r\n\r\n", Response{}, 502},
		{"two digits", "HTTP/1.1 20 OK\r\n\r\n", Response{}, 502},
		{"four digits", "HTTP/1.1 2000 OK\r\n\r\n", Response{}, 502},
		{"status below 100", "HTTP/1.1 099 OK\r\n\r\n", Response{}, 502},
		{"no version", "200 OK\r\n\r\n", Response{}, 502},
		{"other version", "HTTP/2.0 200 OK\r\n\r\n", Response{}, 502},
		{"control character in the reason", "HTTP/1.1 200 O\x00K\r\n\r\n", Response{}, 502},
		{"bare LF", "HTTP/1.1 200 OK\nA: b\r\n\r\n", Response{}, 502},
		{"folded line", "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", Response{}, 502},
		{"NUL in a value", "HTTP/1.1 200 OK\r\nA: \x00\r\n\r\n", Response{}, 502},
		{"status line without end", strings.Repeat("a", 20_000), Response{}, 502},
		{"fields without end", "HTTP/1.1 200 OK\r\n" + strings.Repeat("A: b\r\n", 20_000), Response{}, 502},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got Response
			err := got.Read(source(tt.text, false), "GET", Limits{})
			if status(err) != tt.status {
				t.Fatalf("error %v, want status %d", err, tt.status)
			}
			if tt.status != 0 {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestResponseFraming(t *testing.T) {
	for _, tt := range []struct {
		name, method, head string
		want               Framing
		status             int
	}{
		{"length", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", 7, 0},
		{"HEAD", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", 0, 0},
		{"204", "GET", "HTTP/1.1 204 No\r\nContent-Length: 7\r\n\r\n", 0, 0},
		{"304", "GET", "HTTP/1.1 304 No\r\nContent-Length: 7\r\n\r\n", 0, 0},
		{"103", "GET", "HTTP/1.1 103 No\r\n\r\n", 0, 0},
		{"CONNECT", "CONNECT", "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", 0, 0},
		{"refused CONNECT", "CONNECT", "HTTP/1.1 403 No\r\nContent-Length: 7\r\n\r\n", 7, 0},
		{"chunked", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Chunked, 0},
		{"until close", "GET", "HTTP/1.1 200 OK\r\n\r\n", UntilClose, 0},
		{"unknown coding until close", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: cow\r\n\r\n", UntilClose, 0},
		{"unknown coding under chunked", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: cow, chunked\r\n\r\n", 0, 502},
		{"both", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 7\r\n\r\n", 0, 502},
		{"coding in HTTP/1.0", "GET", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 0, 502},
		{"lengths differ", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 7, 8\r\n\r\n", 0, 502},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var resp Response
			err := resp.Read(bufio.NewReader(strings.NewReader(tt.head)), tt.method, Limits{})
			if got := resp.Framing; got != tt.want || status(err) != tt.status {
				t.Errorf("framing %d, error %v; want %d, status %d", got, err, tt.want, tt.status)
			}
		})
	}
}
