package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"topdown/pkg/httpmsg"
	"topdown/proxyserver/internal/netio"
	"topdown/proxyserver/internal/rules"
)

// ErrNoAnswer is what Explain returns where the trace ends without a whole
// response.
var ErrNoAnswer = errors.New("the origin did not answer")

// Explain fetches a URL as for a client on this machine, whose name and password
// nobody asks for, and writes to w what happens: both sides' heads and every
// decision. The content is thrown away. Serve need not run.
func (s *Server) Explain(ctx context.Context, url string, w io.Writer) error {
	key, ok := rules.ParseKey(url)
	if !ok {
		return fmt.Errorf("%q is no URL like http://host/path", url)
	}
	s.defaults.Do(s.setDefaults)
	_, rest, _ := strings.Cut(key, "://")
	host, _, _ := strings.Cut(rest, "/")
	own, client := net.Pipe() // nothing is read from it or written to it
	defer client.Close()
	c := &session{
		server: s, ctx: ctx, conn: netio.NewConn(own, s.Clock), client: netip.MustParseAddrPort("127.0.0.1:0"),
		req: httpmsg.Request{Method: "GET", Target: key, Minor: 1, Fields: httpmsg.Fields{{Name: "Host", Value: host}}},
	}
	defer c.conn.Shut()
	c.reset()
	c.trace = &trace{out: &tracer{}, text: true}
	failed := c.explain()
	if failed != nil {
		c.trace.note(failed.Error())
	}
	c.trace.mu.Lock()
	text := slices.Clone(c.trace.buf.Bytes()) // whoever reads it may be slow
	c.trace.mu.Unlock()
	if _, err := w.Write(text); err != nil {
		return err
	}
	if failed != nil {
		return ErrNoAnswer
	}
	return nil
}

// explain carries out the exchange.
func (c *session) explain() (err error) {
	if head, headErr := httpmsg.AppendRequest(nil, &c.req); headErr == nil {
		c.trace.client(">", head)
	}
	if c.target, err = c.server.locate(&c.req); err == nil {
		err = c.permitTarget()
	}
	if err == nil {
		_, err = c.prepare()
	}
	if err != nil {
		return fmt.Errorf("no answer: %w", err)
	}
	asked := time.Now()
	resp, err := c.server.Transport.Exchange(c.ctx, &c.out)
	if err != nil {
		return fmt.Errorf("no answer: %w", err)
	}
	defer resp.Body.Close()
	c.trace.looked(asked, &c.out, resp)
	head, err := c.appendHead(nil, resp, hasContent("GET", resp.Status), resp.Framing)
	if err != nil {
		return fmt.Errorf("no answer: %w", err)
	}
	c.trace.client("<", head)
	n, err := io.Copy(io.Discard, resp.Body)
	c.trace.note(fmt.Sprintf("%d bytes of content", n))
	if err != nil {
		return fmt.Errorf("the transfer broke off: %w", err)
	}
	return nil
}
