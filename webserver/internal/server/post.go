package server

import (
	"errors"
	"io"
	"os"

	"go.uber.org/zap"

	"topdown/pkg/httpmsg"
	"topdown/webserver/internal/form"
)

// post answers a POST to an existing page, of which v are the validators, or to the
// upload form of a listing, which has none: it reads the form and shows what was
// received (RFC 9110, section 9.3.3).
func (c *conn) post(x *exchange, v validators) {
	w := c.work
	req := &w.req
	decided := x.conditions.evaluate(false, v, x.start)
	if decided.status == 412 {
		c.say(decided.section, decided.reason)
		c.sendError(x, 412, "The page is not in the state that the request asks for.")
		return
	}
	options := form.Options{Store: c.s.Uploads}
	if c.s.Uploads != nil && c.s.UploadToken != nil && !c.s.UploadToken.Check(x.authorization) {
		c.say("9110, 11.6.1", "files are kept here, which takes a token: 401")
		c.sendError(x, 401, "Sending files takes a token or a password.",
			httpmsg.Field{Name: "WWW-Authenticate", Value: challenge})
		return
	}
	if req.Framing > 0 && int64(req.Framing) > c.s.bodyLimit(req) {
		c.refuseBody(x, &httpmsg.Error{Status: 413, Section: "9110, 15.5.14", Reason: "the body is too large"})
		return
	}
	if x.expect {
		c.say("9110, 10.1.1", "the client waits for leave to send the body: 100")
		x.continued = true
		w.out = append(w.out, "HTTP/1.1 100 Continue\r\n\r\n"...)
		if c.trace != nil {
			c.trace.sent(w.out)
		}
		if c.flush() != nil {
			return
		}
	}
	c.enter(body)
	defer c.enter(responding)
	posted := counter{r: &w.body}
	result, err := form.Read(&posted, req.Fields.Get("Content-Type"), options)
	c.trace.took(posted.n)
	if err != nil {
		c.refuseBody(x, err)
		return
	}
	c.sayf("9110, 9.3.3", "the page is there and the form has been read: 200 with what was received (%d fields, %d files)",
		len(result.Fields), len(result.Files))
	fields := []httpmsg.Field{{Name: "Vary", Value: "Accept"}, {Name: "Cache-Control", Value: "no-store"}}
	if c.wantsJSON() {
		c.sendContent(x, 200, "application/json", form.AppendJSON(nil, result), fields...)
		return
	}
	c.sendContent(x, 200, "text/html; charset=utf-8", form.AppendHTML(nil, result), fields...)
}

// counter counts what is read.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// refuseBody answers a body that could not be accepted. The connection ends
// with it: where the next request begins is no longer known.
func (c *conn) refuseBody(x *exchange, err error) {
	c.closing, c.more = true, true
	status, reason, section := 500, "The body could not be stored.", "9110, 15.6.1"
	if refusal, ok := errors.AsType[*httpmsg.Error](err); ok {
		status, reason, section = refusal.Status, refusal.Reason, refusal.Section
		if errors.Is(err, io.ErrUnexpectedEOF) {
			c.more = false
		}
	} else if refusal, ok := errors.AsType[*form.Error](err); ok {
		status, reason, section = refusal.Status, refusal.Reason, "9110, 15.5"
	} else if errors.Is(err, os.ErrDeadlineExceeded) {
		c.revive()
		status, reason, section = 408, "The body took too long to arrive.", "9110, 15.5.9"
	} else if c.failed {
		return
	} else if diskFull(err) {
		status, reason, section = 507, "The disk is full.", "4918, 11.5"
		c.s.Log.Error("cannot store an upload", zap.Error(err))
	} else {
		c.s.Log.Error("cannot store an upload", zap.Error(err))
	}
	c.sayf(section, "%s: %d", reason, status)
	c.sendError(x, status, reason)
}
