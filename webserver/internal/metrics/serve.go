package metrics

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"topdown/pkg/httpmsg"
)

const (
	maxConns     = 16               // scrapers are few
	readTimeout  = 5 * time.Second  // for the head of the request
	writeTimeout = 10 * time.Second // for the response
	lingerTime   = time.Second      // for the client to see the response
	lingerSize   = 64 << 10
	acceptPause  = 100 * time.Millisecond // after a failure to accept
)

// Serve answers GET and HEAD of /metrics on ln until ctx is done, and then
// closes ln and the connections. Each connection serves one
// request. It returns an error only if ln fails.
func (m *Metrics) Serve(ctx context.Context, ln net.Listener, log *zap.Logger) error {
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()
	defer ln.Close()
	var conns sync.WaitGroup
	defer conns.Wait()
	slots := make(chan struct{}, maxConns)
	for {
		conn, err := ln.Accept()
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		default:
			// Most likely too many open files: that passes.
			log.Warn("metrics: accept failed", zap.Error(err))
			select {
			case <-ctx.Done():
			case <-time.After(acceptPause):
			}
			continue
		}
		select {
		case slots <- struct{}{}:
		default:
			conn.Close() // the client comes again
			continue
		}
		conns.Go(func() {
			defer func() { <-slots }()
			defer conn.Close()
			// A scraper that is cut off at the end of the server comes to no harm.
			stop := context.AfterFunc(ctx, func() { conn.Close() })
			defer stop()
			if err := m.answer(conn); err != nil {
				log.Debug("metrics: a request failed", zap.Error(err))
			}
		})
	}
}

// answer reads a request and writes the response.
func (m *Metrics) answer(conn net.Conn) error {
	if err := conn.SetDeadline(time.Now().Add(readTimeout)); err != nil {
		return err
	}
	var req httpmsg.Request
	err := req.Read(bufio.NewReader(conn), httpmsg.Limits{})
	if e, ok := errors.AsType[*httpmsg.Error](err); ok {
		return m.respond(conn, "", e.Status, e.Reason+"\n", "")
	}
	if err != nil {
		return err
	}
	path, _, _ := strings.Cut(req.Target, "?")
	switch {
	case req.Method != "GET" && req.Method != "HEAD":
		return m.respond(conn, "", 405, "only GET and HEAD are answered here\n", "GET, HEAD")
	case path != "/metrics":
		return m.respond(conn, req.Method, 404, "the metrics are at /metrics\n", "")
	}
	var text bytes.Buffer
	m.WritePrometheus(&text)
	return m.respond(conn, req.Method, 200, text.String(), "")
}

var reasons = map[int]string{
	200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 414: "URI Too Long",
	431: "Request Header Fields Too Large", 501: "Not Implemented", 505: "HTTP Version Not Supported",
}

func (m *Metrics) respond(conn net.Conn, method string, status int, body, allow string) error {
	contentType := "text/plain; charset=utf-8"
	if status == 200 {
		contentType = "text/plain; version=0.0.4; charset=utf-8"
	}
	fields := httpmsg.Fields{
		{Name: "Date", Value: string(httpmsg.AppendDate(nil, time.Now()))},
		{Name: "Content-Type", Value: contentType},
		{Name: "Content-Length", Value: strconv.Itoa(len(body))},
		{Name: "Cache-Control", Value: "no-store"},
		{Name: "X-Content-Type-Options", Value: "nosniff"},
		{Name: "Connection", Value: "close"},
	}
	if allow != "" {
		fields.Add("Allow", allow)
	}
	out, err := httpmsg.AppendResponse(nil, &httpmsg.Response{Minor: 1, Status: status, Reason: reasons[status], Fields: fields})
	if err != nil {
		return err
	}
	if method != "HEAD" {
		out = append(out, body...)
	}
	if err = conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	if _, err = conn.Write(out); err != nil {
		return err
	}
	// Closing with bytes unread would reset the connection and could take the
	// response with it.
	if half, ok := conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		if err := conn.SetReadDeadline(time.Now().Add(lingerTime)); err != nil {
			return err
		}
		io.CopyN(io.Discard, conn, lingerSize) //nolint:errcheck // whatever comes is not wanted
	}
	return nil
}
