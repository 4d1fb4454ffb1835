package proxy

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"topdown/pkg/httpmsg"
	"topdown/proxyserver/internal/access"
	"topdown/proxyserver/internal/cache"
	"topdown/proxyserver/internal/exchange"
	"topdown/proxyserver/internal/netio"
	"topdown/proxyserver/internal/store"

	"go.uber.org/zap"
)

// repeating is a client without a network that sends one request so many times.
type repeating struct {
	net.Conn
	request string
	left    int
}

func (r *repeating) Read(p []byte) (int, error) {
	if r.left--; r.left < 0 {
		return 0, io.EOF
	}
	return copy(p, r.request), nil
}

func (*repeating) Write(p []byte) (int, error)      { return len(p), nil }
func (*repeating) Close() error                     { return nil }
func (*repeating) SetDeadline(time.Time) error      { return nil }
func (*repeating) SetReadDeadline(time.Time) error  { return nil }
func (*repeating) SetWriteDeadline(time.Time) error { return nil }
func (*repeating) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:5"))
}

// page answers everything with 1 KiB.
type page struct{ cacheControl string }

func (p page) Exchange(context.Context, *exchange.Request) (*exchange.Response, error) {
	content := make([]byte, 1<<10)
	return &exchange.Response{
		Status: 200, Reason: "OK", Body: io.NopCloser(bytes.NewReader(content)), Framing: httpmsg.Framing(len(content)),
		Fields: httpmsg.Fields{
			{Name: "Server", Value: "nginx/1.22.1"},
			{Name: "Date", Value: "Mon, 02 Mar 2026 00:00:00 GMT"},
			{Name: "Content-Type", Value: "application/octet-stream"},
			{Name: "Last-Modified", Value: "Mon, 02 Mar 2026 00:00:00 GMT"},
			{Name: "ETag", Value: `"69a4d100-400"`},
			{Name: "Cache-Control", Value: p.cacheControl},
			{Name: "Accept-Ranges", Value: "bytes"},
		},
	}, nil
}

// BenchmarkExchange is what this process does for an exchange of 1 KiB; what
// the system does for it takes twice as long.
func BenchmarkExchange(b *testing.B) {
	for name, cacheControl := range map[string]string{"hit": "max-age=1000000000", "miss": "no-store"} {
		b.Run(name, func(b *testing.B) {
			s := &Server{
				Name: "test-proxy", Clock: netio.NewClock(b.Context()), Log: zap.NewNop(), Rules: &access.Rules{Private: true},
				Upstream:  &Upstream{Scheme: "http", Host: "127.0.0.1:9000"},
				Transport: &cache.Cache{Next: page{cacheControl}, Store: store.NewMemory(0, 0)},
			}
			s.setDefaults()
			b.ReportAllocs()
			b.ResetTimer()
			client := &repeating{request: "GET /1k HTTP/1.1\r\nHost: 127.0.0.1:9001\r\n\r\n", left: b.N}
			s.handleConn(b.Context(), client)
			s.wg.Wait()
		})
	}
}
