package cache

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"topdown/pkg/httpmsg"
	"topdown/proxyserver/internal/exchange"
	"topdown/proxyserver/internal/store"
)

// plan is how a stored response answers a request.
type plan struct {
	kind  planKind
	spans []span // of planRange, resolved
	why   ruling
}

type planKind int

const (
	planNone          planKind = iota // what is stored does not cover it
	planWhole                         // as it is stored
	planRange                         // 206
	planUnsatisfiable                 // 416
	planNotModified                   // 304
)

// planFor decides it: preconditions first, then ranges (RFC 9110, section
// 13.2.2).
func (x *exchangeState) planFor(sel *selection) plan {
	status := sel.entry.Head.Status
	if status == 206 {
		status = 200
	}
	if x.shape&hasCondition != 0 {
		if r := notModified(x.req.Fields, status, &sel.known.meta); r.ok {
			return plan{kind: planNotModified, why: r}
		}
	}
	if x.shape&hasOther != 0 {
		return plan{}
	}
	if x.shape&hasRange != 0 && x.req.Method == "GET" && status == 200 && ifRangeHolds(x.req.Fields, &sel.known.meta) {
		if spans, ok := parseRange(x.req.Fields); ok {
			return rangePlan(sel, spans)
		}
	}
	if !sel.whole {
		return plan{}
	}
	return plan{kind: planWhole}
}

func rangePlan(sel *selection, spans []span) plan {
	if sel.total < 0 {
		// The length is not known: only ranges with both ends can be answered.
		for _, s := range spans {
			if s.first < 0 || s.last < 0 || len(sel.gaps(s)) > 0 {
				return plan{}
			}
		}
		return plan{kind: planRange, spans: spans}
	}
	var resolved []span
	octets := int64(0)
	for _, s := range spans {
		r, ok := s.resolve(sel.total)
		if !ok {
			continue
		}
		if len(sel.gaps(r)) > 0 {
			return plan{}
		}
		resolved = append(resolved, r)
		octets += r.size()
	}
	switch {
	case len(resolved) == 0:
		return plan{kind: planUnsatisfiable}
	case len(resolved) > 1 && octets > sel.total:
		// Overlapping ranges that ask for more than there is (RFC 9110,
		// section 14.2): the whole is less.
		if sel.whole {
			return plan{kind: planWhole}
		}
		return plan{}
	}
	return plan{kind: planRange, spans: resolved}
}

// answer makes the response to x from what choose selected; nil if the body
// turned out to be gone.
func (x *exchangeState) answer() *exchange.Response {
	result, status := exchange.Hit, ""
	if x.verdict.use != useFresh {
		result = exchange.Stale
	}
	if x.verdict.use == useMeanwhile {
		x.revalidate()
	}
	plain := x.plan.kind == planWhole && x.req.Method == "GET" && x.sel.parts == nil
	if plain && result == exchange.Hit {
		if resp := x.sharedAnswer(); resp != nil {
			return resp
		}
	}
	if x.verdict.use == useMeanwhile {
		status = "; detail=stale-while-revalidate"
	}
	return x.fromStore(result, "; hit; ttl="+strconv.FormatInt(seconds(x.verdict.ttl), 10)+status)
}

// sharedAnswer returns the answer that all plain requests get within a second,
// if the body is in memory. Only the reader of its body is each one's own.
func (x *exchangeState) sharedAnswer() *exchange.Response {
	second := x.now.Unix()
	k := x.sel.known
	a := k.shared.Load()
	if a == nil || a.second != second {
		content, ok := x.sel.entry.Bytes()
		if !ok {
			return nil
		}
		if content == nil {
			content = []byte{}
		}
		a = &sharedAnswer{second, x.head(exchange.Hit, "; hit; ttl="+strconv.FormatInt(seconds(x.verdict.ttl), 10))}
		a.resp.Content, a.resp.Framing, a.resp.Memo = content, httpmsg.Framing(len(content)), new(exchange.Memo)
		k.shared.Store(a)
	}
	own := &struct {
		resp exchange.Response
		body memoryBody
	}{resp: *a.resp}
	own.body.Reset(a.resp.Content)
	own.resp.Body = &own.body
	return &own.resp
}

// head makes the head of an answer from the store: status and fields, with Age
// and Cache-Status.
func (x *exchangeState) head(result exchange.Result, cacheStatus string) *exchange.Response {
	h := x.sel.entry.Head
	fields := make(httpmsg.Fields, 0, len(h.Fields)+4)
	for _, f := range h.Fields {
		if x.plan.kind == planNotModified && !keptIn304(f.Name) || strings.EqualFold(f.Name, "Age") {
			continue
		}
		fields = append(fields, f)
	}
	fields.Add("Age", strconv.FormatInt(min(seconds(x.sel.known.age(x.now)), maxSeconds), 10))
	fields.Add("Cache-Status", x.c.Name+cacheStatus)
	resp := &exchange.Response{Status: h.Status, Reason: h.Reason, Fields: fields, Result: result, Body: noBody{}}
	if resp.Status == 206 {
		resp.Status, resp.Reason = 200, "OK"
	}
	return resp
}

// fromStore makes the answer that x.plan describes; nil if the body is gone.
func (x *exchangeState) fromStore(result exchange.Result, cacheStatus string) *exchange.Response {
	if x.explained() && x.plan.why.why != "" {
		x.say(x.plan.why.section, x.plan.why.why)
	}
	resp := x.head(result, cacheStatus)
	sel := &x.sel
	switch x.plan.kind {
	case planNotModified:
		resp.Status, resp.Reason = 304, "Not Modified"
		return resp
	case planUnsatisfiable:
		resp.Status, resp.Reason = 416, "Range Not Satisfiable"
		resp.Fields.DeleteFunc(func(f httpmsg.Field) bool {
			return !keptIn304(f.Name) && !strings.EqualFold(f.Name, "Age")
		})
		resp.Fields.Add("Content-Range", "bytes */"+strconv.FormatInt(sel.total, 10))
		return resp
	case planRange:
		if x.explained() {
			x.say("RFC 9111, 3.4", "the range is answered from what is stored")
		}
		return x.ranges(resp)
	}
	if x.req.Method == "HEAD" {
		resp.Framing = httpmsg.Framing(sel.total)
		if resp.Status != 204 {
			resp.Fields.Set("Content-Length", strconv.FormatInt(sel.total, 10))
		}
		return resp
	}
	if !x.body(resp, span{0, sel.total - 1}) {
		return nil
	}
	return resp
}

// ranges makes a 206 of one range or, multipart/byteranges, of several.
func (x *exchangeState) ranges(resp *exchange.Response) *exchange.Response {
	resp.Status, resp.Reason = 206, "Partial Content"
	resp.Fields.Del("Content-Range") // of a 200, where it means nothing
	if len(x.plan.spans) == 1 {
		s := x.plan.spans[0]
		resp.Fields.Add("Content-Range", s.contentRange(x.sel.total))
		if !x.body(resp, s) {
			return nil
		}
		return resp
	}
	boundary := boundaryOf(x.sel.entry.Head)
	var readers []io.Reader
	var closers []io.Closer
	length := int64(0)
	add := func(text string) {
		readers = append(readers, strings.NewReader(text))
		length += int64(len(text))
	}
	contentType := resp.Fields.Get("Content-Type")
	for _, s := range x.plan.spans {
		text := "\r\n--" + boundary + "\r\n"
		if contentType != "" {
			text += "Content-Type: " + contentType + "\r\n"
		}
		add(text + "Content-Range: " + s.contentRange(x.sel.total) + "\r\n\r\n")
		part := &exchange.Response{}
		if !x.body(part, s) {
			for _, c := range closers {
				c.Close()
			}
			return nil
		}
		readers = append(readers, part.Body)
		closers = append(closers, part.Body)
		length += s.size()
	}
	add("\r\n--" + boundary + "--\r\n")
	resp.Fields.Set("Content-Type", "multipart/byteranges; boundary="+boundary)
	resp.Body = &joined{io.MultiReader(readers...), closers}
	resp.Framing = httpmsg.Framing(length)
	return resp
}

// boundaryOf returns a boundary that no content has by accident.
func boundaryOf(h *store.Head) string {
	sum := sha256.Sum256(strconv.AppendInt([]byte(h.Key), h.ResponseTime, 10))
	return hex.EncodeToString(sum[:16])
}

// body gives resp the octets of a range of what is selected; false if they are
// gone.
func (x *exchangeState) body(resp *exchange.Response, want span) bool {
	resp.Framing = httpmsg.Framing(want.size())
	if x.sel.parts == nil {
		b, err := x.sel.entry.Open()
		if err != nil {
			x.lost(x.sel.entry, err)
			return false
		}
		resp.Body, resp.Content = section(b, want.first, want.size())
		return true
	}
	pieces, ok := x.pieces(want)
	if !ok {
		return false
	}
	readers := make([]io.Reader, len(pieces))
	closers := make([]io.Closer, len(pieces))
	for i := range pieces {
		readers[i], closers[i] = pieces[i], pieces[i]
	}
	resp.Body = &joined{io.MultiReader(readers...), closers}
	return true
}

// lost forgets an entry whose body is gone. One that cannot be opened for now
// stays, and the store has logged why.
func (x *exchangeState) lost(e *store.Entry, err error) {
	if errors.Is(err, store.ErrGone) {
		x.c.Store.Remove(e)
	}
}

// pieces opens the parts that make up a range.
func (x *exchangeState) pieces(want span) (pieces []io.ReadCloser, ok bool) {
	next := want.first
	for _, e := range x.sel.parts {
		first, end := e.Head.First, e.Head.First+e.Size
		if end <= next || first > next || next > want.last {
			continue
		}
		b, err := e.Open()
		if err != nil {
			x.lost(e, err)
			for _, p := range pieces {
				p.Close()
			}
			return nil, false
		}
		n := min(end, want.last+1) - next
		piece, _ := section(b, next-first, n)
		pieces = append(pieces, piece)
		next += n
	}
	return pieces, true
}

// section returns n octets of a stored body; also as a slice if it is in memory.
func section(b store.Body, off, n int64) (io.ReadCloser, []byte) {
	if data, ok := b.Bytes(); ok {
		data = data[off : off+n : off+n]
		if data == nil {
			data = []byte{}
		}
		return &memoryBody{*bytes.NewReader(data)}, data
	}
	return &fileBody{body: b, off: off, left: n}, nil
}

type memoryBody struct{ bytes.Reader }

func (*memoryBody) Close() error { return nil }

// fileBody is a section of a file of its own, which the proxy may hand to the
// kernel.
type fileBody struct {
	body      store.Body
	off, left int64
}

// Section returns the file, the section of it that has not been read, and the
// same octets in the address space, if they are there, for the kernel alone:
// see store.Body.Mapped.
func (b *fileBody) Section() (f *os.File, off, n int64, mapped []byte) {
	f, base, _ := b.body.File()
	if mapped = b.body.Mapped(); mapped != nil {
		mapped = mapped[b.off : b.off+b.left]
	}
	return f, base + b.off, b.left, mapped
}

func (b *fileBody) Read(p []byte) (int, error) {
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

func (b *fileBody) Close() error {
	b.body.Close()
	return nil
}

type joined struct {
	io.Reader
	closers []io.Closer
}

func (j *joined) Close() error {
	for _, c := range j.closers {
		c.Close()
	}
	return nil
}

type noBody struct{}

func (noBody) Read([]byte) (int, error) { return 0, io.EOF }
func (noBody) Close() error             { return nil }

// onlyIfCached is the answer to a request that may not be forwarded (RFC 9111,
// section 5.2.1.7).
func (x *exchangeState) onlyIfCached() *exchange.Response {
	x.say("RFC 9111, 5.2.1.7", "only-if-cached, and nothing stored may be used: 504")
	return &exchange.Response{
		Status: 504, Reason: "Gateway Timeout", Result: exchange.Miss, Body: noBody{},
		Fields: httpmsg.Fields{
			{Name: "Date", Value: string(httpmsg.AppendDate(nil, x.now))},
			{Name: "Cache-Status", Value: x.c.Name + "; detail=only-if-cached"},
		},
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
