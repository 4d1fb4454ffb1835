// Package metrics serves a server's counters in the Prometheus text format, at
// /metrics and nowhere else.
package metrics

import (
	"context"
	"io"
	"net"
	"net/http"
	"time"

	"topdown/udppingserver/internal/echo"

	"github.com/VictoriaMetrics/metrics"
	"golang.org/x/net/netutil"
)

const (
	timeout  = 5 * time.Second // for one request, from first byte to last
	maxConns = 16              // at a time
	maxHead  = 8 << 10         // bytes of a request
)

// Serve answers requests on ln with what write writes, until ctx is done.
func Serve(ctx context.Context, ln net.Listener, write func(io.Writer)) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		write(w)
	})
	server := &http.Server{Handler: mux, ReadTimeout: timeout, WriteTimeout: timeout, IdleTimeout: timeout, MaxHeaderBytes: maxHead}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	_ = server.Serve(netutil.LimitListener(ln, maxConns)) // ends when it is closed
}

// Write writes the counters of a server.
func Write(w io.Writer, c echo.Counters) {
	for _, m := range []struct {
		name  string
		value uint64
	}{
		{`udppingserver_packets_received_total`, c.Received},
		{`udppingserver_packets_total{verdict="answered"}`, c.Answered},
		{`udppingserver_packets_total{verdict="dropped"}`, c.Dropped},
		{`udppingserver_packets_total{verdict="limited"}`, c.Limited},
		{`udppingserver_packets_total{verdict="refused"}`, c.Refused},
		{`udppingserver_packets_total{verdict="reflected"}`, c.Reflected},
		{`udppingserver_packets_total{verdict="overflow"}`, c.Overflow},
		{`udppingserver_packets_total{verdict="heartbeat"}`, c.Heartbeats},
		{`udppingserver_errors_total`, c.Errors},
		{`udppingserver_tcp_connections_total{verdict="accepted"}`, c.TCPAccepted},
		{`udppingserver_tcp_connections_total{verdict="refused"}`, c.TCPRefused},
		{`udppingserver_tcp_lines_total`, c.TCPLines},
	} {
		metrics.WriteCounterUint64(w, m.name, m.value)
	}
	metrics.WriteProcessMetrics(w)
}
