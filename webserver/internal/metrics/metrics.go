// Package metrics counts what a web server does and shows it as Prometheus text
// on a listener of its own.
//
// Counting costs a few atomic additions: every counter is made at the start and
// found by index. Nothing here is global, so two servers in a process count
// apart.
package metrics

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

// Refusal is why a connection was turned away.
type Refusal int

// The refusals.
const (
	TooMany     Refusal = iota // too many connections in all
	TooManyAddr                // too many from one address
	refusals
)

var refusalNames = [refusals]string{"total", "address"}

// methods are counted by name, all others together; the last is for those.
var methods = [...]string{"GET", "HEAD", "POST", "OPTIONS", "other"}

const prefix = "webserver_"

// Metrics are the counters of a server. A nil *Metrics counts nothing. All
// methods may be called concurrently.
type Metrics struct {
	set      *metrics.Set
	requests [len(methods)][5]*metrics.Counter // by status class, 1xx first
	sent     *metrics.Counter
	received *metrics.Counter
	accepted *metrics.Counter
	closed   *metrics.Counter
	refused  [refusals]*metrics.Counter
	hits     *metrics.Counter
	misses   *metrics.Counter
	duration histogram
}

// New returns the metrics of a server that starts now.
func New() *Metrics {
	set := metrics.NewSet()
	m := &Metrics{
		set:      set,
		sent:     set.NewCounter(prefix + "response_body_bytes_total"),
		received: set.NewCounter(prefix + "request_body_bytes_total"),
		accepted: set.NewCounter(prefix + "connections_accepted_total"),
		closed:   new(metrics.Counter),
		hits:     set.NewCounter(prefix + `hot_copies_total{result="hit"}`),
		misses:   set.NewCounter(prefix + `hot_copies_total{result="miss"}`),
	}
	for i, method := range methods {
		for class := range m.requests[i] {
			m.requests[i][class] = set.NewCounter(fmt.Sprintf(`%srequests_total{method=%q,code="%dxx"}`, prefix, method, class+1))
		}
	}
	for i, name := range refusalNames {
		m.refused[i] = set.NewCounter(fmt.Sprintf(`%sconnections_refused_total{limit=%q}`, prefix, name))
	}
	m.Gauge("connections_open", func() float64 {
		// In this order, the difference is never negative.
		closed := m.closed.Get()
		return float64(m.accepted.Get() - closed)
	})
	start := float64(time.Now().UnixMilli()) / 1000
	set.NewGauge("process_start_time_seconds", func() float64 { return start })
	set.NewGauge("process_cpu_seconds_total", cpuSeconds)
	set.NewGauge("go_goroutines", func() float64 { return float64(runtime.NumGoroutine()) })
	set.RegisterMetricsWriter(newMemory().write)
	set.RegisterMetricsWriter(func(w io.Writer) { m.duration.write(w, prefix+"request_duration_seconds") })
	return m
}

// Gauge adds a gauge of the name "webserver_" + name, whose value is asked for
// whenever the metrics are shown. The name may have labels.
func (m *Metrics) Gauge(name string, value func() float64) {
	if m != nil {
		m.set.NewGauge(prefix+name, value)
	}
}

// Request counts a request that has been answered. Sent and received are the
// bytes of the two bodies, took is the time from the first byte of the
// request to the last of the response. An empty method is a request that could
// not be understood.
func (m *Metrics) Request(method string, status int, sent, received int64, took time.Duration) {
	if m == nil {
		return
	}
	class := min(max(status/100, 1), 5) - 1
	m.requests[methodIndex(method)][class].Inc()
	m.sent.AddInt64(max(sent, 0))
	if received > 0 {
		m.received.AddInt64(received)
	}
	m.duration.observe(took)
}

func methodIndex(method string) int {
	switch method {
	case "GET":
		return 0
	case "HEAD":
		return 1
	case "POST":
		return 2
	case "OPTIONS":
		return 3
	}
	return len(methods) - 1
}

// ConnOpened counts a connection that is served.
func (m *Metrics) ConnOpened() {
	if m != nil {
		m.accepted.Inc()
	}
}

// ConnClosed counts the end of such a connection.
func (m *Metrics) ConnClosed() {
	if m != nil {
		m.closed.Inc()
	}
}

// ConnRefused counts a connection that is turned away.
func (m *Metrics) ConnRefused(why Refusal) {
	if m != nil {
		m.refused[why].Inc()
	}
}

// HotHit counts a response from a copy in memory.
func (m *Metrics) HotHit() {
	if m != nil {
		m.hits.Inc()
	}
}

// HotMiss counts a response whose content was read from a file.
func (m *Metrics) HotMiss() {
	if m != nil {
		m.misses.Inc()
	}
}

// text returns all values as WritePrometheus writes them.
func (m *Metrics) text() []byte {
	var text bytes.Buffer
	m.WritePrometheus(&text)
	return text.Bytes()
}

// WritePrometheus writes all values in the Prometheus text format 0.0.4.
func (m *Metrics) WritePrometheus(w io.Writer) {
	if m != nil {
		m.set.WritePrometheus(w)
	}
}
