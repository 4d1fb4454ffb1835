package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"topdown/pkg/httpmsg"
	"topdown/proxyserver/internal/exchange"
	"topdown/proxyserver/internal/netio"
	"topdown/proxyserver/internal/rules"
)

// answerExplained throws the content of a response away and answers with the
// trace; a failure goes into the trace as well, and its status is the answer's.
func (c *session) answerExplained(resp *exchange.Response, err error) {
	status := 200
	if err != nil {
		c.trace.note("no answer: " + err.Error())
		status = statusOf(err)
	} else {
		if resp.Upgraded != nil {
			defer resp.Upgraded.Close()
		}
		head, headErr := c.appendHead(nil, resp, hasContent("GET", resp.Status), resp.Framing)
		n, readErr := io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if headErr == nil {
			c.trace.client("<", head)
		}
		c.trace.note(fmt.Sprintf("%d bytes of content", n))
		if readErr != nil {
			c.trace.note("the transfer broke off: " + readErr.Error())
			status = 502
		}
	}
	c.trace.mu.Lock()
	text := append([]byte(nil), c.trace.buf.Bytes()...)
	c.trace.mu.Unlock()
	c.answer(status, httpmsg.Fields{
		{Name: "Content-Type", Value: explainType}, {Name: "Cache-Control", Value: "no-store"},
	}, text)
}

// explainType tells a trace from an error page of the proxy's.
const explainType = "text/plain; charset=utf-8"

// ErrNoAnswer is what Explain returns where the trace ends without a whole
// response.
var ErrNoAnswer = errors.New("the origin did not answer")

// Explain has the proxy at addr fetch url and writes the trace to w.
func Explain(ctx context.Context, addr, url string, w io.Writer) error {
	key, ok := rules.ParseKey(url)
	if !ok {
		return fmt.Errorf("%q is no URL like http://host/path", url)
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("connect to the proxy: %w", err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	_, rest, _ := strings.Cut(key, "://")
	host, _, _ := strings.Cut(rest, "/")
	req := httpmsg.Request{Method: "GET", Target: key, Minor: 1, Fields: httpmsg.Fields{
		{Name: "Host", Value: host}, {Name: explainField, Value: "yes"}, {Name: "Connection", Value: "close"},
	}}
	head, err := httpmsg.AppendRequest(nil, &req)
	if err != nil {
		return err
	}
	if _, err = conn.Write(head); err != nil {
		return fmt.Errorf("ask the proxy: %w", err)
	}
	clockCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	src := netio.NewConn(conn, netio.NewClock(clockCtx))
	var resp httpmsg.Response
	if err = resp.Read(src, "GET", httpmsg.Limits{}); err != nil {
		return fmt.Errorf("read the proxy's answer: %w", err)
	}
	if resp.Fields.Get("Content-Type") != explainType {
		reason := resp.Fields.Get("Proxy-Status")
		if reason == "" {
			reason = "is it a proxyserver?"
		}
		return fmt.Errorf("the proxy answered %d: %s", resp.Status, reason)
	}
	if _, err = io.Copy(w, httpmsg.NewBody(src, resp.Framing, httpmsg.BodyLimits{})); err != nil {
		return fmt.Errorf("read the proxy's answer: %w", err)
	}
	if resp.Status != 200 {
		return ErrNoAnswer
	}
	return nil
}
