// Package metrics serves the figures of a run in the Prometheus text format, at
// /metrics and nowhere else.
package metrics

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"topdown/udppinger/internal/report"

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

// Write writes the figures of one target. Times are in seconds.
func Write(w io.Writer, s *report.Summary) {
	c := &s.Counts
	label := "target=" + strconv.Quote(s.Target.String())
	for _, m := range []struct {
		verdict string
		value   uint64
	}{
		{"on time", c.OnTime},
		{"reordered", c.Reordered},
		{"late", c.Late},
		{"lost", c.Lost},
		{"corrupt", c.Corrupt},
		{"truncated", c.Truncated},
		{"refused", c.Refused},
		{"dropped locally", c.Dropped},
	} {
		metrics.WriteCounterUint64(w, fmt.Sprintf("udppinger_packets_total{%s,verdict=%q}", label, m.verdict), m.value)
	}
	metrics.WriteCounterUint64(w, "udppinger_packets_sent_total{"+label+"}", c.Sent)
	metrics.WriteCounterUint64(w, "udppinger_packets_unanswered_total{"+label+"}", c.Unanswered())
	metrics.WriteCounterUint64(w, "udppinger_duplicates_total{"+label+"}", c.Duplicates)
	if s.RTT.N > 0 {
		metrics.WriteCounterFloat64(w, "udppinger_rtt_seconds_sum{"+label+"}", s.RTT.Total().Seconds())
		metrics.WriteCounterUint64(w, "udppinger_rtt_seconds_count{"+label+"}", uint64(s.RTT.N))
	}
	window := s.Window.Sum(s.Latest)
	metrics.WriteGaugeFloat64(w, "udppinger_window_seconds{"+label+"}", s.Window.Length.Seconds())
	metrics.WriteGaugeUint64(w, "udppinger_window_packets{"+label+"}", uint64(window.Probes))
	metrics.WriteGaugeFloat64(w, "udppinger_window_loss_ratio{"+label+"}", window.Share())
	if window.Timed() > 0 {
		for _, m := range []struct {
			stat  string
			value time.Duration
		}{{"min", window.Min}, {"mean", window.Mean}, {"max", window.Max}} {
			metrics.WriteGaugeFloat64(w, fmt.Sprintf("udppinger_window_rtt_seconds{%s,stat=%q}", label, m.stat), m.value.Seconds())
		}
	}
}

// WriteProcess writes the figures of this process.
func WriteProcess(w io.Writer) { metrics.WriteProcessMetrics(w) }
