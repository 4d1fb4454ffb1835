package cache

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"strconv"
	"strings"
	"time"

	"topdown/pkg/httpmsg"
	"topdown/proxyserver/internal/exchange"
	"topdown/proxyserver/internal/rules"
	"topdown/proxyserver/internal/store"
)

// serve answers with what lookup found; nil if its body turned out to be gone.
func (q *query) serve() *exchange.Response {
	v := &q.found.verdict
	result, status := exchange.Hit, "; hit; ttl="+seconds(v.TTL)
	if v.Use != rules.Fresh {
		result = exchange.Stale
	}
	if v.Use == rules.StaleAndRevalidate {
		status += "; detail=stale-while-revalidate"
	}
	return q.answer(result, status)
}

// answer makes the answer that the plan describes; nil if the body is gone.
func (q *query) answer(result exchange.Result, status string) *exchange.Response {
	f := &q.found
	if f.plan.Why != "" {
		q.say(f.plan.Section, f.plan.Why)
	}
	resp := q.head(result, status)
	resp.Tier = f.entry.Tier()
	total := f.extent.Total
	switch {
	case f.plan.Kind == rules.ClientHasIt:
	case f.plan.Kind == rules.Unsatisfiable:
		resp.Status, resp.Reason = 416, "Range Not Satisfiable"
		resp.Fields.DeleteFunc(func(f httpmsg.Field) bool {
			return !rules.KeptIn304(f.Name) && !strings.EqualFold(f.Name, "Age")
		})
		resp.Fields.Add("Content-Range", contentRange(nil, total))
	case f.plan.Kind == rules.PartialContent:
		resp.Status, resp.Reason = 206, "Partial Content"
		resp.Fields.Del("Content-Range") // of a 200, where it means nothing
		if len(f.plan.Spans) > 1 {
			return q.multipart(resp)
		}
		resp.Fields.Add("Content-Range", contentRange(&f.plan.Spans[0], total))
		return q.body(resp, f.plan.Spans[0])
	case q.req.Method == "HEAD":
		resp.Framing = httpmsg.Framing(total)
		if resp.Status != 204 {
			resp.Fields.Set("Content-Length", strconv.FormatInt(total, 10))
		}
	default:
		return q.body(resp, rules.Span{First: 0, Last: total - 1})
	}
	return resp
}

// head makes the head of an answer from the store: status and fields, with Age
// and Cache-Status.
func (q *query) head(result exchange.Result, status string) *exchange.Response {
	s := q.found.stored
	unmodified := q.found.plan.Kind == rules.ClientHasIt
	fields := make(httpmsg.Fields, 0, len(s.Fields)+3)
	for _, f := range s.Fields {
		if !strings.EqualFold(f.Name, "Age") && (!unmodified || rules.KeptIn304(f.Name)) {
			fields = append(fields, f)
		}
	}
	fields.Add("Age", seconds(min(s.Age(q.now), rules.MaxAge)))
	fields.Add("Cache-Status", q.c.Name+status)
	resp := &exchange.Response{Status: s.Status, Reason: s.Reason, Fields: fields, Result: result, Body: noBody{}}
	switch {
	case unmodified:
		resp.Status, resp.Reason = 304, "Not Modified"
	case s.Status == 206:
		resp.Status, resp.Reason = 200, "OK"
	}
	return resp
}

// multipart makes a 206 of several ranges: multipart/byteranges.
func (q *query) multipart(resp *exchange.Response) *exchange.Response {
	boundary := q.boundary()
	var all []io.ReadCloser
	length := int64(0)
	add := func(text string) {
		all = append(all, io.NopCloser(strings.NewReader(text)))
		length += int64(len(text))
	}
	contentType := resp.Fields.Get("Content-Type")
	for _, s := range q.found.plan.Spans {
		text := "\r\n--" + boundary + "\r\n"
		if contentType != "" {
			text += "Content-Type: " + contentType + "\r\n"
		}
		add(text + "Content-Range: " + contentRange(&s, q.found.extent.Total) + "\r\n\r\n")
		pieces, ok := q.pieces(s)
		if !ok {
			closeAll(all)
			return nil
		}
		all = append(all, pieces...)
		length += s.Size()
	}
	add("\r\n--" + boundary + "--\r\n")
	resp.Fields.Set("Content-Type", "multipart/byteranges; boundary="+boundary)
	resp.Body, resp.Framing = join(all), httpmsg.Framing(length)
	return resp
}

// boundary returns a boundary that no content has by accident.
func (q *query) boundary() string {
	sum := sha256.Sum256(strconv.AppendInt([]byte(q.key), q.found.stored.ResponseTime.UnixNano(), 10))
	return hex.EncodeToString(sum[:16])
}

// body gives resp a range of the content; nil if that is gone.
func (q *query) body(resp *exchange.Response, want rules.Span) *exchange.Response {
	resp.Framing = httpmsg.Framing(want.Size())
	if q.found.parts != nil {
		pieces, ok := q.pieces(want)
		if !ok {
			return nil
		}
		resp.Body = join(pieces)
		return resp
	}
	e := q.found.entry
	if data, ok := e.Bytes(); ok {
		resp.Content = data[want.First : want.Last+1 : want.Last+1]
	}
	var ok bool
	if resp.Body, ok = q.open(e, want.First, want.Size()); !ok {
		return nil
	}
	return resp
}

// pieces opens the bodies that make up a range of the content: the one of a
// whole response, or those of parts.
func (q *query) pieces(want rules.Span) (pieces []io.ReadCloser, ok bool) {
	f := &q.found
	if f.parts == nil {
		piece, ok := q.open(f.entry, want.First, want.Size())
		return []io.ReadCloser{piece}, ok
	}
	next := want.First
	for _, e := range f.parts {
		first, end := e.Stored.First, e.Stored.First+e.Size
		if end <= next || first > next || next > want.Last {
			continue
		}
		n := min(end, want.Last+1) - next
		piece, ok := q.open(e, next-first, n)
		if !ok {
			closeAll(pieces)
			return nil, false
		}
		pieces = append(pieces, piece)
		next += n
	}
	return pieces, true
}

// open opens n bytes of an entry's body. An entry whose body is gone is
// removed; one that cannot be opened for now stays, and the store has logged
// why.
func (q *query) open(e *store.Entry, off, n int64) (io.ReadCloser, bool) {
	if data, ok := e.Bytes(); ok {
		body := new(memoryBody)
		body.Reset(data[off : off+n])
		return body, true
	}
	body, err := q.found.opened, error(nil)
	if q.found.opened = nil; body == nil {
		body, err = e.Open()
	}
	if err != nil {
		if errors.Is(err, store.ErrGone) {
			q.c.Store.Remove(q.ctx, e)
		}
		return nil, false
	}
	return &storedBody{body: body, off: off, left: n}, true
}

// memoryBody is a range of a body in memory.
type memoryBody struct{ bytes.Reader }

func (*memoryBody) Close() error { return nil }

// storedBody is a range of a body in the store.
type storedBody struct {
	body      *store.Body
	off, left int64
}

func (b *storedBody) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	n, err := b.body.ReadAt(p[:min(int64(len(p)), b.left)], b.off)
	b.off += int64(n)
	b.left -= int64(n)
	if n > 0 {
		return n, nil
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF // cut short while it was read
	}
	return 0, err
}

// WriteTo implements io.WriterTo: a file goes out without being read here.
func (b *storedBody) WriteTo(w io.Writer) (int64, error) {
	n, err := b.body.WriteTo(w, b.off, b.left)
	b.off += n
	b.left -= n
	return n, err
}

func (b *storedBody) Close() error { return b.body.Close() }

// joined reads several bodies one after another.
type joined struct {
	io.Reader
	pieces []io.ReadCloser
}

func join(pieces []io.ReadCloser) *joined {
	readers := make([]io.Reader, len(pieces))
	for i, p := range pieces {
		readers[i] = p
	}
	return &joined{io.MultiReader(readers...), pieces}
}

func (j *joined) Close() error {
	closeAll(j.pieces)
	return nil
}

func closeAll(pieces []io.ReadCloser) {
	for _, p := range pieces {
		p.Close()
	}
}

type noBody struct{}

func (noBody) Read([]byte) (int, error) { return 0, io.EOF }
func (noBody) Close() error             { return nil }

// notModified makes a 304 with those fields.
func notModified(fields httpmsg.Fields, result exchange.Result) *exchange.Response {
	return &exchange.Response{Status: 304, Reason: "Not Modified", Fields: fields, Result: result, Body: noBody{}}
}

// onlyIfCached is the answer to a request that may not be forwarded (RFC 9111,
// section 5.2.1.7).
func (q *query) onlyIfCached() *exchange.Response {
	q.say("RFC 9111, 5.2.1.7", "only-if-cached, and nothing stored may be used: 504")
	return &exchange.Response{
		Status: 504, Reason: "Gateway Timeout", Result: exchange.Miss, Tier: "nowhere", Body: noBody{},
		Fields: q.c.withStatus(nil, "; detail=only-if-cached", q.now),
	}
}

// withStatus returns a response's fields with a Cache-Status of this cache,
// after those of caches nearer to the origin, and a Date if it has none
// (RFC 9110, section 6.6.1).
func (c *Cache) withStatus(f httpmsg.Fields, status string, date time.Time) httpmsg.Fields {
	fields := make(httpmsg.Fields, len(f), len(f)+2)
	copy(fields, f)
	if !fields.Has("Date") {
		fields.Add("Date", string(httpmsg.AppendDate(nil, date)))
	}
	fields.Add("Cache-Status", c.Name+status)
	return fields
}

func contentRange(s *rules.Span, total int64) string {
	return string(httpmsg.AppendContentRange(nil, s, total))
}

func seconds(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }
