// Package status shows how the proxy is doing, on a listener of its own: /metrics
// in the Prometheus text format, and a short page for people. It answers
// nothing else, and only under the names of its own machine, so that no web
// page can read it through a visitor's browser.
//
// It is not the lesson, and so it serves with net/http.
package status

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html/template"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"golang.org/x/net/netutil"
)

const (
	maxConns    = 16               // connections at a time
	maxHead     = 16 << 10         // bytes of a request's head
	headTimeout = time.Second      // for a request's head
	sendTimeout = 10 * time.Second // for an answer to get away
)

// Server is the listener's server. Its fields are set before Serve.
type Server struct {
	// Metrics are name, help text and value of every metric. Names that end in
	// "_total" are counters.
	Metrics []Metric
}

// Metric is one number that can be asked for at any time.
type Metric struct {
	Name, Help string
	Value      func() float64
}

// Serve answers on ln until ctx is done.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	server := &http.Server{Handler: s.handler(), WriteTimeout: sendTimeout}
	// A client gets one answer for a connection: a scraper that stays would keep
	// a place from others.
	server.SetKeepAlivesEnabled(false)
	return serve(ctx, server, ln, maxConns)
}

// serve has server answer on ln until ctx is done, so many clients at a time.
func serve(ctx context.Context, server *http.Server, ln net.Listener, conns int) error {
	server.ReadHeaderTimeout, server.ReadTimeout, server.MaxHeaderBytes = headTimeout, headTimeout, maxHead
	server.ErrorLog = log.New(io.Discard, "", 0) // a client's faults are nobody's news
	server.BaseContext = func(net.Listener) context.Context { return ctx }
	stop := context.AfterFunc(ctx, func() { server.Close() }) //nolint:errcheck // nothing is lost
	defer stop()
	err := server.Serve(netutil.LimitListener(ln, conns))
	if ctx.Err() != nil && errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve a page: %w", err)
}

func (s *Server) handler() http.Handler {
	set := metrics.NewSet()
	for _, m := range s.Metrics {
		set.NewGauge(m.Name, m.Value)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kind := "text/plain; version=0.0.4; charset=utf-8"
		status := http.StatusOK
		var body bytes.Buffer
		switch {
		case !ownName(r.Host):
			status = http.StatusMisdirectedRequest
			body.WriteString("ask under the name localhost or an address\n")
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			status = http.StatusMethodNotAllowed
			w.Header().Set("Allow", "GET, HEAD")
		case r.URL.Path == "/metrics":
			s.write(&body, set)
		case r.URL.Path == "/":
			kind = "text/html; charset=utf-8"
			if err := page.Execute(&body, s.Metrics); err != nil {
				status = http.StatusInternalServerError
			}
		default:
			status = http.StatusNotFound
			body.WriteString("there are / and /metrics\n")
		}
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Content-Length", strconv.Itoa(body.Len()))
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(status)
		w.Write(body.Bytes()) //nolint:errcheck // a client that has gone
	})
}

func (s *Server) write(w io.Writer, set *metrics.Set) {
	// The types are written here: the set knows all of them as gauges.
	var values strings.Builder
	set.WritePrometheus(&values)
	help := make(map[string]string, len(s.Metrics))
	for _, m := range s.Metrics {
		help[m.Name] = m.Help
	}
	for line := range strings.Lines(values.String()) {
		if name, _, ok := strings.Cut(line, " "); ok && help[name] != "" {
			kind := "gauge"
			if strings.HasSuffix(name, "_total") {
				kind = "counter"
			}
			fmt.Fprintf(w, "# HELP %s %s\n# TYPE %s %s\n", name, help[name], name, kind)
		}
		io.WriteString(w, line) //nolint:errcheck // to memory
	}
}

var page = template.Must(template.New("status").Funcs(template.FuncMap{
	"number": func(v float64) string { return strconv.FormatFloat(v, 'f', 0, 64) },
}).Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>proxyserver</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="2">
<style>
:root{color-scheme:light dark}
body{font-family:sans-serif;max-width:44em;margin:3em auto;padding:0 1em}
td{padding:.2em 1em .2em 0}
td+td{text-align:right;font-variant-numeric:tabular-nums}
</style></head>
<body><h1>proxyserver</h1>
<table>
{{range .}}<tr><td>{{.Help}}<td>{{number (call .Value)}}
{{end}}</table></body></html>
`))

// ownName reports whether a Host is localhost or an address: what a page with a
// name of its own cannot make a browser send.
func ownName(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = host
	}
	if name == "" || strings.EqualFold(name, "localhost") {
		return true
	}
	_, err = netip.ParseAddr(strings.Trim(name, "[]"))
	return err == nil
}
