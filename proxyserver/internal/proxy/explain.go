package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"topdown/pkg/httpmsg"
	"topdown/proxyserver/internal/netio"
)

// explainField in a GET from the proxy's own machine asks for the trace of the
// exchange instead of its response. No web page can have a browser send it:
// names that begin with "Proxy-" are forbidden to scripts.
const explainField = "Proxy-Explain"

func (c *session) explaining() bool {
	return len(c.req.Fields) > 0 && c.req.Method == "GET" && c.req.Fields.Has(explainField) && c.fromHere()
}

// fromHere reports whether the request was made on the proxy's own machine, and
// not only passed on by a server there.
func (c *session) fromHere() bool {
	f := c.req.Fields
	return c.client.Addr().IsLoopback() && !f.Has("Forwarded") && !f.Has("X-Forwarded-For") && !f.Has("X-Real-IP") && !f.Has("Via")
}

// answerExplained carries the exchange out, throws the content away and answers
// with the trace.
func (c *session) answerExplained() error {
	resp, err := c.server.Transport.Exchange(c.ctx, &c.out)
	c.closeInterim()
	if err != nil {
		c.trace.note("no answer: " + err.Error())
	} else {
		c.count(resp.Result)
		if resp.Upgraded != nil {
			defer resp.Upgraded.Close()
		}
		head, headErr := c.appendHead(nil, resp, hasContent("GET", resp.Status), resp.Framing)
		n, readErr := io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if headErr == nil {
			c.trace.client("<", head)
		}
		c.trace.note(fmt.Sprintf("%d octets of content", n))
		if readErr != nil {
			c.trace.note("the transfer broke off: " + readErr.Error())
		}
	}
	c.trace.mu.Lock()
	text := append([]byte(nil), c.trace.buf.Bytes()...)
	c.trace.mu.Unlock()
	c.answer(200, httpmsg.Fields{
		{Name: "Content-Type", Value: "text/plain; charset=utf-8"}, {Name: "Cache-Control", Value: "no-store"},
	}, text)
	return nil
}

// Explain has the proxy at addr fetch url and writes the trace to w.
func Explain(ctx context.Context, addr, url string, w io.Writer) error {
	key, err := Normalise(url)
	if err != nil {
		return fmt.Errorf("%q: %w", url, err)
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
	if resp.Status != 200 || !strings.HasPrefix(resp.Fields.Get("Content-Type"), "text/plain") {
		reason := resp.Fields.Get("Proxy-Status")
		if reason == "" {
			reason = "is it a proxyserver?"
		}
		return errors.New("the proxy answered " + fmt.Sprint(resp.Status) + ": " + reason)
	}
	if _, err = io.Copy(w, httpmsg.NewBody(src, resp.Framing, httpmsg.BodyLimits{})); err != nil {
		return fmt.Errorf("read the proxy's answer: %w", err)
	}
	return nil
}
