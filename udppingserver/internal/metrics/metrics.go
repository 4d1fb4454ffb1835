// Package metrics serves counters in the Prometheus text format over a few lines
// of HTTP/1.0 of its own: GET /metrics and nothing else.
package metrics

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"topdown/udppingserver/internal/echo"

	"github.com/VictoriaMetrics/metrics"
)

const (
	timeout  = 5 * time.Second // for one request, from first byte to last
	maxConns = 16              // at a time
	maxHead  = 8 << 10         // bytes of a request
)

// Serve answers requests on ln with what write writes, until ctx is done.
func Serve(ctx context.Context, ln net.Listener, write func(io.Writer)) {
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	places := make(chan struct{}, maxConns)
	for {
		conn, err := ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		select {
		case places <- struct{}{}:
		default:
			conn.Close()
			continue
		}
		wg.Go(func() {
			defer func() { <-places }()
			defer conn.Close()
			stop := context.AfterFunc(ctx, func() { conn.Close() })
			defer stop()
			_ = conn.SetDeadline(time.Now().Add(timeout))
			answer(conn, write)
		})
	}
}

// answer reads one request and sends one response. A failed write has nobody
// left to be told.
func answer(conn io.ReadWriter, write func(io.Writer)) {
	in := bufio.NewReader(io.LimitReader(conn, maxHead))
	line, err := in.ReadString('\n')
	if err != nil {
		return
	}
	for { // the fields of the head say nothing that matters here
		field, err := in.ReadString('\n')
		if err != nil {
			return
		}
		if strings.TrimRight(field, "\r\n") == "" {
			break
		}
	}
	status, body := "200 OK", &bytes.Buffer{}
	words := strings.Fields(line)
	switch {
	case len(words) != 3 || !strings.HasPrefix(words[2], "HTTP/"):
		status = "400 Bad Request"
	case words[0] != "GET" && words[0] != "HEAD":
		status = "405 Method Not Allowed\r\nAllow: GET, HEAD"
	case words[1] != "/metrics" && !strings.HasPrefix(words[1], "/metrics?"):
		status = "404 Not Found"
		body.WriteString("The counters are at /metrics\n")
	default:
		write(body)
	}
	length := body.Len()
	if len(words) > 0 && words[0] == "HEAD" {
		body.Reset()
	}
	fmt.Fprintf(conn, "HTTP/1.1 %s\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
		status, length, body)
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
