// Package status shows how the proxy is doing, on a listener of its own: /metrics
// in the Prometheus text format, and a short page for people. It answers
// nothing else, and only under the names of its own machine, so that no web
// page can read it through a visitor's browser.
package status

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"topdown/pkg/httpmsg"
	"topdown/proxyserver/internal/netio"

	"github.com/VictoriaMetrics/metrics"
)

// Server is the listener's server. Its fields are set before Serve.
type Server struct {
	Clock *netio.Clock
	// Metrics are name, help text and value of every metric. Names that end in
	// "_total" are counters.
	Metrics []Metric
	Now     func() time.Time
}

// Metric is one number that can be asked for at any time.
type Metric struct {
	Name, Help string
	Value      func() float64
}

// Serve answers on ln until ctx is done.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	set := metrics.NewSet()
	for _, m := range s.Metrics {
		set.NewGauge(m.Name, m.Value)
	}
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()
	defer ln.Close()
	slots := make(chan struct{}, 16)
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		conn, err := ln.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			if errors.Is(err, net.ErrClosed) {
				return fmt.Errorf("accept on the status listener: %w", err)
			}
			// Out of descriptors, most likely: clients of the proxy will leave.
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
			continue
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			c := netio.NewConn(conn, s.Clock)
			defer c.Shut()
			c.Timeout(time.Second)
			s.answer(c, set)
			c.Release()
		})
	}
}

func (s *Server) answer(c *netio.Conn, set *metrics.Set) {
	var req httpmsg.Request
	if req.Read(c, httpmsg.Limits{Fields: 16 << 10}) != nil {
		return
	}
	resp := httpmsg.Response{Status: 200, Reason: "OK", Minor: 1}
	var body strings.Builder
	kind := "text/plain; version=0.0.4; charset=utf-8"
	path, _, _ := strings.Cut(req.Target, "?")
	switch {
	case !ownName(req.Fields.Get("Host")):
		resp.Status, resp.Reason = 421, "Misdirected Request"
		body.WriteString("ask under the name localhost or an address\n")
	case req.Method != "GET" && req.Method != "HEAD":
		resp.Status, resp.Reason = 405, "Method Not Allowed"
		resp.Fields.Add("Allow", "GET, HEAD")
	case path == "/metrics":
		s.write(&body, set)
	case path == "/":
		kind = "text/html; charset=utf-8"
		s.page(&body)
	default:
		resp.Status, resp.Reason = 404, "Not Found"
		body.WriteString("there are / and /metrics\n")
	}
	resp.Fields.Add("Date", string(httpmsg.AppendDate(nil, s.Now())))
	resp.Fields.Add("Content-Type", kind)
	resp.Fields.Add("Content-Length", fmt.Sprint(body.Len()))
	resp.Fields.Add("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	resp.Fields.Add("Cache-Control", "no-store")
	resp.Fields.Add("Connection", "close")
	b, err := httpmsg.AppendResponse(nil, &resp)
	if err != nil {
		return
	}
	if req.Method != "HEAD" {
		b = append(b, body.String()...)
	}
	c.Write(b) //nolint:errcheck // a client that has gone
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

func (s *Server) page(w io.Writer) {
	fmt.Fprint(w, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>proxyserver</title>\n"+
		"<meta http-equiv=\"refresh\" content=\"2\">\n"+
		"<style>body{font-family:sans-serif;max-width:44em;margin:3em auto}td{padding:.2em 1em .2em 0}td+td{text-align:right;font-variant-numeric:tabular-nums}</style></head>\n"+
		"<body><h1>proxyserver</h1>\n<table>\n")
	for _, m := range s.Metrics {
		fmt.Fprintf(w, "<tr><td>%s<td>%.0f\n", m.Help, m.Value())
	}
	fmt.Fprint(w, "</table></body></html>\n")
}

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
