package server

import (
	"errors"
	"io"
	"net/netip"
	"os"
	"runtime/debug"
	"time"

	"go.uber.org/zap"

	"topdown/pkg/httpmsg"
	"topdown/pkg/logging"
)

// serve is the life of a connection.
func (c *conn) serve() {
	defer c.close()
	defer func() {
		// A fault of ours costs this client its connection and nobody else.
		if fault := recover(); fault != nil {
			c.s.Log.Error("fault while serving a request",
				zap.Any("fault", fault), zap.ByteString("stack", debug.Stack()))
			c.more = false
		}
	}()
	if !c.secure() {
		return
	}
	c.wait = newWaiter(c)
	for !c.closing && c.waitRequest() {
		c.exchange()
	}
}

// waitRequest waits for the first byte of the next request. It returns false when
// there is none to come.
func (c *conn) waitRequest() bool {
	if c.in.Buffered() > 0 {
		return true // the client did not wait for the last response
	}
	if c.flush() != nil {
		return false
	}
	c.enter(idle)
	var err error
	if c.wait != nil {
		c.release()
		err = c.wait.wait()
	} else {
		err = c.waitByte()
	}
	return err == nil
}

// waitByte waits with one byte instead of a buffer.
func (c *conn) waitByte() error {
	c.release()
	one := make([]byte, 1)
	n, err := c.nc.Read(one)
	if n == 0 && err == nil {
		err = io.ErrNoProgress
	}
	if n > 0 {
		c.acquire()
		c.in.w = copy(c.in.buf, one)
		return nil
	}
	return err
}

// exchange carries out one request: steps 5 to 8.
func (c *conn) exchange() {
	c.enter(head)
	w := c.work
	x := &w.x
	*x = exchange{client: c.addr}
	defer c.released(x) // whatever happens

	// Step 5: receive. Step 6: parse.
	err := c.readHead()
	x.start = time.Now()
	// From here on it is this side's turn, except while it waits for the client.
	c.enter(responding)
	if err != nil {
		c.closing, c.more = true, true
		x.refused = true
		c.refuseHead(x, err)
	} else {
		x.scan(&w.req)
		c.closing = !w.req.Persistent() || c.s.draining.Load()
		if c.admitted(x) {
			// Step 7: open the file. Step 8: respond.
			c.respond(x)
		}
		c.finishBody(x)
	}
	if x.status != 0 {
		c.account(x)
	}
}

// readHead reads the head of a request.
func (c *conn) readHead() error {
	w := c.work
	if c.trace == nil {
		return w.req.Read(&c.in, httpmsg.Limits{})
	}
	recorder := recorder{reader: &c.in}
	err := w.req.Read(&recorder, httpmsg.Limits{})
	if err != nil {
		recorder.rest()
	}
	c.trace.received(recorder.head)
	return err
}

// refuseHead answers a head that could not be read, where there is anyone to
// answer.
func (c *conn) refuseHead(x *exchange, err error) {
	if refusal, ok := errors.AsType[*httpmsg.Error](err); ok {
		c.sayf(refusal.Section, "%s: %d", refusal.Reason, refusal.Status)
		c.sendError(x, refusal.Status, refusal.Reason)
		return
	}
	if errors.Is(err, os.ErrDeadlineExceeded) && !c.s.draining.Load() {
		c.revive()
		c.say("9110, 15.5.9", "the head took too long")
		c.sendError(x, 408, "The request took too long to arrive.")
		return
	}
	// The client went away: there is nobody to tell.
	c.more = false
}

// finishBody passes over what is left of a request's body, so that the next
// request can be found, or gives the connection up if that is too much.
func (c *conn) finishBody(x *exchange) {
	w := c.work
	if w.req.Framing == 0 || w.body.Done() {
		return
	}
	if c.closing || x.expect && !x.continued {
		// A client that waits for 100 may send the body now or never.
		c.closing, c.more = true, true
		return
	}
	c.enter(body)
	defer c.enter(responding)
	if _, err := io.Copy(io.Discard, io.LimitReader(&w.body, drainMax)); err != nil || !w.body.Done() {
		c.closing, c.more = true, true
	}
}

// Lingering: how much, and how long, is still read from a client that has been
// told that its connection ends. Without it the kernel would reset the
// connection and the answer would be lost (RFC 9112, section 9.6).
const (
	lingerMax  = 4 << 20
	lingerTime = 2 * time.Second
)

// close is step 9.
func (c *conn) close() {
	// What has been read and will not be answered: more of it may be on its way.
	if unread := c.in.Buffered() > 0 && !c.failed; c.flush() == nil && (c.more || unread) {
		if half, ok := c.nc.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
			c.enter(linger)
			_, _ = io.CopyN(io.Discard, c.nc, lingerMax)
		}
	}
	// Step 9: close.
	c.trace.closed()
	c.nc.Close()
	c.release()
	c.s.conns.remove(c)
	c.s.Metrics.ConnClosed()
}

// account writes down what became of an exchange.
func (c *conn) account(x *exchange) {
	now := time.Now()
	method, received := c.work.req.Method, c.work.body.Size()
	if x.refused {
		method, received = "", 0 // these are of the request before
	}
	c.s.Metrics.Request(method, x.status, x.sent, received, now.Sub(x.start))
	if c.s.Access == nil {
		return
	}
	e := logging.AccessEntry{
		Remote: c.nameOf(x.client), User: x.user, Time: now, Status: x.status, Bytes: x.sent,
		Referer: x.referer, UserAgent: x.userAgent, Duration: now.Sub(x.start),
	}
	if !x.refused {
		req := &c.work.req
		e.Method, e.Target, e.Minor = req.Method, req.Target, req.Minor
	}
	c.s.Access.Append(&e)
}

// nameOf returns an address as text.
func (c *conn) nameOf(addr netip.Addr) string {
	switch {
	case !addr.IsValid():
		return "unix"
	case addr != c.addr:
		return addr.String()
	case c.remote == "":
		c.remote = addr.String() // once a connection
	}
	return c.remote
}
