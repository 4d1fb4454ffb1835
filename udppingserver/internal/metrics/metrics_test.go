package metrics

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"topdown/udppingserver/internal/echo"
)

type exchange struct {
	io.Reader
	bytes.Buffer
}

func (e *exchange) Read(p []byte) (int, error) { return e.Reader.Read(p) }

func FuzzAnswer(f *testing.F) {
	for _, s := range []string{"GET /metrics HTTP/1.1\r\n\r\n", "HEAD /metrics HTTP/1.0\n\n", "GET\r\n\r\n", "\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, request string) {
		e := &exchange{Reader: strings.NewReader(request)}
		answer(e, func(w io.Writer) { Write(w, echo.Counters{}) })
		if got := e.String(); got != "" && !strings.HasPrefix(got, "HTTP/1.1 ") {
			t.Errorf("response %q", got)
		}
	})
}
